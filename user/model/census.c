/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "user/model/census.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "user/model/error_counts.h"
#include "user/model/flow_index.h"
#include "user/model/pairs.h"
#include "user/model/state.h"

#define MIN_SHARE  0.01
#define SETTLED_NS 1000000000ULL /* records may wait that long for their stacks */

/* Kernels before 5.12 tell none to the trace. */
static bool is_cookie(uint64_t id)
{
	return id && !(id & CHURN_ID_OWN);
}

/* --- connections that have gone --------------------------------------------------------------- */

/* What the census says of those that are live, sorted. */
struct presence {
	uint64_t *cookies; /* of full sockets */
	size_t nr_cookies;
	uint32_t *netns; /* that were read */
	size_t nr_netns;
};

static int compare_cookies(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static int compare_netns(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

static void presence__clear(struct presence *p)
{
	free(p->cookies);
	free(p->netns);
}

static int presence__make(struct presence *p, const struct model_census *c)
{
	*p = (struct presence){
		.cookies = malloc((c->sockets->nr + 1) * sizeof(*p->cookies)),
		.netns = malloc((c->nr_netns + 1) * sizeof(*p->netns)),
	};
	if (!p->cookies || !p->netns) {
		presence__clear(p);
		return -ENOMEM;
	}
	for (size_t i = 0; i < c->sockets->nr; i++) {
		if (!c->sockets->at[i].time_wait)
			p->cookies[p->nr_cookies++] = c->sockets->at[i].cookie;
	}
	for (; p->nr_netns < c->nr_netns; p->nr_netns++)
		p->netns[p->nr_netns] = c->netns[p->nr_netns];
	qsort(p->cookies, p->nr_cookies, sizeof(*p->cookies), compare_cookies);
	qsort(p->netns, p->nr_netns, sizeof(*p->netns), compare_netns);
	return 0;
}

static bool was_read(const struct presence *p, uint32_t netns)
{
	return bsearch(&netns, p->netns, p->nr_netns, sizeof(netns), compare_netns);
}

static bool is_there(const struct presence *p, uint64_t cookie)
{
	return bsearch(&cookie, p->cookies, p->nr_cookies, sizeof(cookie), compare_cookies);
}

/* Missing once may mean that its end is still on its way to us; twice, that it was lost. */
static void note_missing(struct model *m, struct conn *c)
{
	if (!c->missing) {
		c->missing = true;
		return;
	}
	m->totals.corrected += !c->waiting; /* its end is not traced */
	model_conn__drop(m, c);
}

static int drop_missing(struct model *m, const struct model_census *census)
{
	const struct conn_chains *live = &m->conns.by[CONN_BY_KEY];
	struct presence present;
	struct conn *c, *next;
	int err = presence__make(&present, census);

	if (err)
		return err;
	for (uint32_t i = 0; i < live->cap; i++) {
		for (c = live->at[i]; c; c = next) {
			next = c->chain[CONN_BY_KEY];
			if (!is_cookie(c->id) || c->open_ns + SETTLED_NS > census->taken_ns ||
			    !was_read(&present, c->netns))
				continue;
			if (is_there(&present, c->id))
				c->missing = false;
			else
				note_missing(m, c);
		}
	}
	presence__clear(&present);
	return 0;
}

/* --- holders ---------------------------------------------------------------------------------- */

/* A process that is known by its files only. */
struct bystander {
	uint32_t pid;
	struct process_identity identity;
	UT_hash_handle hh;
};

struct finder {
	struct model *m;
	const struct model_census *census;
	int err;
};

static const struct process_identity *bystander(struct finder *f,
						const struct process_identity *identity)
{
	struct model *m = f->m;
	struct bystander *b;

	HASH_FIND(hh, m->bystanders, &identity->id.tgid, sizeof(identity->id.tgid), b);
	if (b)
		return &b->identity;
	b = calloc(1, sizeof(*b));
	if (!b || process_identity__copy(&b->identity, identity)) {
		free(b);
		f->err = -ENOMEM;
		return NULL;
	}
	b->pid = identity->id.tgid;
	HASH_ADD(hh, m->bystanders, pid, sizeof(b->pid), b);
	if (b->hh.tbl)
		return &b->identity;
	process_identity__clear(&b->identity);
	free(b);
	f->err = -ENOMEM;
	return NULL;
}

static void clear_bystanders(struct model *m)
{
	struct bystander *b, *tmp;

	HASH_ITER (hh, m->bystanders, b, tmp) {
		HASH_DEL(m->bystanders, b);
		process_identity__clear(&b->identity);
		free(b);
	}
}

static void tell(const struct model *m, struct socket_holder *who, const struct process *p,
		 struct site *site)
{
	const struct stack_entry *stack = stack_table__find(&m->stacks, site__stack(site));

	who->process = process__identity(p);
	if (site && site->key.list->flow)
		who->group = site->key.list->flow->pub.group;
	else if (p && p->counted_in)
		who->group = &p->counted_in->pub;
	if (!stack || stack->frame < 0)
		return;
	who->stack = &stack->trace;
	who->frame = stack->frame;
	who->callsite_id = stack->callsite_id;
}

/* By its cookie; on kernels without, by its four-tuple. */
static struct conn *find_live(const struct model *m, const struct tcp_socket *s)
{
	struct conn_key key = {.id = s->cookie};
	struct pair_key pair;
	struct conn *c;

	c = s->cookie ? conn_table__find_key(&m->conns, &key) : NULL;
	if (c)
		return c;
	pair_key_of_ends(&pair, s->local_addr, s->local_port, s->peer_addr, s->peer_port);
	for (c = pairs__find(&m->conns, &pair); c; c = pairs__next(c)) {
		if (c->role == CHURN_CLIENT && c->netns == s->netns && !is_cookie(c->id) &&
		    !c->ended_ns)
			return c;
	}
	return NULL;
}

/* Its timer may be some milliseconds off: what the trace has seen is not older. */
static bool is_older(const struct model *m, const struct model_census *census,
		     const struct tcp_socket *s)
{
	uint64_t since_ms = (census->taken_ns - m->start_ns) / 1000000;

	return s->state == SOCKET_TIME_WAIT && s->timer_ms < TIME_WAIT_MS &&
	       TIME_WAIT_MS - s->timer_ms > since_ms && !tenant_table__find(&m->tenants, s);
}

static void find_holder(void *ctx, const struct tcp_socket *s, struct socket_holder *who)
{
	struct finder *f = ctx;
	const struct model_census *census = f->census;
	const struct process_identity *identity;
	const struct tenant *t;
	struct conn *c;

	c = s->time_wait ? NULL : find_live(f->m, s);
	if (c) {
		tell(f->m, who, c->process, c->role == CHURN_CLIENT ? c->site : NULL);
		return;
	}
	t = tenant_table__find(&f->m->tenants, s);
	if (t) {
		tell(f->m, who, t->process, t->site);
		return;
	}
	who->older = is_older(f->m, census, s);
	identity = census->owner && s->inode ? census->owner(census->ctx, s) : NULL;
	if (identity)
		who->process = bystander(f, identity);
}

/* --- pools ------------------------------------------------------------------------------------ */

void model_ports__clear(struct model *m)
{
	port_holders__clear(&m->ports.holders);
	port_pools__clear(&m->ports.pools);
	clear_bystanders(m);
	free(m->rules);
	m->rules = NULL;
	memset(&m->ports, 0, sizeof(m->ports));
	m->ports_valid = false;
}

/* Adds the ports a second that the opens of a flow keep, in TIME_WAIT for now; the others are free
 * again at once. The rate of its work, where that is known, is the one that port-pressure goes
 * by. */
static void add_keeping(struct port_load *load, const struct flow *f, uint64_t start_ns,
			uint64_t now_ns)
{
	double working = flow__working_rate(f, now_ns), seconds = (now_ns - start_ns) / 1e9;
	uint64_t given_back = f->closes - f->time_wait;
	uint64_t held = f->opens > f->closes ? f->opens - f->closes : 0;

	if (working >= 0 && f->closes) {
		load->parked += working * flow__parking_share(f);
		return;
	}
	if (!working || given_back >= f->opens)
		return;
	load->held += held / seconds;
	load->parked += (f->opens - given_back - held) / seconds;
}

/* What was traced is exact; but the opens of a flow are of one pool only when they all come from
 * one local address. */
static void set_traced_rate(const struct model *m, const struct flow_index *flows,
			    struct port_pool *p, uint64_t now_ns)
{
	static const uint8_t unknown[16];
	const struct flow_state *const *of;
	uint64_t opens = 0;
	struct port_load keeping = {0};
	uint32_t nr;

	if (now_ns <= m->start_ns)
		return;
	of = flow_index__to(flows, p, &nr);
	for (uint32_t i = 0; i < nr; i++) {
		const struct flow *f = &of[i]->pub;

		if (!f->opens)
			continue;
		if (f->several_local || !memcmp(f->local_addr, unknown, sizeof(unknown)))
			return;
		if (memcmp(f->local_addr, p->key.local, sizeof(p->key.local)))
			continue;
		opens += f->opens;
		add_keeping(&keeping, f, m->start_ns, now_ns);
	}
	port_pool__set_rates(p, opens * 1e9 / (double)(now_ns - m->start_ns), keeping);
}

/* All that its flows spent. Those that also draw on other pools are left out. */
static int add_cost(const struct flow_index *flows, struct port_pool *p)
{
	struct histogram searches = {0}, at_most = {0};
	const struct histogram *h = &at_most;
	const struct flow_state *const *f;
	uint32_t nr;
	int err = 0;

	f = flow_index__to(flows, p, &nr);
	for (uint32_t i = 0; !err && i < nr; i++) {
		if (f[i]->pub.several_local ||
		    memcmp(f[i]->pub.local_addr, p->key.local, sizeof(p->key.local)))
			continue;
		err = histogram__merge(&searches, &f[i]->pub.search);
		if (!err)
			err = histogram__merge(&at_most, &f[i]->pub.search_at_most);
	}
	if (searches.nr)
		h = &searches;
	p->cost = (struct port_cost){.nr = h->nr,
				     .median = histogram__quantile(h, 0.5),
				     .p99 = histogram__quantile(h, 0.99),
				     .max = h->max,
				     .measured = searches.nr > 0};
	histogram__clear(&searches);
	histogram__clear(&at_most);
	return err;
}

static bool failed_somebody(const struct flow_index *flows, const struct port_pool *p)
{
	const struct flow_state *const *f;
	uint32_t nr;

	f = flow_index__to(flows, p, &nr);
	for (uint32_t i = 0; i < nr; i++) {
		if (error_counts__of_cause(&f[i]->pub.failures, CHURN_CAUSE_EPHEMERAL_EXHAUSTED))
			return true;
	}
	return false;
}

static int note_shortages(struct model *m, const struct flow_index *flows, uint64_t at_ns)
{
	int err = 0;

	for (uint32_t i = 0; !err && i < m->ports.pools.nr; i++) {
		const struct port_pool *p = &m->ports.pools.at[i];
		const struct port_holder *h;
		uint32_t nr;

		if (!failed_somebody(flows, p))
			continue;
		h = port_holders__of(&m->ports.holders, i, &nr);
		err = shortage_table__note(&m->shortages, p, h, nr, at_ns);
	}
	m->short_of_ports = false;
	return err;
}

static void count_older(struct model *m, const struct model_census *c)
{
	for (size_t i = 0; i < c->sockets->nr; i++) {
		const struct tcp_socket *s = &c->sockets->at[i];

		if (!is_older(m, c, s))
			continue;
		m->ports.older_time_wait++;
		if (s->timer_ms > m->ports.older_left_ms)
			m->ports.older_left_ms = s->timer_ms;
	}
}

static int make_pools(struct model *m, const struct flow_index *flows, const struct model_census *c)
{
	struct port_pools_options po = {.min_used_of_range = MIN_SHARE, .nr_rules = c->nr_rules};
	struct finder finder = {.m = m, .census = c};
	struct flow_state *f, *tmp;
	int err = 0;

	m->rules = malloc((c->nr_rules + 1) * sizeof(*m->rules));
	if (!m->rules)
		return -ENOMEM;
	if (c->nr_rules)
		memcpy(m->rules, c->rules, c->nr_rules * sizeof(*m->rules));
	if (c->moment) {
		po.min_used = c->moment->min_used;
		po.min_used_of_range = c->moment->min_used_of_range;
	}
	po.rules = m->rules;
	HASH_ITER (hh, m->flows.by_key, f, tmp) {
		if (!err)
			err = site_table__resolve(&m->sites, &f->sites);
	}
	if (!err)
		err = port_pools__make(&m->ports.pools, c->sockets, &po);
	if (err)
		return err;
	port_pools__rate_by_age(&m->ports.pools, c->sockets);
	for (uint32_t i = 0; !c->moment && i < m->ports.pools.nr; i++) {
		struct port_pool *p = &m->ports.pools.at[i];

		if (p->key.low) /* whose opens went there is not known */
			continue;
		/* A recording that was cut off goes on after its last census. */
		set_traced_rate(m, flows, p, m->now_ns > c->taken_ns ? m->now_ns : c->taken_ns);
	}
	for (uint32_t i = 0; !err && i < m->ports.pools.nr; i++)
		err = add_cost(flows, &m->ports.pools.at[i]);
	if (err)
		return err;
	err = port_holders__make(&m->ports.holders, &m->ports.pools, c->sockets, find_holder,
				 &finder);
	return err ? err : finder.err;
}

static int note_limits(struct model *m, const struct model_census *c)
{
	int err = 0;

	for (uint32_t i = 0; !err && i < c->nr_limits; i++)
		err = time_wait_limits__note(&m->limits, &c->limits[i]);
	return err;
}

int model__census(struct model *m, const struct model_census *c)
{
	struct flow_index flows = {0};
	int err;

	model_ports__clear(m);
	err = note_limits(m, c);
	if (!err)
		err = drop_missing(m, c);
	if (err || (!c->pools && !m->short_of_ports))
		return err;
	err = flow_index__make(&flows, &m->flows);
	if (!err)
		err = make_pools(m, &flows, c);
	if (!err)
		err = note_shortages(m, &flows, c->taken_ns);
	flow_index__clear(&flows);
	if (err || !c->pools) {
		model_ports__clear(m);
		return err;
	}
	m->ports.sockets = c->sockets->nr;
	m->ports.partial = c->partial;
	count_older(m, c);
	m->ports_valid = true;
	return 0;
}

const struct model_ports *model__ports(const struct model *m)
{
	return m->ports_valid ? &m->ports : NULL;
}

bool model__whose(const struct model *m, const struct tcp_socket *s, struct socket_holder *who)
{
	const struct conn *c = s->time_wait ? NULL : find_live(m, s);

	*who = (struct socket_holder){.frame = -1};
	if (!c || c->waiting)
		return false;
	tell(m, who, c->process, c->site);
	who->accepted = c->role == CHURN_SERVER;
	who->accept_seen = who->accepted && c->attribution == CHURN_OWNER_EXACT;
	return true;
}

const struct port_shortage *model__shortage(const struct model *m, const struct flow *f)
{
	return shortage_table__find(&m->shortages, f);
}

const struct time_wait_limit *model__time_wait_limit(const struct model *m, uint32_t netns)
{
	return time_wait_limits__find(&m->limits, netns);
}

const struct time_wait_limits *model__time_wait_limits(const struct model *m)
{
	return &m->limits;
}

uint64_t model__start_ns(const struct model *m)
{
	return m->start_ns;
}

void model__set_start(struct model *m, uint64_t start_ns)
{
	m->start_ns = start_ns;
}

static bool is_of_pool(const struct flow *f, const struct port_pool *p)
{
	return !p->key.low && p->key.netns == f->dest.netns && p->key.port == f->dest.port &&
	       !memcmp(p->key.peer, f->dest.addr, sizeof(p->key.peer)) && !f->several_local &&
	       !memcmp(p->key.local, f->local_addr, sizeof(p->key.local));
}

const struct port_pool *model__pool_of(const struct model *m, const struct flow *f)
{
	const struct model_ports *ports = model__ports(m);

	for (uint32_t i = 0; ports && i < ports->pools.nr; i++)
		if (is_of_pool(f, &ports->pools.at[i]))
			return &ports->pools.at[i];
	return NULL;
}
