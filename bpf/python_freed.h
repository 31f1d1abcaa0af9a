/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Counts the code objects that a process frees, where CPython does not do so itself (up to 3.12):
 * by a breakpoint in code_dealloc(), which user space sets. The calls of a captured stack keep
 * their code objects; so as long as the process has freed none since, each is the one that it was.
 */
#ifndef CHURN_PYTHON_FREED_H
#define CHURN_PYTHON_FREED_H

#include "bpf/drift.h"
#include "bpf/maps.h"
#include "bpf/process.h"

/* A count begins with the time, set by user space once the breakpoint stands in the process: one
 * that was forgotten and begun anew never comes back to an earlier value. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 2048);
	__type(key, u64); /* churn_process_key() */
	__type(value, u64);
} py_freed SEC(".maps");

/* In a process that calls code_dealloc(). Others than those that are followed share the file. */
static __always_inline int py_code_freed(void)
{
	struct churn_id id = {};
	u64 process, *freed;

	task_id(&id, current_task(false), false);
	process = churn_process_key(&id);
	freed = bpf_map_lookup_elem(&py_freed, &process);
	if (freed)
		__sync_fetch_and_add(freed, 1);
	return 0;
}

#endif /* CHURN_PYTHON_FREED_H */
