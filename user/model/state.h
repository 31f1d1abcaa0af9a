/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What a model consists of: shared by its input and its output, hidden from everybody else. */
#ifndef CHURN_MODEL_STATE_H
#define CHURN_MODEL_STATE_H

#include "user/model/census.h"
#include "user/model/collisions.h"
#include "user/model/conns.h"
#include "user/model/flows.h"
#include "user/model/groups.h"
#include "user/model/model.h"
#include "user/model/pools.h"
#include "user/model/processes.h"
#include "user/model/shortages.h"
#include "user/model/sites.h"
#include "user/model/stacks.h"
#include "user/model/tenants.h"
#include "user/model/time_wait.h"

struct bystander;

struct model {
	struct model_options opts;
	struct model_totals totals;
	uint64_t now_ns;    /* time of the latest record */
	uint64_t lost_here; /* not followed, or not understood, by the model itself */
	uint64_t lost_user; /* as the source counts */
	struct process_table processes;
	struct stack_table stacks;
	struct site_table sites;
	struct group_table groups;
	struct flow_table flows;
	struct pool_table pools;
	struct conn_table conns;
	struct collision_table collisions;
	struct tenant_table tenants;
	struct model_ports ports;
	bool ports_valid;
	struct shortage_table shortages;
	bool short_of_ports;		/* a connect() found none since the last census */
	struct port_rules *rules;	/* that ports speaks of */
	struct bystander *bystanders;	/* processes that only ports names */
	struct time_wait_limits limits; /* as the censuses say */
	uint64_t start_ns;		/* of the trace */
	uint32_t *named;		/* PIDs, see model__follow() */
	uint32_t nr_named;
	const struct group **list; /* as sealed */
	uint32_t nr_list;
};

/* Ends a connection of which no end came. */
void model_conn__drop(struct model *m, struct conn *c);
void model_ports__clear(struct model *m);

#endif /* CHURN_MODEL_STATE_H */
