/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Port pools: for each (netns, local address, peer address, peer port) the source ports that
 * connect() may choose from, and what became of each, by the kernel's own rule
 * (__inet_hash_connect() in net/ipv4/inet_hashtables.c). Made from a census; pure.
 *
 * connect() skips a port that anybody has bound, whatever the destination, and one whose four-tuple
 * exists, unless that is a TIME_WAIT it may take over. It looks at every second port first: once
 * those are gone each connect() searches half of the range in vain before it finds one.
 */
#ifndef CHURN_MODEL_PORT_POOLS_H
#define CHURN_MODEL_PORT_POOLS_H

#include <stdbool.h>
#include <stdint.h>

#include "user/model/port_rules.h"
#include "user/model/socket.h"

struct port_pool_key {
	uint32_t netns;
	uint32_t device; /* that the sockets are bound to, 0: any */
	uint8_t local[16], peer[16];
	uint16_t port; /* of the peer */
	uint8_t family;
	uint8_t pad;
	/* Of sockets with a range of their own (IP_LOCAL_PORT_RANGE): it, within the namespace's;
	 * their ports are in the pool of all, too. 0: the pool of all. */
	uint16_t low, high;
};

enum port_use {
	PORT_OUTSIDE, /* reserved, or lost to an odd number of them */
	PORT_BOUND,   /* somebody bound it: no connect() shares it */
	PORT_FREE,
	PORT_REUSABLE,	/* in TIME_WAIT, but connect() may take it over: as good as free */
	PORT_TIME_WAIT, /* in TIME_WAIT, and taken */
	PORT_ESTABLISHED,
	PORT_OTHER, /* being opened or closed */
	PORT_USE__COUNT
};

#define PORT_POOL_NONE UINT32_MAX

/* What connect() spent on finding a port, as a trace saw it; ns. */
struct port_cost {
	uint64_t nr; /* of them, 0: nothing is known */
	uint64_t median, p99, max;
	bool measured; /* the search alone; else all of connect(), or of its failure */
};

struct port_pool {
	struct port_pool_key key;
	const struct port_rules *rules;
	struct port_rules *own_rules; /* the same, of a range of its own */
	uint8_t *ports;		      /* enum port_use of low to high */
	/* Ports of each use; capacity is all of them but outside and bound. */
	uint32_t nr[PORT_USE__COUNT];
	uint32_t capacity;
	uint32_t free;		/* connects that would succeed now: free or reusable */
	uint32_t cliff;		/* ports in use at which connect() becomes slow */
	uint32_t fast_free;	/* those of `free` that connect() finds at once */
	bool reuse;		/* its TIME_WAITs can be taken over when old enough */
	bool estimated;		/* binds and timestamps were not all known */
	double rate_per_second; /* opens, < 0: unknown */
	double seconds_left;	/* to exhaustion at that rate, < 0: never, or unknown */
	struct port_cost cost;
	/* Of the ports in TIME_WAIT and taken: how many are given back in which second from now. */
	uint32_t returning[TIME_WAIT_MS / 1000 + 1];
	uint32_t made; /* its place before they were sorted */
};

/* A socket of a pool with a range of its own, beside of_socket. */
struct port_member {
	uint32_t socket, pool; /* indices */
};

struct port_pools {
	struct port_pool *at; /* worst first: by share in use, then by use */
	uint32_t nr;
	/* Index into at of each socket, or PORT_POOL_NONE: also where it is not the one that its
	 * port is counted for. */
	uint32_t *of_socket;
	struct port_member *members;
	uint32_t nr_members;
	uint32_t below;	 /* pools that had less than min_used in use */
	uint32_t beyond; /* pools that were too many */
};

struct port_pools_options {
	uint32_t min_used;	  /* ports in use, of a pool that is told of */
	double min_used_of_range; /* or as a share of the ports in the range: the larger counts */
	const struct port_rules *rules;
	uint32_t nr_rules; /* one for each namespace; sockets of others are passed over */
};

/*
 * Makes the pools. The sockets of a namespace stand together; rules and sockets must outlive it.
 * 0 or -ENOMEM, then *out is empty.
 */
int port_pools__make(struct port_pools *out, const struct socket_list *sockets,
		     const struct port_pools_options *opts);
void port_pools__clear(struct port_pools *p);

/* A pool of which nobody uses a port, and nobody has bound one; without its `ports`. */
void port_pool__unused(struct port_pool *out, const struct port_pool_key *key,
		       const struct port_rules *rules);

/* How many ports count as used: not free to connect(), or in TIME_WAIT. */
uint32_t port_pool__used(const struct port_pool *p);

/*
 * The rate of opens: those whose TIME_WAIT began in the last seconds. A lower bound: connections
 * that the peer closes leave none here, and those taken over are gone.
 */
void port_pools__rate_by_age(struct port_pools *p, const struct socket_list *sockets);
/* The rate by comparing with an earlier census: sockets that were not there, by cookie. A lower
 * bound too: what came and went in between is not seen; unknown without cookies. 0 or -ENOMEM. */
int port_pools__rate_by_census(struct port_pools *p, const struct socket_list *sockets,
			       const struct socket_list *before, uint64_t between_ns);

/* Ports a second that connects take and do not give back at once. */
struct port_load {
	double parked; /* in TIME_WAIT: never more of them than tcp_max_tw_buckets */
	double held;   /* open still */
};

/* Sets the opens a second, and what follows from those of them that keep their ports. */
void port_pool__set_rates(struct port_pool *p, double opens, struct port_load keeping);

/* What a rate means for a pool. */
double port_pool__sustainable(const struct port_pool *p); /* opens per second, for ever */
/* Seconds until no port is free, < 0: never. */
double port_pool__exhaustion(const struct port_pool *p, struct port_load per_second);
/* Whether TIME_WAITs alone can never use up its ports: tcp_max_tw_buckets is lower. */
bool port_pool__is_spared(const struct port_pool *p);

#endif /* CHURN_MODEL_PORT_POOLS_H */
