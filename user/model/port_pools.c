/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "user/model/port_pools.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "user/base/hash.h"

#define RATE_WINDOW_MS 10000
#define ALL_PORTS      65536
#define MAX_POOLS      1024 /* of up to 64 KB each; more are only counted */

/* --- finding the pools ------------------------------------------------------------------------ */

/* A tuple without its source port, and how many sockets have it. */
struct tuple {
	struct port_pool_key key;
	uint32_t nr;
	uint32_t pool;
	UT_hash_handle hh;
};

/* Working state of port_pools__make(). */
struct maker {
	struct port_pools *out;
	const struct socket_list *sockets;
	const struct port_pools_options *opts;
	struct tuple *tuples, *by_key, **order;
	uint32_t nr_tuples;
	const struct port_rules *rules; /* of the namespace in work */
	bool bound[ALL_PORTS];
	bool estimated;
};

static const struct port_rules *rules_of(const struct port_pools_options *opts, uint32_t netns)
{
	for (uint32_t i = 0; i < opts->nr_rules; i++) {
		if (opts->rules[i].netns == netns)
			return opts->rules[i].high ? &opts->rules[i] : NULL;
	}
	return NULL;
}

static bool is_connected(const struct tcp_socket *s)
{
	return s->peer_port && s->state != SOCKET_LISTEN && s->state != SOCKET_BOUND;
}

static void key_of(struct port_pool_key *key, const struct tcp_socket *s)
{
	memset(key, 0, sizeof(*key));
	key->netns = s->netns;
	key->device = s->device;
	memcpy(key->local, s->local_addr, sizeof(key->local));
	memcpy(key->peer, s->peer_addr, sizeof(key->peer));
	key->port = s->peer_port;
	key->family = s->family;
}

static int count_tuple(struct maker *m, size_t i)
{
	const struct tcp_socket *s = &m->sockets->at[i];
	struct port_pool_key key;
	struct tuple *t;

	key_of(&key, s);
	HASH_FIND(hh, m->by_key, &key, sizeof(key), t);
	if (!t) {
		t = &m->tuples[m->nr_tuples++];
		t->key = key;
		t->pool = PORT_POOL_NONE;
		HASH_ADD(hh, m->by_key, key, sizeof(t->key), t);
		if (!t->hh.tbl)
			return -ENOMEM;
	}
	t->nr++;
	m->out->of_socket[i] = t - m->tuples;
	return 0;
}

/* A bind holds a port for all destinations, so that the whole namespace comes first. */
static void find_bound(struct maker *m, size_t first, size_t end)
{
	memset(m->bound, 0, sizeof(m->bound));
	m->estimated = false;
	for (size_t i = first; i < end; i++) {
		const struct tcp_socket *s = &m->sockets->at[i];

		m->bound[s->local_port] |= s->port_bound == SOCKET_YES;
		m->estimated |= s->port_bound == SOCKET_UNKNOWN ||
				(s->time_wait && s->timestamps == SOCKET_UNKNOWN);
	}
}

static uint32_t min_used(const struct maker *m)
{
	double range = m->rules->high - m->rules->low + 1;
	double share = m->opts->min_used_of_range * range;

	return share > m->opts->min_used ? (uint32_t)share : m->opts->min_used;
}

static int add_pool(struct maker *m, struct tuple *t)
{
	uint32_t range = m->rules->high - m->rules->low + 1;
	struct port_pool *at = realloc(m->out->at, (m->out->nr + 1) * sizeof(*at)), *p;

	if (!at)
		return -ENOMEM;
	m->out->at = at;
	p = &at[m->out->nr];
	memset(p, 0, sizeof(*p));
	p->key = t->key;
	p->rules = m->rules;
	p->estimated = m->estimated;
	p->rate_per_second = -1;
	p->seconds_left = -1;
	p->ports = malloc(range);
	if (!p->ports)
		return -ENOMEM;
	for (uint32_t i = 0; i < range; i++) {
		uint16_t port = m->rules->low + i;

		p->ports[i] = !port_rules__offers(m->rules, port) ? PORT_OUTSIDE
			      : m->bound[port]			  ? PORT_BOUND
								  : PORT_FREE;
	}
	p->made = m->out->nr;
	t->pool = m->out->nr++;
	return 0;
}

/* --- filling them ----------------------------------------------------------------------------- */

