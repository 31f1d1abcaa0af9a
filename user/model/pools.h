/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* One imagined connection pool for each process and destination. Bounded: beyond the bound the one
 * that had no live connection for longest is forgotten. */
#ifndef CHURN_MODEL_POOLS_H
#define CHURN_MODEL_POOLS_H

#include <stdint.h>

#include "user/base/hash.h"
#include "user/model/flows.h"
#include "user/model/processes.h"
#include "user/model/reuse.h"

struct pool_key {
	struct process *process;
	struct destination dest; /* padding zeroed */
};

struct pool {
	struct pool_key key;
	struct flow_state *flow; /* where its opens are booked now */
	struct reuse reuse;
	uint32_t live;
	struct pool *prev, *next;	    /* of the process, the latest first */
	struct pool *idle_prev, *idle_next; /* among those without live connections */
	UT_hash_handle hh;
};

struct pool_table {
	struct pool *by_key;
	struct pool *idle; /* oldest first */
	uint32_t max;
};

/* NULL: no memory. */
struct pool *pool_table__get(struct pool_table *t, struct process *p,
			     const struct destination *dest);
void pool__open(struct pool_table *t, struct pool *pool);
void pool__close(struct pool_table *t, struct pool *pool);
/* Forgets the pools of a process without live connections. */
void pool_table__forget(struct pool_table *t, struct process *p);
/* Brings the pool_peak of all flows up to date. */
void pool_table__seal(struct pool_table *t);
void pool_table__clear(struct pool_table *t);

#endif /* CHURN_MODEL_POOLS_H */
