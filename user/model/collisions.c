/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "user/model/collisions.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "user/model/pairs.h"
#include "user/model/sites.h"

/* A SYN is sent again after 2 jiffies at the earliest (TCP_TIMEOUT_MIN): 2 ms at 1000 Hz. */
#define MIN_DELAY_NS 1500000ULL

void collisions__end(struct collision_table *t, struct process_table *p, const struct churn_end *e,
		     struct process *owner)
{
	struct killed *k;

	if (e->conn.role != CHURN_SERVER || e->error != EPIPE ||
	    e->conn.initiator != CHURN_END_PEER)
		return;
	k = &t->killed[t->next++ % COLLISIONS_KILLED];
	process__hold(p, owner);
	process__release(p, k->process);
	pair_key_of(&k->pair, &e->conn);
	k->netns = e->conn.netns;
	k->ended_ns = e->h.ts_ns;
	k->waited_ns = e->ending_ns && e->ending_ns < e->h.ts_ns ? e->h.ts_ns - e->ending_ns : 0;
	k->process = owner;
	k->stack = e->conn.stack;
}

static struct killed *find_killed(struct collision_table *t, const struct churn_conn *c)
{
	struct pair_key key;

	pair_key_of(&key, c);
	for (uint32_t i = 0; i < COLLISIONS_KILLED; i++) {
		struct killed *k = &t->killed[i];

		if (k->ended_ns >= c->open_ns && k->ended_ns <= c->established_ns &&
		    !memcmp(&k->pair, &key, sizeof(key)) && pair_may_meet(&key, c->netns, k->netns))
			return k;
	}
	return NULL;
}

/* An older connection of the tuple whose accepting side is still there. */
static struct conn *find_stale(const struct conn_table *conns, const struct churn_conn *c)
{
	struct pair_key key;

	pair_key_of(&key, c);
	for (struct conn *o = pairs__find(conns, &key); o; o = pairs__next(o))
		if (o->role == CHURN_SERVER && !o->ended_ns && o->open_ns < c->open_ns &&
		    pair_may_meet(&key, c->netns, o->netns))
			return o;
	return NULL;
}

static struct collisions *book(struct process_table *p, struct flow_state *f,
			       const struct churn_conn *c, struct process *holder, uint64_t stack)
{
	struct collisions *sum = f->collisions;

	if (!sum)
		sum = f->collisions = calloc(1, sizeof(*sum));
	if (!sum)
		return NULL;
	f->pub.collisions = sum;
	if (sum->holder && !process__identity(holder))
		return sum;
	sum->client_port = c->local_port;
	sum->holder_stack = stack;
	memcpy(sum->client_addr, c->local_addr, sizeof(sum->client_addr));
	process__hold(p, holder);
	process__release(p, f->collided_with);
	f->collided_with = holder;
	sum->holder = process__identity(holder);
	return sum;
}

struct conn *collisions__open(struct collision_table *t, struct process_table *p,
			      const struct conn_table *conns, struct flow_state *f,
			      const struct churn_open *e, int *err)
{
	uint64_t took = e->conn.established_ns - e->conn.open_ns;
	struct conn *stale = NULL;
	struct collisions *sum;
	struct killed *k;

	*err = 0;
	if (!e->conn.open_ns || e->conn.established_ns < e->conn.open_ns || took < MIN_DELAY_NS)
		return NULL;
	k = find_killed(t, &e->conn);
	if (!k) {
		stale = find_stale(conns, &e->conn);
		/* Of one that is followed the end would have been told. */
		if (!stale || !stale->waiting)
			return NULL;
	}
	sum = book(p, f, &e->conn, k ? k->process : stale->process, k ? k->stack : 0);
	if (!sum || histogram__add(&sum->delay, took)) {
		*err = -ENOMEM;
		return NULL;
	}
	sum->healed++;
	if (k && k->waited_ns > sum->waited_ns)
		sum->waited_ns = k->waited_ns;
	if (k)
		k->ended_ns = 0;
	return stale;
}

int collisions__failed(struct process_table *p, const struct conn_table *conns,
		       struct flow_state *f, const struct churn_end *e)
{
	struct collisions *sum;
	struct conn *stale;

	if (!e->conn.local_port ||
	    (e->cause != CHURN_CAUSE_TIMEOUT && e->cause != CHURN_CAUSE_ABORTED))
		return 0;
	stale = find_stale(conns, &e->conn);
	if (!stale)
		return 0;
	sum = book(p, f, &e->conn, stale->process, site__stack(stale->site));
	if (!sum)
		return -ENOMEM;
	sum->hung++;
	if (e->h.ts_ns - e->conn.open_ns > sum->hung_ns)
		sum->hung_ns = e->h.ts_ns - e->conn.open_ns;
	return 0;
}

void collision_table__clear(struct collision_table *t, struct process_table *p)
{
	for (uint32_t i = 0; i < COLLISIONS_KILLED; i++)
		process__release(p, t->killed[i].process);
	memset(t, 0, sizeof(*t));
}
