/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * churn: opens TCP connections in every way that matters to a connection tracer, and counts
 * exactly what it did. Server, client, or (the default) both in one process on loopback.
 *
 * The counters live in memory shared with forked and executed helpers, so the sum is exact
 * whatever ends them. What a tracer reports is to be compared with the JSON printed at the end.
 */
#include "tools/churn/options.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdatomic.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define NSEC_PER_SEC 1000000000ULL
#define MAX_ERRNO    256
#define MAX_THREADS  256
#define CHUNK	     65536
#define MAX_FILES    1048576 /* fs.nr_open is no higher by default */

extern char **environ;

typedef atomic_ullong counter;

/* Shared between all processes of a run. */
struct counters {
	counter attempts, established, closed, abandoned, bind_failed;
	counter bytes_sent, bytes_received;
	counter accepted, server_closed, server_bytes_sent, server_bytes_received;
	counter error[MAX_ERRNO];
};

static struct counters *sum;
static char **saved_argv;
static int saved_argc;
static char own_path[4096]; /* executed by it: "exe" would be the name that others see */
static volatile sig_atomic_t stop;
static volatile sig_atomic_t resumed;
static atomic_bool clients_done;
static uint64_t clients_end_ns;

static void on_signal(int sig)
{
	if (sig == SIGCONT)
		resumed = 1;
	else
		stop = 1;
}

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * NSEC_PER_SEC + (uint64_t)ts.tv_nsec;
}

/* Returns early when the run is stopped. */
static void sleep_until(uint64_t when_ns)
{
	struct timespec ts = {
		.tv_sec = (time_t)(when_ns / NSEC_PER_SEC),
		.tv_nsec = (long)(when_ns % NSEC_PER_SEC),
	};

	while (!stop && clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &ts, NULL) == EINTR)
		;
}

/* --- the client ------------------------------------------------------------------------------- */

static void count_error(int error)
{
	atomic_fetch_add(&sum->error[error < MAX_ERRNO ? error : 0], 1);
}

static int bind_source(int fd)
{
	union address from = opt.source;
	int on = 1;

	if (!opt.bind_first && !opt.bind_no_port && !opt.bind_port && !from.sa.sa_family)
		return 0;
	if (!from.sa.sa_family) {
		address_parse(&from, opt.v6 ? "::1" : "127.0.0.1", false);
		if (opt.mapped)
			address_map(&from);
	}
	address_set_port(&from, opt.bind_port);
	if (opt.bind_port)
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	else if (!opt.bind_first)
		setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof(on));
	return bind(fd, &from.sa, address_len(&from));
}

/* 0, -1 with errno set, or 1: abandoned after the timeout. */
static int wait_connected(int fd)
{
	struct pollfd p = {.fd = fd, .events = POLLOUT};
	socklen_t len = sizeof(int);
	int error = 0, n;

	do
		n = poll(&p, 1, opt.timeout_ms);
	while (n < 0 && errno == EINTR && !stop);
	if (n < 0)
		return -1;
	if (n == 0)
		return 1;
	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len))
		return -1;
	errno = error;
	return error ? -1 : 0;
}

static int new_socket(void)
{
	bool nonblock = opt.nonblock || opt.timeout_ms >= 0;
	int fd = socket(opt.to.sa.sa_family,
			SOCK_STREAM | SOCK_CLOEXEC | (nonblock ? SOCK_NONBLOCK : 0), 0);

	if (fd < 0)
		return -1;
	if (bind_source(fd)) {
		atomic_fetch_add(&sum->bind_failed, 1);
		close(fd);
		return -1;
	}
	return fd;
}

