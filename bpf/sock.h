/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Reading a socket into a connection. */
#ifndef CHURN_SOCK_H
#define CHURN_SOCK_H

#include "vmlinux.h"
#include <bpf/bpf_endian.h>

#include "bpf/addr.h"
#include "bpf/drift.h"
#include "bpf/event.h"

static __always_inline bool sock_is_tcp(const struct sock *sk, const bool btf)
{
	u16 family = READ(btf, sk, __sk_common.skc_family);

	/* The state hook also fires for MPTCP, SCTP and DCCP sockets. */
	return (family == AF_INET || family == AF_INET6) &&
	       READ(btf, sk, sk_protocol) == IPPROTO_TCP;
}

/* True: the event runs in the context of the process that holds the socket's lock, so `current` is
 * its owner. False: softirq or timer, and `current` is whoever was interrupted, on loopback often
 * the process at the other end. */
static __always_inline bool sock_owned(const struct sock *sk, const bool btf)
{
	return READ(btf, sk, sk_lock.owned) != 0;
}

static __always_inline u32 sock_netns(const struct sock *sk, const bool btf)
{
	const struct net *net = READ(btf, sk, __sk_common.skc_net.net);
	u32 inum = READ(btf, net, ns.inum);

	/* When a namespace goes its number is soon another one's. */
	if (cfg_netns_cookie && inum == cfg_netns && bpf_core_field_exists(net->net_cookie) &&
	    READ(btf, net, net_cookie) != cfg_netns_cookie)
		return 0;
	return inum;
}

static __always_inline void sock_read_addr(void *dst, const struct in6_addr *src, const bool btf)
{
	if (btf)
		addr_from_v6(dst, src);
	else
		bpf_probe_read_kernel(dst, 16, src);
}

static __always_inline void sock_read_local(void *addr, const struct sock *sk, const bool btf)
{
	if (READ(btf, sk, __sk_common.skc_family) == AF_INET)
		addr_from_v4(addr, READ(btf, sk, __sk_common.skc_rcv_saddr));
	else
		sock_read_addr(addr, &sk->__sk_common.skc_v6_rcv_saddr, btf);
}

static __always_inline void sock_read_peer(void *addr, const struct sock *sk, const bool btf)
{
	if (READ(btf, sk, __sk_common.skc_family) == AF_INET)
		addr_from_v4(addr, READ(btf, sk, __sk_common.skc_daddr));
	else
		sock_read_addr(addr, &sk->__sk_common.skc_v6_daddr, btf);
}

/* Addresses and ports. The source port is 0 until the port search is over. */
static __always_inline void sock_read_tuple(struct churn_conn *conn, const struct sock *sk,
					    const bool btf)
{
	sock_read_local(conn->local_addr, sk, btf);
	sock_read_peer(conn->peer_addr, sk, btf);
	conn->family = addr_is_v4(conn->peer_addr) ? 4 : 6;
	conn->local_port = READ(btf, sk, __sk_common.skc_num);
	conn->peer_port = bpf_ntohs(READ(btf, sk, __sk_common.skc_dport));
}

static __always_inline const struct tcp_sock *tcp_sock(const struct sock *sk, const bool btf)
{
	return btf ? bpf_skc_to_tcp_sock((void *)sk) : (const struct tcp_sock *)sk;
}

/* The source port, also at CLOSE: skc_num has gone with the bind bucket by then. */
static __always_inline u16 source_port(const struct tcp_sock *tp, const bool btf)
{
	return bpf_ntohs(READ(btf, tp, inet_conn.icsk_inet.inet_sport));
}

/*
 * Now, where a packet has just changed the socket's state: the kernel reads the clock for each one
 * that it looks at (tcp_rcv_established(), tcp_rcv_state_process()), and doing so again costs more
 * than all else that is told of the packet. Not for what timers and ICMP do.
 */
static __always_inline u64 packet_ns(const struct sock *sk, const bool btf)
{
	const struct tcp_sock *tp = tcp_sock(sk, btf);

	if (!tp || !bpf_core_field_exists(tp->tcp_clock_cache))
		return bpf_ktime_get_ns();
	return READ(btf, tp, tcp_clock_cache);
}

/* What stands behind a descriptor of `current`, which is a socket, of whatever family. NULL: it is
 * closed, by another thread. */
static __always_inline const struct sock *sock_of_fd(u32 fd)
{
	const struct task_struct *task = current_task(false);
	const struct fdtable *table = BPF_CORE_READ(task, files, fdt);
	const struct socket *socket;
	struct file **slots = BPF_CORE_READ(table, fd), *file = NULL;

	if (fd >= BPF_CORE_READ(table, max_fds) ||
	    bpf_probe_read_kernel(&file, sizeof(file), &slots[fd]) || !file)
		return NULL;
	socket = BPF_CORE_READ(file, private_data);
	return socket ? BPF_CORE_READ(socket, sk) : NULL;
}

#endif /* CHURN_SOCK_H */
