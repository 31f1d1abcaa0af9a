/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* A TCP socket as a census finds it, whoever took it. Plain data. */
#ifndef CHURN_MODEL_SOCKET_H
#define CHURN_MODEL_SOCKET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* enum in include/net/tcp_states.h. */
enum socket_state {
	SOCKET_ESTABLISHED = 1,
	SOCKET_SYN_SENT,
	SOCKET_SYN_RECV,
	SOCKET_FIN_WAIT1,
	SOCKET_FIN_WAIT2,
	SOCKET_TIME_WAIT,
	SOCKET_CLOSE,
	SOCKET_CLOSE_WAIT,
	SOCKET_LAST_ACK,
	SOCKET_LISTEN,
	SOCKET_CLOSING,
	SOCKET_NEW_SYN_RECV, /* a request that no accept() has seen: shown as SYN_RECV */
	SOCKET_BOUND,	     /* bound to a port, neither connected nor listening; since 6.8 */
	SOCKET_STATE__COUNT
};

/* What only some sources of a census can tell. */
enum socket_fact { SOCKET_UNKNOWN, SOCKET_NO, SOCKET_YES };

struct tcp_socket {
	uint64_t cookie;   /* as bpf_get_socket_cookie(), kept by the TIME_WAIT; 0: unknown */
	uint64_t inode;	   /* 0: no file (TIME_WAIT, orphan, not accepted yet) or unknown */
	uint32_t netns;	   /* inode number of the network namespace */
	uint32_t uid;	   /* 0 of a TIME_WAIT: its owner is not known to the kernel any more */
	uint32_t rqueue;   /* bytes not read yet; LISTEN: connections not accepted yet */
	uint32_t wqueue;   /* bytes not acknowledged yet; LISTEN: the backlog */
	uint32_t timer_ms; /* until its timer fires; TIME_WAIT: what is left of it */
	uint32_t idle_ms;  /* since the last segment from the peer; UINT32_MAX: not asked for */
	/* TIME_WAIT: until it is old enough for net.ipv4.tcp_tw_reuse, 0: it is. */
	uint32_t young_ms;
	uint32_t device;		       /* interface that it is bound to, 0: any */
	uint8_t local_addr[16], peer_addr[16]; /* network order, IPv4 as ::ffff:a.b.c.d */
	uint16_t local_port, peer_port;
	/* IP_LOCAL_PORT_RANGE as it was set, 0: no bound, or not known. */
	uint16_t range_low, range_high;
	uint8_t family; /* 4 or 6, as on the wire: an IPv4-mapped socket is 4 */
	uint8_t state;	/* enum socket_state */
	bool time_wait; /* no full socket any more: state is TIME_WAIT or FIN_WAIT2 */
	/* enum socket_fact: somebody bound its port, so that connect() must not share it. */
	uint8_t port_bound;
	bool range_by_two;  /* that range is searched as the namespace's is */
	uint8_t timestamps; /* enum socket_fact, of a TIME_WAIT: TCP timestamps were in use */
};

struct socket_list {
	struct tcp_socket *at;
	size_t nr, cap;
};

/* "ESTABLISHED"; "UNKNOWN" for what is no state. */
const char *socket_state_name(unsigned int state);

/* 127.0.0.0/8 and ::1: each network namespace has its own. */
bool addr_is_loopback(const uint8_t addr[16]);

/* Room for one more, zeroed, which then counts; NULL: no memory. */
struct tcp_socket *socket_list__add(struct socket_list *l);
/* 0 or -ENOMEM. */
int socket_list__append(struct socket_list *l, const struct socket_list *more);
void socket_list__clear(struct socket_list *l);

#endif /* CHURN_MODEL_SOCKET_H */
