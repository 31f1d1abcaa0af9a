/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Sockets of invented hosts. */
#ifndef TESTS_UNIT_SOCKETS_H
#define TESTS_UNIT_SOCKETS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "user/model/socket.h"

/* 127.0.0.1 */
static inline void loopback(uint8_t addr[16])
{
	memset(addr, 0, 16);
	addr[10] = addr[11] = 0xff;
	addr[12] = 127;
	addr[15] = 1;
}

/* One that has a file, both ends 127.0.0.1. */
static inline struct tcp_socket *loopback_socket(struct socket_list *l, enum socket_state state,
						 uint16_t local_port, uint16_t peer_port,
						 uint32_t idle_ms)
{
	struct tcp_socket *s = socket_list__add(l);

	assert_non_null(s);
	s->state = state;
	s->inode = 1;
	s->netns = 1;
	s->family = 4;
	s->local_port = local_port;
	s->peer_port = peer_port;
	s->idle_ms = idle_ms;
	loopback(s->local_addr);
	loopback(s->peer_addr);
	return s;
}

#endif /* TESTS_UNIT_SOCKETS_H */
