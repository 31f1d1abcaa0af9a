/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What would become of a port pool under other settings, or with a client that keeps
 * connections. */
#ifndef CHURN_MODEL_WHAT_IF_H
#define CHURN_MODEL_WHAT_IF_H

#include <stdbool.h>
#include <stdint.h>

#include "user/model/port_pools.h"

struct what_if {
	bool given;
	uint16_t low, high;    /* ip_local_port_range; high 0: as it is */
	int8_t tw_reuse;       /* enum tw_reuse, -1: as it is */
	uint32_t destinations; /* destination addresses more, each with its share of the opens */
	uint32_t sources;      /* source addresses more, dito */
	uint32_t connections;  /* of a connection pool in the client, 0: none */
	uint64_t idle_ns;      /* how long that keeps an idle connection */
};

extern const struct what_if what_if_nothing;

/* "range=1024-65535,tw_reuse=1,destinations=3,sources=1,pool=10,idle=30s", any of them. 0 or
 * -EINVAL. */
#define WHAT_IF_RANGE                                                                              \
	"range=LOW-HIGH, tw_reuse=0..2, destinations=1..1000, sources=1..1000, pool=1..65535, "    \
	"idle=TIME, with commas"
int what_if__parse(struct what_if *out, const char *text);

/* What a pool would be like. A rate is of all its opens, over all addresses. */
struct what_if_outcome {
	char what[48];		 /* "now", "tw_reuse=1", .., "all of these" */
	uint64_t capacity;	 /* over all addresses */
	double opens_per_second; /* < 0: unknown */
	double time_wait_peak;	 /* sockets, when kept up for a minute; < 0: unknown; of one pool,
				    though tcp_max_tw_buckets is of the namespace */
	double sustainable;	 /* opens per second */
	double seconds_left;	 /* to exhaustion, from now; < 0: never, or unknown */
};

#define WHAT_IF_OUTCOMES 8

/* Outcomes of each pool: now, then each change alone, in the order in which to try them (a client
 * that keeps its connections first, settings as headroom), then all of them together. */
struct what_ifs {
	struct what_if_outcome (*of_pool)[WHAT_IF_OUTCOMES];
	uint32_t nr; /* of each pool */
};

/*
 * `pools` were made of `sockets` and have their rates. A connection pool is judged by the rate and
 * by how many connections are open now: it takes all opens when it has a connection for each of
 * those and is asked more often than it drops them. 0 or -ENOMEM.
 */
int what_ifs__make(struct what_ifs *out, const struct what_if *w, const struct port_pools *pools,
		   const struct socket_list *sockets, const struct port_rules *rules,
		   uint32_t nr_rules);
void what_ifs__clear(struct what_ifs *w);

#endif /* CHURN_MODEL_WHAT_IF_H */
