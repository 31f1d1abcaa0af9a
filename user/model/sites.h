/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Counters of a flow by the place in the code that connects, and of a service by that which
 * accepts. A stack that is known when its open comes is booked under its call site at once; one
 * that is still being resolved is booked under its own id, and moved when it is known, by
 * site_table__resolve().
 */
#ifndef CHURN_MODEL_SITES_H
#define CHURN_MODEL_SITES_H

#include <stdint.h>

#include "user/base/hash.h"
#include "user/model/model.h"
#include "user/model/paths.h"
#include "user/model/stacks.h"

struct flow_state;

/* The sites of a flow or of a service, which never mix. */
struct site_list {
	struct flow_state *flow; /* NULL: of a service */
	struct site *sites;
	struct callsite *at; /* as listed: opens + failures, descending */
	struct callsite_path *paths;
	uint32_t nr;
	uint32_t evicted;		/* stacks->evicted when last_stack was found */
	struct stack_entry *last_stack; /* that was asked for and has a call site, NULL: none, */
	struct site *last_site;		/* and its site */
};

enum site_kind {
	SITE_PENDING,  /* id is a stack's, 0: no stack, or the table was full */
	SITE_RESOLVED, /* id is a call site's */
};

struct site_key {
	struct site_list *list;
	uint64_t id;
	uint64_t kind;
};

#define SITE_OWNERS  4
#define SITE_THREADS 16

struct site {
	struct site_key key;
	uint64_t opens; /* of a service: what was accepted */
	uint64_t failures, avoidable, short_lived;
	uint64_t unnamed; /* opens and failures by stacks without a function in any frame */
	struct path_counts paths;
	uint64_t ends[CHURN_ACTIVATION__COUNT];
	struct {
		struct stack_entry *stack; /* at open, */
		uint32_t frame;		   /* and the call in it */
		uint64_t nr;
	} owners[SITE_OWNERS];		 /* of RETURNED, and LATER if surely in the same call */
	struct stack_entry *close_stack; /* the latest */
	struct {
		uint32_t tid;
		uint64_t ns;
		uint64_t gap_ns;   /* since the one before, 0: unknown */
	} last_open[SITE_THREADS]; /* by tid, modulo: another thread may take the place */
	uint32_t refs;		   /* connections and remembered opens */
	struct site *moved_to;	   /* its counts are there now; out of table and list */
	struct site *prev, *next;  /* of the list */
	UT_hash_handle hh;
};

struct site_table {
	struct site *by_key;
	struct stack_table *stacks;
	uint32_t max;
};

/* The site to book an open of this stack on, held for the caller. NULL: no memory. */
struct site *site_table__get(struct site_table *t, struct site_list *list, uint64_t stack_id);
/* Where the counts of a held site are now. */
struct site *site__counts(struct site *s);
/* The stack by which most came, 0: not known. Its application frame is the site's. NULL is
 * allowed. */
uint64_t site__stack(struct site *s);
/* Notes that a thread opened a connection here. */
void site__note_open(struct site *s, uint32_t tid, uint64_t open_ns);
/* Books where a connection of this site was ended. When its thread has opened another one here in
 * between, frames that look the same belong to another call: a pool, or a replaced client. */
void site_table__count_end(struct site_table *t, struct site *s, const struct churn_end *e);
/* NULL is allowed. */
void site__hold(struct site *s);
void site__release(struct site *s);

/* Moves the counts of sites whose stacks have come by now. 0 or -ENOMEM. */
int site_table__resolve(struct site_table *t, struct site_list *list);
/* Brings list->at up to date. Adds the opens and failures that have no call site to *unattributed.
 * 0 or -ENOMEM. */
int site_list__seal(struct site_list *list, uint64_t *unattributed);
/* Not the sites, which are the table's. */
void site_list__clear(struct site_list *list);
void site_table__clear(struct site_table *t);

#endif /* CHURN_MODEL_SITES_H */
