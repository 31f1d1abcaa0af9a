/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The records, one by one, booked on processes, rows, destinations and connections. */
#include <errno.h>
#include <string.h>

#include "user/model/annotation.h"
#include "user/model/error_counts.h"
#include "user/model/pairs.h"
#include "user/model/state.h"

/* Whom and where a record is booked on. */
struct account {
	struct process *process; /* NULL: unknown */
	struct group_state *group;
	struct destination dest;
	struct pool *pool; /* NULL: unknown process */
	struct flow_state *flow;
};

static int find_owner(struct model *m, const struct churn_id *id, const char *comm,
		      struct process **out)
{
	struct process *victim;

	*out = NULL;
	if (!id->tgid)
		return 0;
	*out = process_table__find(&m->processes, id);
	if (*out)
		return 0;
	while ((victim = process_table__victim(&m->processes))) {
		pool_table__forget(&m->pools, victim);
		process_table__remove(&m->processes, victim);
	}
	*out = process_table__get(&m->processes, id, comm);
	return *out ? 0 : -ENOMEM;
}

static int find_group(struct model *m, const struct churn_conn *c, struct account *to)
{
	int err = find_owner(m, &c->owner, c->comm, &to->process);

	if (err)
		return err;
	to->group = group_table__get(&m->groups, to->process, c->comm);
	if (!to->group)
		return -ENOMEM;
	group__count_process(to->group, to->process);
	return 0;
}

static int find_flow(struct model *m, const struct churn_conn *c, struct account *to)
{
	int err = find_group(m, c, to);

	if (err)
		return err;
	destination_of(&to->dest, c);
	to->flow = NULL;
	to->pool = NULL;
	if (to->process) {
		to->pool = pool_table__get(&m->pools, to->process, &to->dest);
		if (!to->pool)
			return -ENOMEM;
		to->flow = to->pool->flow;
	}
	if (!to->flow || to->flow->key.group != to->group)
		to->flow = flow_table__get(&m->flows, to->group, &to->dest);
	if (!to->flow)
		return -ENOMEM;
	if (to->pool)
		to->pool->flow = to->flow;
	return 0;
}

static bool is_unattributed(const struct process *p)
{
	return !p || !p->known;
}

/* --- connections ------------------------------------------------------------------------------ */

/* What a live connection occupies. */
static void conn_leave(struct model *m, struct conn *c)
{
	if (c->flow)
		c->flow->pub.live--;
	if (c->service)
		c->service->pub.live--;
	if (c->pool)
		pool__close(&m->pools, c->pool);
	site__release(c->site);
	c->pool = NULL;
	c->site = NULL;
}

void model_conn__drop(struct model *m, struct conn *c)
{
	if (!c->ended_ns)
		conn_leave(m, c);
	process__release(&m->processes, c->process);
	conn_table__remove(&m->conns, c);
}

/* The record of its other end still asks for it; once both have come and gone nobody does. */
static void conn_end(struct model *m, struct conn *c, uint64_t now_ns)
{
	struct conn *mate = c->mate;

	if (mate && mate->ended_ns) {
		model_conn__drop(m, mate);
		model_conn__drop(m, c);
		return;
	}
	conn_leave(m, c);
	conn_table__end(&m->conns, c, now_ns);
}

static void clock_forward(struct model *m, uint64_t now_ns)
{
	struct conn *c;

	m->ports_valid = false;
	if (now_ns > m->now_ns)
		m->now_ns = now_ns;
	while ((c = conn_table__expired(&m->conns, now_ns)))
		model_conn__drop(m, c);
}

/* Starts to follow a connection; *out is NULL when there are too many. */
static int conn_follow(struct model *m, const struct churn_conn *rec, const struct account *to,
		       struct conn **out)
{
	struct conn *old = conn_table__find(&m->conns, rec);
	struct pair_key pair;

	/* The same socket again, or the same four-tuple: the end of the older one was lost. */
	*out = NULL;
	if (old)
		model_conn__drop(m, old);
	pair_key_of(&pair, rec);
	old = conn_table__predecessor(&m->conns, rec, &pair);
	if (old)
		model_conn__drop(m, old);
	if (conn_table__nr_live(&m->conns) >= m->conns.max_live) {
		m->lost_here++;
		m->totals.lost_user = m->lost_user + m->lost_here;
		return 0;
	}
	*out = conn_table__add(&m->conns, rec, &pair);
	if (!*out)
		return -ENOMEM;
	(*out)->process = to->process;
	process__hold(&m->processes, to->process);
	return 0;
}

/* Tells the flow of the client, if it is on this host, who its server is. */
static void introduce(struct model *m, struct conn *c)
{
	struct conn *client = c->role == CHURN_CLIENT ? c : c->mate;
	struct conn *server = c->role == CHURN_CLIENT ? c->mate : c;

	if (client && server && client->flow)
		flow__set_peer(client->flow, &m->processes, server->process);
}

