/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "user/model/conns.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "user/base/hash.h"
#include "user/model/pairs.h"
#include "user/model/sites.h"

#define KEEP_ENDED_NS 5000000000ULL
#define MAX_ENDED     16384
#define MAX_SPARE     16384
#define MIN_CHAINS    256

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

/* --- chains ----------------------------------------------------------------------------------- */

/* Of one without a cookie. */
static struct conn_key key_of(const struct conn *c)
{
	bool client = c->role == CHURN_CLIENT;

	return (struct conn_key){
		.open_ns = c->open_ns,
		.netns = c->netns,
		.local_port = client ? c->pair.client_port : c->pair.server_port,
		.peer_port = client ? c->pair.server_port : c->pair.client_port,
	};
}

static uint32_t id_hash(uint64_t id)
{
	return hash_words(&id, sizeof(id));
}

static uint32_t conn_hash(const struct conn *c, enum conn_by by)
{
	struct conn_key key;

	if (by == CONN_BY_PAIR)
		return c->pair.hash;
	if (c->id)
		return id_hash(c->id);
	key = key_of(c);
	return hash_words(&key, sizeof(key));
}

static struct conn **chain_of(const struct conn_chains *t, uint32_t hash)
{
	return &t->at[hash & (t->cap - 1)];
}

/* Each chain becomes two, in the same order. */
static int chains_grow(struct conn_chains *t, enum conn_by by)
{
	struct conn_chains grown = {.cap = t->cap ? t->cap * 2 : MIN_CHAINS, .nr = t->nr};

	grown.at = calloc(grown.cap, sizeof(struct conn *));
	if (!grown.at)
		return t->cap ? 0 : -ENOMEM; /* longer chains will do */
	for (uint32_t i = 0; i < t->cap; i++) {
		struct conn **end[2] = {&grown.at[i], &grown.at[i + t->cap]};

		for (struct conn *c = t->at[i]; c; c = c->chain[by]) {
			bool upper = conn_hash(c, by) & t->cap;

			*end[upper] = c;
			end[upper] = &c->chain[by];
		}
		*end[0] = *end[1] = NULL;
	}
	free(t->at);
	*t = grown;
	return 0;
}

int conn_table__link(struct conn_table *t, enum conn_by by, struct conn *c)
{
	struct conn_chains *chains = &t->by[by];
	struct conn **chain;

	if (chains->nr >= chains->cap && chains_grow(chains, by))
		return -ENOMEM;
	chain = chain_of(chains, conn_hash(c, by));
	c->chain[by] = *chain;
	*chain = c;
	chains->nr++;
	return 0;
}

void conn_table__unlink(struct conn_table *t, enum conn_by by, struct conn *c)
{
	struct conn **at = chain_of(&t->by[by], conn_hash(c, by));

	while (*at != c)
		at = &(*at)->chain[by];
	*at = c->chain[by];
	t->by[by].nr--;
}

struct conn *conn_table__chain(const struct conn_table *t, const struct pair_key *key)
{
	const struct conn_chains *chains = &t->by[CONN_BY_PAIR];

	return chains->cap ? *chain_of(chains, key->hash) : NULL;
}

/* --- connections ------------------------------------------------------------------------------ */

static struct conn *find_id(const struct conn_table *t, uint64_t id)
{
	const struct conn_chains *chains = &t->by[CONN_BY_KEY];
	struct conn *c = chains->cap ? *chain_of(chains, id_hash(id)) : NULL;

	while (c && c->id != id)
		c = c->chain[CONN_BY_KEY];
	return c;
}

static bool has_key(const struct conn *c, const struct conn_key *key)
{
	struct conn_key own;

	if (c->id)
		return false;
	own = key_of(c);
	return !memcmp(&own, key, sizeof(own));
}

struct conn *conn_table__find_key(const struct conn_table *t, const struct conn_key *key)
{
	const struct conn_chains *chains = &t->by[CONN_BY_KEY];
	struct conn *c;

	if (key->id)
		return find_id(t, key->id);
	c = chains->cap ? *chain_of(chains, hash_words(key, sizeof(*key))) : NULL;
	while (c && !has_key(c, key))
		c = c->chain[CONN_BY_KEY];
	return c;
}

struct conn *conn_table__find(const struct conn_table *t, const struct churn_conn *c)
{
	struct conn_key key;

	if (c->id)
		return find_id(t, c->id);
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

struct conn *conn_table__add(struct conn_table *t, const struct churn_conn *c,
			     const struct pair_key *pair)
{
	struct conn *conn = conn_new(t);

	if (!conn)
		return NULL;
	conn->id = c->id;
	conn->pair = *pair;
	conn->open_ns = c->open_ns;
	conn->netns = c->netns;
	conn->role = c->role;
	conn->attribution = c->attribution;
	if (conn_table__link(t, CONN_BY_KEY, conn))
		goto free_conn;
	if (pairs__add(t, conn)) {
		conn_table__unlink(t, CONN_BY_KEY, conn);
		goto free_conn;
	}
	return conn;
free_conn:
	conn_free(t, conn);
	return NULL;
}

void conn_table__end(struct conn_table *t, struct conn *c, uint64_t now_ns)
{
	conn_table__unlink(t, CONN_BY_KEY, c);
	c->ended_ns = now_ns ? now_ns : 1;
	DL_APPEND(t->ended, c);
	t->nr_ended++;
}

struct conn *conn_table__predecessor(const struct conn_table *t, const struct churn_conn *c,
				     const struct pair_key *pair)
{
	struct conn *old;

	for (old = pairs__find(t, pair); old; old = pairs__next(old))
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
		conn_table__unlink(t, CONN_BY_KEY, c);
	}
	pairs__remove(t, c);
	conn_free(t, c);
}

void conn_table__clear(struct conn_table *t)
{
	const struct conn_chains *all = &t->by[CONN_BY_PAIR];
	struct conn *c, *tmp;

	for (uint32_t i = 0; i < all->cap; i++) {
		for (c = all->at[i]; c; c = tmp) {
			tmp = c->chain[CONN_BY_PAIR];
			site__release(c->site);
			free(c);
		}
	}
	LL_FOREACH_SAFE(t->spare, c, tmp)
	free(c);
	for (int i = 0; i < CONN_BY__COUNT; i++)
		free(t->by[i].at);
	*t = (struct conn_table){.max_live = t->max_live};
}
