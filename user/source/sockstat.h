/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* How many TCP sockets the network namespace has that this thread is in: O(1) for the kernel. */
#ifndef CHURN_SOURCE_SOCKSTAT_H
#define CHURN_SOURCE_SOCKSTAT_H

#include <stdbool.h>
#include <stdint.h>

struct sockstat {
	uint32_t tcp;	    /* IPv4 and IPv6; not what is bound and nothing else */
	uint32_t time_wait; /* not among those */
};

/* False: unknown. */
bool sockstat_read(struct sockstat *out);

#endif /* CHURN_SOURCE_SOCKSTAT_H */
