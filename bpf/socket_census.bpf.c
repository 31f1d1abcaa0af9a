// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * The census: every TCP socket of the network namespace that the iterator was made in, with what
 * netlink does not tell: whether its port was bound, and the stamps of TIME_WAIT. All by direct
 * dereference, so that it runs under lockdown=confidentiality.
 */
#include "vmlinux.h"
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#include "bpf/addr.h"
#include "bpf/event.h"

#define PORT_NOT_BOUND	   0
#define PORT_BOUND	   1
#define PORT_BOUND_UNKNOWN 2

/* bpf_get_socket_cookie() in an iterator: since 5.12. */
const volatile bool cfg_cookies = true;

char LICENSE[] SEC("license") = "Dual BSD/GPL";

static __always_inline void read_common(struct churn_socket *s, const struct sock_common *c)
{
	if (c->skc_family == AF_INET) {
		addr_from_v4(s->local_addr, c->skc_rcv_saddr);
		addr_from_v4(s->peer_addr, c->skc_daddr);
		s->family = 4;
	} else {
		addr_from_v6(s->local_addr, &c->skc_v6_rcv_saddr);
		addr_from_v6(s->peer_addr, &c->skc_v6_daddr);
		s->family = addr_is_v4(s->peer_addr) ? 4 : 6;
	}
	s->local_port = c->skc_num;
	s->peer_port = bpf_ntohs(c->skc_dport);
	s->device = c->skc_bound_dev_if;
	s->state = c->skc_state;
}

/* Both are -1 as long as only connect() has used the port: __inet_hash_connect(). */
static __always_inline u8 bucket_bound(const struct inet_bind_bucket *tb)
{
	if (!tb)
		return PORT_BOUND_UNKNOWN;
	return tb->fastreuse >= 0 || tb->fastreuseport >= 0 ? PORT_BOUND : PORT_NOT_BOUND;
}

static __always_inline void read_time_wait(struct churn_socket *s,
					   const struct tcp_timewait_sock *tw)
{
	const struct inet_timewait_sock *itw = &tw->tw_sk;

	s->time_wait = 1;
	s->state = itw->tw_substate;
	s->timer_jiffies = (u32)itw->tw_timer.expires - (u32)bpf_jiffies64();
	s->ts_recent_stamp = tw->tw_ts_recent_stamp;
	if (bpf_core_field_exists(itw->tw_entry_stamp)) {
		s->has_entry_stamp = 1;
		s->entry_stamp = itw->tw_entry_stamp;
	}
	s->port_bound = bucket_bound(itw->tw_tb);
}

/* IP_LOCAL_PORT_RANGE, since 6.1: a struct first, searched in steps of two; since 6.8 one word. */
static __always_inline void read_range(struct churn_socket *s, const struct inet_sock *inet)
{
	const struct inet_sock___6_8 *word = (const void *)inet;
	const struct inet_sock___6_1 *both = (const void *)inet;
	u32 range;

	if (bpf_core_field_exists(both->local_port_range.lo)) {
		s->range_low = both->local_port_range.lo;
		s->range_high = both->local_port_range.hi;
		s->range_by_two = 1;
	} else if (bpf_core_field_exists(word->local_port_range)) {
		range = word->local_port_range;
		s->range_low = (u16)range;
		s->range_high = range >> 16;
	}
}

static __always_inline void read_full(struct churn_socket *s, const struct tcp_sock *tp, u32 uid)
{
	const struct inet_connection_sock *icsk = &tp->inet_conn;
	const struct sock *sk = &icsk->icsk_inet.sk;
	const struct socket *socket = sk->sk_socket;
	const struct inode *inode;
	const struct file *file;

	s->uid = uid;
	read_range(s, &icsk->icsk_inet);
	s->port_bound = bucket_bound(icsk->icsk_bind_hash);
	if (s->state == TCP_LISTEN) {
		s->rqueue = sk->sk_ack_backlog;
		s->wqueue = sk->sk_max_ack_backlog;
	} else {
		s->rqueue = tp->rcv_nxt - tp->copied_seq;
		s->wqueue = tp->write_seq - tp->snd_una;
	}
	if (!socket)
		return;
	file = socket->file;
	if (!file)
		return;
	inode = file->f_inode;
	s->inode = inode->i_ino;
}

SEC("iter/tcp")
int tcp_census(struct bpf_iter__tcp *ctx)
{
	struct sock_common *c = ctx->sk_common;
	const struct tcp_timewait_sock *tw;
	struct churn_socket s = {};
	const struct tcp_sock *tp;

	if (!c)
		return 0;
	read_common(&s, c);
	if (cfg_cookies)
		s.cookie = bpf_get_socket_cookie((void *)c);
	s.port_bound = PORT_BOUND_UNKNOWN;
	tw = bpf_skc_to_tcp_timewait_sock(c);
	if (tw) {
		read_time_wait(&s, tw);
	} else {
		tp = bpf_skc_to_tcp_sock(c);
		if (tp)
			read_full(&s, tp, ctx->uid);
	}
	bpf_seq_write(ctx->meta->seq, &s, sizeof(s));
	return 0;
}
