/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Collisions: connect() draws a source port whose last connection still sits in CLOSE_WAIT on the
 * accepting side of the same host. That side answers the SYN with a challenge ACK; the client
 * answers that with an RST, which ends the stale socket (EPIPE), and its next SYN succeeds: about
 * 10 ms (RFC 5961, section 4; tcp_validate_incoming() in net/ipv4/tcp_input.c). Where the RST is
 * filtered, connect() hangs.
 */
#ifndef CHURN_MODEL_COLLISIONS_H
#define CHURN_MODEL_COLLISIONS_H

#include "user/model/conns.h"
#include "user/model/flows.h"
#include "user/model/processes.h"

#define COLLISIONS_KILLED 256

/* A socket that an RST ended in CLOSE_WAIT, until the connect() that sent it is told of. */
struct killed {
	struct pair_key pair;
	uint32_t netns;
	uint64_t ended_ns, waited_ns;
	struct process *process; /* held */
	uint64_t stack;		 /* at accept(), 0: unknown */
};

struct collision_table {
	struct killed killed[COLLISIONS_KILLED];
	uint32_t next;
};

/* Notes the end of an accepted connection. */
void collisions__end(struct collision_table *t, struct process_table *p, const struct churn_end *e,
		     struct process *owner);

/*
 * Looks whether an established, or failed, active open met one, and books it on its flow. Returns
 * the stale connection that it took the place of, which has ended by now without a record, or NULL.
 * 0 or -ENOMEM in *err.
 */
struct conn *collisions__open(struct collision_table *t, struct process_table *p,
			      const struct conn_table *conns, struct flow_state *f,
			      const struct churn_open *e, int *err);
int collisions__failed(struct process_table *p, const struct conn_table *conns,
		       struct flow_state *f, const struct churn_end *e);

void collision_table__clear(struct collision_table *t, struct process_table *p);

#endif /* CHURN_MODEL_COLLISIONS_H */
