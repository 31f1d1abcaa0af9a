/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Configuration, maps and counters. Sizes are defaults: user space sets them before load. */
#ifndef CHURN_MAPS_H
#define CHURN_MAPS_H

#include "vmlinux.h"
#include <bpf/bpf_helpers.h>

#include "bpf/event.h"

/* --- configuration, constant from load on ----------------------------------------------------- */

const volatile __u64 cfg_jiffy_ns = 4000000;
const volatile bool cfg_stacks = true;
const volatile bool cfg_accepts = false; /* accept() is seen */
/* The memory of processes can be read: not under lockdown=confidentiality
 * (prober__reads_memory()). */
const volatile bool cfg_user_memory = true;
/* The state hooks are the plain ones: connections stand in a hash map and have no socket cookie. */
const volatile bool cfg_plain = false;

/* Filters: a zero count, 0 or "" accepts everything. */
const volatile __u8 cfg_family = 0;		   /* 4 or 6 */
const volatile bool cfg_by_target = false;	   /* only processes in `targets` */
const volatile char cfg_comm[CHURN_COMM_LEN] = {}; /* glob: * and ? */
const volatile bool cfg_by_uid = false;
const volatile __u32 cfg_uid = 0;
const volatile __u64 cfg_cgroup = 0;	   /* cgroup v2 id; descendants too */
const volatile __u32 cfg_cgroup_level = 0; /* its depth below the root */
const volatile __u32 cfg_netns = 0;
const volatile __u64 cfg_netns_cookie = 0; /* of the one that has the number, 0: unknown */
const volatile __u32 cfg_nr_peer_ports = 0, cfg_nr_local_ports = 0;
const volatile struct churn_port_range cfg_peer_ports[CHURN_MAX_PORTS] = {};
const volatile struct churn_port_range cfg_local_ports[CHURN_MAX_PORTS] = {};
const volatile __u32 cfg_nr_src = 0, cfg_nr_dst = 0;
const volatile struct churn_cidr cfg_src[CHURN_MAX_CIDRS] = {};
const volatile struct churn_cidr cfg_dst[CHURN_MAX_CIDRS] = {};
const volatile bool cfg_failed_only = false;
const volatile __u16 cfg_errno = 0;

/* Nothing flows before everything is attached. */
bool ready = false;

/*
 * --- maps ----------------------------------------------------------------------------------------
 *
 * Preallocated, all of them: kernels before 6.1 may deadlock on what a tracing program allocates.
 */

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 8 << 20);
} events SEC(".maps");

/* Processes that user space has been told of; forgetting one only means telling it again. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 8192);
	__type(key, struct churn_id);
	__type(value, u8);
} known_processes SEC(".maps");

/* -p, and the command under `report -- CMD` with its descendants. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 32768);
	__type(key, u32); /* tgid */
	__type(value, u8);
} targets SEC(".maps");

/* --- counters --------------------------------------------------------------------------------- */

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct churn_counters);
} counters SEC(".maps");

static __always_inline struct churn_counters *count(void)
{
	u32 zero = 0;

	return bpf_map_lookup_elem(&counters, &zero);
}

/* Atomic: softirq may count on the same CPU in between. */
static __always_inline void count_one(u64 *counter)
{
	__sync_fetch_and_add(counter, 1);
}

static __always_inline void count_lost(enum churn_lost reason)
{
	struct churn_counters *c = count();

	if (c)
		count_one(&c->lost[reason]);
}

#endif /* CHURN_MAPS_H */
