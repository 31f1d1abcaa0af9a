// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * The hooks. One handler each, one thin program a flavour; user space decides which load.
 *
 * A chain of calls may have 512 bytes of stack, as the strictest kernels count: `make check-unit`
 * counts so too, and says what the deepest one has.
 */
#include "vmlinux.h"
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#include "bpf/accept.h"
#include "bpf/bind.h"
#include "bpf/conn.h"
#include "bpf/preempt.h"
#include "bpf/search.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

/*
 * --- functions, where fentry/fexit or kprobes are to be had --------------------------------------
 *
 * A kretprobe does not see the arguments: its kprobe keeps them for the task. Nothing nests, for
 * none of these functions calls another. They stand first: programs load in this order, and what
 * the kernel refuses should be refused before the big ones are verified.
 */

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH); /* a kretprobe may be missed: its entry stays behind */
	__uint(max_entries, 8192);
	__type(key, u32);   /* tid */
	__type(value, u64); /* struct sock * */
} calls SEC(".maps");

static __always_inline int call_begins(u64 sk)
{
	u32 tid = bpf_get_current_pid_tgid();

	bpf_map_update_elem(&calls, &tid, &sk, BPF_ANY);
	return 0;
}

/* NULL: not seen beginning. */
static __always_inline const struct sock *call_ends(void)
{
	u32 tid = bpf_get_current_pid_tgid();
	const u64 *sk = bpf_map_lookup_elem(&calls, &tid);
	const struct sock *found = sk ? (const struct sock *)*sk : NULL;

	if (sk)
		bpf_map_delete_elem(&calls, &tid);
	return found;
}

SEC("?fexit/inet_hash_connect")
int BPF_PROG(search4_fexit, void *death_row, const struct sock *sk, int result)
{
	return search_over(sk, result, true);
}

SEC("?fexit/inet6_hash_connect")
int BPF_PROG(search6_fexit, void *death_row, const struct sock *sk, int result)
{
	return search_over(sk, result, true);
}

SEC("?kprobe/inet_hash_connect")
int search4_kprobe(struct pt_regs *ctx)
{
	return call_begins(CALL_ARG2(ctx));
}

SEC("?kprobe/inet6_hash_connect")
int search6_kprobe(struct pt_regs *ctx)
{
	return call_begins(CALL_ARG2(ctx));
}

static __always_inline int search_kretprobe(const struct pt_regs *ctx)
{
	const struct sock *sk = call_ends();

	return sk ? search_over(sk, CALL_RESULT(ctx), false) : 0;
}

SEC("?kretprobe/inet_hash_connect")
int search4_kretprobe(struct pt_regs *ctx)
{
	return search_kretprobe(ctx);
}

SEC("?kretprobe/inet6_hash_connect")
int search6_kretprobe(struct pt_regs *ctx)
{
	return search_kretprobe(ctx);
}

SEC("?fentry/tcp_connect")
int BPF_PROG(syn_fentry, const struct sock *sk)
{
	return search_over(sk, 0, true);
}

SEC("?kprobe/tcp_connect")
int syn_kprobe(struct pt_regs *ctx)
{
	return search_over((const struct sock *)CALL_ARG1(ctx), 0, false);
}

/* Up to 6.9: (sk, flags, err, kern); then (sk, arg). User space chooses by the kernel's BTF: the
 * verifier lets the wrong one pass on some kernels, and what it reads is rubbish. */
SEC("?fexit/inet_csk_accept")
int BPF_PROG(accept4_fexit, void *listener, int flags, void *err, bool kern, const struct sock *sk)
{
	return sk ? conn_accepted(sk, true) : 0;
}

SEC("?fexit/inet_csk_accept")
int BPF_PROG(accept2_fexit, void *listener, void *arg, const struct sock *sk)
{
	return sk ? conn_accepted(sk, true) : 0;
}

SEC("?kretprobe/inet_csk_accept")
int accept_kretprobe(struct pt_regs *ctx)
{
	const struct sock *sk = (const struct sock *)CALL_RESULT(ctx);

	return sk ? conn_accepted(sk, false) : 0;
}

SEC("?tp/syscalls/sys_exit_accept")
int accept_exit_tp(struct trace_event_raw_sys_exit *ctx)
{
	return accept_call_ends(ctx->ret);
}

SEC("?tp/syscalls/sys_exit_accept4")
int accept4_exit_tp(struct trace_event_raw_sys_exit *ctx)
{
	return accept_call_ends(ctx->ret);
}

/* Over conn_states. */
SEC("?iter/bpf_map_elem")
int unaccepted_sweep(struct bpf_iter__bpf_map_elem *ctx)
{
	const u32 *index = ctx->key;

	return index ? conn_unaccepted(*index) : 0;
}

