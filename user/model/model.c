/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "user/model/model.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "user/model/error_counts.h"
#include "user/model/pairs.h"
#include "user/model/socket.h"
#include "user/model/state.h"

#define MAX_PROCESSES	   65536
#define MAX_STACKS	   16384
#define MAX_SITES	   131072
#define MAX_FLOWS	   65536
#define MAX_FLOWS_OF_GROUP 32768 /* one crawler leaves half of them to the others */
#define MAX_SERVICES	   16384
#define MAX_POOLS	   65536

#define START_SLACK_NS 1000000000ULL

const struct model_options model_default_options = {
	.by = MODEL_BY_PROGRAM,
	.short_ns = 1000000000ULL,
	.reuse_window_ns = 30000000000ULL,
	.max_conns = 262144,
	.max_groups = 4096,
};

struct model *model__new(const struct model_options *opts)
{
	struct model *m = calloc(1, sizeof(*m));

	if (!m) {
		errno = ENOMEM;
		return NULL;
	}
	m->opts = opts ? *opts : model_default_options;
	m->processes.max = MAX_PROCESSES;
	m->stacks.max = MAX_STACKS;
	m->stacks.skip = m->opts.callsite_skip;
	m->stacks.nr_skip = m->opts.nr_callsite_skip;
	m->sites.stacks = &m->stacks;
	m->sites.max = MAX_SITES;
	m->groups.by = m->opts.by;
	m->groups.max = m->opts.max_groups;
	m->groups.max_services = MAX_SERVICES;
	m->flows.max = MAX_FLOWS;
	m->flows.max_of_group = MAX_FLOWS_OF_GROUP;
	m->pools.max = MAX_POOLS;
	m->conns.max_live = m->opts.max_conns;
	m->tenants.max = m->opts.max_time_wait;
	return m;
}

void model__free(struct model *m)
{
	if (!m)
		return;
	model_ports__clear(m);
	time_wait_limits__clear(&m->limits);
	shortage_table__clear(&m->shortages);
	tenant_table__clear(&m->tenants, &m->processes);
	/* Holders before what they hold: connections and pools hold sites, pools fold into
	 * flows. */
	conn_table__clear(&m->conns);
	pool_table__clear(&m->pools);
	site_table__clear(&m->sites);
	collision_table__clear(&m->collisions, &m->processes);
	flow_table__clear(&m->flows);
	group_table__clear(&m->groups);
	stack_table__clear(&m->stacks);
	process_table__clear(&m->processes);
	free(m->list);
	free(m->named);
	free(m);
}

int model__stack(struct model *m, const struct stack_trace *s)
{
	return stack_table__add(&m->stacks, s);
}

void model__set_lost(struct model *m, const uint64_t lost[CHURN_LOST__COUNT], uint64_t user)
{
	memcpy(m->totals.lost, lost, sizeof(m->totals.lost));
	m->lost_user = user;
	m->totals.lost_user = m->lost_user + m->lost_here;
}

void model__set_in_progress(struct model *m, uint64_t nr)
{
	m->totals.in_progress = nr;
}

void model__set_older_closes(struct model *m, uint64_t nr)
{
	m->totals.older_closes = nr;
}

int model__waiting(struct model *m, const struct tcp_socket *s, const struct process_identity *p)
{
	struct churn_conn c = {
		.id = s->cookie,
		.netns = s->netns,
		.local_port = s->local_port,
		.peer_port = s->peer_port,
		.family = s->family,
		.role = CHURN_SERVER,
		.attribution = CHURN_OWNER_EXACT,
	};
	struct process *owner = NULL;
	struct pair_key pair;
	struct conn *conn;
	int err;

	/* What the trace is for keeps its room: without these only an explanation is missing. */
	if (conn_table__find(&m->conns, &c) ||
	    conn_table__nr_live(&m->conns) >= m->conns.max_live / 2)
		return 0;
	err = p ? model__process(m, p) : 0;
	if (err)
		return err;
	if (p)
		owner = process_table__find(&m->processes, &p->id);
	memcpy(c.local_addr, s->local_addr, sizeof(c.local_addr));
	memcpy(c.peer_addr, s->peer_addr, sizeof(c.peer_addr));
	pair_key_of(&pair, &c);
	conn = conn_table__add(&m->conns, &c, &pair);
	if (!conn)
		return -ENOMEM;
	conn->waiting = true;
	conn->process = owner;
	process__hold(&m->processes, owner);
	return 0;
}

const struct process_identity *model__find_process(const struct model *m, const struct churn_id *id)
{
	return process__identity(process_table__find(&m->processes, id));
}

