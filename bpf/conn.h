/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The life of a connection, one handler a transition of inet_sock_set_state. The hook fires before
 * sk_state is written. Which task `current` is differs by transition (sock_owned()):
 *
 *	CLOSE -> SYN_SENT		the connecting process
 *	SYN_SENT -> ESTABLISHED		softirq: remember the owner from before
 *	SYN_RECV -> ESTABLISHED		softirq: a passive open belongs to whoever listens
 *	* -> FIN_WAIT1, * -> LAST_ACK	the closing process
 *	* -> CLOSE_WAIT			softirq: the peer's FIN
 *	SYN_SENT -> CLOSE		either: local failure, or RST, timeout, ICMP
 *	* -> CLOSE			either
 */
#ifndef CHURN_CONN_H
#define CHURN_CONN_H

#include "bpf/drift.h"
#include "bpf/filter.h"
#include "bpf/lane.h"
#include "bpf/listener.h"
#include "bpf/maps.h"
#include "bpf/process.h"
#include "bpf/sock.h"
#include "bpf/stack.h"
#include "bpf/table.h"

/* NULL: there is no room, and the connection is not followed. */
static __always_inline struct conn_state *conn_remember(const struct sock *sk,
							const struct churn_conn *conn, bool sampled,
							u32 held, const bool btf)
{
	struct conn_entry entry = {};

	if (!table_claim(&entry, table_key(sk, btf), btf)) {
		count_lost(CHURN_LOST_CONN_MAP);
		return NULL;
	}
	__builtin_memset(entry.state, 0, sizeof(*entry.state));
	__builtin_memcpy(entry.state, conn, __builtin_offsetof(struct churn_conn, local_addr));
	__builtin_memcpy(entry.state->local_addr, conn->local_addr, sizeof(conn->local_addr));
	__builtin_memcpy(entry.state->peer_addr, conn->peer_addr, sizeof(conn->peer_addr));
	entry.state->sampled = sampled;
	entry.state->held = held;
	return entry.state;
}

/* --- opens ------------------------------------------------------------------------------------ */

static __always_inline struct churn_conn *conn_scratch(void)
{
	struct unwind *u = unwind_scratch();

	if (!u)
		return NULL;
	__builtin_memset(&u->conn, 0, sizeof(u->conn));
	return &u->conn;
}

static __always_inline void conn_announce_opener(const struct churn_conn *conn,
						 const struct task_struct *task, const bool btf)
{
	struct unwind *u = unwind_scratch();

	if (!u || process_is(&u->told, &conn->owner))
		return;
	if (process_announce(&conn->owner, task, true, btf))
		u->told = conn->owner;
}

/* CLOSE -> SYN_SENT, in the connecting process; the port search comes after this. */
static __always_inline int conn_active_open(const struct sock *sk, const bool btf)
{
	const struct task_struct *task = current_task(btf);
	struct churn_conn *conn = conn_scratch();
	struct churn_counters *c = count();
	struct capture capture = {};

	if (!c || !conn || !sock_is_tcp(sk, btf))
		return 0;
	conn->netns = sock_netns(sk, btf);
	sock_read_tuple(conn, sk, btf);
	if (!filter_destination(conn))
		return 0;
	task_comm(conn->comm, task, btf);
	if (!current_wanted(task, conn->comm, btf))
		return 0;
	conn->id = socket_identity(sk, btf);
	conn->role = CHURN_CLIENT;
	conn->attribution = CHURN_OWNER_EXACT;
	conn->tid = READ(btf, task, pid);
	task_id(&conn->owner, task, btf);
	conn_announce_opener(conn, task, btf);
	stack_capture(&capture, &conn->owner, conn->tid, conn->id, false, btf);
	conn->stack = capture.id;
	/* The last thing before the kernel goes on: the port search is measured from here. */
	conn->open_ns = bpf_ktime_get_ns();
	count_one(&c->attempts);
	if (!conn_remember(sk, conn, capture.sampled, HELD_NOT, btf))
		count_one(&c->outcomes);
	return 0;
}

/* What is known of it before it ends. */
static __always_inline void open_fill(struct churn_open *e, const struct conn_state *state,
				      const u32 type, u64 ts_ns)
{
	e->h.ts_ns = ts_ns;
	e->h.type = type;
	e->h.size = sizeof(*e);
	__builtin_memcpy(&e->conn, state, __builtin_offsetof(struct churn_conn, local_addr));
	__builtin_memcpy(e->conn.local_addr, state->local_addr, sizeof(e->conn.local_addr));
	__builtin_memcpy(e->conn.peer_addr, state->peer_addr, sizeof(e->conn.peer_addr));
	e->conn.search_ns = type == CHURN_CONNECT ? state->search_ns : 0;
	e->conn.pad = 0;
}

