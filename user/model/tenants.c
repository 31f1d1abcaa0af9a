/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "user/model/tenants.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "user/base/hash.h"

/* A minute, which starts again with each late segment of the peer; before it may come a minute of
 * FIN_WAIT2 (TCP_TIMEWAIT_LEN, tcp_fin_timeout). */
#define KEEP_NS 130000000000ULL
#define MIN_CAP 1024

static struct tenant *tenant_at(const struct tenant_table *t, uint64_t position)
{
	return &t->ring[position & (t->cap - 1)];
}

static uint64_t *bucket_of(const struct tenant_table *t, const struct tenant_key *key)
{
	return &t->newest[hash_words(key, sizeof(*key)) & (t->cap - 1)];
}

static struct tenant *find_in(const struct tenant_table *t, const uint64_t *bucket,
			      const struct tenant_key *key)
{
	uint64_t position = *bucket;

	while (position >= t->first) {
		struct tenant *at = tenant_at(t, position);

		if (!memcmp(&at->key, key, sizeof(*key)))
			return at;
		if (!at->back)
			break;
		position -= at->back;
	}
	return NULL;
}

/* There is room. */
static void push(struct tenant_table *t, uint64_t *bucket, const struct tenant *new)
{
	struct tenant *at = tenant_at(t, t->end);

	*at = *new;
	at->back = *bucket >= t->first ? (uint32_t)(t->end - *bucket) : 0;
	*bucket = t->end++;
}

/* One that was renewed goes to the end of the line instead. */
static void forget_first(struct tenant_table *t, struct process_table *processes)
{
	struct tenant old = *tenant_at(t, t->first++);

	if (old.renewed) {
		old.renewed = false;
		push(t, bucket_of(t, &old.key), &old);
		return;
	}
	process__release(processes, old.process);
	site__release(old.site);
}

static int grow(struct tenant_table *t)
{
	struct tenant_table old = *t;

	t->cap = old.cap ? old.cap * 2 : MIN_CAP;
	t->ring = malloc(t->cap * sizeof(*t->ring));
	t->newest = calloc(t->cap, sizeof(*t->newest));
	if (!t->ring || !t->newest) {
		free(t->ring);
		free(t->newest);
		*t = old;
		return -ENOMEM;
	}
	t->first = t->end = 1;
	for (uint64_t i = old.first; i < old.end; i++) {
		const struct tenant *moved = tenant_at(&old, i);

		push(t, bucket_of(t, &moved->key), moved);
	}
	free(old.ring);
	free(old.newest);
	return 0;
}

static int make_room(struct tenant_table *t, struct process_table *processes, uint64_t now_ns)
{
	while (t->first < t->end) {
		const struct tenant *oldest = tenant_at(t, t->first);

		if (t->end - t->first < t->max && !oldest->renewed &&
		    oldest->ended_ns + KEEP_NS >= now_ns)
			break;
		forget_first(t, processes);
	}
	return t->end - t->first == t->cap ? grow(t) : 0;
}

int tenant_table__add(struct tenant_table *t, struct process_table *processes,
		      const struct churn_end *e, struct process *process, struct site *site)
{
	struct tenant new = {.cookie = churn_cookie(&e->conn),
			     .ended_ns = e->h.ts_ns,
			     .process = process,
			     .site = site};
	struct tenant *known;

	if (!t->max)
		return 0;
	memcpy(new.key.local_addr, e->conn.local_addr, sizeof(new.key.local_addr));
	memcpy(new.key.peer_addr, e->conn.peer_addr, sizeof(new.key.peer_addr));
	new.key.local_port = e->conn.local_port;
	new.key.peer_port = e->conn.peer_port;
	new.key.netns = e->conn.netns;
	known = t->cap ? find_in(t, bucket_of(t, &new.key), &new.key) : NULL;
	if (!known && make_room(t, processes, e->h.ts_ns))
		return -ENOMEM;
	process__hold(processes, process);
	site__hold(site);
	if (!known) {
		push(t, bucket_of(t, &new.key), &new);
		return 0;
	}
	process__release(processes, known->process);
	site__release(known->site);
	new.back = known->back;
	new.renewed = true;
	*known = new;
	return 0;
}

const struct tenant *tenant_table__find(const struct tenant_table *t, const struct tcp_socket *s)
{
	struct tenant_key key = {
		.local_port = s->local_port, .peer_port = s->peer_port, .netns = s->netns};
	const struct tenant *found;

	if (!t->cap)
		return NULL;
	memcpy(key.local_addr, s->local_addr, sizeof(key.local_addr));
	memcpy(key.peer_addr, s->peer_addr, sizeof(key.peer_addr));
	found = find_in(t, bucket_of(t, &key), &key);
	if (found && found->cookie && s->cookie && found->cookie != s->cookie)
		return NULL;
	return found;
}

void tenant_table__clear(struct tenant_table *t, struct process_table *processes)
{
	for (; t->first < t->end; t->first++) {
		process__release(processes, tenant_at(t, t->first)->process);
		site__release(tenant_at(t, t->first)->site);
	}
	free(t->ring);
	free(t->newest);
	*t = (struct tenant_table){.max = t->max};
}
