/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Port pools that failed somebody, as they were at their worst: what was in use, and whose. The
 * census at the end of a trace may come long after, when the ports are free again. Plain copies,
 * which outlive everything they were made from. Bounded; further pools are not remembered.
 */
#ifndef CHURN_MODEL_SHORTAGES_H
#define CHURN_MODEL_SHORTAGES_H

#include "user/base/hash.h"
#include "user/model/model.h"
#include "user/model/port_holders.h"
#include "user/model/port_pools.h"

struct port_shortage {
	struct port_pool_key key;
	uint64_t at_ns; /* CLOCK_MONOTONIC, of the census */
	uint32_t capacity, free, used;
	uint32_t nr[PORT_USE__COUNT];
	bool estimated;
	/* Of the used ones, most first; what `who` points to is owned. */
	struct port_holder *holders;
	uint32_t nr_holders;
	UT_hash_handle hh;
};

struct shortage_table {
	struct port_shortage *by_key;
};

/* Remembers the pool, unless it was remembered with as few free ports. 0 or -ENOMEM. */
int shortage_table__note(struct shortage_table *t, const struct port_pool *p,
			 const struct port_holder *holders, uint32_t nr, uint64_t at_ns);
/* The pool of a flow; of several that it may be the one with the fewest free. NULL: none known. */
const struct port_shortage *shortage_table__find(const struct shortage_table *t,
						 const struct flow *f);
void shortage_table__clear(struct shortage_table *t);

#endif /* CHURN_MODEL_SHORTAGES_H */