static __always_inline void conn_emit_open(const struct conn_state *state, const u32 type,
					   u64 ts_ns, const enum lane_writer by)
{
	struct place place = {};
	struct churn_open *e = place_reserve(&place, by, sizeof(*e));

	if (!e) {
		count_lost(CHURN_LOST_RING_OPEN);
		return;
	}
	open_fill(e, state, type, ts_ns);
	place_commit(&place, sizeof(*e));
}

/* SYN_RECV -> ESTABLISHED of a socket that did not connect: in softirq, for whoever listens. */
static __always_inline int passive_open(const struct sock *sk, const bool process, const bool btf)
{
	struct churn_conn fresh = {}, *conn = &fresh;
	const struct conn_state *state;
	const struct listener *l;
	struct churn_counters *c;
	u32 held = HELD_NOT;
	bool wanted;

	if (cfg_failed_only || !sock_is_tcp(sk, btf))
		return 0;
	conn->netns = sock_netns(sk, btf);
	sock_read_tuple(conn, sk, btf);
	if (!filter_destination(conn) || !filter_source(conn->local_port, conn->local_addr))
		return 0;
	l = listener_find(conn);
	wanted = !filter_has_process() || (l && l->accepted);
	/* With Fast Open a connection is accepted before its handshake is over. */
	if (btf && cfg_accepts && !READ(btf, sk, sk_socket))
		held = wanted ? HELD_WAITING : HELD_UNWANTED;
	else if (!wanted)
		return 0;
	if (l && !l->shared) {
		conn->owner = l->owner;
		conn->tid = l->tid;
		conn->attribution = CHURN_OWNER_LISTENER;
		__builtin_memcpy(conn->comm, l->comm, sizeof(conn->comm));
	}
	conn->open_ns = process ? bpf_ktime_get_ns() : packet_ns(sk, btf);
	conn->established_ns = conn->open_ns;
	conn->id = socket_identity(sk, btf);
	conn->role = CHURN_SERVER;
	state = conn_remember(sk, conn, false, held, btf);
	if (!state)
		return 0;
	if (held) {
		c = count();
		if (c)
			count_one(&c->held);
	} else {
		conn_emit_open(state, CHURN_ACCEPT, state->established_ns, lane_of(process));
	}
	return 0;
}

/* Not inlined: where calls are captured too, the stack has no room for what is put together
 * here. */
static __noinline int passive_open_btf(const struct sock *sk, bool process)
{
	return passive_open(sk, process, true);
}

static __noinline int passive_open_plain(const struct sock *sk, bool process)
{
	return passive_open(sk, process, false);
}

static __always_inline int conn_passive_open(const struct sock *sk, const bool process,
					     const bool btf)
{
	return btf ? passive_open_btf(sk, process) : passive_open_plain(sk, process);
}

/* With Fast Open the server may have answered, and closed, before the handshake is over. */
static __always_inline bool conn_served_early(struct conn_entry *entry, const struct sock *sk,
					      const bool process, const bool btf)
{
	const struct tcp_sock *tp = tcp_sock(sk, btf);

	if (!tp || !READ(btf, tp, fastopen_rsk))
		return false;
	conn_passive_open(sk, process, btf);
	return table_find(entry, sk, btf);
}

/* An active open has succeeded. */
static __always_inline void conn_emit_connect(struct conn_state *state, const bool process)
{
	conn_emit_open(state, CHURN_CONNECT, state->established_ns, lane_of(process));
	state->ending_ns = 0; /* here was the search */
}

static __always_inline int conn_established(const struct sock *sk, int old, const bool process,
					    const bool btf)
{
	struct churn_counters *c = count();
	struct conn_entry entry = {};
	struct conn_state *state;

	/* A simultaneous open passes through SYN_RECV too, and has a descriptor: what was dialled
	 * stays a client. */
	if (old == TCP_SYN_RECV && !process && !READ(btf, sk, sk_socket))
		return conn_passive_open(sk, process, btf);
	if (!table_find(&entry, sk, btf) || entry.state->established_ns)
		return old == TCP_SYN_RECV && !process ? conn_passive_open(sk, process, btf) : 0;
	state = entry.state;
	state->established_ns = process ? bpf_ktime_get_ns() : packet_ns(sk, btf);
	state->local_port = READ(btf, sk, __sk_common.skc_num);
	if (c)
		count_one(&c->outcomes);
	if (cfg_failed_only || !filter_source(state->local_port, state->local_addr)) {
		table_release(&entry);
		return 0;
	}
	conn_emit_connect(state, process);
	return 0;
}