/* --- opens ------------------------------------------------------------------------------------ */

static void count_avoidable(struct model *m, struct flow_state *flow, struct site *site)
{
	m->totals.avoidable++;
	flow->key.group->pub.avoidable++;
	flow->pub.avoidable++;
	if (site)
		site__counts(site)->avoidable++;
}

/* Could a pool have spared this open? Then *avoidable. */
static int ask_pool(struct model *m, const struct churn_open *e, const struct account *to,
		    struct site *site, bool followed, bool *avoidable)
{
	struct reuse_open o = {.open_ns = e->conn.open_ns, .site = site};
	int ret;

	*avoidable = false;
	if (!to->pool)
		return 0;
	conn_key_of(&o.conn, &e->conn);
	o.at_once = to->pool->live + !followed;
	site__hold(site);
	ret = reuse__open(&to->pool->reuse, &o);
	if (ret)
		site__release(site);
	if (ret < 0)
		return ret;
	*avoidable = ret;
	if (*avoidable)
		count_avoidable(m, to->flow, site);
	return 0;
}

static int count_open(struct model *m, const struct churn_open *e, const struct account *to,
		      struct site *site)
{
	const struct churn_conn *c = &e->conn;
	struct flow *f = &to->flow->pub;
	int err;

	m->totals.opens++;
	m->totals.unattributed_process += is_unattributed(to->process);
	to->group->pub.opens++;
	f->opens++;
	site__counts(site)->opens++;
	flow__note_local(to->flow, c->local_addr);
	err = flow__count_attempt(to->flow, c->open_ns ? c->open_ns : e->h.ts_ns);
	if (!err && c->open_ns && c->established_ns >= c->open_ns)
		err = histogram__add(&f->connect, c->established_ns - c->open_ns);
	if (!err)
		err = flow__count_search(to->flow, c, c->established_ns);
	return err;
}

static int open_client(struct model *m, const struct churn_open *e, struct conn **out,
		       bool *avoidable)
{
	struct account to;
	struct site *site;
	struct conn *c, *stale = NULL;
	int err = find_flow(m, &e->conn, &to);

	if (err)
		return err;
	site = site_table__get(&m->sites, &to.flow->sites, e->conn.stack);
	if (!site)
		return -ENOMEM;
	site__note_open(site__counts(site), e->conn.tid, e->conn.open_ns);
	err = count_open(m, e, &to, site);
	if (!err)
		err = conn_follow(m, &e->conn, &to, &c);
	if (err)
		goto release;
	*out = c;
	if (c) {
		c->flow = to.flow;
		c->pool = to.pool;
		c->site = site;
		site__hold(site);
		flow__count_live(to.flow);
		if (to.pool)
			pool__open(&m->pools, to.pool);
	}
	err = ask_pool(m, e, &to, site, c != NULL, avoidable);
	if (c)
		c->avoidable = *avoidable;
	if (!err)
		stale = collisions__open(&m->collisions, &m->processes, &m->conns, to.flow, e,
					 &err);
	if (stale)
		model_conn__drop(m, stale);
release:
	site__release(site);
	return err;
}

static void service_live(struct service_state *s)
{
	if (++s->pub.live > s->pub.live_peak)
		s->pub.live_peak = s->pub.live;
}

static int open_server(struct model *m, const struct churn_open *e, struct conn **out)
{
	struct service_state *s;
	struct account to;
	int err = find_group(m, &e->conn, &to);

	if (err)
		return err;
	s = group_table__service(&m->groups, to.group, e->conn.netns, e->conn.local_port);
	if (!s)
		return -ENOMEM;
	m->totals.accepts++;
	m->totals.unattributed_process += is_unattributed(to.process);
	to.group->pub.accepts++;
	s->pub.accepts++;
	err = conn_follow(m, &e->conn, &to, out);
	if (!err)
		err = service__count_site(s, &m->sites, e->conn.stack, *out ? &(*out)->site : NULL);
	if (err || !*out)
		return err;
	(*out)->service = s;
	(*out)->unattributed = is_unattributed(to.process);
	service_live(s);
	return 0;
}

/* --- ends ------------------------------------------------------------------------------------- */

