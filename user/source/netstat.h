/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What the kernel has counted in the network namespace that this thread is in. */
#ifndef CHURN_SOURCE_NETSTAT_H
#define CHURN_SOURCE_NETSTAT_H

#include <stdbool.h>
#include <stdint.h>

/* TcpExt's TCPTimeWaitOverflow: connections that ended without the TIME_WAIT they were to have, of
 * both families. False: unknown. */
bool netstat_time_wait_overflows(uint64_t *out);

#endif /* CHURN_SOURCE_NETSTAT_H */
