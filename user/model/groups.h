/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Groups, the rows of the report, and their services. Never evicted, but bounded: beyond the bound
 * there is one more group, "~other", and in each group one more service, with port 0. */
#ifndef CHURN_MODEL_GROUPS_H
#define CHURN_MODEL_GROUPS_H

#include <stdint.h>

#include "user/base/hash.h"
#include "user/model/model.h"
#include "user/model/processes.h"
#include "user/model/sites.h"

#define GROUP_OTHER   "~other"
#define GROUP_UNKNOWN "(unknown)" /* neither a process nor a thread's name */

struct group_state {
	struct group pub; /* first: views see only this */
	char *key;
	const struct flow **flows;
	uint32_t cap_flows;
	const struct service **services;
	uint32_t cap_services;
	uint32_t nr_services;		    /* with those that a correction left empty */
	struct service_state *last_service; /* that was asked for */
	uint32_t pids[16];		    /* behind pub.pids */
	UT_hash_handle hh;
};

struct service_key {
	struct group_state *group;
	uint32_t netns;
	uint32_t port;
};

struct service_state {
	struct service pub; /* first: views see only this */
	struct service_key key;
	struct site_list sites; /* behind pub.callsites */
	UT_hash_handle hh;
};

struct group_table {
	struct group_state *by_key;
	struct service_state *services;
	enum model_group_by by;
	uint32_t max;
	uint32_t max_services;
};

/* The row of a process; of none, by the name of the thread. NULL: no memory. */
struct group_state *group_table__get(struct group_table *t, struct process *p, const char *comm);
/* Counts the process among its row's, once. */
void group__count_process(struct group_state *g, struct process *p);

int group__add_flow(struct group_state *g, const struct flow *f);
struct service_state *group_table__service(struct group_table *t, struct group_state *g,
					   uint32_t netns, uint16_t port);

/* Books the place of an accept(), by its stack, 0: not seen; *held, unless NULL, is that place. 0
 * or -ENOMEM. */
int service__count_site(struct service_state *s, struct site_table *t, uint64_t stack,
			struct site **held);

/* Sorts flows, services and failures, leaves out what is empty. */
void group__seal(struct group_state *g);
void group_table__clear(struct group_table *t);

#endif /* CHURN_MODEL_GROUPS_H */