SEC("?fexit/inet_csk_get_port")
int BPF_PROG(bind_fexit, const struct sock *sk, unsigned short port, int result)
{
	return bind_over(sk, port, result, true);
}

SEC("?kprobe/inet_csk_get_port")
int bind_kprobe(struct pt_regs *ctx)
{
	return (u16)CALL_ARG2(ctx) ? 0 : call_begins(CALL_ARG1(ctx));
}

SEC("?kretprobe/inet_csk_get_port")
int bind_kretprobe(struct pt_regs *ctx)
{
	const struct sock *sk = call_ends();

	return sk ? bind_over(sk, 0, CALL_RESULT(ctx), false) : 0;
}

SEC("?tp/syscalls/sys_enter_bind")
int bind_enter_tp(struct trace_event_raw_sys_enter *ctx)
{
	return bind_call_begins(ctx->args[0], (const void *)ctx->args[1]);
}

SEC("?tp/syscalls/sys_exit_bind")
int bind_exit_tp(struct trace_event_raw_sys_exit *ctx)
{
	return bind_call_ends(ctx->ret);
}

/*
 * --- inet_sock_set_state, in tcp_set_state() ----------------------------------------------------
 *
 * Two programs share the hook: one for the process that holds the socket's lock, one for softirq
 * and timers. The kernel skips a program that is running on the CPU already, and a packet may well
 * come while a process connects; so each has its own guard, and neither can be in its own way.
 */

static __always_inline int state_is_set(const struct sock *sk, int old, int new, const bool process,
					const bool btf)
{
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
		return conn_established(sk, old, process, btf);
	case TCP_FIN_WAIT1:
	case TCP_CLOSE_WAIT:
	case TCP_LAST_ACK:
		return conn_closing(sk, new, process, btf);
	case TCP_CLOSE:
		return conn_closed(sk, old, process, btf);
	}
	return 0;
}

static __always_inline bool is_mine(const struct sock *sk, int old, int new, const bool process,
				    const bool btf)
{
	/* Passive opens are softirq's, also where an acceptor holds the lock (Fast Open). */
	bool passive = old == TCP_SYN_RECV && new == TCP_ESTABLISHED;

	return (!passive && sock_owned(sk, btf)) == process;
}

