/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * inet_csk_accept() hands a connection to the process that accepts it: its owner, whoever listened,
 * at a place in its code, which is the connection's call site.
 *
 * The only handler that does not run under the lock of the connection's socket: a reset may end it
 * on another CPU at the same moment. `held` says whose the entry is.
 */
#ifndef CHURN_ACCEPT_H
#define CHURN_ACCEPT_H

#include "bpf/conn.h"

static __always_inline int conn_accepted(const struct sock *sk, const bool btf)
{
	const struct task_struct *task = current_task(btf);
	struct churn_counters *c = count();
	struct conn_entry entry = {};
	struct conn_state *state;
	struct churn_id owner = {};
	char comm[CHURN_COMM_LEN];
	u32 held, tid = 0;
	u64 stack = 0;
	bool wanted;

	if (!ready || !c || !table_find(&entry, sk, btf))
		return 0;
	state = entry.state;
	held = state->held;
	if (held != HELD_WAITING && held != HELD_UNWANTED)
		return 0;
	bpf_get_current_comm(comm, sizeof(comm));
	wanted = current_wanted(task, comm, btf);
	if (wanted) {
		task_id(&owner, task, btf);
		process_announce(&owner, task, true, btf);
		tid = READ(btf, task, pid);
		stack = stack_capture_shared(&owner, tid, btf);
	}
	if (__sync_val_compare_and_swap(&state->held, held, HELD_TAKING) != held)
		return 0; /* it has just ended, and was told */
	if (!socket_is(sk, state->id, btf)) {
		/* So it has, and this is the next one, which waits for somebody else. */
		if (__sync_val_compare_and_swap(&state->held, HELD_TAKING, held) != HELD_TAKING)
			table_release(&entry);
		return 0;
	}
	count_one(&c->unheld);
	if (wanted) {
		state->owner = owner;
		state->tid = tid;
		state->stack = stack;
		state->attribution = CHURN_OWNER_EXACT;
		__builtin_memcpy(state->comm, comm, sizeof(comm));
		conn_emit_open(state, CHURN_ACCEPT, bpf_ktime_get_ns(), LANE_ACCEPT);
	}
	if (__sync_val_compare_and_swap(&state->held, HELD_TAKING, HELD_NOT) != HELD_TAKING ||
	    !wanted)
		table_release(&entry);
	return 0;
}

/*
 * Where no function can be hooked: the exit of accept(2) and accept4(2), only when asked for, as in
 * bpf/bind.h. What io_uring accepts passes by here, and is told as its listener's after a while. A
 * descriptor may have been closed by another thread by now, and given to another connection, which
 * is then one of the same process; there is nothing to be told of the one that has gone.
 */
static __always_inline int accept_call_ends(long result)
{
	const struct sock *sk;

	if (!ready || result < 0)
		return 0;
	sk = sock_of_fd(result);
	return sk ? conn_accepted(sk, false) : 0;
}

/* What was established before that has waited long enough. Set by user space. */
__u64 held_before_ns = 0;

/*
 * A passive open that waits, by its place in the table: it is told now, as its listener's. Nobody
 * may ever accept it; and an accept() that was called before the trace began returns unseen.
 */
static __always_inline int conn_unaccepted(u32 index)
{
	struct churn_counters *c = count();
	struct conn_entry entry = {};
	struct conn_state *state;
	struct churn_open *e;

	if (!c || !table_slot(&entry, index + 1) || !*entry.slot)
		return 0;
	state = entry.state;
	if (state->held != HELD_WAITING || state->established_ns >= held_before_ns ||
	    __sync_val_compare_and_swap(&state->held, HELD_WAITING, HELD_TAKING) != HELD_WAITING)
		return 0;
	count_one(&c->unheld);
	e = bpf_ringbuf_reserve(&events, sizeof(*e), 0);
	if (e) {
		open_fill(e, state, CHURN_ACCEPT, bpf_ktime_get_ns());
		bpf_ringbuf_submit(e, BPF_RB_NO_WAKEUP);
	} else {
		count_lost(CHURN_LOST_RING_OPEN);
	}
	if (__sync_val_compare_and_swap(&state->held, HELD_TAKING, HELD_NOT) != HELD_TAKING)
		table_release(&entry);
	return 0;
}

#endif /* CHURN_ACCEPT_H */
