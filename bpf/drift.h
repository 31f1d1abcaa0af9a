/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Everything that differs between kernels, or between the flavours of a hook.
 *
 * Programs with BTF types (tp_btf, iter) dereference directly: no bpf_probe_read_kernel(), which
 * lockdown=confidentiality forbids. A plain tracepoint has no types and must read by helper. Both
 * share one handler: `btf` is a constant in every call and the other branch is compiled away.
 * READ() goes through one pointer: a chain takes one READ() for each.
 */
#ifndef CHURN_DRIFT_H
#define CHURN_DRIFT_H

#include "vmlinux.h"
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>

#include "bpf/event.h"
#include "bpf/maps.h"

#define READ(btf, ptr, field) ((btf) ? (ptr)->field : BPF_CORE_READ(ptr, field))

/* bpf_get_current_task_btf(): since 5.11. */
static __always_inline const struct task_struct *current_task(const bool btf)
{
	if (btf)
		return bpf_get_current_task_btf();
	return (const struct task_struct *)bpf_get_current_task();
}

/* bpf_get_socket_cookie() in tracing programs: since 5.12, and only for typed pointers. Without it
 * an identity of our own stands in, from the moment and the CPU of the open. */
static __always_inline u64 socket_identity(const struct sock *sk, const bool btf)
{
	if (!btf || cfg_plain)
		return CHURN_ID_OWN | bpf_ktime_get_ns() << 8 | (u8)bpf_get_smp_processor_id();
	return bpf_get_socket_cookie((void *)sk);
}

/* Whether this socket is still the one that had the identity. Our own cannot be asked for again. */
static __always_inline bool socket_is(const struct sock *sk, u64 identity, const bool btf)
{
	return !btf || cfg_plain || (u64)sk->__sk_common.skc_cookie.counter == identity;
}

/* The user's registers at the system call. bpf_task_pt_regs(): since 5.15. Before, we know where
 * the kernel puts them: at the top of the task's kernel stack. */
static __always_inline void user_registers(u64 *pc, u64 *sp, u64 *fp)
{
	const struct task_struct *task;
	const struct pt_regs *regs;
	const void *stack;

	if (bpf_core_enum_value_exists(enum bpf_func_id, BPF_FUNC_task_pt_regs)) {
		regs = (const struct pt_regs *)bpf_task_pt_regs(bpf_get_current_task_btf());
		*pc = REGS_PC(true, regs);
		*sp = REGS_SP(true, regs);
		*fp = REGS_FP(true, regs);
	} else {
		task = (const struct task_struct *)bpf_get_current_task();
		stack = BPF_CORE_READ(task, stack);
		regs = stack + THREAD_SIZE - bpf_core_type_size(struct pt_regs);
		*pc = REGS_PC(false, regs);
		*sp = REGS_SP(false, regs);
		*fp = REGS_FP(false, regs);
	}
}

/* bpf_sock_from_file(): since 5.11. A file of sockfs is always a socket; O_PATH ones have none. */
static __always_inline const struct socket *file_socket(struct file *file, const bool btf)
{
	if (btf)
		return bpf_sock_from_file(file);
	if (file->f_inode->i_sb->s_magic != SOCKFS_MAGIC)
		return NULL;
	return file->private_data;
}

/* The loader refuses an access to a field of another size, so each size has a copy of its own. */
#define DENTRY_COPY(dst, name, btf)                                                                \
	do {                                                                                       \
		if (btf)                                                                           \
			__builtin_memcpy(dst, name, sizeof(name));                                 \
		else                                                                               \
			bpf_probe_read_kernel(dst, sizeof(name), name);                            \
	} while (0)

/* Short names stand in the dentry: d_iname, since 6.15 d_shortname. False: it is a longer one. */
static __always_inline bool dentry_name(char dst[CHURN_NAME_LEN], const struct dentry *dentry,
					const bool btf)
{
	const struct dentry___iname32 *d32 = (const void *)dentry;
	const struct dentry___iname40 *d40 = (const void *)dentry;
	u32 len = READ(btf, dentry, d_name.len);

	if (bpf_core_field_exists(dentry->d_shortname)) {
		DENTRY_COPY(dst, dentry->d_shortname.string, btf);
		return len < sizeof(dentry->d_shortname.string);
	}
	if (bpf_core_field_size(d40->d_iname) == sizeof(d40->d_iname)) {
		DENTRY_COPY(dst, d40->d_iname, btf);
		return len < sizeof(d40->d_iname);
	}
	DENTRY_COPY(dst, d32->d_iname, btf);
	return len < sizeof(d32->d_iname);
}

#endif /* CHURN_DRIFT_H */
