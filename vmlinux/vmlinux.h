/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The kernel types that bpf/ names, and of those only the fields that it reads: CO-RE finds the
 * real offsets in the running kernel's BTF, so a subset in any order will do.
 *
 * Recipe: a new field comes from the full header of a recent kernel,
 *	bpftool btf dump file /sys/kernel/btf/vmlinux format c
 * copied here with its type; what differs between kernels gets a flavour "struct x___since" and an
 * accessor in bpf/drift.h. A field that a kernel lacks makes the load fail there, and -v names it.
 * What differs between architectures is in ARCH/arch.h.
 */
#ifndef CHURN_VMLINUX_H
#define CHURN_VMLINUX_H

#include <linux/bpf.h>
#include <linux/types.h>
#include <stdbool.h>

typedef __u8 u8;
typedef __u16 u16;
typedef __s16 s16;
typedef __u32 u32;
typedef __s32 s32;
typedef __u64 u64;

enum {
	TCP_ESTABLISHED = 1,
	TCP_SYN_SENT = 2,
	TCP_SYN_RECV = 3,
	TCP_FIN_WAIT1 = 4,
	TCP_FIN_WAIT2 = 5,
	TCP_TIME_WAIT = 6,
	TCP_CLOSE = 7,
	TCP_CLOSE_WAIT = 8,
	TCP_LAST_ACK = 9,
	TCP_LISTEN = 10,
	TCP_CLOSING = 11,
};

#define AF_INET	    2
#define AF_INET6    10
#define IPPROTO_TCP 6
#define PF_EXITING  0x00000004 /* include/linux/sched.h */
#define PF_IO_WORKER 0x00000010
#define PF_KTHREAD  0x00200000
#define SOCKFS_MAGIC 0x534f434b /* include/uapi/linux/magic.h */
#define SOCK_DONE    1 /* enum sock_flags, include/net/sock.h */
#define ECONNRESET  104
#define ETIMEDOUT   110
#define ECONNABORTED 103
#define ECONNREFUSED 111
#define EADDRINUSE    98
#define EADDRNOTAVAIL 99

#include "arch.h"

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct in6_addr {
	union {
		__be32 u6_addr32[4];
	} in6_u;
};

struct ns_common {
	unsigned int inum;
};

struct net {
	struct ns_common ns;
	u64 net_cookie; /* since 5.14, before an atomic64_t that nobody has filled in */
};

typedef struct {
	struct net *net;
} possible_net_t;

typedef struct {
	unsigned int val;
} kuid_t;

typedef struct {
	int owned;
} socket_lock_t;

typedef struct {
	__s64 counter;
} atomic64_t;

struct sock_common {
	union {
		struct {
			__be32 skc_daddr;
			__be32 skc_rcv_saddr;
		};
	};
	union {
		struct {
			__be16 skc_dport;
			__u16 skc_num;
		};
	};
	unsigned short skc_family;
	volatile unsigned char skc_state;
	int skc_bound_dev_if;
	possible_net_t skc_net;
	struct in6_addr skc_v6_daddr;
	struct in6_addr skc_v6_rcv_saddr;
	atomic64_t skc_cookie;
	union {
		unsigned long skc_flags;
	};
};

struct socket;

struct sock {
	struct sock_common __sk_common;
	int sk_err;
	socket_lock_t sk_lock;
	u16 sk_protocol;
	struct socket *sk_socket;
	u32 sk_ack_backlog;
	u32 sk_max_ack_backlog;
};

struct inet_sock {
	struct sock sk;
	__be16 inet_sport;
};

struct inet_sock___6_8 {
	u32 local_port_range; /* low, high << 16 */
};

/* From 6.1 on. */
struct inet_sock___6_1 {
	struct {
		__u16 lo;
		__u16 hi;
	} local_port_range;
};

struct inet_bind_bucket {
	signed char fastreuse;
	signed char fastreuseport;
};

struct timer_list {
	unsigned long expires;
};