/* One active open. The connected socket, or -1 and the failure is counted. */
__attribute__((noinline)) static int dial_once(const union address *to)
{
	int fd, rc;

	atomic_fetch_add(&sum->attempts, 1);
	fd = new_socket();
	if (fd < 0) {
		count_error(errno);
		return -1;
	}
	rc = connect(fd, &to->sa, address_len(to)); /* live tests look for this line */
	if (rc && errno == EINPROGRESS)
		rc = wait_connected(fd);
	if (!rc) {
		fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) & ~O_NONBLOCK);
		atomic_fetch_add(&sum->established, 1);
		return fd;
	}
	if (rc > 0)
		atomic_fetch_add(&sum->abandoned, 1);
	else
		count_error(errno);
	close(fd);
	return -1;
}

/* The closing side of dial_once(), for the close site. */
__attribute__((noinline)) static void hang_up(int fd)
{
	struct linger rst = {.l_onoff = 1, .l_linger = 0};

	if (opt.rst)
		setsockopt(fd, SOL_SOCKET, SO_LINGER, &rst, sizeof(rst));
	if (close(fd)) /* live tests look for the close line */
		return;
	atomic_fetch_add(&sum->closed, 1);
}

/* Bytes that went through; less than len when the connection ended. */
static uint64_t transfer(int fd, uint64_t len, bool sending, counter *total)
{
	static char zeroes[CHUNK];
	char sink[CHUNK];
	uint64_t done = 0;

	while (done < len) {
		size_t want = len - done < CHUNK ? (size_t)(len - done) : CHUNK;
		ssize_t n =
			sending ? send(fd, zeroes, want, MSG_NOSIGNAL) : recv(fd, sink, want, 0);

		if (n < 0 && errno == EINTR && !stop)
			continue;
		if (n <= 0)
			break;
		done += (uint64_t)n;
		atomic_fetch_add(total, (uint64_t)n);
	}
	return done;
}

static void exchange(int fd)
{
	for (uint64_t i = 0; i < opt.requests && opt.bytes; i++) {
		if (transfer(fd, opt.bytes, true, &sum->bytes_sent) < opt.bytes)
			return;
		if (transfer(fd, opt.bytes, false, &sum->bytes_received) < opt.bytes)
			return;
	}
	if (opt.server_closes)
		transfer(fd, 1, false, &sum->bytes_received);
}

/* One connection in a process of its own, which executes this program again. */
static void dial_in_child(void)
{
	char host[INET6_ADDRSTRLEN], to[INET6_ADDRSTRLEN + 16], fd[16];
	char **argv = calloc((size_t)saved_argc + 5, sizeof(*argv));
	int n = saved_argc, status;
	pid_t pid;

	if (!argv)
		die("out of memory");
	snprintf(to, sizeof(to), opt.to.sa.sa_family == AF_INET6 ? "[%s]:%u" : "%s:%u",
		 address_text(&opt.to, host), address_port(&opt.to));
	snprintf(fd, sizeof(fd), "%d", opt.counters_fd);
	memcpy(argv, saved_argv, (size_t)n * sizeof(*argv));
	argv[n++] = (char *)(uintptr_t) "--connect";
	argv[n++] = to;
	argv[n++] = (char *)(uintptr_t) "--counters-fd";
	argv[n++] = fd;
	if (posix_spawn(&pid, own_path, NULL, NULL, argv, environ))
		die("cannot execute itself: %s", strerror(errno));
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	free(argv);
}

struct client {
	pthread_t thread;
	uint64_t quota; /* connections, UINT64_MAX: no limit */
	uint64_t start_ns, interval_ns;
	int *held;
	size_t nr_held, cap_held;
};

static void client_hold(struct client *c, int fd)
{
	if (c->nr_held == c->cap_held) {
		c->cap_held = c->cap_held ? 2 * c->cap_held : 256;
		c->held = realloc(c->held, c->cap_held * sizeof(*c->held));
		if (!c->held)
			die("out of memory");
	}
	c->held[c->nr_held++] = fd;
}

