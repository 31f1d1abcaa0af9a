/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What a run of churn is told to do: addresses and the command line. For churn.c only. */
#ifndef CHURN_TOOLS_OPTIONS_H
#define CHURN_TOOLS_OPTIONS_H

#include <arpa/inet.h>
#include <getopt.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define MAX_THREADS 256

union address {
	struct sockaddr sa;
	struct sockaddr_in in;
	struct sockaddr_in6 in6;
};

struct options {
	union address to;     /* where clients connect */
	union address source; /* where they bind, family 0: nowhere */
	uint64_t count;	      /* connections in all, 0: until the time is up */
	double rate;	      /* a second in all, 0: as fast as possible */
	double duration;      /* seconds, 0: no limit */
	double hold_for;      /* seconds */
	uint64_t bytes;	      /* payload each way, for each exchange */
	uint64_t requests;    /* exchanges on a connection */
	unsigned int threads, server_threads, processes, backlog;
	int timeout_ms; /* -1: none */
	int counters_fd;
	uint16_t port;	    /* of the own listener, 0: any */
	uint16_t bind_port; /* of clients, 0: any */
	bool listen, connect, v6, mapped, rst, server_closes, nonblock, bind_first, bind_no_port;
	bool refused, hold, no_close, exec_each, pause, json;
};

static struct options opt = {
	.count = 1,
	.bytes = 1,
	.requests = 1,
	.threads = 1,
	.server_threads = 1,
	.processes = 1,
	.backlog = 4096,
	.timeout_ms = -1,
	.counters_fd = -1,
};
__attribute__((format(printf, 1, 2), noreturn)) static void die(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	fputs("churn: ", stderr);
	vfprintf(stderr, fmt, ap);
	fputc('\n', stderr);
	va_end(ap);
	exit(2);
}

static socklen_t address_len(const union address *a)
{
	return a->sa.sa_family == AF_INET6 ? sizeof(a->in6) : sizeof(a->in);
}

static uint16_t address_port(const union address *a)
{
	return ntohs(a->sa.sa_family == AF_INET6 ? a->in6.sin6_port : a->in.sin_port);
}

static void address_set_port(union address *a, uint16_t port)
{
	if (a->sa.sa_family == AF_INET6)
		a->in6.sin6_port = htons(port);
	else
		a->in.sin_port = htons(port);
}

/* "1.2.3.4:80", "[::1]:80"; without a port where `port` is false. */
static void address_parse(union address *a, const char *text, bool port)
{
	char host[INET6_ADDRSTRLEN + 2];
	const char *colon = port ? strrchr(text, ':') : NULL;
	size_t len = colon ? (size_t)(colon - text) : strlen(text);
	char *end = NULL, *h = host;
	unsigned long nr = colon ? strtoul(colon + 1, &end, 10) : 0;

	if ((port && (!colon || !colon[1] || *end || nr > 65535)) || len >= sizeof(host))
		die("%s: not an ADDRESS%s", text, port ? ":PORT" : "");
	memcpy(host, text, len);
	host[len] = '\0';
	if (host[0] == '[' && host[len - 1] == ']') {
		host[len - 1] = '\0';
		h++;
	}
	memset(a, 0, sizeof(*a));
	if (inet_pton(AF_INET, h, &a->in.sin_addr) == 1)
		a->sa.sa_family = AF_INET;
	else if (inet_pton(AF_INET6, h, &a->in6.sin6_addr) == 1)
		a->sa.sa_family = AF_INET6;
	else
		die("%s: not an address", h);
	address_set_port(a, (uint16_t)nr);
}

/* The same address as an AF_INET6 socket sees it. */
static void address_map(union address *a)
{
	struct in_addr v4 = a->in.sin_addr;
	uint16_t port = a->in.sin_port;

	if (a->sa.sa_family != AF_INET)
		return;
	memset(a, 0, sizeof(*a));
	a->in6.sin6_family = AF_INET6;
	a->in6.sin6_port = port;
	a->in6.sin6_addr.s6_addr[10] = a->in6.sin6_addr.s6_addr[11] = 0xff;
	memcpy(&a->in6.sin6_addr.s6_addr[12], &v4, sizeof(v4));
}

static const char *address_text(const union address *a, char buf[INET6_ADDRSTRLEN])
{
	const void *raw = a->sa.sa_family == AF_INET6 ? (const void *)&a->in6.sin6_addr
						      : (const void *)&a->in.sin_addr;

	return inet_ntop(a->sa.sa_family, raw, buf, INET6_ADDRSTRLEN);
}

