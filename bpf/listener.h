/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Who listens where: a passive open comes in softirq, and says nothing of the process that it is
 * for. An entry stands for all sockets that listen at an address.
 */
#ifndef CHURN_LISTENER_H
#define CHURN_LISTENER_H

#include "bpf/filter.h"
#include "bpf/maps.h"
#include "bpf/process.h"
#include "bpf/sock.h"
#include "bpf/table.h"

struct listener_key {
	u32 netns;
	u16 port;
	u16 pad;
	u8 addr[16];
};

struct listener {
	struct churn_id owner;
	u32 tid;
	u16 nr;	     /* sockets that listen here (SO_REUSEPORT) */
	u8 shared;   /* by several processes, or user space was not told of the one: the acceptor
		      * is not known before it closes */
	u8 accepted; /* the process filters accept the owner */
	char comm[CHURN_COMM_LEN];
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 8192);
	__type(key, struct listener_key);
	__type(value, struct listener);
} listeners SEC(".maps");

/* The sockets that make up `nr`: several processes, and descriptors, may have one. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 8192);
	__type(key, u64); /* table_key() */
	__type(value, u8);
} listening SEC(".maps");

static __always_inline const struct listener *listener_find(const struct churn_conn *conn)
{
	struct listener_key key = {.netns = conn->netns, .port = conn->local_port};
	const struct listener *l;

	__builtin_memcpy(key.addr, conn->local_addr, sizeof(key.addr));
	l = bpf_map_lookup_elem(&listeners, &key);
	if (l)
		return l;
	if (addr_is_v4(conn->local_addr)) {
		addr_from_v4(key.addr, 0);
		l = bpf_map_lookup_elem(&listeners, &key);
		if (l)
			return l;
	}
	__builtin_memset(key.addr, 0, sizeof(key.addr));
	return bpf_map_lookup_elem(&listeners, &key);
}

static __always_inline void listener_key_of(struct listener_key *key, const struct sock *sk,
					    const bool btf)
{
	key->netns = sock_netns(sk, btf);
	key->port = READ(btf, sk, __sk_common.skc_num);
	sock_read_local(key->addr, sk, btf);
}

/* A listening socket of `task`, which is `current` or, in the census, another one. */
static __always_inline void listener_add(const struct sock *sk, const struct task_struct *task,
					 bool accepted, const bool current, const bool btf)
{
	struct listener fresh = {.nr = 1, .accepted = accepted};
	u64 socket = table_key(sk, btf);
	struct listener_key key = {};
	struct listener *l;
	u8 one = 1;

	listener_key_of(&key, sk, btf);
	if (!key.port)
		return; /* without bind(): the port comes later, unseen */
	task_id(&fresh.owner, task, btf);
	fresh.tid = READ(btf, task, pid);
	task_comm(fresh.comm, task, btf);
	if (current)
		fresh.shared = !process_announce(&fresh.owner, task, true, btf);
	else
		fresh.shared = !process_announce_other(&fresh.owner, task, btf);
	l = bpf_map_lookup_elem(&listeners, &key);
	if (l) {
		l->nr += !bpf_map_update_elem(&listening, &socket, &one, BPF_NOEXIST);
		l->accepted |= accepted;
		l->shared |= l->owner.tgid != fresh.owner.tgid;
	} else if (bpf_map_update_elem(&listening, &socket, &one, BPF_ANY) ||
		   bpf_map_update_elem(&listeners, &key, &fresh, BPF_ANY)) {
		count_lost(CHURN_LOST_LISTENER_MAP);
	}
}

/* CLOSE -> LISTEN, in the process that calls listen(). */
static __always_inline int listener_opened(const struct sock *sk, const bool btf)
{
	const struct task_struct *task = current_task(btf);
	char comm[CHURN_COMM_LEN], leader[CHURN_COMM_LEN];
	bool accepted;

	if (!sock_is_tcp(sk, btf))
		return 0;
	task_comm(comm, task, btf);
	task_comm(leader, READ(btf, task, group_leader), btf);
	accepted = filter_process(READ(btf, task, tgid), (u32)bpf_get_current_uid_gid(), comm,
				  leader, current_in_cgroup());
	listener_add(sk, task, accepted, true, btf);
	return 0;
}

/* LISTEN -> CLOSE. */
static __always_inline int listener_closed(const struct sock *sk, const bool btf)
{
	const struct tcp_sock *tp = tcp_sock(sk, btf);
	u64 socket = table_key(sk, btf);
	struct listener_key key = {};
	struct listener *l;

	if (!tp || bpf_map_delete_elem(&listening, &socket))
		return 0;
	listener_key_of(&key, sk, btf);
	key.port = source_port(tp, btf);
	l = bpf_map_lookup_elem(&listeners, &key);
	if (l && --l->nr == 0)
		bpf_map_delete_elem(&listeners, &key);
	return 0;
}

#endif /* CHURN_LISTENER_H */
