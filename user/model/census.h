/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The traced model against a census: port pools with their holders, what is older than the trace,
 * and connections whose end was missed.
 */
#ifndef CHURN_MODEL_CENSUS_H
#define CHURN_MODEL_CENSUS_H

#include <stdbool.h>
#include <stdint.h>

#include "user/model/model.h"
#include "user/model/port_holders.h"
#include "user/model/port_pools.h"
#include "user/model/shortages.h"
#include "user/model/time_wait.h"

struct model_census {
	uint64_t taken_ns; /* CLOCK_MONOTONIC, at its beginning */
	const struct socket_list *sockets;
	const struct port_rules *rules; /* of each namespace with sockets */
	uint32_t nr_rules;
	const uint32_t *netns; /* that were read in full: what is not there has gone */
	uint32_t nr_netns;
	const struct time_wait_limit *limits; /* of namespaces with sockets, or that had some */
	uint32_t nr_limits;
	bool partial; /* some namespaces could not be read */
	bool pools;   /* make the pools, too, for model__ports() */
	/* Those that are used that much, with the rates of the last seconds before; NULL: those
	 * with 1 % of the range, with the rates of the whole trace. */
	const struct port_pools_options *moment;
	/* Whose a socket is by its file, NULL: not known. Copied. May be NULL. */
	const struct process_identity *(*owner)(void *ctx, const struct tcp_socket *s);
	void *ctx;
};

/* What the last census with pools said. */
struct model_ports {
	struct port_pools pools;
	struct port_holders holders;
	uint32_t sockets;
	bool partial;
	/* TIME_WAITs that began before the trace, and when the last of them will be gone. */
	uint32_t older_time_wait, older_left_ms;
};

/* When the trace began, CLOCK_MONOTONIC; before everything else. */
void model__set_start(struct model *m, uint64_t start_ns);
uint64_t model__start_ns(const struct model *m);

/* Takes one in. Records up to taken_ns have been told before. 0 or -ENOMEM. */
int model__census(struct model *m, const struct model_census *c);

/* NULL: there was none, or it is not the last thing that came. Valid until the next input. */
const struct model_ports *model__ports(const struct model *m);

/* The pool that all of a flow's connections draw on, NULL: several, or not known. */
const struct port_pool *model__pool_of(const struct model *m, const struct flow *f);

/* What bounds TIME_WAIT in a namespace, as the last census that saw it said; NULL: not known. Valid
 * until the next one. */
const struct time_wait_limit *model__time_wait_limit(const struct model *m, uint32_t netns);
const struct time_wait_limits *model__time_wait_limits(const struct model *m);

/* Who opened a connection that is live now, and where in the code. False: it was not traced. Valid
 * until the next input. */
bool model__whose(const struct model *m, const struct tcp_socket *s, struct socket_holder *who);

/* The pool that failed a flow, when it was at its worst; NULL: no census saw it. */
const struct port_shortage *model__shortage(const struct model *m, const struct flow *f);

#endif /* CHURN_MODEL_CENSUS_H */
