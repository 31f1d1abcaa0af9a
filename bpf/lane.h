/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Records of connections on their way to user space. The ring buffer's lock, and the cache lines
 * that its CPUs pass around, cost more than everything else that is done for a record: 190 ns of
 * 270. A lane has one writer at a time, and costs 75 ns.
 *
 * It belongs to one CPU and one program. The kernel lets no program interrupt itself on a CPU, so
 * nobody else writes to the lane meanwhile.
 */
#ifndef CHURN_LANE_H
#define CHURN_LANE_H

#include "bpf/maps.h"

/* The last one writes only where accept() is seen (cfg_lanes). */
enum lane_writer { LANE_SOFTIRQ, LANE_PROCESS, LANE_ACCEPT };

/* cfg_lanes elements for each CPU that was online at the start, each a struct churn_lane,
 * cfg_lane_size and CHURN_LANE_SLACK bytes; user space maps them. Both sizes are set before
 * load. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__uint(key_size, sizeof(u32));
	__uint(value_size, sizeof(struct churn_lane) + CHURN_LANE_MIN + CHURN_LANE_SLACK);
} lanes SEC(".maps");

const volatile __u32 cfg_lane_size = CHURN_LANE_MIN; /* bytes, a power of two */
const volatile __u32 cfg_lanes = CHURN_LANES;	     /* those that have a writer, of a CPU */

/* A lane is half full: the timer would come too late. */
static __noinline int lane_wake(void)
{
	struct churn_header h = {.type = CHURN_WAKE, .size = sizeof(h)};

	return bpf_ringbuf_output(&events, &h, sizeof(h), BPF_RB_FORCE_WAKEUP);
}

/* Where a record is written. */
struct place {
	struct churn_lane *lane; /* NULL: in the ring buffer */
	void *bytes;
};

static __always_inline void *lane_reserve(struct churn_lane *lane, const u32 size)
{
	u64 head = lane->head, used = head - *(volatile u64 *)&lane->tail;

	if (used + size > cfg_lane_size)
		return NULL;
	if (used < cfg_lane_size / 2 && used + size >= cfg_lane_size / 2)
		lane_wake();
	return (u8 *)(lane + 1) + (head & (cfg_lane_size - 1));
}

/*
 * `size` bytes that nobody sees before place_commit(), and that hold what was there before. What
 * finds no room in its lane, because user space is late, goes astray through the ring buffer; so
 * does what comes from a CPU that has none, because it was not online at the start. User space
 * puts it back into order. NULL: there is no room at all.
 */
static __always_inline void *place_reserve(struct place *p, const enum lane_writer by,
					   const u32 size)
{
	u32 index = bpf_get_smp_processor_id() * cfg_lanes + by;

	p->lane = bpf_map_lookup_elem(&lanes, &index);
	p->bytes = p->lane ? lane_reserve(p->lane, size) : NULL;
	if (p->bytes)
		return p->bytes;
	p->lane = NULL;
	p->bytes = bpf_ringbuf_reserve(&events, size, 0);
	return p->bytes;
}

/* Of the two programs on the state hook. */
static __always_inline enum lane_writer lane_of(const bool process)
{
	return process ? LANE_PROCESS : LANE_SOFTIRQ;
}

static __always_inline void place_commit(struct place *p, const u32 size)
{
	if (p->lane)
		STORE_RELEASE(&p->lane->head, p->lane->head + size);
	else
		bpf_ringbuf_submit(p->bytes, BPF_RB_NO_WAKEUP);
}

/* There is nothing to be told after all. */
static __always_inline void place_discard(struct place *p)
{
	if (!p->lane)
		bpf_ringbuf_discard(p->bytes, BPF_RB_NO_WAKEUP);
}

#endif /* CHURN_LANE_H */