struct inet_timewait_sock {
	struct sock_common __tw_common;
	unsigned char tw_substate;
	u32 tw_entry_stamp; /* since 6.14 */
	struct timer_list tw_timer;
	struct inet_bind_bucket *tw_tb;
};

struct tcp_timewait_sock {
	struct inet_timewait_sock tw_sk;
	int tw_ts_recent_stamp;
};

struct inet_connection_sock {
	struct inet_sock icsk_inet;
	struct inet_bind_bucket *icsk_bind_hash;
	struct {
		__u32 lrcvtime;
	} icsk_ack;
};

struct request_sock;

struct tcp_sock {
	struct inet_connection_sock inet_conn;
	struct request_sock *fastopen_rsk;
	u32 rcv_nxt;
	u32 copied_seq;
	u32 snd_una;
	u32 write_seq;
	u32 segs_out;
	u32 data_segs_out;
	u64 tcp_clock_cache;
	u64 bytes_sent;
	u64 bytes_retrans;
	u32 lsndtime;
	u64 bytes_received;
	u32 segs_in;
	u32 data_segs_in;
};

struct qstr {
	union {
		struct {
			u32 hash;
			u32 len;
		};
	};
};

union shortname_store {
	unsigned char string[40];
};

struct dentry {
	struct dentry *d_parent;
	union {
		struct qstr d_name;
	};
	union shortname_store d_shortname;
};

/* Up to 6.14, */
struct dentry___iname40 {
	unsigned char d_iname[40];
};

/* and in the older ones of them. */
struct dentry___iname32 {
	unsigned char d_iname[32];
};

struct path {
	struct dentry *dentry;
};

struct super_block {
	unsigned long s_magic;
	u32 s_dev;
};

struct inode {
	struct super_block *i_sb;
	unsigned long i_ino;
};

struct file {
	void *private_data;
	struct inode *f_inode;
	union {
		struct path f_path;
	};
};

struct mm_struct {
	struct {
		struct file *exe_file;
		unsigned long exec_vm;
		unsigned long arg_start;
		unsigned long arg_end;
		unsigned long env_end;
	};
};

struct kernfs_node {
	u64 id;
};

struct cgroup;

struct cgroup_subsys_state {
	struct cgroup *cgroup;
	struct cgroup_subsys_state *parent;
};

struct cgroup {
	struct cgroup_subsys_state self;
	struct kernfs_node *kn;
};

struct css_set {
	struct cgroup *dfl_cgrp;
};

struct cred {
	kuid_t uid;
};

typedef struct {
	int counter;
} atomic_t;

struct signal_struct {
	atomic_t live;
};

struct fdtable {
	unsigned int max_fds;
	struct file **fd;
};

struct files_struct {
	struct fdtable *fdt;
};

struct task_struct {
	struct files_struct *files;
	void *stack;
	unsigned int flags;
	struct mm_struct *mm;
	int pid;
	int tgid;
	struct task_struct *real_parent;
	struct task_struct *group_leader;
	u64 start_boottime;
	const struct cred *cred;
	char comm[16];
	struct signal_struct *signal;
	u64 self_exec_id;
	struct css_set *cgroups;
	struct thread_struct thread;
};

typedef enum {
	SS_UNCONNECTED = 1,
} socket_state;

struct socket {
	socket_state state;
	struct file *file;
	struct sock *sk;
};

struct trace_event_raw_sys_enter {
	long id;
	unsigned long args[6];
};

struct trace_event_raw_sys_exit {
	long id;
	long ret;
};

struct bpf_iter__bpf_map_elem {
	union {
		void *key;
	};
};

struct bpf_iter__task_file {
	union {
		struct task_struct *task;
	};
	u32 fd;
	union {
		struct file *file;
	};
};

struct seq_file;

struct bpf_iter_meta {
	union {
		struct seq_file *seq;
	};
};

struct bpf_iter__tcp {
	union {
		struct bpf_iter_meta *meta;
	};
	union {
		struct sock_common *sk_common;
	};
	u32 uid;
};

#pragma clang attribute pop

#endif /* CHURN_VMLINUX_H */
