/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Leaks: sockets whose peer has closed and that nobody closes (CLOSE_WAIT), by process and service,
 * and the other ends that wait for it (FIN_WAIT2). Made from a census; pure.
 */
#ifndef CHURN_MODEL_LEAKS_H
#define CHURN_MODEL_LEAKS_H

#include <stdbool.h>
#include <stdint.h>

#include "user/model/process.h"
#include "user/model/socket.h"

#define LEAK_STATES                                                                                \
	(1u << SOCKET_CLOSE_WAIT | 1u << SOCKET_FIN_WAIT2 | 1u << SOCKET_LISTEN |                  \
	 1u << SOCKET_TIME_WAIT)

/* Who holds a socket, as the caller knows it. */
struct leak_owner {
	const struct process_identity *process; /* NULL: unknown, or there is none */
	uint32_t fd_count, fd_limit;		/* its open files, and RLIMIT_NOFILE; 0: unknown */
};

struct leak {
	struct leak_owner owner;
	uint32_t netns;
	uint8_t state;	/* SOCKET_CLOSE_WAIT or SOCKET_FIN_WAIT2 */
	uint8_t family; /* 4 or 6 */
	bool accepted;	/* on a listener that is still there: the address below is its */
	uint16_t port;
	uint8_t addr[16]; /* local where accepted, else of the peer */
	uint32_t nr;
	uint32_t unaccepted; /* of them: no accept() has returned them yet */
	uint32_t unread;     /* of them: bytes are waiting that nobody has read */
	uint32_t recent;     /* of them: since recent_ms */
	uint32_t recent_ms;  /* the last minute, or since the oldest one; 0: growth is unknown */
	uint32_t nr_aged;    /* of them: the age is known */
	uint32_t oldest_ms;  /* since the last segment from the peer: its FIN, at the latest */
	double per_second;   /* growth, over recent_ms */
	double process_per_second; /* the same of all that the process has in CLOSE_WAIT: */
	double seconds_left;	/* until no file can be opened any more, < 0: never, or unknown */
	const struct leak *far; /* FIN_WAIT2: whose CLOSE_WAIT they wait for, NULL: unknown */
	uint32_t first_socket;	/* index of one of them, see leaks.next_socket */
};

#define LEAK_NO_SOCKET UINT32_MAX

struct leaks {
	struct leak *at; /* CLOSE_WAIT first, most sockets first */
	uint32_t nr;
	uint32_t young; /* sockets in CLOSE_WAIT that are younger than min_age_ms */
	/* By index of a socket that is in a leak: another one of the same, or LEAK_NO_SOCKET. */
	uint32_t *next_socket;
};

/* No accept() has returned it yet: it is in the listener's queue. `l`: the leak that it is in. */
static inline bool leak_unaccepted(const struct leak *l, const struct tcp_socket *s)
{
	return l->accepted && s->state == SOCKET_CLOSE_WAIT && !s->inode;
}

/* Fills *who, which has been zeroed. */
typedef void (*leak_finder)(void *ctx, const struct tcp_socket *s, struct leak_owner *who);

/*
 * `sockets` is a census of LEAK_STATES with their idle times. Sockets of an age below min_age_ms
 * are on their way, and no leak; one of unknown age is taken for old. What `find` returns must
 * outlive *out. 0 or -ENOMEM, then *out is empty.
 */
int leaks__make(struct leaks *out, const struct socket_list *sockets, uint32_t min_age_ms,
		leak_finder find, void *ctx);
void leaks__clear(struct leaks *l);

#endif /* CHURN_MODEL_LEAKS_H */
