/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "user/model/flows.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "user/model/error_counts.h"
#include "user/model/groups.h"

/* Keep-alive timeouts of servers are two seconds and more; an answer's last packet and the FIN
 * behind it are closer than this. */
#define SILENCE_NS 1000000000ULL
/* Of fewer opens, or in a shorter time, no rate is told. */
#define MIN_OPENS   20
#define MIN_SPAN_NS 1000000000ULL
#define QUIET_NS    5000000000ULL

void destination_of(struct destination *d, const struct churn_conn *c)
{
	memset(d, 0, sizeof(*d));
	d->netns = c->netns;
	d->family = c->family;
	d->port = c->peer_port;
	memcpy(d->addr, c->peer_addr, sizeof(d->addr));
}

static struct flow_state *find_flow(const struct flow_table *t, const struct flow_key *key)
{
	struct flow_state *f;

	HASH_FIND(hh, t->by_key, key, sizeof(*key), f);
	return f;
}

struct flow_state *flow_table__get(struct flow_table *t, struct group_state *group,
				   const struct destination *dest)
{
	struct flow_key key;
	struct flow_state *f;

	memset(&key, 0, sizeof(key));
	key.group = group;
	memcpy(&key.dest, dest, sizeof(key.dest));
	f = find_flow(t, &key);
	if (!f && (HASH_COUNT(t->by_key) >= t->max || group->pub.nr_flows >= t->max_of_group)) {
		memset(&key.dest, 0, sizeof(key.dest));
		f = find_flow(t, &key);
	}
	if (f)
		return f;
	f = calloc(1, sizeof(*f));
	if (!f)
		return NULL;
	memcpy(&f->key, &key, sizeof(key));
	f->pub.group = &group->pub;
	f->sites.flow = f;
	f->pub.dest = key.dest;
	HASH_ADD(hh, t->by_key, key, sizeof(f->key), f);
	if (!f->hh.tbl) {
		free(f);
		return NULL;
	}
	if (group__add_flow(group, &f->pub)) {
		HASH_DEL(t->by_key, f);
		free(f);
		return NULL;
	}
	return f;
}

int flow__count_attempt(struct flow_state *f, uint64_t ns)
{
	struct flow *p = &f->pub;
	int err = 0;

	if (!p->first_ns || ns < p->first_ns)
		p->first_ns = ns;
	/* Opens are reported when they are established, so a slow one comes late: between those
	 * two there is no telling which interval it was. Family 0 mixes destinations. */
	if (p->last_ns && ns >= p->last_ns && p->dest.family)
		err = histogram__add(&p->interval, ns - p->last_ns);
	if (ns > p->last_ns)
		p->last_ns = ns;
	return err;
}

int flow__count_search(struct flow_state *f, const struct churn_conn *c, uint64_t end_ns)
{
	if (c->search_ns)
		return histogram__add(&f->pub.search, c->search_ns);
	if (c->open_ns && end_ns >= c->open_ns)
		return histogram__add(&f->pub.search_at_most, end_ns - c->open_ns);
	return 0;
}

void flow__count_live(struct flow_state *f)
{
	if (++f->pub.live > f->pub.live_peak)
		f->pub.live_peak = f->pub.live;
}

bool flow__lifetime_of(const struct churn_end *e, uint64_t *ns)
{
	uint64_t end = e->h.ts_ns;

	if (e->ending_ns && e->ending_ns < end)
		end = e->ending_ns;
	if (!e->conn.established_ns || end < e->conn.established_ns)
		return false;
	*ns = end - e->conn.established_ns;
	return true;
}

uint64_t flow__silence_of(const struct churn_end *e)
{
	uint64_t ending = 0;

	if (e->ending_ns && e->ending_ns < e->h.ts_ns)
		ending = e->h.ts_ns - e->ending_ns;
	return e->idle_ns > ending ? e->idle_ns - ending : 0;
}

