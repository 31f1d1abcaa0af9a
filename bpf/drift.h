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

#define READ(btf, ptr, field) ((btf) ? (ptr)->field : BPF_CORE_READ(ptr, field))

/* bpf_get_current_task_btf(): since 5.11. */
static __always_inline const struct task_struct *current_task(const bool btf)
{
	if (btf)
		return bpf_get_current_task_btf();
	return (const struct task_struct *)bpf_get_current_task();
}

/* bpf_get_socket_cookie() in tracing programs: since 5.12, and only for typed pointers. */
static __always_inline u64 socket_cookie(const struct sock *sk, const bool btf)
{
	if (!btf)
		return 0;
	return bpf_get_socket_cookie((void *)sk);
}

/* Short names stand in the dentry: d_iname, since 6.15 d_shortname. False: it is a longer one. */
static __always_inline bool dentry_name(char dst[CHURN_NAME_LEN], const struct dentry *dentry,
					const bool btf)
{
	const struct dentry___iname *old = (const void *)dentry;
	u32 len = READ(btf, dentry, d_name.len);

	if (bpf_core_field_exists(dentry->d_shortname)) {
		if (btf)
			__builtin_memcpy(dst, dentry->d_shortname.string, CHURN_NAME_LEN);
		else
			bpf_probe_read_kernel(dst, CHURN_NAME_LEN, dentry->d_shortname.string);
		return len < CHURN_NAME_LEN;
	}
	if (btf)
		__builtin_memcpy(dst, old->d_iname, sizeof(old->d_iname));
	else
		bpf_probe_read_kernel(dst, sizeof(old->d_iname), old->d_iname);
	return len < sizeof(old->d_iname);
}

#endif /* CHURN_DRIFT_H */