static int count_failure(struct model *m, const struct churn_end *e)
{
	uint8_t cause = e->cause < CHURN_CAUSE__COUNT ? e->cause : CHURN_CAUSE_UNKNOWN;
	struct conn *old = conn_table__find(&m->conns, &e->conn);
	struct account to;
	struct site *site;
	int err;

	/* The same socket: what was connected before has ended. */
	if (old)
		model_conn__drop(m, old);
	err = find_flow(m, &e->conn, &to);
	if (err)
		return err;
	site = site_table__get(&m->sites, &to.flow->sites, e->conn.stack);
	if (!site)
		return -ENOMEM;
	m->totals.failures++;
	m->totals.unattributed_process += is_unattributed(to.process);
	to.group->pub.failed++;
	to.flow->pub.failed++;
	site__counts(site)->failures++;
	site__release(site);
	flow__note_local(to.flow, e->conn.local_addr);
	err = flow__count_attempt(to.flow, e->conn.open_ns ? e->conn.open_ns : e->h.ts_ns);
	if (!err)
		err = error_counts__add(&to.group->pub.failures, e->error, cause);
	if (!err)
		err = error_counts__add(&to.flow->pub.failures, e->error, cause);
	m->short_of_ports |= cause == CHURN_CAUSE_EPHEMERAL_EXHAUSTED;
	if (!err && (e->conn.search_ns || cause == CHURN_CAUSE_EPHEMERAL_EXHAUSTED ||
		     cause == CHURN_CAUSE_TUPLE_IN_USE))
		err = flow__count_search(to.flow, &e->conn, e->h.ts_ns);
	return err ? err : collisions__failed(&m->processes, &m->conns, to.flow, e);
}

/* No open, for it has no destination yet. */
static int count_bind_failure(struct model *m, const struct churn_end *e)
{
	struct account to;
	int err = find_group(m, &e->conn, &to);

	if (err)
		return err;
	m->totals.bind_failures++;
	to.group->pub.bind_failures++;
	if (e->conn.stack)
		to.group->pub.bind_stack = e->conn.stack;
	memcpy(to.group->pub.bind_addr, e->conn.local_addr, sizeof(to.group->pub.bind_addr));
	to.group->pub.bind_netns = e->conn.netns;
	return 0;
}

/* The slot that the connection leaves may show that an earlier open could have been spared. */
static int offer_slot(struct model *m, struct pool *pool, const struct churn_end *e)
{
	struct reuse_open spared;
	struct conn *c;
	int ret;

	if (!pool)
		return 0;
	ret = reuse__close(&pool->reuse, reuse__slot(e, m->opts.reuse_window_ns), &spared);
	if (ret <= 0)
		return ret;
	count_avoidable(m, site__counts(spared.site)->key.list->flow, spared.site);
	site__release(spared.site);
	c = conn_table__find_key(&m->conns, &spared.conn);
	if (c && c->open_ns == spared.open_ns)
		c->avoidable = true;
	return 0;
}

/* `c` may be one that was not followed: then only its flow and process are set. */
static int close_client(struct model *m, const struct churn_end *e, struct conn *c,
			struct pool *pool)
{
	struct group *g = &c->flow->key.group->pub;
	uint64_t lifetime;
	int err;

	g->closes++;
	g->time_wait += e->time_wait == CHURN_TIME_WAIT_LOCAL;
	if (c->site)
		site_table__count_end(&m->sites, site__counts(c->site), e);
	err = flow__count_close(c->flow, e);
	if (flow__lifetime_of(e, &lifetime) && lifetime < m->opts.short_ns) {
		m->totals.short_lived++;
		g->short_lived++;
		c->flow->pub.short_lived++;
		if (c->site)
			site__counts(c->site)->short_lived++;
	}
	return err ? err : offer_slot(m, pool, e);
}

/* The close knows the owner better than the accept did: the connection moves to its service. */
static void move_accept(struct model *m, struct conn *c, struct service_state *to,
			struct process *owner)
{
	c->service->pub.accepts--;
	c->service->key.group->pub.accepts--;
	to->pub.accepts++;
	to->key.group->pub.accepts++;
	if (c->unattributed && owner->known) {
		m->totals.unattributed_process--;
		c->unattributed = false;
	}
}

static int correct_owner(struct model *m, const struct churn_end *e, struct conn *c)
{
	const struct churn_conn *rec = &e->conn;
	struct service_state *s;
	struct account to;
	int err;

	if (!rec->owner.tgid ||
	    (c->process && !memcmp(&c->process->identity.id, &rec->owner, sizeof(rec->owner))))
		return 0;
	err = find_group(m, rec, &to);
	if (err)
		return err;
	s = group_table__service(&m->groups, to.group, rec->netns, rec->local_port);
	if (!s)
		return -ENOMEM;
	if (s != c->service) {
		if (rec->attribution > c->attribution)
			move_accept(m, c, s, to.process);
		c->service->pub.live--;
		service_live(s);
		c->service = s;
	}
	process__hold(&m->processes, to.process);
	process__release(&m->processes, c->process);
	c->process = to.process;
	return 0;
}