/* Forgets the seconds that are over by now_ns. */
static void parking_advance(struct parking *p, uint64_t now_ns)
{
	uint64_t second = now_ns / 1000000000;

	if (second >= p->second + PARKING_SECONDS)
		memset(p->entered, 0, sizeof(p->entered));
	else
		for (uint64_t s = p->second + 1; s <= second; s++)
			p->entered[s % PARKING_SECONDS] = 0;
	if (second > p->second)
		p->second = second;
}

static int park(struct flow_state *f, uint64_t now_ns)
{
	if (!f->parking)
		f->parking = calloc(1, sizeof(*f->parking));
	if (!f->parking)
		return -ENOMEM;
	parking_advance(f->parking, now_ns);
	/* One that comes out of order is of about now. */
	f->parking->entered[f->parking->second % PARKING_SECONDS]++;
	return 0;
}

int flow__count_close(struct flow_state *f, const struct churn_end *e)
{
	struct flow *p = &f->pub;
	uint64_t lifetime;
	int err = 0;

	p->closes++;
	p->closed_by[e->conn.initiator]++;
	p->peer_closed_idle +=
		e->conn.initiator == CHURN_END_PEER && flow__silence_of(e) >= SILENCE_NS;
	if (e->time_wait == CHURN_TIME_WAIT_LOCAL) {
		p->time_wait++;
		err = park(f, e->h.ts_ns);
	}
	p->bytes_sent += e->bytes_sent;
	p->bytes_received += e->bytes_received;
	if (!err && flow__lifetime_of(e, &lifetime))
		err = histogram__add(&p->lifetime, lifetime);
	if (!err)
		err = histogram__add(&p->requests, e->data_segs_out);
	return err;
}

double flow__working_rate(const struct flow *f, uint64_t now_ns)
{
	uint64_t span = f->last_ns - f->first_ns, quiet = span > QUIET_NS ? span : QUIET_NS;

	if (now_ns && now_ns > f->last_ns + quiet)
		return 0;
	if (f->opens < MIN_OPENS || span < MIN_SPAN_NS)
		return -1;
	return (double)(f->opens - 1) * 1e9 / (double)span;
}

double flow__parking_share(const struct flow *f)
{
	return f->closes ? (double)f->time_wait / (double)f->closes : 0;
}

void flow__note_local(struct flow_state *f, const uint8_t addr[16])
{
	static const uint8_t unknown[16];
	struct flow *p = &f->pub;

	if (!memcmp(addr, unknown, sizeof(unknown)))
		return;
	if (!memcmp(p->local_addr, unknown, sizeof(unknown)))
		memcpy(p->local_addr, addr, sizeof(p->local_addr));
	else if (memcmp(p->local_addr, addr, sizeof(p->local_addr)))
		p->several_local = true;
}

void flow__count_parked(struct flow_state *f, uint64_t now_ns)
{
	f->pub.parked = 0;
	if (!f->parking)
		return;
	parking_advance(f->parking, now_ns);
	for (size_t i = 0; i < PARKING_SECONDS; i++)
		f->pub.parked += f->parking->entered[i];
}

void flow__set_peer(struct flow_state *f, struct process_table *processes, struct process *peer)
{
	if (!peer || !f->pub.dest.family)
		return;
	if (f->peer != peer) {
		process__hold(processes, peer);
		process__release(processes, f->peer);
		f->peer = peer;
	}
	f->pub.peer = process__identity(peer);
}

void flow_table__clear(struct flow_table *t)
{
	struct flow_state *f, *tmp;

	HASH_ITER (hh, t->by_key, f, tmp) {
		HASH_DEL(t->by_key, f);
		error_counts__clear(&f->pub.failures);
		histogram__clear(&f->pub.lifetime);
		histogram__clear(&f->pub.connect);
		histogram__clear(&f->pub.search);
		histogram__clear(&f->pub.search_at_most);
		histogram__clear(&f->pub.interval);
		histogram__clear(&f->pub.requests);
		free(f->parking);
		if (f->collisions)
			histogram__clear(&f->collisions->delay);
		free(f->collisions);
		site_list__clear(&f->sites);
		free(f);
	}
}