/* --- ends ------------------------------------------------------------------------------------- */

/* The calls in progress in the process that ends a sampled connection; once. */
static __always_inline void conn_capture_end(struct conn_state *state, const struct churn_id *id,
					     u32 tid, const bool btf)
{
	struct capture capture = {};

	state->sampled = 0;
	stack_capture(&capture, id, tid, state->id, true, btf);
	state->close_stack = capture.id;
	state->captured = 1;
}

/* Who closes an accepted connection is surer than who listened for it. */
static __always_inline void conn_belongs_to_closer(struct conn_state *state,
						   const struct task_struct *task,
						   const struct churn_id *id, u32 tid, bool dying,
						   const bool btf)
{
	state->owner = *id;
	state->tid = tid;
	state->attribution = CHURN_OWNER_EXACT;
	task_comm(state->comm, task, btf);
	process_announce(&state->owner, task, !dying, btf);
	/* Its accept() was not seen: it was called before the trace. */
	if (state->held)
		state->held = current_wanted(task, state->comm, btf) ? HELD_WAITING : HELD_UNWANTED;
}

/* `current` ends the connection, by a FIN or a reset. */
static __always_inline void conn_closer(struct conn_state *state, const bool btf)
{
	const struct task_struct *task = current_task(btf);
	u32 flags = READ(btf, task, flags), tid;
	bool dying = flags & PF_EXITING;
	struct churn_id id = {};

	if (flags & PF_KTHREAD)
		return;
	if (dying && state->initiator == CHURN_END_LOCAL)
		state->initiator = CHURN_END_EXIT;
	task_id(&id, task, btf);
	tid = READ(btf, task, pid);
	if (state->role == CHURN_SERVER && state->attribution != CHURN_OWNER_EXACT)
		conn_belongs_to_closer(state, task, &id, tid, dying, btf);
	/* A dying process has no memory left to read. */
	if (state->sampled && !dying)
		conn_capture_end(state, &id, tid, btf);
}

/* A state change was missed (the kernel counts those): it was established all the same. */
static __always_inline void conn_was_established(struct conn_state *state, const struct sock *sk,
						 const bool process, const bool btf)
{
	const struct tcp_sock *tp = tcp_sock(sk, btf);
	struct churn_counters *c = count();

	state->established_ns = bpf_ktime_get_ns();
	if (tp)
		state->local_port = source_port(tp, btf);
	if (c)
		count_one(&c->outcomes);
	conn_emit_connect(state, process);
}

/* A FIN leaves (FIN_WAIT1, LAST_ACK) in the closing process, or arrives (CLOSE_WAIT) in softirq. */
static __always_inline int conn_closing(const struct sock *sk, int new, const bool process,
					const bool btf)
{
	struct conn_entry entry = {};
	struct conn_state *state;

	if (!table_find(&entry, sk, btf) && !conn_served_early(&entry, sk, process, btf))
		return 0;
	state = entry.state;
	if (!state->established_ns)
		conn_was_established(state, sk, process, btf);
	if (!state->ending_ns)
		state->ending_ns = bpf_ktime_get_ns();
	if (new == TCP_CLOSE_WAIT) {
		state->initiator = CHURN_END_PEER;
		return 0;
	}
	if (!state->initiator)
		state->initiator = CHURN_END_LOCAL;
	if (process)
		conn_closer(state, btf);
	return 0;
}

/* The end of a passive open that nobody has accepted: its open is told now. False: there is nothing
 * to tell of its end. */
static __always_inline bool conn_end_held(struct conn_entry *entry, const enum lane_writer by)
{
	struct conn_state *state = entry->state;
	struct churn_counters *c = count();
	u32 held = __sync_lock_test_and_set(&state->held, HELD_ENDED);

	if (held == HELD_TAKING) {
		count_lost(CHURN_LOST_REENTRY);
		return false;
	}
	if (held == HELD_NOT)
		return true;
	if (c)
		count_one(&c->unheld);
	if (held == HELD_UNWANTED) {
		table_release(entry);
		return false;
	}
	conn_emit_open(state, CHURN_ACCEPT, bpf_ktime_get_ns(), by);
	return true;
}

static __always_inline bool peer_has_closed(const struct sock *sk, const bool btf)
{
	return READ(btf, sk, __sk_common.skc_flags) & (1 << SOCK_DONE);
}

