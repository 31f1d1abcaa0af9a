/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "user/model/conns.h"

#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "user/model/pairs.h"
#include "user/model/sites.h"

#define KEEP_ENDED_NS 5000000000ULL
#define MAX_ENDED     16384
#define MAX_SPARE     16384

void conn_key_of(struct conn_key *key, const struct churn_conn *c)
{
	memset(key, 0, sizeof(*key));
	key->id = c->id;
	if (c->id)
		return;
	key->open_ns = c->open_ns;
	key->netns = c->netns;
	key->local_port = c->local_port;
	key->peer_port = c->peer_port;
}

struct conn *conn_table__find_key(const struct conn_table *t, const struct conn_key *key)
{
	struct conn *c;

	HASH_FIND(hh, t->live, key, sizeof(*key), c);
	return c;
}

struct conn *conn_table__find(const struct conn_table *t, const struct churn_conn *c)
{
	struct conn_key key;

	conn_key_of(&key, c);
	return conn_table__find_key(t, &key);
}

/* All zeroes. NULL: no memory. */
static struct conn *conn_new(struct conn_table *t)
{
	struct conn *c = t->spare;

	if (!c)
		return calloc(1, sizeof(*c));
	t->spare = c->next;
	t->nr_spare--;
	memset(c, 0, sizeof(*c));
	return c;
}

static void conn_free(struct conn_table *t, struct conn *c)
{
	if (t->nr_spare == MAX_SPARE) {
		free(c);
		return;
	}
	c->next = t->spare;
	t->spare = c;
	t->nr_spare++;
}

struct conn *conn_table__add(struct conn_table *t, const struct churn_conn *c)
{
	struct conn *conn = conn_new(t);

	if (!conn)
		return NULL;
	conn_key_of(&conn->key, c);
	pair_key_of(&conn->pair, c);
	conn->open_ns = c->open_ns;
	conn->netns = c->netns;
	conn->role = c->role;
	conn->attribution = c->attribution;
	HASH_ADD(hh, t->live, key, sizeof(conn->key), conn);
	if (!conn->hh.tbl)
		goto free_conn;
	if (pairs__add(t, conn)) {
		HASH_DELETE(hh, t->live, conn);
		goto free_conn;
	}
	return conn;
free_conn:
	conn_free(t, conn);
	return NULL;
}

void conn_table__end(struct conn_table *t, struct conn *c, uint64_t now_ns)
{
	HASH_DELETE(hh, t->live, c);
	c->ended_ns = now_ns ? now_ns : 1;
	DL_APPEND(t->ended, c);
	t->nr_ended++;
}

struct conn *conn_table__predecessor(const struct conn_table *t, const struct churn_conn *c)
{
	struct pair_key key;
	struct conn *old;

	pair_key_of(&key, c);
	for (old = pairs__find(t, &key); old; old = old->kin_next)
		if (old->role == c->role && old->netns == c->netns)
			return old;
	return NULL;
}

struct conn *conn_table__expired(const struct conn_table *t, uint64_t now_ns)
{
	struct conn *oldest = t->ended;

	if (oldest && (t->nr_ended > MAX_ENDED || oldest->ended_ns + KEEP_ENDED_NS < now_ns))
		return oldest;
	return NULL;
}

void conn_table__remove(struct conn_table *t, struct conn *c)
{
	if (c->ended_ns) {
		DL_DELETE(t->ended, c);
		t->nr_ended--;
	} else {
		HASH_DELETE(hh, t->live, c);
	}
	pairs__remove(t, c);
	conn_free(t, c);
}

void conn_table__clear(struct conn_table *t)
{
	struct conn *c, *tmp;

	HASH_CLEAR(pair_hh, t->pairs);
	HASH_ITER (hh, t->live, c, tmp) {
		HASH_DELETE(hh, t->live, c);
		site__release(c->site);
		free(c);
	}
	DL_FOREACH_SAFE(t->ended, c, tmp)
	free(c);
	LL_FOREACH_SAFE(t->spare, c, tmp)
	free(c);
	t->spare = NULL;
	t->nr_spare = 0;
	t->ended = NULL;
	t->nr_ended = 0;
}
