/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * By which stacks a call site was reached, and how often. Up to PATHS_MAX different ones are
 * counted exactly; of more, the most frequent are kept (Metwally et al., "Efficient Computation of
 * Frequent and Top-k Elements in Data Streams", 2005), each with a count that is never above the
 * truth.
 */
#ifndef CHURN_MODEL_PATHS_H
#define CHURN_MODEL_PATHS_H

#include <stdint.h>

#include "user/model/stacks.h"

#define PATHS_MAX 16

struct path_count {
	uint64_t id;		   /* stack->path_id */
	struct stack_entry *stack; /* held: the first that came this way */
	uint64_t nr;		   /* since it is here: all of them, if nothing is inherited */
	uint64_t inherited;	   /* rank of the one that had its place, which keeps it from being
				      thrown out at once; not its own */
};

struct path_counts {
	struct path_count *at; /* nr + inherited descending: the usual one is the first */
	uint32_t nr, cap;
};

/* Books `nr` opens or failures that came by this stack. 0 or -ENOMEM (then nothing is booked). */
int path_counts__add(struct path_counts *p, struct stack_table *t, struct stack_entry *stack,
		     uint64_t nr);
/* Frees the memory; the holds on stacks go with their table. */
void path_counts__clear(struct path_counts *p);

#endif /* CHURN_MODEL_PATHS_H */