/* Whether a timewait socket takes the place of this one: not when the program that has closed its
 * sending side closes the other before the peer's FIN, with data unread. That sends an RST; a
 * socket that has no descriptor any more waits as a timewait socket already. */
static __always_inline bool leaves_time_wait(const struct sock *sk, int old, const bool btf)
{
	if (old == TCP_FIN_WAIT2)
		return peer_has_closed(sk, btf) || !READ(btf, sk, sk_socket);
	return old == TCP_CLOSING;
}

/* How an established connection came to its end, from the state that it leaves. */
static __always_inline void end_classify(struct churn_end *e, const struct sock *sk, int old,
					 int err, bool owned, const bool btf)
{
	e->time_wait = CHURN_TIME_WAIT_NONE;
	e->error = err;
	if (!err && leaves_time_wait(sk, old, btf))
		e->time_wait = CHURN_TIME_WAIT_LOCAL;
	else if (!err && old == TCP_LAST_ACK)
		e->time_wait = CHURN_TIME_WAIT_PEER;

	if (e->conn.initiator)
		return;
	if (err == ECONNRESET)
		e->conn.initiator = CHURN_END_RESET;
	else if (err == ETIMEDOUT)
		e->conn.initiator = CHURN_END_TIMEOUT;
	else if (err == ECONNABORTED || (owned && !err))
		e->conn.initiator = CHURN_END_ABORT;
}

static __always_inline u64 jiffies_ago_ns(u32 then)
{
	u32 ago = (u32)bpf_jiffies64() - then;

	return (s32)ago > 0 ? ago * cfg_jiffy_ns : 0;
}

static __always_inline void end_read_traffic(struct churn_end *e, const struct sock *sk,
					     const struct tcp_sock *tp, const bool btf)
{
	u64 idle, received_ago;

	e->bytes_sent = READ(btf, tp, bytes_sent) - READ(btf, tp, bytes_retrans);
	e->bytes_received = READ(btf, tp, bytes_received);
	e->segs_out = READ(btf, tp, segs_out);
	e->segs_in = READ(btf, tp, segs_in);
	e->data_segs_out = READ(btf, tp, data_segs_out);
	e->data_segs_in = READ(btf, tp, data_segs_in);
	/* The peer's FIN takes a sequence number, which the kernel counts as a byte. tcp_fin() sets
	 * this flag, and only when a full socket took the FIN in: a timewait socket does not
	 * count. */
	if (peer_has_closed(sk, btf) && e->bytes_received)
		e->bytes_received--;

	idle = e->h.ts_ns - e->conn.established_ns;
	if (e->data_segs_out)
		idle = jiffies_ago_ns(READ(btf, tp, lsndtime));
	if (e->data_segs_in) {
		received_ago = jiffies_ago_ns(READ(btf, tp, inet_conn.icsk_ack.lrcvtime));
		if (!e->data_segs_out || received_ago < idle)
			idle = received_ago;
	}
	e->idle_ns = idle;
}

/* connect() goes on: it says so in the end. */
static __always_inline bool is_in_connect(const struct sock *sk, const bool btf)
{
	const struct socket *socket = READ(btf, sk, sk_socket);

	return !socket || READ(btf, socket, state) == SS_UNCONNECTED;
}

/*
 * Why an active open failed. In SYN_SENT, sk_err is set before this when a packet or a timer
 * decided; without a SYN it is of an earlier connection of the socket. Else the caller's own
 * context gave up: because no source port was to be had (the port is then 0) or the four-tuple of
 * an explicit one is taken; or because the program closed or died. Where the port search is not
 * seen, it is the former when no SYN has left and connect() is not over: with Fast Open the SYN
 * waits for data.
 */
