/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Up to 6.x the kernel runs a tracepoint's programs with preemption disabled. Since 7.0 ("tracing:
 * Guard __DECLARE_TRACE() use of __DO_TRACE_CALL() with SRCU-fast") they may be preempted; and it
 * runs no program twice at once on a CPU, so what the next process does there would be missed. Hence
 * preemption is disabled here. Before the first instruction it still happens, and the kernel counts
 * it (recursion_misses). But it counts softirq that interrupts the process's program as well, where
 * nothing is missed, for that one would have left it to softirq's: `overtook` tells how many.
 */
#ifndef CHURN_PREEMPT_H
#define CHURN_PREEMPT_H

#include "bpf/maps.h"

extern void bpf_preempt_disable(void) __ksym __weak; /* since 6.11 */
extern void bpf_preempt_enable(void) __ksym __weak;

const volatile bool cfg_preemptible = false;

/* Whether a program of the state hook runs on this CPU: softirq's, a process's. */
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

static __always_inline void begin_unpreempted(const bool process)
{
	volatile u32 *process_runs = is_running(true);
	struct churn_counters *c = count();

	bpf_preempt_disable();
	if (!process_runs || !c)
		return;
	if (process)
		*process_runs = 1;
	else if (*process_runs)
		count_one(&c->overtook);
}

static __always_inline void end_unpreempted(const bool process)
{
	volatile u32 *process_runs = is_running(true);

	if (process && process_runs)
		*process_runs = 0;
	bpf_preempt_enable();
}

#endif /* CHURN_PREEMPT_H */
