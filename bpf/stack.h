/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The user stack of the current task, shipped once for each distinct one; records carry its id.
 *
 * Only called in process context. The scratch is per CPU: no other path uses it, and the hook is
 * not re-entered on a CPU (the kernel counts what it skips for that).
 */
#ifndef CHURN_STACK_H
#define CHURN_STACK_H

#include "bpf/drift.h"
#include "bpf/maps.h"

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct churn_stack);
} stack_scratch SEC(".maps");

/* Stacks that user space has; forgetting one only means sending it again. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, u64);
	__type(value, u8);
} known_stacks SEC(".maps");

/* splitmix64's finaliser: every frame and its place change the whole id. */
static __always_inline u64 stack_mix(u64 hash, u64 value)
{
	hash ^= value;
	hash *= 0xbf58476d1ce4e5b9ULL;
	hash ^= hash >> 29;
	return hash;
}

static __always_inline u64 stack_hash(const struct churn_stack *s)
{
	u64 hash = stack_mix(s->process.start_ns, ((u64)s->process.exec_id << 32) | s->process.tgid);

	for (u32 i = 0; i < CHURN_MAX_FRAMES && i < s->nr; i++)
		hash = stack_mix(hash, s->pc[i]);
	return hash ?: 1;
}

/* The id of the stack, or 0 when there is none. */
static __always_inline u64 stack_capture(void *ctx, const struct churn_id *id, u32 tid)
{
	u32 zero = 0;
	u8 one = 1;
	struct churn_stack *s = bpf_map_lookup_elem(&stack_scratch, &zero);
	long size;

	if (!s || !cfg_stacks)
		return 0;
	size = bpf_get_stack(ctx, s->pc, sizeof(s->pc), BPF_F_USER_STACK);
	if (size <= 0) {
		count_lost(CHURN_LOST_STACK_READ);
		return 0;
	}
	s->process = *id;
	s->tid = tid;
	s->nr = size / sizeof(s->pc[0]);
	s->truncated = s->nr == CHURN_MAX_FRAMES;
	s->id = stack_hash(s);
	if (bpf_map_lookup_elem(&known_stacks, &s->id))
		return s->id;
	s->h.ts_ns = bpf_ktime_get_ns();
	s->h.type = CHURN_STACK;
	/* The mask tells the verifier what the helper promised. */
	s->h.size = __builtin_offsetof(struct churn_stack, pc) + (size & 1023);
	if (bpf_ringbuf_output(&events, s, __builtin_offsetof(struct churn_stack, pc) + (size & 1023),
			       BPF_RB_NO_WAKEUP))
		count_lost(CHURN_LOST_RING_STACK);
	else
		bpf_map_update_elem(&known_stacks, &s->id, &one, BPF_ANY);
	return s->id;
}

#endif /* CHURN_STACK_H */
