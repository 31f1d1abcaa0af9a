/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Identity of stacks, and which of them user space has. */
#ifndef CHURN_STACK_ID_H
#define CHURN_STACK_ID_H

#include "bpf/maps.h"

struct known_stack {
	u64 id;
	u64 generation; /* CPython: id holds only as long as this does */
	u32 nr;		/* opens with it, for sampling; CPUs may race, which only shifts it */
	u32 pad;
};

/* Stacks that user space has; forgetting one only means sending it again. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, u64); /* hash of the frames */
	__type(value, struct known_stack);
} known_stacks SEC(".maps");

#define SAMPLE_ALL    32   /* the first opens of a stack, */
#define SAMPLE_EVERY  16   /* then one of so many, */
#define SAMPLE_MANY   1024 /* and when there were these, */
#define SAMPLE_RARELY 128  /* one of those: it costs ten times as much as another open */

/* A captured stack. */
struct capture {
	u64 id;	      /* 0: none */
	bool whole;   /* down to the outermost call */
	bool sampled; /* this connection is one whose end will be looked at */
	u32 repeats;  /* opens that were the same as one before, and not counted */
};

static __always_inline u32 sample_every(u32 nr)
{
	if (nr <= SAMPLE_ALL)
		return 1;
	return nr <= SAMPLE_MANY ? SAMPLE_EVERY : SAMPLE_RARELY;
}

static __always_inline void capture_known(struct capture *out, struct known_stack *known)
{
	u32 nr = known->nr + 1 + out->repeats;

	known->nr = nr;
	out->id = known->id;
	out->sampled |= nr % sample_every(nr) == 0;
}

/* User space has been sent a stack. `known` is scratch: a program's stack is short. */
static __always_inline void stack_remember(struct known_stack *known, const u64 *hash, u64 id,
					   u64 generation)
{
	known->id = id;
	known->generation = generation;
	known->nr = 1;
	bpf_map_update_elem(&known_stacks, hash, known, BPF_ANY);
}

/* Tells user space which calls are in progress. */
static __always_inline void calls_emit(struct churn_py_stack *calls, const struct churn_id *id,
				       u64 conn, bool closing)
{
	u32 size = calls->nr * sizeof(calls->frames[0]);

	calls->conn = conn;
	calls->closing = closing;
	calls->process = *id;
	calls->h.ts_ns = bpf_ktime_get_ns();
	calls->h.type = CHURN_CALLS;
	size = __builtin_offsetof(struct churn_py_stack, frames) + (size & 4095);
	if (size > sizeof(*calls))
		size = sizeof(*calls);
	calls->h.size = size;
	if (bpf_ringbuf_output(&events, calls, size, BPF_RB_NO_WAKEUP))
		count_lost(CHURN_LOST_RING_STACK);
}

#endif /* CHURN_STACK_ID_H */