static const char usage_text[] =
	"usage: churn [OPTION]...\n"
	"Opens TCP connections to itself, or to another churn, and counts exactly what it did.\n"
	"\n"
	"  --listen[=ADDR:PORT]  only serve, until SIGTERM or -d; prints \"listening ADDR PORT\"\n"
	"  --port P              of the own listener (default: any)\n"
	"  --connect ADDR:PORT   only connect there\n"
	"  -n, --count N         connections in all (default 1; 0: until -d or SIGTERM)\n"
	"  -r, --rate R          a second in all, open loop (default: as fast as possible)\n"
	"  -d, --duration S      stop after so many seconds\n"
	"  -t, --threads N       client threads per process\n"
	"  --processes N         forked client processes\n"
	"  --exec-each           every connection in a process of its own\n"
	"  --server-threads N    --backlog N\n"
	"  --bytes N             payload each way in an exchange (default 1, 0: none)\n"
	"  --requests N          exchanges on each connection (default 1)\n"
	"  --rst                 close with RST (SO_LINGER 0)\n"
	"  --server-closes       the server sends the first FIN\n"
	"  -4, -6, --mapped      IPv4, IPv6, IPv4 on an IPv6 socket\n"
	"  --nonblock            non-blocking connect() and poll()\n"
	"  --timeout MS          the same, abandoned after so many milliseconds\n"
	"  --source ADDR         connect from there\n"
	"  --bind-first          bind() to port 0 before connect()\n"
	"  --bind-no-port        the same with IP_BIND_ADDRESS_NO_PORT\n"
	"  --bind-port P         connect from this port\n"
	"  --refused             connect to a port that nobody listens on\n"
	"  --hold                keep all connections open until the last one was made\n"
	"  --hold-for S          and so many seconds longer\n"
	"  --no-close            leave closing to the end of the process\n"
	"  --pause-before        wait for a line on stdin, or SIGCONT\n"
	"  --json                print the counters at the end\n";

enum {
	O_LISTEN = 256,
	O_CONNECT,
	O_PROCESSES,
	O_EXEC_EACH,
	O_SERVER_THREADS,
	O_BACKLOG,
	O_BYTES,
	O_REQUESTS,
	O_RST,
	O_SERVER_CLOSES,
	O_MAPPED,
	O_NONBLOCK,
	O_TIMEOUT,
	O_SOURCE,
	O_BIND_FIRST,
	O_BIND_NO_PORT,
	O_BIND_PORT,
	O_REFUSED,
	O_HOLD,
	O_HOLD_FOR,
	O_NO_CLOSE,
	O_PAUSE,
	O_JSON,
	O_PORT,
	O_COUNTERS_FD,
};

static const struct option long_options[] = {
	{"listen", optional_argument, NULL, O_LISTEN},
	{"connect", required_argument, NULL, O_CONNECT},
	{"count", required_argument, NULL, 'n'},
	{"rate", required_argument, NULL, 'r'},
	{"duration", required_argument, NULL, 'd'},
	{"threads", required_argument, NULL, 't'},
	{"processes", required_argument, NULL, O_PROCESSES},
	{"exec-each", no_argument, NULL, O_EXEC_EACH},
	{"server-threads", required_argument, NULL, O_SERVER_THREADS},
	{"backlog", required_argument, NULL, O_BACKLOG},
	{"bytes", required_argument, NULL, O_BYTES},
	{"requests", required_argument, NULL, O_REQUESTS},
	{"rst", no_argument, NULL, O_RST},
	{"server-closes", no_argument, NULL, O_SERVER_CLOSES},
	{"mapped", no_argument, NULL, O_MAPPED},
	{"nonblock", no_argument, NULL, O_NONBLOCK},
	{"timeout", required_argument, NULL, O_TIMEOUT},
	{"source", required_argument, NULL, O_SOURCE},
	{"bind-first", no_argument, NULL, O_BIND_FIRST},
	{"bind-no-port", no_argument, NULL, O_BIND_NO_PORT},
	{"bind-port", required_argument, NULL, O_BIND_PORT},
	{"refused", no_argument, NULL, O_REFUSED},
	{"hold", no_argument, NULL, O_HOLD},
	{"hold-for", required_argument, NULL, O_HOLD_FOR},
	{"no-close", no_argument, NULL, O_NO_CLOSE},
	{"pause-before", no_argument, NULL, O_PAUSE},
	{"json", no_argument, NULL, O_JSON},
	{"port", required_argument, NULL, O_PORT},
	{"counters-fd", required_argument, NULL, O_COUNTERS_FD},
	{"help", no_argument, NULL, 'h'},
	{NULL, 0, NULL, 0},
};

