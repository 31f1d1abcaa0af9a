/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Who a task is, and telling user space once: a process that lives 5 ms is gone from /proc before
 * anybody looks, so its name, command line and parent are taken here, in its own context.
 */
#ifndef CHURN_PROCESS_H
#define CHURN_PROCESS_H

#include "bpf/drift.h"
#include "bpf/maps.h"

#define WAKEUP_INTERVAL_NS 2000000
#define CGROUP_MAX_LEVELS  64 /* looked at; the kernel's own limit is a setting, and none */

static __always_inline void task_id(struct churn_id *id, const struct task_struct *task,
				    const bool btf)
{
	const struct task_struct *leader = READ(btf, task, group_leader);

	id->start_ns = READ(btf, leader, start_boottime);
	id->tgid = READ(btf, task, tgid);
	id->exec_id = (u32)READ(btf, leader, self_exec_id);
}

static __always_inline u32 task_uid(const struct task_struct *task, const bool btf)
{
	const struct cred *cred = READ(btf, task, cred);

	return READ(btf, cred, uid.val);
}

/* Id of the cgroup v2. */
static __always_inline u64 task_cgroup(const struct task_struct *task, const bool btf)
{
	const struct css_set *set = READ(btf, task, cgroups);
	const struct cgroup *cgroup = READ(btf, set, dfl_cgrp);
	const struct kernfs_node *kn = READ(btf, cgroup, kn);

	return READ(btf, kn, id);
}

/* Of any task, not only of `current`, for which there is a helper. */
static __always_inline bool task_in_cgroup(const struct task_struct *task, u64 id)
{
	const struct cgroup *cgroup = task->cgroups->dfl_cgrp;
	const struct cgroup_subsys_state *parent;

	for (u32 i = 0; i < CGROUP_MAX_LEVELS; i++) {
		if (cgroup->kn->id == id)
			return true;
		parent = cgroup->self.parent;
		if (!parent)
			return false;
		cgroup = parent->cgroup;
	}
	return false;
}

static __always_inline void task_comm(char *dst, const struct task_struct *task, const bool btf)
{
	if (btf) {
		__builtin_memcpy(dst, task->comm, CHURN_COMM_LEN);
	} else {
		bpf_probe_read_kernel(dst, CHURN_COMM_LEN, task->comm);
	}
}

/*
 * The kernel lays out the top of a new stack as argv, envp, then the path given to execve():
 * fs/exec.c copies that path first, just above mm->env_end.
 */
static __always_inline void process_read_memory(struct churn_process *p, const struct mm_struct *mm,
						const bool btf)
{
	u64 start = READ(btf, mm, arg_start);
	u64 end = READ(btf, mm, arg_end);
	u64 exe = READ(btf, mm, env_end);
	u64 len = end - start;

	if (len >= CHURN_ARGS_LEN)
		len = CHURN_ARGS_LEN - 1;
	barrier_var(len); /* else the compiler drops the mask, which the verifier needs */
	len &= CHURN_ARGS_LEN - 1;
	if (start && !bpf_probe_read_user(p->args, len, (const void *)start))
		p->args_len = len;
	else
		count_lost(CHURN_LOST_ARGS_READ);
	if (bpf_probe_read_user_str(p->exe, sizeof(p->exe), (const void *)exe) < 0)
		p->exe[0] = 0;
}

/* A new process is worth a wake-up, so that user space completes it from /proc while it lives; but
 * not each of thousands a second. Racing CPUs only make it one wake-up more or less. */
static __always_inline u64 wakeup_flags(u64 now_ns)
{
	static u64 last_ns;

	if (now_ns - last_ns < WAKEUP_INTERVAL_NS)
		return BPF_RB_NO_WAKEUP;
	last_ns = now_ns;
	return BPF_RB_FORCE_WAKEUP;
}

