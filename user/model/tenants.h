/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Whose a TIME_WAIT is: the kernel forgets it, so the traced connections that left one are
 * remembered for as long as it may last. By four-tuple; where both know the socket's cookie that
 * has to agree. Bounded: beyond the bound the oldest one is forgotten.
 *
 * There are hundreds of thousands, each is written once, and hardly any is ever looked up. So they
 * stand in a ring, in the order in which they came. A bucket of the hash table names the newest one
 * of its chain, and each one says how far back the next is; what lies before the ring's first one
 * has been forgotten. Nothing is ever taken out of the middle.
 */
#ifndef CHURN_MODEL_TENANTS_H
#define CHURN_MODEL_TENANTS_H

#include <stdbool.h>
#include <stdint.h>

#include "bpf/event.h"
#include "user/model/processes.h"
#include "user/model/sites.h"
#include "user/model/socket.h"

struct tenant_key {
	uint8_t local_addr[16], peer_addr[16];
	uint16_t local_port, peer_port;
	uint32_t netns;
};

struct tenant {
	struct tenant_key key;
	uint64_t cookie;
	uint64_t ended_ns;
	struct process *process; /* held, NULL: unknown */
	struct site *site;	 /* held, NULL: unknown, or the accepting side */
	uint32_t back;		 /* to the next older one of its chain, 0: the last */
	bool renewed;		 /* the same four-tuple again: younger than its place says */
};

/* A zeroed one but for max is empty. */
struct tenant_table {
	struct tenant *ring;
	uint64_t *newest;    /* by bucket: a position, before `first`: none */
	uint32_t cap;	     /* of both: a power of two */
	uint64_t first, end; /* positions, counted from 1 on and never again */
	uint32_t max;	     /* 0: nothing is remembered */
};

/* Remembers who left a TIME_WAIT with this end of a connection. 0 or -ENOMEM. */
int tenant_table__add(struct tenant_table *t, struct process_table *processes,
		      const struct churn_end *e, struct process *process, struct site *site);
/* NULL: not known. Valid until the next input. */
const struct tenant *tenant_table__find(const struct tenant_table *t, const struct tcp_socket *s);
void tenant_table__clear(struct tenant_table *t, struct process_table *processes);

#endif /* CHURN_MODEL_TENANTS_H */
