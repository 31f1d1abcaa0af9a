/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "user/model/pairs.h"

#include <errno.h>
#include <string.h>

#include "user/base/hash.h"
#include "user/model/socket.h"

/* Clocks of two CPUs, and an RST that overtakes its own connection: how much later than the end of
 * the client the server's socket may have been made. */
#define DISORDER_NS 1000000000ULL

void pair_key_of_ends(struct pair_key *key, const uint8_t client[16], uint16_t client_port,
		      const uint8_t server[16], uint16_t server_port)
{
	memcpy(key->client, client, sizeof(key->client));
	memcpy(key->server, server, sizeof(key->server));
	key->client_port = client_port;
	key->server_port = server_port;
	key->hash = hash_words(key, offsetof(struct pair_key, hash));
}

void pair_key_of(struct pair_key *key, const struct churn_conn *c)
{
	if (c->role == CHURN_CLIENT)
		pair_key_of_ends(key, c->local_addr, c->local_port, c->peer_addr, c->peer_port);
	else
		pair_key_of_ends(key, c->peer_addr, c->peer_port, c->local_addr, c->local_port);
}

bool pair_may_meet(const struct pair_key *key, uint32_t netns, uint32_t other_netns)
{
	return netns == other_netns || !addr_is_loopback(key->server);
}

static bool same_pair(const struct pair_key *a, const struct pair_key *b)
{
	return a->hash == b->hash && !memcmp(a, b, sizeof(*a));
}

static struct conn *of_pair(struct conn *c, const struct pair_key *key)
{
	while (c && !same_pair(&c->pair, key))
		c = c->chain[CONN_BY_PAIR];
	return c;
}

struct conn *pairs__find(const struct conn_table *t, const struct pair_key *key)
{
	return of_pair(conn_table__chain(t, key), key);
}

struct conn *pairs__next(const struct conn *c)
{
	return of_pair(c->chain[CONN_BY_PAIR], &c->pair);
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

struct conn *pairs__mate(const struct conn_table *t, const struct conn *c)
{
	struct conn *elsewhere = NULL;

	for (struct conn *o = pairs__find(t, &c->pair); o; o = pairs__next(o)) {
		if (o->role == c->role || o->mate || !contemporary(c, o))
			continue;
		if (o->netns == c->netns)
			return o;
		if (!elsewhere && pair_may_meet(&c->pair, c->netns, o->netns))
			elsewhere = o;
	}
	return elsewhere;
}

int pairs__add(struct conn_table *t, struct conn *c)
{
	c->mate = pairs__mate(t, c);
	if (conn_table__link(t, CONN_BY_PAIR, c))
		return -ENOMEM;
	if (c->mate)
		c->mate->mate = c;
	return 0;
}

void pairs__remove(struct conn_table *t, struct conn *c)
{
	if (c->mate)
		c->mate->mate = NULL;
	c->mate = NULL;
	conn_table__unlink(t, CONN_BY_PAIR, c);
}
