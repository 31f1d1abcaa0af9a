/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * inet_csk_get_port() for port 0: bind(), or the listen() of a socket without a port, asks for any
 * port. Unlike connect() it needs one that nobody uses at all, whatever the destination, so it is
 * the first to fail. Runs in the process that binds.
 */
#ifndef CHURN_BIND_H
#define CHURN_BIND_H

#include "bpf/conn.h"

/* 1 up to 6.1, -EADDRINUSE from there on; a lack of memory is told in the same way. */
static __always_inline int bind_over(const struct sock *sk, u16 port, int result, const bool btf)
{
	const struct task_struct *task = current_task(btf);
	struct churn_conn fresh = {}, *conn = &fresh;
	char leader[CHURN_COMM_LEN];
	struct capture capture = {};
	struct churn_end *e;

	if (!result || port || !ready || !sock_is_tcp(sk, btf) ||
	    (cfg_errno && cfg_errno != EADDRINUSE))
		return 0;
	conn->netns = sock_netns(sk, btf);
	sock_read_tuple(conn, sk, btf);
	if (!filter_destination(conn) || !filter_source(conn))
		return 0;
	bpf_get_current_comm(conn->comm, sizeof(conn->comm));
	if (filter_has_process()) {
		task_comm(leader, READ(btf, task, group_leader), btf);
		if (!filter_process(READ(btf, task, tgid), (u32)bpf_get_current_uid_gid(),
				    conn->comm, leader, current_in_cgroup()))
			return 0;
	}
	conn->open_ns = bpf_ktime_get_ns();
	conn->role = CHURN_CLIENT;
	conn->attribution = CHURN_OWNER_EXACT;
	conn->tid = READ(btf, task, pid);
	task_id(&conn->owner, task, btf);
	process_announce(&conn->owner, task, true, btf);
	stack_capture(&capture, &conn->owner, conn->tid, 0, false, btf);
	conn->stack = capture.id;
	e = bpf_ringbuf_reserve(&events, sizeof(*e), 0);
	if (!e) {
		count_lost(CHURN_LOST_RING_FAILED);
		return 0;
	}
	__builtin_memset(e, 0, sizeof(*e));
	e->h.ts_ns = conn->open_ns;
	e->h.type = CHURN_BIND_FAILED;
	e->h.size = sizeof(*e);
	e->conn = *conn;
	e->error = EADDRINUSE;
	e->cause = CHURN_CAUSE_BIND_EXHAUSTED;
	bpf_ringbuf_submit(e, BPF_RB_NO_WAKEUP);
	return 0;
}

#endif /* CHURN_BIND_H */
