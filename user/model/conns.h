/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Connections: the live ones, and those that ended a short while ago, kept so that the record of
 * their other end still finds them.
 */
#ifndef CHURN_MODEL_CONNS_H
#define CHURN_MODEL_CONNS_H

#include <stdbool.h>
#include <stdint.h>

#include "bpf/event.h"

struct flow_state;
struct pool;
struct process;
struct service_state;
struct site;

/* The socket cookie alone, or without it (before kernel 5.12) the rest. Not the owner: the close of
 * an accepted connection may name a better one than its open did. */
struct conn_key {
	uint64_t id;
	uint64_t open_ns;
	uint32_t netns;
	uint16_t local_port;
	uint16_t peer_port;
};

/* The four-tuple from the client's side: both ends have the same. */
struct pair_key {
	uint8_t client[16];
	uint8_t server[16];
	uint16_t client_port;
	uint16_t server_port;
	uint32_t hash; /* of what stands before */
};

/* What connections are looked up by. */
enum conn_by {
	CONN_BY_KEY,  /* live ones, one of each */
	CONN_BY_PAIR, /* all: the two ends, and what another netns has */
	CONN_BY__COUNT
};

/* 100,000 of them are nothing unusual: what they are linked by is kept short. */
struct conn {
	struct pair_key pair;
	uint32_t netns;
	uint8_t role;
	uint8_t attribution;
	bool waiting : 1;      /* in CLOSE_WAIT since before the trace */
	bool avoidable : 1;    /* its open */
	bool unattributed : 1; /* its open was booked without a process */
	bool missing : 1;      /* in the last census */
	uint64_t id;	       /* churn_conn.id */
	uint64_t open_ns;
	uint64_t ended_ns;	       /* 0: live */
	struct process *process;       /* held; NULL: unknown */
	struct pool *pool;	       /* client with a known process, while live */
	struct flow_state *flow;       /* client */
	struct service_state *service; /* server */
	struct site *site;	       /* held while live; server: NULL where not seen */
	struct conn *mate;	       /* the other end, when it is on this host */
	struct conn *prev, *next;      /* among the ended ones, oldest first */
	struct conn *chain[CONN_BY__COUNT];
};

/* A hash table; a chain has its newest one first. */
struct conn_chains {
	struct conn **at;
	uint32_t cap; /* a power of two */
	uint32_t nr;  /* connections */
};

struct conn_table {
	struct conn_chains by[CONN_BY__COUNT];
	struct conn *ended;
	uint32_t nr_ended;
	struct conn *spare; /* to be used again, by next */
	uint32_t nr_spare;
	uint32_t max_live;
};

/* How many are live. */
static inline uint32_t conn_table__nr_live(const struct conn_table *t)
{
	return t->by[CONN_BY_KEY].nr;
}

/* Enters c into one of the tables, takes it out again. 0 or -ENOMEM. */
int conn_table__link(struct conn_table *t, enum conn_by by, struct conn *c);
void conn_table__unlink(struct conn_table *t, enum conn_by by, struct conn *c);
/* The first of the chain in which those are that have the pair. */
struct conn *conn_table__chain(const struct conn_table *t, const struct pair_key *key);

struct conn *conn_table__find(const struct conn_table *t, const struct churn_conn *c);
/* By cookie, or when that is 0 by the rest. */
struct conn *conn_table__find_key(const struct conn_table *t, const struct conn_key *key);
void conn_key_of(struct conn_key *key, const struct churn_conn *c);
/* Makes one, live, and links it with its other end; the caller has seen that there is room, and
 * that no live one has its key. `pair` is that of c. NULL: no memory. */
struct conn *conn_table__add(struct conn_table *t, const struct churn_conn *c,
			     const struct pair_key *pair);
/* Makes it an ended one. */
void conn_table__end(struct conn_table *t, struct conn *c, uint64_t now_ns);
/* An older connection of the same netns, role and tuple: it has ended, seen or not. */
struct conn *conn_table__predecessor(const struct conn_table *t, const struct churn_conn *c,
				     const struct pair_key *pair);
/* An ended one that is not needed any more at now_ns, NULL: none. */
struct conn *conn_table__expired(const struct conn_table *t, uint64_t now_ns);
/* The caller has released what it holds. */
void conn_table__remove(struct conn_table *t, struct conn *c);
/* Frees them all, for the end of the model: of what they hold, only the sites are released. */
void conn_table__clear(struct conn_table *t);

#endif /* CHURN_MODEL_CONNS_H */