static enum port_use use_of(const struct port_rules *rules, const struct tcp_socket *s)
{
	if (s->state == SOCKET_ESTABLISHED)
		return PORT_ESTABLISHED;
	if (!s->time_wait || s->state != SOCKET_TIME_WAIT)
		return PORT_OTHER;
	return port_rules__reusable(rules, s) ? PORT_REUSABLE : PORT_TIME_WAIT;
}

/* A dump takes a while: the same port may be in it as TIME_WAIT and as what took it over. */
static void use_port(struct port_pool *p, const struct tcp_socket *s)
{
	uint8_t *port = &p->ports[s->local_port - p->rules->low];
	enum port_use use = use_of(p->rules, s);
	uint32_t left_ms = s->timer_ms;

	if (*port == PORT_FREE || *port == PORT_REUSABLE ||
	    (*port == PORT_TIME_WAIT && use > PORT_TIME_WAIT))
		*port = use;
	if (use != PORT_TIME_WAIT)
		return;
	if (port_rules__reusable_later(p->rules, s) && s->young_ms < left_ms)
		left_ms = s->young_ms;
	if (left_ms > TIME_WAIT_MS)
		left_ms = TIME_WAIT_MS;
	p->returning[left_ms ? (left_ms + 999) / 1000 : 1]++;
}

#define CLAIMED 0x80

/* One socket a port: it counts what is held, so that the holders' shares add up to what is used. */
static void claim_ports(struct maker *m, size_t first, size_t end)
{
	for (size_t i = first; i < end; i++) {
		const struct tcp_socket *s = &m->sockets->at[i];
		uint32_t *of = &m->out->of_socket[i];
		const struct port_pool *p;
		uint8_t *port;

		if (*of == PORT_POOL_NONE)
			continue;
		p = &m->out->at[*of];
		port = &p->ports[s->local_port - p->rules->low];
		if (*port == use_of(p->rules, s))
			*port |= CLAIMED;
		else
			*of = PORT_POOL_NONE;
	}
}

/* --- ranges of their own ---------------------------------------------------------------------- */

static bool is_known(const struct maker *m, const struct port_pool_key *key)
{
	for (uint32_t i = 0; i < m->out->nr; i++) {
		if (!memcmp(&m->out->at[i].key, key, sizeof(*key)))
			return true;
	}
	return false;
}

static int add_member(struct maker *m, uint32_t socket, uint32_t pool)
{
	struct port_pools *out = m->out;
	struct port_member *at = out->members;

	if (!(out->nr_members & (out->nr_members - 1))) /* full at each power of two */
		at = realloc(at, 2 * (out->nr_members + 1) * sizeof(*at));
	if (!at)
		return -ENOMEM;
	out->members = at;
	at[out->nr_members++] = (struct port_member){.socket = socket, .pool = pool};
	return 0;
}

/* What of the tuple is in the range, whoever took it. */
static int fill_own(struct maker *m, struct port_pool *p, uint32_t of, size_t first, size_t end)
{
	uint32_t index = p - m->out->at;
	int err = 0;

	for (size_t i = first; !err && i < end; i++) {
		const struct tcp_socket *s = &m->sockets->at[i];

		if (m->out->of_socket[i] != of || s->local_port < p->rules->low ||
		    s->local_port > p->rules->high)
			continue;
		use_port(p, s);
		err = add_member(m, i, index);
	}
	return err;
}

static int add_own(struct maker *m, const struct port_rules *rules, uint32_t of,
		   const struct port_pool_key *key, size_t first, size_t end)
{
	const struct port_rules *all = m->rules;
	struct tuple t = {.key = *key};
	struct port_rules *own = malloc(sizeof(*own));
	int err;

	if (!own)
		return -ENOMEM;
	*own = *rules;
	m->rules = own;
	err = add_pool(m, &t);
	m->rules = all;
	if (err) {
		free(own);
		return err;
	}
	m->out->at[t.pool].own_rules = own;
	return fill_own(m, &m->out->at[t.pool], of, first, end);
}

