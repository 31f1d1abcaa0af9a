/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * inet_csk_accept() hands a connection to the process that accepts it: its owner, whoever listened.
 *
 * The only handler that does not run under the lock of the connection's socket: a reset may end it
 * on another CPU at the same moment. `held` says whose the entry is.
 */
#ifndef CHURN_ACCEPT_H
#define CHURN_ACCEPT_H

#include "bpf/conn.h"

static __always_inline bool accept_wanted(const struct task_struct *task, const char *comm,
					  const bool btf)
{
	char leader[CHURN_COMM_LEN];

	if (!filter_has_process())
		return true;
	task_comm(leader, READ(btf, task, group_leader), btf);
	return filter_process(READ(btf, task, tgid), (u32)bpf_get_current_uid_gid(), comm, leader,
			      current_in_cgroup());
}

static __always_inline int conn_accepted(const struct sock *sk, const bool btf)
{
	const struct task_struct *task = current_task(btf);
	struct churn_counters *c = count();
	struct conn_entry entry = {};
	struct conn_state *state;
	struct churn_id owner = {};
	char comm[CHURN_COMM_LEN];
	bool wanted;
	u32 held;

	if (!ready || !c || !table_find(&entry, table_key(sk, btf)))
		return 0;
	state = entry.state;
	held = state->held;
	if (held != HELD_WAITING && held != HELD_UNWANTED)
		return 0;
	bpf_get_current_comm(comm, sizeof(comm));
	wanted = accept_wanted(task, comm, btf);
	if (wanted) {
		task_id(&owner, task, btf);
		process_announce(&owner, task, true, btf);
	}
	if (__sync_val_compare_and_swap(&state->held, held, HELD_TAKING) != held)
		return 0; /* it has just ended, and was told */
	count_one(&c->unheld);
	if (wanted) {
		state->conn.owner = owner;
		state->conn.tid = READ(btf, task, pid);
		state->conn.attribution = CHURN_OWNER_EXACT;
		__builtin_memcpy(state->conn.comm, comm, sizeof(comm));
		conn_emit_open(&state->conn, CHURN_ACCEPT, bpf_ktime_get_ns(), LANE_ACCEPT);
	}
	if (__sync_val_compare_and_swap(&state->held, HELD_TAKING, HELD_NOT) != HELD_TAKING ||
	    !wanted)
		table_release(&entry);
	return 0;
}

#endif /* CHURN_ACCEPT_H */
