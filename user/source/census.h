/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A census: every TCP socket of one or of all network namespaces, now. By BPF (iter/tcp) where it
 * may load, which alone knows which ports were bound and the time stamps of TIME_WAIT; else by
 * netlink, which any user may ask. Namespaces without TCP sockets are passed over: looking through
 * the table that all namespaces share costs milliseconds each time.
 */
#ifndef CHURN_SOURCE_CENSUS_H
#define CHURN_SOURCE_CENSUS_H

#include <stdbool.h>
#include <stdint.h>

#include "user/model/port_rules.h"
#include "user/model/socket.h"

#define CENSUS_ALL_STATES (~0u)

enum census_backend { CENSUS_NETLINK, CENSUS_BPF };

/* Whether to read what the kernel has counted: TCPTimeWaitOverflow. */
enum census_counters { CENSUS_NO_COUNTERS, CENSUS_WITH_COUNTERS, CENSUS_COUNTERS_ONLY };

struct census_options {
	uint32_t netns;	 /* only this one, 0: all that can be found and entered */
	uint32_t states; /* bits (1 << enum socket_state); 0: all */
	bool idle;	 /* fill idle_ms; only netlink does, at a price, so BPF is not tried */
	bool no_bpf;	 /* do not try BPF */
	enum census_counters counters; /* of each namespace, at 60 us and more for each */
};

/* What became of one namespace. */
enum census_outcome {
	CENSUS_READ,
	CENSUS_IDLE,	/* no TCP sockets: passed over */
	CENSUS_PARTIAL, /* sockets came and went so fast that some may be missing, or the rules
			   changed meanwhile */
	CENSUS_DENIED,	/* we may not enter it */
	CENSUS_FAILED,	/* see error; it may have vanished */
	CENSUS_OUTCOMES,
};

struct census_netns {
	uint32_t inum;
	uint32_t pid; /* a process in it, 0: unknown */
	char *path;   /* that leads to it */
	enum census_outcome outcome;
	int error;		/* errno */
	size_t first, nr;	/* its sockets */
	uint32_t max_time_wait; /* net.ipv4.tcp_max_tw_buckets, or TIME_WAIT_NO_LIMIT */
	bool has_overflows;
	uint64_t overflows; /* TcpExt's TCPTimeWaitOverflow, since the namespace was made */
};

struct census_result {
	struct socket_list sockets; /* those of a namespace stand together */
	struct census_netns *netns;
	size_t nr_netns;
	struct port_rules *rules; /* of those that were read: how connect() picks ports there */
	size_t nr_rules;
	uint32_t hidden; /* processes whose namespace we may not see: others may be missing */
	enum census_backend backend;
	uint64_t taken_ns;    /* CLOCK_MONOTONIC at its beginning */
	uint64_t duration_ns; /* what it took */
};

struct census;

/* NULL with errno set. BPF that does not load is no error: netlink is used then. */
struct census *census__open(const struct census_options *opts);
void census__free(struct census *c);

/*
 * Takes one; any number of them. *out is filled, also with what could be had when it returns an
 * error: 0 or -errno (-ENOENT: the namespace asked for is not there; -ENOMEM). What concerns single
 * namespaces is no error, but stands there. Clear it afterwards.
 */
int census__take(struct census *c, struct census_result *out);
void census_result__clear(struct census_result *r);

/* Opens, takes one and frees. 0 or -errno; *out is filled as by census__take(). */
int census_once(const struct census_options *opts, struct census_result *out);

/* How many namespaces came to which outcome. */
void census_result__tally(const struct census_result *r, uint32_t of[CENSUS_OUTCOMES]);

/* "" of our own namespace, the name that `ip netns` gave, NULL: it has none. */
const char *census_result__netns_name(const struct census_result *r, uint32_t inum);

/* Whether some sockets may be missing for any reason. */
bool census_result__is_partial(const struct census_result *r);

#endif /* CHURN_SOURCE_CENSUS_H */