static void *client_run(void *arg)
{
	struct client *c = arg;
	uint64_t end = opt.duration > 0 ? c->start_ns + (uint64_t)(opt.duration * 1e9) : UINT64_MAX;

	for (uint64_t i = 0; i < c->quota && !stop; i++) {
		if (c->interval_ns)
			sleep_until(c->start_ns + i * c->interval_ns);
		if (stop || now_ns() >= end)
			break;
		if (opt.exec_each) {
			dial_in_child();
			continue;
		}
		int fd = dial_once(&opt.to);

		if (fd < 0)
			continue;
		exchange(fd);
		if (opt.hold || opt.no_close)
			client_hold(c, fd);
		else
			hang_up(fd);
	}
	if (opt.hold_for > 0)
		sleep_until(now_ns() + (uint64_t)(opt.hold_for * 1e9));
	for (size_t i = 0; i < c->nr_held && !opt.no_close; i++)
		hang_up(c->held[i]);
	free(c->held);
	return NULL;
}

/* The share of one process among opt.processes. */
static void clients_run(unsigned int process)
{
	static struct client clients[MAX_THREADS];
	uint64_t all = (uint64_t)opt.threads * opt.processes;
	uint64_t start = now_ns();

	for (unsigned int i = 0; i < opt.threads; i++) {
		uint64_t index = (uint64_t)process * opt.threads + i;
		struct client *c = &clients[i];

		c->start_ns = start;
		c->interval_ns = opt.rate > 0 ? (uint64_t)(1e9 * (double)all / opt.rate) : 0;
		c->quota = opt.count ? opt.count / all + (index < opt.count % all) : UINT64_MAX;
		/* The first worker is the main thread: a run of one thread has one thread. */
		if (i && pthread_create(&c->thread, NULL, client_run, c))
			die("cannot create a thread");
	}
	client_run(&clients[0]);
	for (unsigned int i = 1; i < opt.threads; i++)
		pthread_join(clients[i].thread, NULL);
}

/* --- the server ------------------------------------------------------------------------------- */

/* Of an accepted connection; indexed by its descriptor. */
struct peer {
	uint64_t received; /* of the current request */
	uint64_t answered; /* requests */
};

static struct peer peers[MAX_FILES];

struct server {
	pthread_t thread;
	int listener;
	int epoll;
	unsigned int open;
};

static void peer_close(struct server *s, int fd)
{
	/* Another thread may be given the descriptor as soon as it is closed. */
	memset(&peers[fd], 0, sizeof(peers[fd]));
	close(fd);
	atomic_fetch_add(&sum->server_closed, 1);
	s->open--;
}

static void peer_read(struct server *s, int fd)
{
	struct peer *p = &peers[fd];
	char buf[CHUNK];
	ssize_t n = recv(fd, buf, sizeof(buf), MSG_DONTWAIT);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		peer_close(s, fd);
		return;
	}
	atomic_fetch_add(&sum->server_bytes_received, (uint64_t)n);
	p->received += (uint64_t)n;
	while (opt.bytes && p->received >= opt.bytes) {
		p->received -= opt.bytes;
		p->answered++;
		if (transfer(fd, opt.bytes, true, &sum->server_bytes_sent) < opt.bytes) {
			peer_close(s, fd);
			return;
		}
	}
	if (opt.server_closes && p->answered >= opt.requests)
		peer_close(s, fd);
}

static void server_accept(struct server *s)
{
	struct timeval patience = {.tv_sec = 5};

	for (;;) {
		struct epoll_event e = {.events = EPOLLIN};
		int fd = accept4(s->listener, NULL, NULL, SOCK_CLOEXEC);

		if (fd < 0)
			return;
		atomic_fetch_add(&sum->accepted, 1);
		s->open++;
		setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
		e.data.fd = fd;
		if (opt.server_closes && !opt.bytes)
			peer_close(s, fd);
		else if (epoll_ctl(s->epoll, EPOLL_CTL_ADD, fd, &e))
			die("epoll_ctl: %s", strerror(errno));
	}
}

