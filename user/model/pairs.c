/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "user/model/pairs.h"

#include <errno.h>
#include <string.h>

/* Clocks of two CPUs, and an RST that overtakes its own connection: how much later than the end of
 * the client the server's socket may have been made. */
#define DISORDER_NS 1000000000ULL

void pair_key_of(struct pair_key *key, const struct churn_conn *c)
{
	bool client = c->role == CHURN_CLIENT;

	memcpy(key->client, client ? c->local_addr : c->peer_addr, sizeof(key->client));
	memcpy(key->server, client ? c->peer_addr : c->local_addr, sizeof(key->server));
	key->client_port = client ? c->local_port : c->peer_port;
	key->server_port = client ? c->peer_port : c->local_port;
}

struct conn *pairs__find(const struct conn_table *t, const struct pair_key *key)
{
	struct conn *c;

	HASH_FIND(pair_hh, t->pairs, key, sizeof(*key), c);
	return c;
}

/* Ports are used again: the ends belong together only if they lived at the same time. The SYN
 * leaves before the server's socket is made. */
static bool contemporary(const struct conn *a, const struct conn *b)
{
	const struct conn *client = a->role == CHURN_CLIENT ? a : b;
	const struct conn *server = a->role == CHURN_CLIENT ? b : a;

	return client->open_ns <= server->open_ns &&
	       (!client->ended_ns || server->open_ns <= client->ended_ns + DISORDER_NS);
}

static struct conn *mate_among(struct conn *kin, const struct conn *c)
{
	struct conn *elsewhere = NULL;

	for (struct conn *o = kin; o; o = o->kin_next) {
		if (o->role == c->role || o->mate || !contemporary(c, o))
			continue;
		if (o->netns == c->netns)
			return o;
		elsewhere = o;
	}
	return elsewhere;
}

struct conn *pairs__mate(const struct conn_table *t, const struct conn *c)
{
	return mate_among(pairs__find(t, &c->pair), c);
}

int pairs__add(struct conn_table *t, struct conn *c)
{
	struct conn *first;
	uint32_t hash;

	HASH_VALUE(&c->pair, sizeof(c->pair), hash);
	HASH_FIND_BYHASHVALUE(pair_hh, t->pairs, &c->pair, sizeof(c->pair), hash, first);
	c->mate = mate_among(first, c);
	if (first) {
		c->kin_prev = first;
		c->kin_next = first->kin_next;
		if (c->kin_next)
			c->kin_next->kin_prev = c;
		first->kin_next = c;
	} else {
		HASH_ADD_BYHASHVALUE(pair_hh, t->pairs, pair, sizeof(c->pair), hash, c);
		if (!c->pair_hh.tbl)
			return -ENOMEM;
	}
	if (c->mate)
		c->mate->mate = c;
	return 0;
}

void pairs__remove(struct conn_table *t, struct conn *c)
{
	struct conn *next = c->kin_next;

	if (c->mate)
		c->mate->mate = NULL;
	c->mate = NULL;
	if (next)
		next->kin_prev = c->kin_prev;
	if (c->kin_prev) {
		c->kin_prev->kin_next = next;
		return;
	}
	if (c->pair_hh.tbl)
		HASH_DELETE(pair_hh, t->pairs, c);
	/* Without memory for it the others only lose their other ends. */
	if (next)
		HASH_ADD_BYHASHVALUE(pair_hh, t->pairs, pair, sizeof(next->pair), c->pair_hh.hashv,
				     next);
}
