/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What became of the port pools over the censuses and failures of a recording. */
#ifndef CHURN_MODEL_PORT_HISTORY_H
#define CHURN_MODEL_PORT_HISTORY_H

#include "bpf/event.h"
#include "user/base/hash.h"
#include "user/model/port_pools.h"

struct port_past_key {
	uint8_t local[16], peer[16];
	uint32_t netns;
	uint16_t port;
	uint16_t pad;
};

/* Times are CLOCK_MONOTONIC. */
struct port_past {
	struct port_past_key key;
	uint32_t looks;	     /* censuses that found ports of it in use */
	uint32_t least_free; /* in any of them */
	uint32_t empty;	     /* looks that found none free, */
	uint64_t first_empty_ns, last_empty_ns;
	uint64_t failures; /* connect() for want of a port */
	uint64_t first_failure_ns, last_failure_ns;
	UT_hash_handle hh;
};

struct port_history {
	struct port_past *by_key;
	uint32_t looks;
	uint64_t first_ns, last_ns; /* looks */
	/* The look with the smallest share free in any pool, the first of them. */
	uint32_t worst;
	uint64_t worst_ns;
	double worst_free;
};

/* The pools of the next census. 0 or -ENOMEM. */
int port_history__look(struct port_history *h, const struct port_pools *pools, uint64_t taken_ns);
/* Anything that ended; what did not fail for want of a port is passed over. 0 or -ENOMEM. */
int port_history__end(struct port_history *h, const struct churn_end *e);
/* NULL: nothing is known of it. */
const struct port_past *port_history__of(const struct port_history *h,
					 const struct port_pool_key *pool);
void port_history__clear(struct port_history *h);

#endif /* CHURN_MODEL_PORT_HISTORY_H */
