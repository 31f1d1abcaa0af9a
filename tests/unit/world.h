/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Invented sockets of one network namespace with a range of a few ports, and their pools. */
#ifndef TESTS_UNIT_WORLD_H
#define TESTS_UNIT_WORLD_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "user/model/port_pools.h"

#define NETNS 7

struct world {
	struct port_rules rules;
	struct socket_list sockets;
	struct port_pools pools;
};

static inline void world_begin(struct world *w, uint16_t low, uint16_t high)
{
	memset(w, 0, sizeof(*w));
	port_rules__init(&w->rules);
	w->rules.netns = NETNS;
	w->rules.low = low;
	w->rules.high = high;
}

static inline void world_end(struct world *w)
{
	port_pools__clear(&w->pools);
	socket_list__clear(&w->sockets);
}

static inline void put_v4(uint8_t addr[16], uint32_t v4)
{
	memset(addr, 0, 10);
	addr[10] = addr[11] = 0xff;
	for (int i = 0; i < 4; i++)
		addr[12 + i] = v4 >> (24 - 8 * i);
}

#define LOOPBACK  0x7f000001
#define ELSEWHERE 0x0a000001

/* From 10.0.0.1 to 10.0.0.2:80. */
static inline struct tcp_socket *world_add(struct world *w, uint16_t port, enum socket_state state)
{
	struct tcp_socket *s = socket_list__add(&w->sockets);

	assert_non_null(s);
	s->cookie = 1000 + w->sockets.nr;
	s->netns = NETNS;
	s->local_port = port;
	s->peer_port = 80;
	s->family = 4;
	s->state = state;
	s->port_bound = SOCKET_NO;
	put_v4(s->local_addr, ELSEWHERE);
	put_v4(s->peer_addr, ELSEWHERE + 1);
	if (state == SOCKET_TIME_WAIT) {
		s->time_wait = true;
		s->timestamps = SOCKET_YES;
		s->timer_ms = 50000;
	}
	return s;
}

static inline void world_make(struct world *w)
{
	const struct port_pools_options opts = {.rules = &w->rules, .nr_rules = 1};

	port_pools__clear(&w->pools);
	assert_int_equal(port_pools__make(&w->pools, &w->sockets, &opts), 0);
}

/* The only pool. */
static inline const struct port_pool *world_only(struct world *w)
{
	world_make(w);
	assert_int_equal(w->pools.nr, 1);
	return &w->pools.at[0];
}

#endif /* TESTS_UNIT_WORLD_H */
