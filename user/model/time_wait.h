/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What net.ipv4.tcp_max_tw_buckets does to TIME_WAIT in each network namespace: with so many of
 * them there, the next close gets none (inet_twsk_alloc() in net/ipv4/inet_timewait_sock.c).
 * Which ones were skipped no record tells; the kernel's counter tells how many.
 */
#ifndef CHURN_MODEL_TIME_WAIT_H
#define CHURN_MODEL_TIME_WAIT_H

#include <stdbool.h>
#include <stdint.h>

#define TIME_WAIT_NO_LIMIT UINT32_MAX /* it is not known: as if there were none */

struct time_wait_limit {
	uint32_t netns;
	uint32_t max;	  /* net.ipv4.tcp_max_tw_buckets, or TIME_WAIT_NO_LIMIT */
	bool counted;	  /* `skipped` is known */
	uint64_t skipped; /* growth of TcpExt's TCPTimeWaitOverflow since the trace began */
};

struct time_wait_limits {
	struct time_wait_limit *at;
	uint32_t nr; /* one for each namespace */
};

/* NULL: nothing is known of it. */
const struct time_wait_limit *time_wait_limits__find(const struct time_wait_limits *l,
						     uint32_t netns);
/* The latest word on a namespace. 0 or -ENOMEM. */
int time_wait_limits__note(struct time_wait_limits *l, const struct time_wait_limit *limit);
void time_wait_limits__clear(struct time_wait_limits *l);

/* How many of `nr` can be in TIME_WAIT at once. NULL: all. */
static inline uint64_t time_wait_limit__bound(const struct time_wait_limit *l, uint64_t nr)
{
	return l && l->max < nr && l->max != TIME_WAIT_NO_LIMIT ? l->max : nr;
}

#endif /* CHURN_MODEL_TIME_WAIT_H */