/* True when there is nothing left to do for a server whose clients have finished. */
static bool server_finished(const struct server *s, bool idle, uint64_t *deadline)
{
	if (!stop && !atomic_load(&clients_done))
		return false;
	if (!*deadline)
		*deadline = now_ns() + 2 * NSEC_PER_SEC;
	/* A server on its own cannot know what its clients still have under way. */
	if (opt.listen)
		return idle || now_ns() >= *deadline;
	return now_ns() >= *deadline ||
	       ((!s->open || opt.no_close) &&
		atomic_load(&sum->accepted) >= atomic_load(&sum->established));
}

static void *server_run(void *arg)
{
	struct server *s = arg;
	struct epoll_event listener = {.events = EPOLLIN | EPOLLEXCLUSIVE, .data.fd = s->listener};
	struct epoll_event ready[128];
	uint64_t deadline = 0;
	int n = -1;

	s->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (s->epoll < 0 || epoll_ctl(s->epoll, EPOLL_CTL_ADD, s->listener, &listener))
		die("epoll: %s", strerror(errno));
	while (!server_finished(s, n == 0, &deadline)) {
		n = epoll_wait(s->epoll, ready, 128, 20);
		for (int i = 0; i < n; i++) {
			if (ready[i].data.fd == s->listener)
				server_accept(s);
			else
				peer_read(s, ready[i].data.fd);
		}
	}
	close(s->epoll);
	return NULL;
}

/* Listens at *a, whose port is filled in when it is 0. */
static int open_listener(union address *a, bool listening)
{
	int fd = socket(a->sa.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	socklen_t len = sizeof(*a);
	int on = 1;

	if (fd < 0)
		die("socket: %s", strerror(errno));
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(fd, &a->sa, address_len(a)) || (listening && listen(fd, (int)opt.backlog)))
		die("cannot listen on port %u: %s", address_port(a), strerror(errno));
	if (getsockname(fd, &a->sa, &len))
		die("getsockname: %s", strerror(errno));
	return fd;
}

/* --- the run ---------------------------------------------------------------------------------- */

static void print_json(double seconds)
{
	char host[INET6_ADDRSTRLEN];
	const char *sep = "";
	uint64_t established = atomic_load(&sum->established);

	printf("{\"attempts\":%llu,\"established\":%llu,\"closed\":%llu,\"abandoned\":%llu,"
	       "\"bind_failed\":%llu,\"errno\":{",
	       sum->attempts, sum->established, sum->closed, sum->abandoned, sum->bind_failed);
	for (int i = 0; i < MAX_ERRNO; i++) {
		if (!sum->error[i])
			continue;
		printf("%s\"%s\":%llu", sep, i ? strerrorname_np(i) : "unknown", sum->error[i]);
		sep = ",";
	}
	printf("},\"accepted\":%llu,\"bytes_sent\":%llu,\"bytes_received\":%llu,"
	       "\"server_closed\":%llu,\"server_bytes_sent\":%llu,\"server_bytes_received\":%llu,",
	       sum->accepted, sum->bytes_sent, sum->bytes_received, sum->server_closed,
	       sum->server_bytes_sent, sum->server_bytes_received);
	printf("\"address\":\"%s\",\"port\":%u,\"duration_s\":%.6f,\"per_second\":%.1f,"
	       "\"pid\":%d}\n",
	       address_text(&opt.to, host), address_port(&opt.to), seconds,
	       seconds > 0 ? (double)established / seconds : 0.0, getpid());
	fflush(stdout);
}

/* Until a line (or the end) of stdin, or SIGCONT. */
static void wait_for_start(void)
{
	char line[64];

	fprintf(stderr, "ready %d\n", getpid());
	while (!resumed && !stop) {
		struct pollfd p = {.fd = STDIN_FILENO, .events = POLLIN};

		if (poll(&p, 1, 100) > 0) {
			if (read(STDIN_FILENO, line, sizeof(line)) >= 0)
				return;
		}
	}
}

static void raise_nofile(void)
{
	struct rlimit r = {.rlim_cur = MAX_FILES, .rlim_max = MAX_FILES};

	if (!setrlimit(RLIMIT_NOFILE, &r) || getrlimit(RLIMIT_NOFILE, &r))
		return;
	r.rlim_cur = r.rlim_max;
	setrlimit(RLIMIT_NOFILE, &r);
}

