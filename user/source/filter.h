/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What the user wants to see of the host's connections; decided in the kernel. Zero: everything. */
#ifndef CHURN_SOURCE_FILTER_H
#define CHURN_SOURCE_FILTER_H

#include <stdbool.h>
#include <stdint.h>

#include "bpf/event.h"

#define FILTER_MAX_PIDS 64

struct filter {
	uint8_t family; /* 4 or 6 */
	uint32_t pids[FILTER_MAX_PIDS];
	uint32_t nr_pids;
	char comm[CHURN_COMM_LEN]; /* glob, not terminated at full length */
	bool by_uid;
	uint32_t uid;
	struct churn_port_range peer_ports[CHURN_MAX_PORTS], local_ports[CHURN_MAX_PORTS];
	uint32_t nr_peer_ports, nr_local_ports;
	struct churn_cidr src[CHURN_MAX_CIDRS], dst[CHURN_MAX_CIDRS];
	uint32_t nr_src, nr_dst;
	uint64_t cgroup;       /* cgroup v2 id */
	uint32_t cgroup_level; /* its depth below the root */
	uint32_t netns;	       /* inode number */
	bool failed_only;
	uint16_t error; /* errno of failures; implies failed_only */
};

#endif /* CHURN_SOURCE_FILTER_H */