/* What /proc tells of a start is rounded to a clock tick, and it tells nothing of execve(). */
static bool same_process(const struct process *p, const struct process_identity *as)
{
	uint64_t a = p->identity.id.start_ns, b = as->id.start_ns;

	return p->identity.id.tgid == as->id.tgid &&
	       (!a || !b || (a > b ? a - b : b - a) < START_SLACK_NS);
}

const struct group *model__group_of(const struct model *m, const struct process_identity *as)
{
	const struct process *p, *tmp, *latest = NULL;

	HASH_ITER (hh, m->processes.by_id, p, tmp) {
		if (as && p->counted_in && same_process(p, as) &&
		    (!latest || p->identity.id.exec_id > latest->identity.id.exec_id))
			latest = p;
	}
	return latest ? &latest->counted_in->pub : NULL;
}

int model__follow(struct model *m, const uint32_t *pids, uint32_t nr)
{
	uint32_t *named = malloc((nr + 1) * sizeof(*named));

	if (!named)
		return -ENOMEM;
	if (nr)
		memcpy(named, pids, nr * sizeof(*named));
	free(m->named);
	m->named = named;
	m->nr_named = nr;
	return 0;
}

bool model__follows(const struct model *m, const struct process_identity *p)
{
	for (uint32_t i = 0; p && i < m->nr_named; i++) {
		if (m->named[i] == p->id.tgid)
			return true;
	}
	return model__group_of(m, p) != NULL;
}

struct callsite model__find_callsite(const struct model *m, uint64_t stack)
{
	const struct stack_entry *e = stack_table__find(&m->stacks, stack);
	struct callsite c = {.frame = -1, .close_frame = -1};

	if (e) {
		c.id = e->callsite_id;
		c.stack = &e->trace;
		c.frame = e->frame;
	}
	return c;
}

static int seal_flows(struct model *m)
{
	struct flow_state *f, *tmp;

	m->totals.unattributed_callsite = 0;
	HASH_ITER (hh, m->flows.by_key, f, tmp) {
		int err = site_table__resolve(&m->sites, &f->sites);

		if (!err)
			err = site_list__seal(&f->sites, &m->totals.unattributed_callsite);
		if (err)
			return err;
		f->pub.callsites = f->sites.at;
		f->pub.nr_callsites = f->sites.nr;
		flow__count_parked(f, m->now_ns);
		f->pub.parked = time_wait_limit__bound(
			time_wait_limits__find(&m->limits, f->pub.dest.netns), f->pub.parked);
		f->pub.pool_peak = f->pool_peak;
		error_counts__sort(&f->pub.failures);
	}
	pool_table__seal(&m->pools);
	return 0;
}

/* Those that have no call site are not counted: where accept() is not traced, none has. */
static int seal_services(struct model *m)
{
	struct service_state *s, *tmp;
	uint64_t unknown = 0;

	HASH_ITER (hh, m->groups.services, s, tmp) {
		int err = site_table__resolve(&m->sites, &s->sites);

		if (!err)
			err = site_list__seal(&s->sites, &unknown);
		if (err)
			return err;
		s->pub.callsites = s->sites.at;
		s->pub.nr_callsites = s->sites.nr;
	}
	return 0;
}

static int compare_groups(const void *a, const void *b)
{
	const struct group *x = *(const struct group *const *)a;
	const struct group *y = *(const struct group *const *)b;
	uint64_t nr_x = x->opens + x->failed, nr_y = y->opens + y->failed;

	if (nr_x != nr_y)
		return nr_x < nr_y ? 1 : -1;
	if (x->accepts != y->accepts)
		return x->accepts < y->accepts ? 1 : -1;
	return strcmp(x->program, y->program);
}

int model__seal(struct model *m)
{
	const struct group **list;
	struct group_state *g, *tmp;
	int err = seal_flows(m);

	if (!err)
		err = seal_services(m);
	if (err)
		return err;
	list = realloc(m->list, (HASH_COUNT(m->groups.by_key) + 1) * sizeof(*list));
	if (!list)
		return -ENOMEM;
	m->list = list;
	m->nr_list = 0;
	HASH_ITER (hh, m->groups.by_key, g, tmp) {
		group__seal(g);
		if (g->pub.opens || g->pub.failed || g->pub.accepts || g->pub.closes ||
		    g->pub.bind_failures)
			list[m->nr_list++] = &g->pub;
	}
	qsort(list, m->nr_list, sizeof(*list), compare_groups);
	return 0;
}

const struct model_totals *model__totals(const struct model *m)
{
	return &m->totals;
}

const struct group *const *model__groups(const struct model *m, uint32_t *nr)
{
	*nr = m->nr_list;
	return m->list;
}