static void share_counters(void)
{
	if (opt.counters_fd < 0) {
		/* Executed children inherit it, so no MFD_CLOEXEC. */
		opt.counters_fd = memfd_create("churn", 0);
		if (opt.counters_fd < 0 || ftruncate(opt.counters_fd, sizeof(*sum)))
			die("memfd: %s", strerror(errno));
	}
	sum = mmap(NULL, sizeof(*sum), PROT_READ | PROT_WRITE, MAP_SHARED, opt.counters_fd, 0);
	if (sum == MAP_FAILED)
		die("mmap: %s", strerror(errno));
}

/* One of a run's processes; the caller is process 0 and has the servers. */
static void run(int listener)
{
	static struct server servers[MAX_THREADS];
	static pid_t pids[MAX_THREADS];
	bool serving = listener >= 0 && !opt.refused;
	bool dialing = opt.connect || !opt.listen;

	/* Fork before there are threads. With several processes, process 0 only serves and
	 * waits. */
	for (unsigned int i = 0; dialing && opt.processes > 1 && i < opt.processes; i++) {
		pids[i] = fork();
		if (pids[i] < 0)
			die("fork: %s", strerror(errno));
		if (!pids[i]) {
			if (serving)
				close(listener);
			clients_run(i);
			_exit(0);
		}
	}
	for (unsigned int i = 0; serving && i < opt.server_threads; i++) {
		servers[i].listener = listener;
		if (pthread_create(&servers[i].thread, NULL, server_run, &servers[i]))
			die("cannot create a thread");
	}
	if (dialing && opt.processes == 1)
		clients_run(0);
	for (unsigned int i = 0; dialing && opt.processes > 1 && i < opt.processes; i++) {
		while (waitpid(pids[i], NULL, 0) < 0 && errno == EINTR)
			;
	}
	if (!dialing)
		sleep_until(opt.duration > 0 ? now_ns() + (uint64_t)(opt.duration * 1e9)
					     : UINT64_MAX / 2);
	clients_end_ns = now_ns();
	atomic_store(&clients_done, true);
	for (unsigned int i = 0; serving && i < opt.server_threads; i++)
		pthread_join(servers[i].thread, NULL);
}

/* Where to connect when nobody said: our own listener, or a port that refuses. */
static int prepare_target(void)
{
	int fd;

	if (opt.connect)
		return -1;
	if (!opt.to.sa.sa_family)
		address_parse(&opt.to, opt.v6 ? "::1" : "127.0.0.1", false);
	if (opt.port)
		address_set_port(&opt.to, opt.port);
	/* A port that is bound and not listening refuses, and nobody else can take it meanwhile. */
	fd = open_listener(&opt.to, !opt.refused);
	if (opt.mapped)
		address_map(&opt.to);
	return fd;
}

int main(int argc, char **argv)
{
	struct sigaction sa = {.sa_handler = on_signal};
	uint64_t start;
	int listener;

	saved_argc = argc;
	saved_argv = argv;
	options_parse(argc, argv);
	sigaction(SIGINT, &sa, NULL);
	sigaction(SIGTERM, &sa, NULL);
	sigaction(SIGCONT, &sa, NULL);
	raise_nofile();
	if (readlink("/proc/self/exe", own_path, sizeof(own_path) - 1) < 0)
		die("cannot find itself: %s", strerror(errno));
	share_counters();
	listener = prepare_target();
	if (opt.listen) {
		char host[INET6_ADDRSTRLEN];

		printf("listening %s %u\n", address_text(&opt.to, host), address_port(&opt.to));
		fflush(stdout);
	}
	if (opt.pause)
		wait_for_start();
	start = now_ns();
	run(listener);
	if (opt.json)
		print_json((double)(clients_end_ns - start) / 1e9);
	return 0;
}
