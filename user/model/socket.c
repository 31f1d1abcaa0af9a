/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "user/model/socket.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

const char *socket_state_name(unsigned int state)
{
	static const char *const names[SOCKET_STATE__COUNT] = {
		[SOCKET_ESTABLISHED] = "ESTABLISHED",
		[SOCKET_SYN_SENT] = "SYN_SENT",
		[SOCKET_SYN_RECV] = "SYN_RECV",
		[SOCKET_FIN_WAIT1] = "FIN_WAIT1",
		[SOCKET_FIN_WAIT2] = "FIN_WAIT2",
		[SOCKET_TIME_WAIT] = "TIME_WAIT",
		[SOCKET_CLOSE] = "CLOSE",
		[SOCKET_CLOSE_WAIT] = "CLOSE_WAIT",
		[SOCKET_LAST_ACK] = "LAST_ACK",
		[SOCKET_LISTEN] = "LISTEN",
		[SOCKET_CLOSING] = "CLOSING",
		[SOCKET_NEW_SYN_RECV] = "SYN_RECV",
		[SOCKET_BOUND] = "BOUND",
	};

	return state < SOCKET_STATE__COUNT && names[state] ? names[state] : "UNKNOWN";
}

bool addr_is_loopback(const uint8_t addr[16])
{
	static const uint8_t v6[16] = {[15] = 1}, mapped[12] = {[10] = 0xff, [11] = 0xff};

	return !memcmp(addr, v6, sizeof(v6)) ||
	       (!memcmp(addr, mapped, sizeof(mapped)) && addr[12] == 127);
}

static int make_room(struct socket_list *l, size_t nr)
{
	size_t cap = l->cap ? l->cap : 1024;
	struct tcp_socket *at;

	while (cap < nr)
		cap *= 2;
	if (cap == l->cap)
		return 0;
	at = realloc(l->at, cap * sizeof(*at));
	if (!at)
		return -ENOMEM;
	l->at = at;
	l->cap = cap;
	return 0;
}

struct tcp_socket *socket_list__add(struct socket_list *l)
{
	struct tcp_socket *s;

	if (l->nr == l->cap && make_room(l, l->nr + 1))
		return NULL;
	s = &l->at[l->nr++];
	memset(s, 0, sizeof(*s));
	return s;
}

int socket_list__append(struct socket_list *l, const struct socket_list *more)
{
	if (!more->nr)
		return 0;
	if (make_room(l, l->nr + more->nr))
		return -ENOMEM;
	memcpy(l->at + l->nr, more->at, more->nr * sizeof(*more->at));
	l->nr += more->nr;
	return 0;
}

void socket_list__clear(struct socket_list *l)
{
	free(l->at);
	memset(l, 0, sizeof(*l));
}
