/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "user/model/socket.h"

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

struct tcp_socket *socket_list__add(struct socket_list *l)
{
	struct tcp_socket *s;

	if (l->nr == l->cap) {
		size_t cap = l->cap ? 2 * l->cap : 1024;
		struct tcp_socket *at = realloc(l->at, cap * sizeof(*at));

		if (!at)
			return NULL;
		l->at = at;
		l->cap = cap;
	}
	s = &l->at[l->nr++];
	memset(s, 0, sizeof(*s));
	return s;
}

void socket_list__clear(struct socket_list *l)
{
	free(l->at);
	memset(l, 0, sizeof(*l));
}