/* A range is known by the sockets that are open with it: TIME_WAIT forgets it. */
static int add_own_pools(struct maker *m, size_t first, size_t end)
{
	int err = 0;

	for (size_t i = first; !err && i < end; i++) {
		uint32_t of = m->out->of_socket[i];
		struct port_pool_key key;
		struct port_rules own;

		if (of == PORT_POOL_NONE ||
		    !port_rules__of_socket(&own, m->rules, &m->sockets->at[i]))
			continue;
		key = m->out->at[of].key;
		key.low = own.low;
		key.high = own.high;
		if (is_known(m, &key))
			continue;
		if (m->out->nr >= MAX_POOLS)
			m->out->beyond++;
		else
			err = add_own(m, &own, of, &key, first, end);
	}
	return err;
}

/* --- counting them ---------------------------------------------------------------------------- */

/* Whether what the pool leaves in TIME_WAIT can be taken over later, as far as the rules say. */
static bool is_reused(const struct port_rules *r, const struct port_pool_key *key)
{
	struct tcp_socket typical = {.time_wait = true, .state = SOCKET_TIME_WAIT};

	memcpy(typical.local_addr, key->local, sizeof(typical.local_addr));
	memcpy(typical.peer_addr, key->peer, sizeof(typical.peer_addr));
	typical.device = key->device;
	return port_rules__reusable_later(r, &typical);
}

static void count_pool(struct port_pool *p)
{
	const struct port_rules *r = p->rules;

	for (uint32_t i = 0; i <= (uint32_t)(r->high - r->low); i++) {
		uint8_t use = p->ports[i] &= ~CLAIMED;
		bool fast = r->every_port || i % 2 == 0;

		p->nr[use]++;
		if (use <= PORT_BOUND)
			continue;
		p->capacity++;
		p->cliff += fast;
		if (use == PORT_FREE || use == PORT_REUSABLE) {
			p->free++;
			p->fast_free += fast;
		}
	}
	p->reuse = is_reused(r, &p->key);
}

void port_pool__unused(struct port_pool *out, const struct port_pool_key *key,
		       const struct port_rules *rules)
{
	memset(out, 0, sizeof(*out));
	out->key = *key;
	out->rules = rules;
	out->rate_per_second = -1;
	out->seconds_left = -1;
	for (uint32_t i = 0; i <= (uint32_t)(rules->high - rules->low); i++) {
		bool offered = port_rules__offers(rules, rules->low + i);

		out->capacity += offered;
		out->cliff += offered && i % 2 == 0;
	}
	out->nr[PORT_FREE] = out->free = out->capacity;
	out->fast_free = out->cliff;
	out->reuse = is_reused(rules, key);
}

static int compare_tuples(const void *a, const void *b)
{
	const struct tuple *x = *(struct tuple *const *)a, *y = *(struct tuple *const *)b;

	return x->nr < y->nr ? 1 : -(x->nr > y->nr);
}

/* Of those tuples that are worth it, the largest first. */
static int add_pools(struct maker *m, uint32_t from)
{
	uint32_t nr = m->nr_tuples - from, least = min_used(m);
	int err = 0;

	for (uint32_t i = 0; i < nr; i++)
		m->order[i] = &m->tuples[from + i];
	qsort(m->order, nr, sizeof(*m->order), compare_tuples);
	for (uint32_t i = 0; !err && i < nr; i++) {
		if (m->order[i]->nr < least)
			m->out->below++;
		else if (m->out->nr >= MAX_POOLS)
			m->out->beyond++;
		else
			err = add_pool(m, m->order[i]);
	}
	return err;
}

/* One namespace: its sockets are those from first to before end. */
static int make_of_netns(struct maker *m, size_t first, size_t end)
{
	uint32_t from = m->nr_tuples;
	int err = 0;

	m->rules = rules_of(m->opts, m->sockets->at[first].netns);
	if (!m->rules)
		return 0;
	find_bound(m, first, end);
	for (size_t i = first; !err && i < end; i++) {
		const struct tcp_socket *s = &m->sockets->at[i];

		if (is_connected(s) && port_rules__offers(m->rules, s->local_port) &&
		    !m->bound[s->local_port])
			err = count_tuple(m, i);
	}
	if (!err)
		err = add_pools(m, from);
	for (size_t i = first; !err && i < end; i++) {
		uint32_t *of = &m->out->of_socket[i];

		if (*of == PORT_POOL_NONE)
			continue;
		*of = m->tuples[*of].pool;
		if (*of != PORT_POOL_NONE)
			use_port(&m->out->at[*of], &m->sockets->at[i]);
	}
	if (!err)
		claim_ports(m, first, end);
	return err ? err : add_own_pools(m, first, end);
}

