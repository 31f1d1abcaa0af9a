/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Every process that an event named, by churn_id. Bounded: those that nothing refers to any more
 * go first, the longest unreferenced one before the others.
 */
#ifndef CHURN_MODEL_PROCESSES_H
#define CHURN_MODEL_PROCESSES_H

#include <stdbool.h>
#include <stdint.h>

#include "user/base/hash.h"
#include "user/model/process.h"

struct group_state;
struct pool;

struct process {
	struct process_identity identity;
	bool known;			/* its record came; else only id and comm are filled in */
	struct group_state *group;	/* the row for its next events, NULL: not assigned yet */
	struct group_state *counted_in; /* the last row whose nr_processes has it */
	struct pool *pools;		/* one for each destination, utlist */
	uint32_t refs;			/* connections, flows that show it as their peer */
	struct process *prev, *next;	/* among the unreferenced ones */
	UT_hash_handle hh;
};

#define PROCESSES_RECENT 16

struct process_table {
	struct process *by_id;
	struct process *recent[PROCESSES_RECENT]; /* by tgid, modulo: those held last */
	struct process *idle;			  /* unreferenced, oldest first */
	uint32_t max;
};

struct process *process_table__find(const struct process_table *t, const struct churn_id *id);
/* Finds or makes one; a new one is not `known`. The caller has evicted before. NULL: no memory. */
struct process *process_table__get(struct process_table *t, const struct churn_id *id,
				   const char *comm);
/* Takes the record in. 0 or -ENOMEM. */
int process__learn(struct process *p, const struct process_identity *identity);
/* The process to evict before another is made, NULL: there is room, or all are in use. */
struct process *process_table__victim(const struct process_table *t);
void process_table__remove(struct process_table *t, struct process *p);
void process_table__clear(struct process_table *t);

/* NULL is allowed. */
void process__hold(struct process_table *t, struct process *p);
void process__release(struct process_table *t, struct process *p);

/* NULL if nothing but its number is known. */
const struct process_identity *process__identity(const struct process *p);

#endif /* CHURN_MODEL_PROCESSES_H */