static double parse_number(const char *text, double min, double max)
{
	char *end;
	double value = strtod(text, &end);

	if (end == text || *end || !(value >= min && value <= max))
		die("%s: not a number from %.0f to %.0f", text, min, max);
	return value;
}

/* This process makes one connection of a run of --exec-each. */
static void become_child(int fd)
{
	opt.counters_fd = fd;
	opt.exec_each = opt.json = opt.pause = opt.listen = false;
	opt.count = opt.threads = opt.processes = 1;
	opt.rate = opt.duration = 0;
}

static void parse_listen(const char *arg)
{
	opt.listen = true;
	if (arg)
		address_parse(&opt.to, arg, true);
}

static bool parse_switch(int c)
{
	bool *const switches[] = {
		[O_EXEC_EACH] = &opt.exec_each,
		[O_RST] = &opt.rst,
		[O_MAPPED] = &opt.mapped,
		[O_SERVER_CLOSES] = &opt.server_closes,
		[O_NONBLOCK] = &opt.nonblock,
		[O_BIND_FIRST] = &opt.bind_first,
		[O_REFUSED] = &opt.refused,
		[O_BIND_NO_PORT] = &opt.bind_no_port,
		[O_HOLD] = &opt.hold,
		[O_NO_CLOSE] = &opt.no_close,
		[O_PAUSE] = &opt.pause,
		[O_JSON] = &opt.json,
		['6'] = &opt.v6,
	};

	if (c < 0 || (size_t)c >= sizeof(switches) / sizeof(switches[0]) || !switches[c])
		return false;
	*switches[c] = true;
	return true;
}

static bool parse_number_option(int c, const char *arg)
{
	switch (c) {
	case 'n':
		opt.count = (uint64_t)parse_number(arg, 0, 1e12);
		return true;
	case 'r':
		opt.rate = parse_number(arg, 0, 1e9);
		return true;
	case 'd':
		opt.duration = parse_number(arg, 0, 86400);
		return true;
	case 't':
		opt.threads = (unsigned int)parse_number(arg, 1, MAX_THREADS);
		return true;
	case O_PROCESSES:
		opt.processes = (unsigned int)parse_number(arg, 1, MAX_THREADS);
		return true;
	case O_SERVER_THREADS:
		opt.server_threads = (unsigned int)parse_number(arg, 1, MAX_THREADS);
		return true;
	case O_BACKLOG:
		opt.backlog = (unsigned int)parse_number(arg, 0, 65535);
		return true;
	case O_BYTES:
		opt.bytes = (uint64_t)parse_number(arg, 0, 1e12);
		return true;
	case O_REQUESTS:
		opt.requests = (uint64_t)parse_number(arg, 1, 1e12);
		return true;
	case O_TIMEOUT:
		opt.timeout_ms = (int)parse_number(arg, 0, 1e6);
		return true;
	case O_BIND_PORT:
		opt.bind_port = (uint16_t)parse_number(arg, 1, 65535);
		return true;
	case O_PORT:
		opt.port = (uint16_t)parse_number(arg, 0, 65535);
		return true;
	case O_HOLD_FOR:
		opt.hold = true;
		opt.hold_for = parse_number(arg, 0, 86400);
		return true;
	}
	return false;
}

static void options_parse(int argc, char **argv)
{
	int c;

	while ((c = getopt_long(argc, argv, "n:r:d:t:46h", long_options, NULL)) != -1) {
		if (parse_switch(c) || parse_number_option(c, optarg))
			continue;
		if (c == '4') {
			opt.v6 = false;
		} else if (c == O_LISTEN) {
			parse_listen(optarg);
		} else if (c == O_CONNECT) {
			address_parse(&opt.to, optarg, true);
			opt.connect = true;
		} else if (c == O_SOURCE) {
			address_parse(&opt.source, optarg, false);
		} else if (c == O_COUNTERS_FD) {
			become_child((int)parse_number(optarg, 0, 1e6));
		} else {
			fputs(usage_text, c == 'h' ? stdout : stderr);
			exit(c == 'h' ? 0 : 2);
		}
	}
	if (optind < argc)
		die("%s: unexpected", argv[optind]);
	if (opt.mapped && opt.connect)
		address_map(&opt.to);
	if (opt.mapped && opt.source.sa.sa_family)
		address_map(&opt.source);
}

#endif /* CHURN_TOOLS_OPTIONS_H */
