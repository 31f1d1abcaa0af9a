/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "user/model/port_history.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static struct port_past *get(struct port_history *h, const struct port_past_key *key)
{
	struct port_past *p;

	HASH_FIND(hh, h->by_key, key, sizeof(*key), p);
	if (p)
		return p;
	p = calloc(1, sizeof(*p));
	if (!p)
		return NULL;
	p->key = *key;
	p->least_free = UINT32_MAX;
	HASH_ADD(hh, h->by_key, key, sizeof(p->key), p);
	if (p->hh.tbl)
		return p;
	free(p);
	return NULL;
}

static struct port_past_key key_of_pool(const struct port_pool_key *pool)
{
	struct port_past_key key = {.netns = pool->netns, .port = pool->port};

	memcpy(key.local, pool->local, sizeof(key.local));
	memcpy(key.peer, pool->peer, sizeof(key.peer));
	return key;
}

static void count_look(struct port_past *past, const struct port_pool *p, uint64_t taken_ns)
{
	past->looks++;
	if (p->free < past->least_free)
		past->least_free = p->free;
	if (p->free)
		return;
	if (!past->empty++)
		past->first_empty_ns = taken_ns;
	past->last_empty_ns = taken_ns;
}

int port_history__look(struct port_history *h, const struct port_pools *pools, uint64_t taken_ns)
{
	for (uint32_t i = 0; i < pools->nr; i++) {
		const struct port_pool *p = &pools->at[i];
		const struct port_past_key key = key_of_pool(&p->key);
		struct port_past *past = get(h, &key);
		double share = p->capacity ? (double)p->free / p->capacity : 0;

		if (!past)
			return -ENOMEM;
		count_look(past, p, taken_ns);
		if (!h->worst_ns || share < h->worst_free) {
			h->worst = h->looks;
			h->worst_ns = taken_ns;
			h->worst_free = share;
		}
	}
	if (!h->looks++)
		h->first_ns = taken_ns;
	h->last_ns = taken_ns;
	return 0;
}

int port_history__end(struct port_history *h, const struct churn_end *e)
{
	struct port_past_key key = {.netns = e->conn.netns, .port = e->conn.peer_port};
	struct port_past *past;

	if (e->cause != CHURN_CAUSE_EPHEMERAL_EXHAUSTED)
		return 0;
	memcpy(key.local, e->conn.local_addr, sizeof(key.local));
	memcpy(key.peer, e->conn.peer_addr, sizeof(key.peer));
	past = get(h, &key);
	if (!past)
		return -ENOMEM;
	if (!past->failures++)
		past->first_failure_ns = e->h.ts_ns;
	past->last_failure_ns = e->h.ts_ns;
	return 0;
}

const struct port_past *port_history__of(const struct port_history *h,
					 const struct port_pool_key *pool)
{
	const struct port_past_key key = key_of_pool(pool);
	const struct port_past *past;

	HASH_FIND(hh, h->by_key, &key, sizeof(key), past);
	return past;
}

void port_history__clear(struct port_history *h)
{
	struct port_past *p, *tmp;

	HASH_ITER (hh, h->by_key, p, tmp) {
		HASH_DEL(h->by_key, p);
		free(p);
	}
	memset(h, 0, sizeof(*h));
}