/* --- in order --------------------------------------------------------------------------------- */

static int compare_pools(const void *a, const void *b)
{
	const struct port_pool *x = a, *y = b;
	/* Shares in use, x->taken / x->capacity against y's, without division. */
	uint64_t of_x = (uint64_t)(x->capacity - x->free) * y->capacity;
	uint64_t of_y = (uint64_t)(y->capacity - y->free) * x->capacity;

	if (of_x != of_y)
		return of_x < of_y ? 1 : -1;
	if (port_pool__used(x) != port_pool__used(y))
		return port_pool__used(x) < port_pool__used(y) ? 1 : -1;
	return memcmp(&x->key, &y->key, sizeof(x->key));
}

static int sort_pools(struct port_pools *p, size_t nr_sockets)
{
	uint32_t *now_at = malloc((p->nr + 1) * sizeof(*now_at));

	if (!now_at)
		return -ENOMEM;
	if (p->nr)
		qsort(p->at, p->nr, sizeof(*p->at), compare_pools);
	for (uint32_t i = 0; i < p->nr; i++)
		now_at[p->at[i].made] = i;
	for (size_t i = 0; i < nr_sockets; i++) {
		if (p->of_socket[i] != PORT_POOL_NONE)
			p->of_socket[i] = now_at[p->of_socket[i]];
	}
	for (uint32_t i = 0; i < p->nr_members; i++)
		p->members[i].pool = now_at[p->members[i].pool];
	free(now_at);
	return 0;
}

static int make_all(struct maker *m)
{
	const struct socket_list *s = m->sockets;
	size_t first = 0, end;
	int err = 0;

	for (; !err && first < s->nr; first = end) {
		for (end = first; end < s->nr && s->at[end].netns == s->at[first].netns;)
			end++;
		err = make_of_netns(m, first, end);
	}
	for (uint32_t i = 0; !err && i < m->out->nr; i++)
		count_pool(&m->out->at[i]);
	return err ? err : sort_pools(m->out, s->nr);
}

int port_pools__make(struct port_pools *out, const struct socket_list *sockets,
		     const struct port_pools_options *opts)
{
	struct maker *m = calloc(1, sizeof(*m));
	int err = -ENOMEM;

	memset(out, 0, sizeof(*out));
	if (!m)
		return -ENOMEM;
	m->out = out;
	m->sockets = sockets;
	m->opts = opts;
	m->tuples = calloc(sockets->nr + 1, sizeof(*m->tuples));
	m->order = calloc(sockets->nr + 1, sizeof(struct tuple *));
	out->of_socket = malloc((sockets->nr + 1) * sizeof(*out->of_socket));
	if (m->tuples && m->order && out->of_socket) {
		memset(out->of_socket, 0xff, sockets->nr * sizeof(*out->of_socket));
		err = make_all(m);
	}
	HASH_CLEAR(hh, m->by_key);
	free(m->order);
	free(m->tuples);
	free(m);
	if (err)
		port_pools__clear(out);
	return err;
}

void port_pools__clear(struct port_pools *p)
{
	for (uint32_t i = 0; i < p->nr; i++) {
		free(p->at[i].ports);
		free(p->at[i].own_rules);
	}
	free(p->members);
	free(p->at);
	free(p->of_socket);
	memset(p, 0, sizeof(*p));
}

uint32_t port_pool__used(const struct port_pool *p)
{
	return p->capacity - p->nr[PORT_FREE];
}

/* --- rates ------------------------------------------------------------------------------------ */

double port_pool__sustainable(const struct port_pool *p)
{
	return p->capacity / (p->reuse ? p->rules->reuse_delay_ms / 1000.0 : TIME_WAIT_MS / 1000.0);
}

bool port_pool__is_spared(const struct port_pool *p)
{
	return p->rules->max_time_wait < p->capacity;
}

/*
 * What is opened now comes back hold_s later; what is in TIME_WAIT, when its time is over. After
 * both the pool neither gains nor loses. The limit of TIME_WAITs is of the whole namespace: this
 * pool may have all of it.
 */
