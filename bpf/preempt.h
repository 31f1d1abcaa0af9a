/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Up to 6.x the kernel runs a tracepoint's programs with preemption disabled. Since 7.0 ("tracing:
 * Guard __DECLARE_TRACE() use of __DO_TRACE_CALL() with SRCU-fast") they may be preempted; and as
 * it runs no program twice at once on a CPU, it skips what the next process does there. That a
 * program disables preemption is no help by itself: what waits to run does so at its end, where it
 * still counts as running. But both programs of the hook see all, and each knows of the other when
 * it is skipped: it is marked as running on this CPU. So each stands in for the other; a preempted
 * one holds nothing half done, for preemption is disabled meanwhile.
 *
 * What is skipped with the mark not yet set, or with both of them preempted, is lost, and counted:
 * the kernel's count of what it skipped (recursion_misses) less that of `stood_in`.
 */
#ifndef CHURN_PREEMPT_H
#define CHURN_PREEMPT_H

#include "bpf/maps.h"

extern void bpf_preempt_disable(void) __ksym __weak; /* since 6.11 */
extern void bpf_preempt_enable(void) __ksym __weak;

/* Whether a program of the state hook runs on this CPU: softirq's, the processes'. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 2);
	__type(key, u32);
	__type(value, u32);
} running SEC(".maps");

static __always_inline volatile u32 *is_running(const bool process)
{
	u32 which = process;

	return bpf_map_lookup_elem(&running, &which);
}

#endif /* CHURN_PREEMPT_H */
