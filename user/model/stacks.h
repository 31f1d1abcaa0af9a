/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Symbolised stacks by id, each with its call site worked out once. Bounded: a stack that no call
 * site shows as its sample goes first, the longest unused one before the others. */
#ifndef CHURN_MODEL_STACKS_H
#define CHURN_MODEL_STACKS_H

#include <stdbool.h>
#include <stdint.h>

#include "user/base/hash.h"
#include "user/model/callsite.h"

struct stack_entry {
	struct stack_trace trace;
	int frame;	      /* application frame, -1: none */
	uint64_t callsite_id; /* 0: none */
	uint64_t path_id;     /* stack_trace__path_id() */
	bool named; /* at least one frame has a function, and not only why there is no call site */
	uint32_t refs;			 /* call sites that show it */
	struct stack_entry *prev, *next; /* among the unreferenced ones */
	UT_hash_handle hh;
};

struct stack_table {
	struct stack_entry *by_id;
	struct stack_entry *idle; /* unreferenced, oldest first */
	uint32_t max;
	uint32_t evicted; /* so many so far, wrapping */
	const char *const *skip;
	size_t nr_skip;
};

/* Copies it; one that is known already stays. Beyond the bound with all in use it is dropped, and
 * its opens stay without a call site. 0 or -ENOMEM. */
int stack_table__add(struct stack_table *t, const struct stack_trace *s);
/* NULL: id 0, not delivered or evicted. */
struct stack_entry *stack_table__find(const struct stack_table *t, uint64_t id);
void stack_table__clear(struct stack_table *t);

/* NULL is allowed. */
void stack__hold(struct stack_table *t, struct stack_entry *e);
void stack__release(struct stack_table *t, struct stack_entry *e);

#endif /* CHURN_MODEL_STACKS_H */