/* Where the executable is. Its path ends at the root of its file system: user/source/mounts.h. */
static __always_inline void process_read_exe(struct churn_process *p, const struct mm_struct *mm,
					     const bool btf)
{
	const struct file *exe = READ(btf, mm, exe_file);
	const struct dentry *dentry, *parent;
	const struct super_block *sb;
	const struct inode *inode;

	if (!exe)
		return;
	inode = READ(btf, exe, f_inode);
	p->exe_inode = READ(btf, inode, i_ino);
	sb = READ(btf, inode, i_sb);
	p->exe_dev = READ(btf, sb, s_dev);
	dentry = READ(btf, exe, f_path.dentry);
	for (u32 i = 0; i < CHURN_PATH_DEPTH; i++) {
		parent = READ(btf, dentry, d_parent);
		if (parent == dentry) {
			p->nr_path = i;
			return;
		}
		if (!dentry_name(p->path[i], dentry, btf))
			return;
		dentry = parent;
	}
}

/* For what is too long for the compiler's own memset(), which it unrolls. */
static __always_inline void zero(void *p, u32 size)
{
	u64 *word = p;

	for (u32 i = 0; i < size / sizeof(*word); i++) {
		word[i] = 0;
		barrier_var(word); /* or it is made a memset() after all */
	}
}

static __always_inline bool process_emit(const struct churn_id *id, const struct task_struct *task,
					 const bool readable, const bool btf)
{
	struct churn_process *p = bpf_ringbuf_reserve(&events, sizeof(*p), 0);
	const struct task_struct *leader, *parent;
	const struct mm_struct *mm;

	if (!p) {
		count_lost(CHURN_LOST_RING_PROCESS);
		return false;
	}
	zero(p, sizeof(*p));
	leader = READ(btf, task, group_leader);
	parent = READ(btf, task, real_parent);
	mm = READ(btf, task, mm);
	p->h.ts_ns = bpf_ktime_get_ns();
	p->h.type = CHURN_PROCESS;
	p->h.size = sizeof(*p);
	p->id = *id;
	p->parent_tgid = READ(btf, parent, tgid);
	p->uid = task_uid(task, btf);
	p->kernel = (READ(btf, task, flags) & PF_KTHREAD) != 0;
	p->cgroup = task_cgroup(task, btf);
	task_comm(p->comm, leader, btf);
	task_comm(p->parent_comm, READ(btf, parent, group_leader), btf);
	if (mm)
		process_read_exe(p, mm, btf);
	/* Only the task's own context can read its memory, until it exits. */
	if (cfg_user_memory && readable && mm)
		process_read_memory(p, mm, btf);
	bpf_ringbuf_submit(p, wakeup_flags(p->h.ts_ns));
	return true;
}

/* Of the current task. Global functions are verified by themselves, and not in each state of each
 * caller; they take pointers to memory only since 5.12. */
__noinline int process_emit_btf(const struct churn_id *id, u32 readable)
{
	return id && process_emit(id, current_task(true), readable, true);
}

static __noinline bool process_emit_plain(const struct churn_id *id, const struct task_struct *task,
					  bool readable)
{
	return process_emit(id, task, readable, false);
}

static __always_inline bool process_is(const struct churn_id *a, const struct churn_id *b)
{
	return a->start_ns == b->start_ns && a->tgid == b->tgid && a->exec_id == b->exec_id;
}

static __always_inline bool process_is_known(const struct churn_id *id)
{
	return bpf_map_lookup_elem(&known_processes, id) != NULL;
}

static __always_inline bool process_now_known(const struct churn_id *id)
{
	u8 one = 1;

	bpf_map_update_elem(&known_processes, id, &one, BPF_ANY);
	return true;
}

/* Makes sure that user space knows the current task's process before a record names it. False: it
 * does not. */
static __always_inline bool process_announce(const struct churn_id *id,
					     const struct task_struct *task, const bool readable,
					     const bool btf)
{
	if (process_is_known(id))
		return true;
	return (btf ? process_emit_btf(id, readable) : process_emit_plain(id, task, readable)) &&
	       process_now_known(id);
}

/* The same for any task, of which no more is told than the kernel knows. */
static __always_inline bool process_announce_other(const struct churn_id *id,
						   const struct task_struct *task, const bool btf)
{
	if (process_is_known(id))
		return true;
	return process_emit(id, task, false, btf) && process_now_known(id);
}

#endif /* CHURN_PROCESS_H */
