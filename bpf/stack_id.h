/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Identity of stacks, and which of them user space has. */
#ifndef CHURN_STACK_ID_H
#define CHURN_STACK_ID_H

#include "bpf/maps.h"

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

#endif /* CHURN_STACK_ID_H */