static void close_server(const struct churn_end *e, struct conn *c)
{
	struct service *s = &c->service->pub;
	struct group *g = &c->service->key.group->pub;
	uint64_t time_wait = e->time_wait == CHURN_TIME_WAIT_LOCAL;

	g->closes++;
	g->time_wait += time_wait;
	s->closes++;
	s->time_wait += time_wait;
	s->closed_by[e->conn.initiator]++;
}

static int close_followed(struct model *m, const struct churn_end *e, struct conn *c)
{
	int err = 0;

	if (c->role == CHURN_CLIENT) {
		err = close_client(m, e, c, c->pool);
	} else {
		err = correct_owner(m, e, c);
		if (!err)
			close_server(e, c);
		collisions__end(&m->collisions, &m->processes, e, c->process);
	}
	if (!err && e->time_wait == CHURN_TIME_WAIT_LOCAL)
		err = tenant_table__add(&m->tenants, &m->processes, e, c->process,
					c->role == CHURN_CLIENT ? c->site : NULL);
	introduce(m, c);
	return err;
}

/* Its open was lost, or came before the trace. */
static int close_orphan(struct model *m, const struct churn_end *e, struct conn *c)
{
	struct account to;
	int err;

	m->totals.orphan_closes++;
	*c = (struct conn){.open_ns = e->conn.open_ns,
			   .ended_ns = e->h.ts_ns,
			   .netns = e->conn.netns,
			   .role = e->conn.role};
	pair_key_of(&c->pair, &e->conn);
	c->mate = pairs__mate(&m->conns, c);
	if (c->role == CHURN_CLIENT) {
		err = find_flow(m, &e->conn, &to);
		if (err)
			return err;
		c->process = to.process;
		c->flow = to.flow;
		err = close_client(m, e, c, to.pool);
	} else {
		err = find_group(m, &e->conn, &to);
		if (err)
			return err;
		c->process = to.process;
		c->service = group_table__service(&m->groups, to.group, e->conn.netns,
						  e->conn.local_port);
		if (!c->service)
			return -ENOMEM;
		close_server(e, c);
	}
	if (!err && e->time_wait == CHURN_TIME_WAIT_LOCAL)
		err = tenant_table__add(&m->tenants, &m->processes, e, c->process, NULL);
	introduce(m, c);
	return err;
}

/* --- the records ------------------------------------------------------------------------------ */

static void count_bad(struct model *m)
{
	m->lost_here++;
	m->totals.lost_user = m->lost_user + m->lost_here;
}

int model__process(struct model *m, const struct process_identity *identity)
{
	struct process *p;
	int err = find_owner(m, &identity->id, identity->comm, &p);

	m->ports_valid = false;
	if (err || !p)
		return err;
	return process__learn(p, identity);
}

int model__open(struct model *m, const struct churn_open *e, struct annotation *a)
{
	struct conn *c = NULL;
	bool avoidable = false;
	int err;

	clock_forward(m, e->h.ts_ns);
	if (e->h.type == CHURN_CONNECT && e->conn.role == CHURN_CLIENT) {
		err = open_client(m, e, &c, &avoidable);
	} else if (e->h.type == CHURN_ACCEPT && e->conn.role == CHURN_SERVER) {
		err = open_server(m, e, &c);
	} else {
		count_bad(m);
		err = 0;
	}
	if (!err && c)
		introduce(m, c);
	if (a) {
		annotation__of(m, &e->conn, c, a);
		a->avoidable = avoidable;
	}
	return err;
}

int model__end(struct model *m, const struct churn_end *e, struct annotation *a)
{
	struct conn orphan, *c = NULL;
	struct churn_end sane;
	bool client = e->conn.role == CHURN_CLIENT;
	int err = 0;

	clock_forward(m, e->h.ts_ns);
	if (e->conn.initiator >= CHURN_END__COUNT) {
		sane = *e;
		sane.conn.initiator = CHURN_END_UNKNOWN;
		e = &sane;
	}
	if (e->h.type == CHURN_FAILED && client) {
		err = count_failure(m, e);
	} else if (e->h.type == CHURN_BIND_FAILED) {
		err = count_bind_failure(m, e);
	} else if (e->h.type == CHURN_CLOSE && (client || e->conn.role == CHURN_SERVER)) {
		m->totals.closes++;
		c = conn_table__find(&m->conns, &e->conn);
		/* A socket may connect again; and a cookie says nothing about the record's kind. */
		if (c && (c->open_ns != e->conn.open_ns || c->role != e->conn.role))
			c = NULL;
		if (c) {
			err = close_followed(m, e, c);
		} else {
			c = &orphan;
			err = close_orphan(m, e, c);
		}
	} else {
		count_bad(m);
	}
	if (a)
		annotation__of_end(m, e, c, a);
	if (c && c != &orphan)
		conn_end(m, c, e->h.ts_ns);
	return err;
}