static __always_inline void fail_classify(struct churn_end *e, const struct sock *sk,
					  const struct tcp_sock *tp, int err, int search,
					  bool owned, const bool btf)
{
	bool unsent = owned && !READ(btf, tp, segs_out);
	bool in_search = search ? search < 0 : unsent && is_in_connect(sk, btf);

	if (unsent)
		err = 0;
	/* A search that fails leaves the port of an earlier connection there, too. */
	if (!in_search)
		e->conn.local_port = source_port(tp, btf);
	e->error = err;
	if (err == ECONNREFUSED) {
		e->cause = CHURN_CAUSE_REFUSED;
	} else if (err == ETIMEDOUT) {
		e->cause = CHURN_CAUSE_TIMEOUT;
	} else if (err == ECONNRESET) {
		e->cause = CHURN_CAUSE_RESET;
	} else if (err == ECONNABORTED || !owned) {
		e->cause =
			err && err != ECONNABORTED ? CHURN_CAUSE_UNREACHABLE : CHURN_CAUSE_ABORTED;
	} else if (err) {
		e->cause = CHURN_CAUSE_UNREACHABLE;
	} else if (search < 0 && search != -EADDRNOTAVAIL) {
		e->error = -search;
	} else if (in_search) {
		e->cause = e->conn.local_port ? CHURN_CAUSE_TUPLE_IN_USE
					      : CHURN_CAUSE_EPHEMERAL_EXHAUSTED;
		e->error = EADDRNOTAVAIL;
	} else {
		e->cause = CHURN_CAUSE_ABORTED;
	}
}

/* What is remembered of the connection. */
static __always_inline void end_fill(struct churn_end *e, const struct conn_state *state,
				     const struct sock *sk, const bool btf)
{
	__builtin_memcpy(&e->conn, state, __builtin_offsetof(struct churn_conn, local_addr));
	__builtin_memset(&e->conn.search_ns, 0,
			 sizeof(*e) - __builtin_offsetof(struct churn_end, conn.search_ns));
	if (state->captured) {
		sock_read_local(e->conn.local_addr, sk, btf);
		sock_read_peer(e->conn.peer_addr, sk, btf);
		e->close_stack = state->close_stack;
	} else {
		__builtin_memcpy(e->conn.local_addr, state->local_addr, sizeof(e->conn.local_addr));
		__builtin_memcpy(e->conn.peer_addr, state->peer_addr, sizeof(e->conn.peer_addr));
	}
}

/* * -> CLOSE: the record, and the end of what we remember of this socket. */
static __always_inline int conn_closed(const struct sock *sk, int old, const bool process,
				       const bool btf)
{
	struct churn_counters *c = count();
	const struct conn_state *state;
	struct conn_entry entry = {};
	const struct tcp_sock *tp;
	struct place place = {};
	bool failed, by_packet;
	struct churn_end *e;
	int err;

	if (!c)
		return 0;
	if (!table_find(&entry, sk, btf)) {
		/* Older than we are, unless a filter has turned it away: who opened it is not known
		 * any more, so then they cannot be told apart. */
		if (!filter_any() && old != TCP_LISTEN && old != TCP_SYN_SENT &&
		    old != TCP_SYN_RECV && old != TCP_CLOSE)
			count_one(&c->older);
		return 0;
	}
	state = entry.state;
	if (btf && cfg_accepts && state->role == CHURN_SERVER &&
	    !conn_end_held(&entry, lane_of(process)))
		return 0;
	tp = tcp_sock(sk, btf);
	if (!tp)
		goto forget;
	if (!state->established_ns && old != TCP_SYN_SENT && old != TCP_SYN_RECV)
		conn_was_established(entry.state, sk, process, btf);
	failed = !state->established_ns;
	if (failed)
		count_one(&c->outcomes);
	err = READ(btf, sk, sk_err);
	if (!failed && process && !err && !state->ending_ns)
		conn_closer(entry.state, btf);
	e = place_reserve(&place, lane_of(process), sizeof(*e));
	if (!e) {
		count_lost(failed ? CHURN_LOST_RING_FAILED : CHURN_LOST_RING_CLOSE);
		goto forget;
	}
	end_fill(e, state, sk, btf);
	/* Only a RST brings this error. */
	by_packet = !process && old == TCP_ESTABLISHED && err == ECONNRESET;
	e->h.ts_ns = by_packet ? packet_ns(sk, btf) : bpf_ktime_get_ns();
	e->h.type = failed ? CHURN_FAILED : CHURN_CLOSE;
	e->h.size = sizeof(*e);
	if (failed) {
		e->ending_ns = e->h.ts_ns;
		e->conn.search_ns = state->search_ns;
		fail_classify(e, sk, tp, err, state->search, process, btf);
		if (!filter_source(e->conn.local_port, e->conn.local_addr) ||
		    (cfg_errno && cfg_errno != e->error)) {
			place_discard(&place);
			goto forget;
		}
	} else {
		e->ending_ns = state->ending_ns ?: e->h.ts_ns;
		end_classify(e, sk, old, err, process, btf);
		end_read_traffic(e, sk, tp, btf);
	}
	place_commit(&place, sizeof(*e));
forget:
	table_release(&entry);
	return 0;
}

#endif /* CHURN_CONN_H */
