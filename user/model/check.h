/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Port pools and CLOSE_WAIT sockets against thresholds, for a monitor. */
#ifndef CHURN_MODEL_CHECK_H
#define CHURN_MODEL_CHECK_H

#include <stdbool.h>

#include "user/model/port_pools.h"

/* The exit codes of monitoring plugins. */
enum check_status { CHECK_OK, CHECK_WARNING, CHECK_CRITICAL, CHECK_UNKNOWN };

struct check_limits {
	double warning, critical;	      /* share of a pool that connect() may not take */
	uint32_t leak_warning, leak_critical; /* CLOSE_WAIT sockets of a namespace, 0: none */
};

/* What a running trace saw. */
struct check_failures {
	bool traced;			/* else nothing is known */
	uint64_t connects;		/* that failed for want of a source port */
	uint64_t binds;			/* dito, bind() to port 0 */
	uint64_t within_ns, covered_ns; /* the time asked for, and the part of it that was traced */
	bool lower_bounds;		/* the trace has lost events */
};

struct check_result {
	enum check_status status;
	const struct port_pool *worst;		     /* NULL: none that is worth it */
	double taken;				     /* share of it that connect() may not take */
	uint32_t established, time_wait, close_wait; /* all sockets */
	uint32_t leak, leak_netns;		     /* most CLOSE_WAIT sockets of any namespace */
	bool pool_bad, leak_bad, failures_bad;	     /* what status is for */
};

/* The worst of all; `incomplete` makes UNKNOWN of OK. Any failure is critical: it is what all of
 * this is to warn of. */
void check__judge(struct check_result *out, const struct check_limits *limits,
		  const struct port_pools *pools, const struct socket_list *sockets,
		  const struct check_failures *failures, bool incomplete);

#endif /* CHURN_MODEL_CHECK_H */