double port_pool__exhaustion(const struct port_pool *p, struct port_load rate)
{
	enum { WAIT_S = TIME_WAIT_MS / 1000 };
	double parked[2 * WAIT_S + 1] = {0}; /* in each second */
	double left = p->free, waiting = p->nr[PORT_TIME_WAIT];
	uint32_t hold_s = WAIT_S;

	if (p->reuse)
		hold_s = (p->rules->reuse_delay_ms + 999ULL) / 1000;
	if (hold_s > WAIT_S)
		hold_s = WAIT_S;
	if (!p->free)
		return 0;
	for (uint32_t t = 1; rate.parked + rate.held > 0 && t <= WAIT_S + hold_s; t++) {
		double change = t <= WAIT_S ? p->returning[t] : 0, room;

		change += t > hold_s ? parked[t - hold_s] : 0;
		waiting -= change;
		room = p->rules->max_time_wait - waiting;
		parked[t] = rate.parked < room ? rate.parked : room > 0 ? room : 0;
		waiting += parked[t];
		change += (t > hold_s ? rate.held : 0) - rate.held - parked[t];
		if (left + change <= 0)
			return t - 1 + left / -change;
		left += change;
	}
	return -1;
}

void port_pool__set_rates(struct port_pool *p, double opens, struct port_load keeping)
{
	p->rate_per_second = opens;
	p->seconds_left = port_pool__exhaustion(p, keeping);
}

/* Of those that are found in a census each has a port still. */
static void set_rate(struct port_pool *p, uint32_t parked, uint32_t held, double seconds)
{
	port_pool__set_rates(
		p, (parked + held) / seconds,
		(struct port_load){.parked = parked / seconds, .held = held / seconds});
}

void port_pools__rate_by_age(struct port_pools *p, const struct socket_list *sockets)
{
	uint32_t *recent = calloc(2 * (p->nr + 1), sizeof(*recent)), *oldest;

	if (!recent)
		return;
	oldest = recent + p->nr;
	for (size_t i = 0; i < sockets->nr; i++) {
		const struct tcp_socket *s = &sockets->at[i];
		uint32_t pool = p->of_socket[i], age_ms;

		if (pool == PORT_POOL_NONE || s->state != SOCKET_TIME_WAIT ||
		    s->timer_ms > TIME_WAIT_MS)
			continue;
		age_ms = TIME_WAIT_MS - s->timer_ms;
		if (age_ms > oldest[pool])
			oldest[pool] = age_ms;
		recent[pool] += age_ms < RATE_WINDOW_MS;
	}
	for (uint32_t i = 0; i < p->nr; i++) {
		uint32_t window_ms = oldest[i] < RATE_WINDOW_MS ? oldest[i] : RATE_WINDOW_MS;

		/* Of what began a moment ago no rate can be told yet. */
		if (window_ms >= 1000)
			set_rate(&p->at[i], recent[i], 0, window_ms / 1000.0);
	}
	free(recent);
}

static int compare_cookies(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

int port_pools__rate_by_census(struct port_pools *p, const struct socket_list *sockets,
			       const struct socket_list *before, uint64_t between_ns)
{
	uint64_t *cookies = malloc((before->nr + 1) * sizeof(*cookies));
	uint32_t(*opened)[2] = calloc(p->nr + 1, sizeof(*opened)); /* held, parked */
	const uint64_t none = 0;
	int err = -ENOMEM;

	if (!cookies || !opened)
		goto out;
	err = 0;
	for (size_t i = 0; i < before->nr; i++)
		cookies[i] = before->at[i].cookie;
	qsort(cookies, before->nr, sizeof(*cookies), compare_cookies);
	for (size_t i = 0; i < sockets->nr; i++) {
		if (p->of_socket[i] != PORT_POOL_NONE &&
		    !bsearch(&sockets->at[i].cookie, cookies, before->nr, sizeof(*cookies),
			     compare_cookies))
			opened[p->of_socket[i]][sockets->at[i].state == SOCKET_TIME_WAIT]++;
	}
	if (bsearch(&none, cookies, before->nr, sizeof(*cookies), compare_cookies))
		between_ns = 0; /* they are not known here: neither is what is new */
	for (uint32_t i = 0; between_ns && i < p->nr; i++)
		set_rate(&p->at[i], opened[i][1], opened[i][0], (double)between_ns / 1e9);
out:
	free(cookies);
	free(opened);
	return err;
}