static __always_inline int on_set_state(const struct sock *sk, int old, int new, const bool process,
					const bool btf)
{
	return is_mine(sk, old, new, process, btf) ? state_is_set(sk, old, new, process, btf) : 0;
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

/*
 * Plain: nothing here that a kernel before 5.12 does not know. Raw tracepoints, because the others
 * need tracefs and a perf event, and of them the kernel runs no two at once on a CPU, whatever the
 * hook: it would skip the softirq's one without telling.
 */
static __always_inline int on_raw_set_state(struct bpf_raw_tracepoint_args *ctx, const bool process)
{
	const struct sock *sk = (const struct sock *)ctx->args[0];
	int old = ctx->args[1], new = ctx->args[2];
	volatile u32 *busy;

	if (!is_mine(sk, old, new, process, false))
		return 0;
	/* Only since 6.1 does the kernel keep a raw tracepoint's program from interrupting
	 * itself. */
	busy = is_running(process);
	if (!busy)
		return 0;
	if (*busy) {
		count_lost(CHURN_LOST_REENTRY);
		return 0;
	}
	*busy = 1;
	state_is_set(sk, old, new, process, false);
	*busy = 0;
	return 0;
}

SEC("?raw_tp/inet_sock_set_state")
int process_raw_tp(struct bpf_raw_tracepoint_args *ctx)
{
	return on_raw_set_state(ctx, true);
}

SEC("?raw_tp/inet_sock_set_state")
int softirq_raw_tp(struct bpf_raw_tracepoint_args *ctx)
{
	return on_raw_set_state(ctx, false);
}

/* Since 7.0, where a program may be preempted: see bpf/preempt.h. */
static __always_inline int on_preemptible(const struct sock *sk, int old, int new,
					  const bool process, const bool btf)
{
	volatile u32 *own = is_running(process), *other;
	struct churn_counters *c;
	bool mine, stand_in;

	if (!own)
		return 0;
	*own = 1;
	other = is_running(!process);
	c = count();
	stand_in = other && *other;
	if (stand_in && c)
		count_one(&c->stood_in);
	mine = is_mine(sk, old, new, process, btf);
	if (mine || stand_in) {
		bpf_preempt_disable();
		if (mine)
			state_is_set(sk, old, new, process, btf);
		else
			state_is_set(sk, old, new, !process, btf);
		bpf_preempt_enable();
	}
	*own = 0;
	return 0;
}

SEC("?tp_btf/inet_sock_set_state")
int BPF_PROG(process_7_tp_btf, const struct sock *sk, int old, int new)
{
	return on_preemptible(sk, old, new, true, true);
}

SEC("?tp_btf/inet_sock_set_state")
int BPF_PROG(softirq_7_tp_btf, const struct sock *sk, int old, int new)
{
	return on_preemptible(sk, old, new, false, true);
}

SEC("?raw_tp/inet_sock_set_state")
int process_7_raw_tp(struct bpf_raw_tracepoint_args *ctx)
{
	return on_preemptible((const struct sock *)ctx->args[0], ctx->args[1], ctx->args[2], true,
			      false);
}

SEC("?raw_tp/inet_sock_set_state")
int softirq_7_raw_tp(struct bpf_raw_tracepoint_args *ctx)
{
	return on_preemptible((const struct sock *)ctx->args[0], ctx->args[1], ctx->args[2], false,
			      false);
}

/* --- what is older than the trace ------------------------------------------------------------- */

/* User space wants to know who runs CPython, before `ready`. Set by it. */
bool meeting = false;

#define PYTHON	    0x6e6f68747970ULL /* how its name begins, as a little-endian number */
#define PYTHON_MASK 0xffffffffffffULL

/* By the name of the executable: what embeds CPython is met when it connects. */
static __always_inline void meet_python(const struct task_struct *task, const bool btf)
{
	struct churn_exec e = {.h = {.type = CHURN_EXEC, .size = sizeof(e)}};
	const struct mm_struct *mm = READ(btf, task, mm);
	const struct file *exe = mm ? READ(btf, mm, exe_file) : NULL;
	char name[CHURN_NAME_LEN] __attribute__((aligned(8))) = {};
	u32 tgid = task->tgid;
	static u32 last_tgid;

	if (!exe || tgid == last_tgid || !cfg_stacks ||
	    (cfg_by_target && !bpf_map_lookup_elem(&targets, &tgid)))
		return;
	last_tgid = tgid;
	dentry_name(name, READ(btf, exe, f_path.dentry), btf);
	if ((*(u64 *)name & PYTHON_MASK) != PYTHON)
		return;
	e.h.ts_ns = bpf_ktime_get_ns();
	task_id(&e.id, task, btf);
	/* A loss only means that its first connections may lack their call sites. */
	bpf_ringbuf_output(&events, &e, sizeof(e), BPF_RB_NO_WAKEUP);
}

static __always_inline int on_file(const struct task_struct *task, struct file *file,
				   const bool btf)
{
	char comm[CHURN_COMM_LEN], leader[CHURN_COMM_LEN];
	const struct socket *sock;
	bool accepted, in_cgroup;
	const struct sock *sk;

	if (!task || !file)
		return 0;
	if (meeting) {
		meet_python(task, btf);
		return 0;
	}
	sock = file_socket(file, btf);
	if (!sock)
		return 0;
	sk = READ(btf, sock, sk);
	if (!sk || READ(btf, sk, __sk_common.skc_state) != TCP_LISTEN || !sock_is_tcp(sk, btf))
		return 0;
	task_comm(comm, task, true);
	task_comm(leader, task->group_leader, true);
	in_cgroup = cfg_cgroup && task_in_cgroup(task, cfg_cgroup);
	accepted = filter_process(task->tgid, task_uid(task, true), comm, leader, in_cgroup);
	listener_add(sk, task, accepted, false, btf);
	return 0;
}

SEC("?iter/task_file")
int listener_census(struct bpf_iter__task_file *ctx)
{
	return on_file(ctx->task, ctx->file, true);
}

SEC("?iter/task_file")
int listener_census_plain(struct bpf_iter__task_file *ctx)
{
	return on_file(ctx->task, ctx->file, false);
}

/* --- programs that begin under the trace ------------------------------------------------------ */

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

SEC("?tp_btf/vm_unmapped_area")
int BPF_PROG(mapping_tp_btf)
{
	return ready && cfg_stacks ? code_mapping(true) : 0;
}

SEC("?raw_tp/vm_unmapped_area")
int mapping_raw_tp(void *ctx)
{
	return ready && cfg_stacks ? code_mapping(false) : 0;
}

/* --- in the files of CPython ------------------------------------------------------------------ */

SEC("?uprobe")
int code_freed(struct pt_regs *ctx)
{
	return py_code_freed();
}

/* --- processes that are followed: -p, or a command and its descendants ------------------------ */

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
