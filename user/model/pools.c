/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "user/model/pools.h"

#include <stdlib.h>
#include <string.h>
#include <utlist.h>

static void free_pool(struct pool_table *t, struct pool *pool)
{
	uint32_t peak = reuse__peak(&pool->reuse);

	if (pool->flow && peak > pool->flow->pool_peak)
		pool->flow->pool_peak = peak;
	if (!pool->live)
		DL_DELETE2(t->idle, pool, idle_prev, idle_next);
	DL_DELETE(pool->key.process->pools, pool);
	HASH_DEL(t->by_key, pool);
	reuse__clear(&pool->reuse);
	free(pool);
}

struct pool *pool_table__get(struct pool_table *t, struct process *p,
			     const struct destination *dest)
{
	struct pool *pool = p->pools;
	struct pool_key key;

	if (pool && !memcmp(&pool->key.dest, dest, sizeof(*dest)))
		return pool;
	memset(&key, 0, sizeof(key));
	key.process = p;
	memcpy(&key.dest, dest, sizeof(key.dest));
	HASH_FIND(hh, t->by_key, &key, sizeof(key), pool);
	if (pool) {
		DL_DELETE(p->pools, pool);
		DL_PREPEND(p->pools, pool);
		return pool;
	}
	if (HASH_COUNT(t->by_key) >= t->max && t->idle)
		free_pool(t, t->idle);
	pool = calloc(1, sizeof(*pool));
	if (!pool)
		return NULL;
	memcpy(&pool->key, &key, sizeof(key));
	HASH_ADD(hh, t->by_key, key, sizeof(pool->key), pool);
	if (!pool->hh.tbl) {
		free(pool);
		return NULL;
	}
	DL_PREPEND(p->pools, pool);
	DL_APPEND2(t->idle, pool, idle_prev, idle_next);
	return pool;
}

void pool__open(struct pool_table *t, struct pool *pool)
{
	if (!pool->live++)
		DL_DELETE2(t->idle, pool, idle_prev, idle_next);
}

void pool__close(struct pool_table *t, struct pool *pool)
{
	if (!--pool->live)
		DL_APPEND2(t->idle, pool, idle_prev, idle_next);
}

void pool_table__forget(struct pool_table *t, struct process *p)
{
	struct pool *pool, *tmp;

	DL_FOREACH_SAFE(p->pools, pool, tmp)
	free_pool(t, pool);
}

void pool_table__seal(struct pool_table *t)
{
	struct pool *pool, *tmp;

	HASH_ITER (hh, t->by_key, pool, tmp) {
		uint32_t peak = reuse__peak(&pool->reuse);

		if (pool->flow && peak > pool->flow->pub.pool_peak)
			pool->flow->pub.pool_peak = peak;
	}
}

void pool_table__clear(struct pool_table *t)
{
	struct pool *pool, *tmp;

	HASH_ITER (hh, t->by_key, pool, tmp)
		free_pool(t, pool);
}
