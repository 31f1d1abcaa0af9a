/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Who holds the ports of a pool: by process, and by call site where that is known. */
#ifndef CHURN_MODEL_PORT_HOLDERS_H
#define CHURN_MODEL_PORT_HOLDERS_H

#include <stdbool.h>
#include <stdint.h>

#include "user/model/port_pools.h"
#include "user/model/process.h"

struct group;

/* Whose a socket is, as far as is known. */
struct socket_holder {
	const struct process_identity *process; /* NULL: unknown */
	const struct group *group;		/* the row of a report, NULL: not traced */
	const struct stack_trace *stack;	/* at connect() or accept(), NULL: unknown */
	int frame;				/* application frame in it, -1: none */
	uint64_t callsite_id;			/* 0: unknown */
	bool older;				/* than the trace */
	/* Of model__whose() alone: it was accepted, not opened, and that was seen. */
	bool accepted, accept_seen;
};

struct port_holder {
	struct socket_holder who;
	uint32_t pool; /* index */
	uint32_t established, time_wait, other;
	uint32_t older; /* of those in TIME_WAIT: began before the trace */
};

struct port_holders {
	struct port_holder *at; /* by pool, then by ports held, descending; the unknown one last */
	uint32_t nr;
};

/* Looks up a socket; who has been zeroed, frame -1. */
typedef void (*port_holder_finder)(void *ctx, const struct tcp_socket *s,
				   struct socket_holder *who);

/* Counts the sockets of all pools; `pools` and what `find` returns must outlive it. 0 or
 * -ENOMEM. */
int port_holders__make(struct port_holders *out, const struct port_pools *pools,
		       const struct socket_list *sockets, port_holder_finder find, void *ctx);
void port_holders__clear(struct port_holders *h);

/* Those of one pool; *nr of them. */
const struct port_holder *port_holders__of(const struct port_holders *h, uint32_t pool,
					   uint32_t *nr);

#endif /* CHURN_MODEL_PORT_HOLDERS_H */
