/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The filters of the command line, decided before anything is stored or sent. */
#ifndef CHURN_FILTER_H
#define CHURN_FILTER_H

#include "bpf/drift.h"
#include "bpf/maps.h"
#include "bpf/process.h"

static __always_inline bool filter_ports(const volatile struct churn_port_range *ranges, u32 nr,
					 u16 port)
{
	for (u32 i = 0; i < CHURN_MAX_PORTS && i < nr; i++) {
		if (port >= ranges[i].low && port <= ranges[i].high)
			return true;
	}
	return nr == 0;
}

static __always_inline bool filter_cidrs(const volatile struct churn_cidr *cidrs, u32 nr,
					 const void *addr)
{
	const u32 *word = addr;

	for (u32 i = 0; i < CHURN_MAX_CIDRS && i < nr; i++) {
		if ((word[0] & cidrs[i].mask[0]) == cidrs[i].net[0] &&
		    (word[1] & cidrs[i].mask[1]) == cidrs[i].net[1] &&
		    (word[2] & cidrs[i].mask[2]) == cidrs[i].net[2] &&
		    (word[3] & cidrs[i].mask[3]) == cidrs[i].net[3])
			return true;
	}
	return nr == 0;
}

/* Everything about the four-tuple that is known before the source port is. */
static __always_inline bool filter_destination(const struct churn_conn *conn)
{
	return (!cfg_family || cfg_family == conn->family) &&
	       (!cfg_netns || cfg_netns == conn->netns) &&
	       filter_ports(cfg_peer_ports, cfg_nr_peer_ports, conn->peer_port) &&
	       filter_cidrs(cfg_dst, cfg_nr_dst, conn->peer_addr);
}

static __always_inline bool filter_source(u16 port, const void *addr)
{
	return filter_ports(cfg_local_ports, cfg_nr_local_ports, port) &&
	       filter_cidrs(cfg_src, cfg_nr_src, addr);
}

/*
 * Glob over a comm: the set of reachable pattern positions is carried along as bits, so that '*'
 * needs no backtracking and the work is bounded by 16 x 16 steps.
 */
static __noinline bool filter_comm_matches(const char *comm)
{
	u32 at = 1; /* bit i: the first i pattern characters can match what was read so far */

	if (!comm)
		return false;
	for (int c = 0; c <= CHURN_COMM_LEN; c++) {
		char ch = c < CHURN_COMM_LEN ? comm[c & (CHURN_COMM_LEN - 1)] : 0;
		u32 next = 0;

		for (int p = 0; p < CHURN_COMM_LEN; p++) {
			char pat = cfg_comm[p];

			if (!(at & (1u << p)))
				continue;
			if (pat == '*') {
				at |= 1u << (p + 1); /* matches nothing, */
				next |= 1u << p;     /* or this character and maybe more */
			} else if (!pat) {
				if (!ch)
					return true;
			} else if (pat == '?' || pat == ch) {
				next |= 1u << (p + 1);
			}
		}
		if (!ch)
			return (at & (1u << CHURN_COMM_LEN)) != 0;
		at = next;
	}
	return false;
}

static __always_inline bool filter_process(u32 tgid, u32 uid, const char *comm,
					   const char *leader_comm, bool in_cgroup)
{
	if (cfg_by_target && !bpf_map_lookup_elem(&targets, &tgid))
		return false;
	if (cfg_by_uid && uid != cfg_uid)
		return false;
	if (cfg_cgroup && !in_cgroup)
		return false;
	if (!cfg_comm[0])
		return true;
	return filter_comm_matches(comm) || filter_comm_matches(leader_comm);
}

static __always_inline bool filter_has_process(void)
{
	return cfg_by_target || cfg_by_uid || cfg_cgroup || cfg_comm[0];
}

static __always_inline bool filter_any(void)
{
	return filter_has_process() || cfg_family || cfg_netns || cfg_nr_peer_ports ||
	       cfg_nr_local_ports || cfg_nr_src || cfg_nr_dst || cfg_failed_only;
}

static __always_inline bool current_in_cgroup(void)
{
	return cfg_cgroup && bpf_get_current_ancestor_cgroup_id(cfg_cgroup_level) == cfg_cgroup;
}

/* Whether the process filters accept `current`, whose thread is called `comm`. */
static __always_inline bool current_wanted(const struct task_struct *task, const char *comm,
					   const bool btf)
{
	char leader[CHURN_COMM_LEN];

	if (!filter_has_process())
		return true;
	task_comm(leader, READ(btf, task, group_leader), btf);
	return filter_process(READ(btf, task, tgid), (u32)bpf_get_current_uid_gid(), comm, leader,
			      current_in_cgroup());
}

#endif /* CHURN_FILTER_H */
