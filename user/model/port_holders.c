/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "user/model/port_holders.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "user/base/hash.h"

struct key {
	const struct process_identity *process;
	uint64_t callsite_id;
	uint64_t pool;
};

struct entry {
	struct key key;
	struct port_holder holder;
	UT_hash_handle hh;
};

static int count(struct entry **by_key, uint32_t pool, const struct tcp_socket *s,
		 const struct socket_holder *who)
{
	struct key key = {.process = who->process, .callsite_id = who->callsite_id, .pool = pool};
	struct entry *e;

	HASH_FIND(hh, *by_key, &key, sizeof(key), e);
	if (!e) {
		e = calloc(1, sizeof(*e));
		if (!e)
			return -ENOMEM;
		e->key = key;
		e->holder.who = *who;
		e->holder.pool = pool;
		HASH_ADD(hh, *by_key, key, sizeof(e->key), e);
		if (!e->hh.tbl) {
			free(e);
			return -ENOMEM;
		}
	}
	e->holder.established += s->state == SOCKET_ESTABLISHED;
	e->holder.time_wait += s->state == SOCKET_TIME_WAIT;
	e->holder.older += who->older;
	e->holder.other += s->state != SOCKET_ESTABLISHED && s->state != SOCKET_TIME_WAIT;
	return 0;
}

static uint32_t held(const struct port_holder *h)
{
	return h->established + h->time_wait + h->other;
}

static int compare(const void *a, const void *b)
{
	const struct port_holder *x = a, *y = b;

	if (x->pool != y->pool)
		return x->pool < y->pool ? -1 : 1;
	if (!x->who.process != !y->who.process)
		return x->who.process ? -1 : 1;
	if (held(x) != held(y))
		return held(x) < held(y) ? 1 : -1;
	return 0;
}

static int take_out(struct port_holders *out, struct entry **by_key)
{
	uint32_t nr = HASH_COUNT(*by_key);
	struct entry *e, *tmp;

	out->at = nr ? malloc(nr * sizeof(*out->at)) : NULL;
	HASH_ITER (hh, *by_key, e, tmp) {
		if (out->at)
			out->at[out->nr++] = e->holder;
		HASH_DEL(*by_key, e);
		free(e);
	}
	if (nr && !out->at)
		return -ENOMEM;
	if (nr)
		qsort(out->at, out->nr, sizeof(*out->at), compare);
	return 0;
}

int port_holders__make(struct port_holders *out, const struct port_pools *pools,
		       const struct socket_list *sockets, port_holder_finder find, void *ctx)
{
	struct entry *by_key = NULL;
	int err = 0, ret;

	memset(out, 0, sizeof(*out));
	for (size_t i = 0; !err && i < sockets->nr; i++) {
		struct socket_holder who = {.frame = -1};

		if (pools->of_socket[i] == PORT_POOL_NONE)
			continue;
		find(ctx, &sockets->at[i], &who);
		err = count(&by_key, pools->of_socket[i], &sockets->at[i], &who);
	}
	for (uint32_t i = 0; !err && i < pools->nr_members; i++) {
		const struct port_member *m = &pools->members[i];
		struct socket_holder who = {.frame = -1};

		find(ctx, &sockets->at[m->socket], &who);
		err = count(&by_key, m->pool, &sockets->at[m->socket], &who);
	}
	ret = take_out(out, &by_key);
	if (err || ret)
		port_holders__clear(out);
	return err ? err : ret;
}

void port_holders__clear(struct port_holders *h)
{
	free(h->at);
	memset(h, 0, sizeof(*h));
}

const struct port_holder *port_holders__of(const struct port_holders *h, uint32_t pool,
					   uint32_t *nr)
{
	uint32_t first = 0, end;

	while (first < h->nr && h->at[first].pool < pool)
		first++;
	for (end = first; end < h->nr && h->at[end].pool == pool;)
		end++;
	*nr = end - first;
	return h->at + first;
}
