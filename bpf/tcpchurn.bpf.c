// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * The hooks. One handler each, one thin program a flavour; user space decides which load.
 */
#include "vmlinux.h"
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#include "bpf/conn.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

/*
 * --- inet_sock_set_state, in tcp_set_state() ----------------------------------------------------
 *
 * Two programs share the hook: one for the process that holds the socket's lock, one for softirq
 * and timers. The kernel skips a program that is running on the CPU already, and a packet may well
 * come while a process connects; so each has its own guard, and neither can be in its own way.
 */

static __always_inline int on_set_state(const struct sock *sk, int old, int new, const bool process,
					const bool btf)
{
	if (sock_owned(sk, btf) != process)
		return 0;
	/* Listeners are followed from the moment of attaching: the census comes after it. */
	if (new == TCP_LISTEN)
		return process ? listener_opened(sk, btf) : 0;
	if (old == TCP_LISTEN && new == TCP_CLOSE)
		return process ? listener_closed(sk, btf) : 0;
	if (!ready)
		return 0;
	switch (new) {
	case TCP_SYN_SENT:
		return process ? conn_active_open(sk, btf) : 0;
	case TCP_ESTABLISHED:
		return conn_established(sk, old, btf);
	case TCP_FIN_WAIT1:
	case TCP_CLOSE_WAIT:
	case TCP_LAST_ACK:
		return conn_closing(sk, new, process, btf);
	case TCP_CLOSE:
		return conn_closed(sk, old, process, btf);
	}
	return 0;
}

SEC("?tp_btf/inet_sock_set_state")
int BPF_PROG(process_tp_btf, const struct sock *sk, int old, int new)
{
	return on_set_state(sk, old, new, true, true);
}

SEC("?tp_btf/inet_sock_set_state")
int BPF_PROG(softirq_tp_btf, const struct sock *sk, int old, int new)
{
	return on_set_state(sk, old, new, false, true);
}

SEC("?tp/sock/inet_sock_set_state")
int process_tp(struct trace_event_raw_inet_sock_set_state *ctx)
{
	return on_set_state((const struct sock *)ctx->skaddr, ctx->oldstate, ctx->newstate, true,
			    false);
}

SEC("?tp/sock/inet_sock_set_state")
int softirq_tp(struct trace_event_raw_inet_sock_set_state *ctx)
{
	return on_set_state((const struct sock *)ctx->skaddr, ctx->oldstate, ctx->newstate, false,
			    false);
}

/* --- listeners that are older than the trace ---------------------------------------------------- */

SEC("?iter/task_file")
int listener_census(struct bpf_iter__task_file *ctx)
{
	const struct task_struct *task = ctx->task;
	char comm[CHURN_COMM_LEN], leader[CHURN_COMM_LEN];
	struct file *file = ctx->file;
	bool accepted, in_cgroup;
	struct socket *sock;
	struct sock *sk;

	if (!task || !file)
		return 0;
	sock = bpf_sock_from_file(file);
	if (!sock)
		return 0;
	sk = sock->sk;
	if (!sk || sk->__sk_common.skc_state != TCP_LISTEN || !sock_is_tcp(sk, true))
		return 0;
	task_comm(comm, task, true);
	task_comm(leader, task->group_leader, true);
	in_cgroup = cfg_cgroup && task_in_cgroup(task, cfg_cgroup);
	accepted = filter_process(task->tgid, task_uid(task, true), comm, leader, in_cgroup);
	listener_add(sk, task, accepted, false, true);
	return 0;
}

/* --- programs that begin under the trace -------------------------------------------------------- */

SEC("?tp_btf/sched_process_exec")
int BPF_PROG(exec_tp_btf, struct task_struct *task)
{
	struct churn_exec e = {.h = {.type = CHURN_EXEC, .size = sizeof(e)}};
	u32 tgid = task->tgid;

	if (!ready || !cfg_stacks || (cfg_by_target && !bpf_map_lookup_elem(&targets, &tgid)))
		return 0;
	e.h.ts_ns = bpf_ktime_get_ns();
	task_id(&e.id, task, true);
	/* A loss only means that the first connections come before we know the files. */
	bpf_ringbuf_output(&events, &e, sizeof(e), wakeup_flags(e.h.ts_ns));
	return 0;
}

/* --- processes that are followed: -p, or a command and its descendants -------------------------- */

SEC("?tp_btf/sched_process_fork")
int BPF_PROG(fork_tp_btf, struct task_struct *parent, struct task_struct *child)
{
	u32 from = parent->tgid, to = child->tgid;
	u8 one = 1;

	if (from == to || !bpf_map_lookup_elem(&targets, &from))
		return 0;
	if (bpf_map_update_elem(&targets, &to, &one, BPF_ANY))
		count_lost(CHURN_LOST_TARGET_MAP);
	return 0;
}

/* The pid may be given to a stranger next. */
SEC("?tp_btf/sched_process_exit")
int BPF_PROG(exit_tp_btf, struct task_struct *task)
{
	u32 tgid = task->tgid;

	if (task->signal->live.counter == 0)
		bpf_map_delete_elem(&targets, &tgid);
	return 0;
}
