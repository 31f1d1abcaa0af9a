/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Settings of the network namespace that this thread is in, from /proc/sys/net. */
#ifndef CHURN_SOURCE_SYSCTL_H
#define CHURN_SOURCE_SYSCTL_H

#include "user/model/port_rules.h"
#include "user/model/settings.h"

/* What connect() goes by. 0 or -errno: then *out has the kernel's defaults for what is missing,
 * and high is 0 when the range itself could not be had. */
int sysctl_port_rules(struct port_rules *out, uint32_t netns);

/* net.ipv4.tcp_max_tw_buckets, TIME_WAIT_NO_LIMIT: unknown. */
uint32_t sysctl_max_time_wait(void);

/* All that matter to connections; what cannot be read stays unknown. */
void sysctl_settings(struct settings *out, uint32_t netns);

#endif /* CHURN_SOURCE_SYSCTL_H */
