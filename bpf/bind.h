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
	struct churn_end *e;

	if (!result || port || !ready || !sock_is_tcp(sk, btf) ||
	    (cfg_errno && cfg_errno != EADDRINUSE))
		return 0;
	conn->netns = sock_netns(sk, btf);
	sock_read_tuple(conn, sk, btf);
	if (!filter_destination(conn) || !filter_source(conn->local_port, conn->local_addr))
		return 0;
	bpf_get_current_comm(conn->comm, sizeof(conn->comm));
	if (!current_wanted(task, conn->comm, btf))
		return 0;
	conn->open_ns = bpf_ktime_get_ns();
	conn->role = CHURN_CLIENT;
	conn->attribution = CHURN_OWNER_EXACT;
	conn->tid = READ(btf, task, pid);
	task_id(&conn->owner, task, btf);
	process_announce(&conn->owner, task, true, btf);
	conn->stack = stack_capture_shared(&conn->owner, conn->tid, btf);
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

/*
 * Where no function can be hooked: bind(2) itself, from its entry, where the address is, to its
 * exit, where the result is. Only when asked for: a system call's tracepoint slows every system
 * call of the machine.
 */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, u64);   /* pid and tgid of the thread */
	__type(value, u32); /* descriptor */
} binding SEC(".maps");

static __always_inline int bind_call_begins(u32 fd, const void *address)
{
	u64 thread = bpf_get_current_pid_tgid();
	struct {
		u16 family, port;
	} head = {};

	if (!ready || bpf_probe_read_user(&head, sizeof(head), address) || head.port ||
	    (head.family != AF_INET && head.family != AF_INET6))
		return 0;
	bpf_map_update_elem(&binding, &thread, &fd, BPF_ANY);
	return 0;
}

/* -EADDRINUSE is said by sockets alone: then the descriptor is one, of whatever family. */
static __always_inline int bind_call_ends(long result)
{
	u64 thread = bpf_get_current_pid_tgid();
	const struct sock *sk;
	const u32 *known;
	u32 fd;

	known = bpf_map_lookup_elem(&binding, &thread);
	if (!known)
		return 0;
	fd = *known;
	bpf_map_delete_elem(&binding, &thread);
	if (result != -EADDRINUSE)
		return 0;
	sk = sock_of_fd(fd);
	return sk ? bind_over(sk, 0, result, false) : 0;
}

#endif /* CHURN_BIND_H */
