/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Flows: one for each group and destination. Never evicted, but bounded: beyond the bound a group
 * has one more, with a destination of family 0, for all the destinations that came later. */
#ifndef CHURN_MODEL_FLOWS_H
#define CHURN_MODEL_FLOWS_H

#include <stdbool.h>
#include <stdint.h>

#include "user/base/hash.h"
#include "user/model/model.h"
#include "user/model/processes.h"
#include "user/model/sites.h"

/* The kernel dates payload in jiffies: idle_ns is exact within one tick, 10 ms at HZ=100. */
#define TICK_NS 10000000ULL

struct group_state;

struct flow_key {
	struct group_state *group;
	struct destination dest; /* padding zeroed */
};

struct flow_state {
	struct flow pub; /* first: views see only this */
	struct flow_key key;
	struct site_list sites; /* behind pub.callsites */
	struct process *peer;	/* held */
	uint32_t pool_peak;	/* of processes that are forgotten by now */
	struct parking *parking;
	struct collisions *collisions;
	struct process *collided_with; /* held */
	UT_hash_handle hh;
};

#define PARKING_SECONDS 60 /* TCP_TIMEWAIT_LEN, include/net/tcp.h */

/* Sockets that entered TIME_WAIT, by second: those of the last minute are still there. */
struct parking {
	uint64_t second; /* the latest one counted */
	uint32_t entered[PARKING_SECONDS];
};

struct flow_table {
	struct flow_state *by_key;
	uint32_t max;
	uint32_t max_of_group;
};

/* Padding included: it is a part of hash keys. */
void destination_of(struct destination *d, const struct churn_conn *c);

/* Finds or makes one; a new one is entered in its group. NULL: no memory. */
struct flow_state *flow_table__get(struct flow_table *t, struct group_state *group,
				   const struct destination *dest);

/* How long a closed connection lived: until its first FIN, which may be long before its record.
 * False: that is not known. */
bool flow__lifetime_of(const struct churn_end *e, uint64_t *ns);
/* How long the connection had been silent at the first FIN, in ns, exact within TICK_NS. */
uint64_t flow__silence_of(const struct churn_end *e);

/* Books an open or a failure at `ns`. 0 or -ENOMEM. */
int flow__count_attempt(struct flow_state *f, uint64_t ns);
/* Books the port search of an open or a failed search that ended at `end_ns`. 0 or -ENOMEM. */
int flow__count_search(struct flow_state *f, const struct churn_conn *c, uint64_t end_ns);
void flow__count_live(struct flow_state *f);
/* Books the end of a connection. 0 or -ENOMEM. */
int flow__count_close(struct flow_state *f, const struct churn_end *e);
/* Notes where a connection starts from. */
void flow__note_local(struct flow_state *f, const uint8_t addr[16]);
/* Brings pub.parked up to date. */
void flow__count_parked(struct flow_state *f, uint64_t now_ns);
/* Whom to show as the other end; NULL changes nothing. */
void flow__set_peer(struct flow_state *f, struct process_table *processes, struct process *peer);

void flow_table__clear(struct flow_table *t);

#endif /* CHURN_MODEL_FLOWS_H */
