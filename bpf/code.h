/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Generations of a process's code. Rules and stacks belong to addresses; where a library was
 * unmapped and another one mapped, they must not be used any more. Nothing tells of unmapping. So
 * the pages of executable mappings are counted when a stack is taken, and when the kernel looks for
 * a place for a new mapping: when there are fewer than the last time, a generation ends. Not seen:
 * a library that comes and another one that goes with no look in between, and as much comes again.
 */
#ifndef CHURN_CODE_H
#define CHURN_CODE_H

#include "bpf/drift.h"
#include "bpf/maps.h"
#include "bpf/process.h"

struct {
	__uint(type,
	       BPF_MAP_TYPE_LRU_HASH); /* one that is forgotten begins anew: all is learnt again */
	__uint(max_entries, 4096);
	__type(key, u64); /* churn_process_key() */
	__type(value, struct churn_code);
} codes SEC(".maps");

/* Changes with each entry of `codes`. */
volatile __u64 codes_epoch = 0;

static __always_inline u64 code_pages(const struct task_struct *task, const bool btf)
{
	const struct mm_struct *mm = READ(btf, task, mm);

	return mm ? READ(btf, mm, exec_vm) : 0;
}

/* Of the current process; NULL: no stack of it was taken yet. */
static __always_inline struct churn_code *code_look(u64 process, u64 pages)
{
	struct churn_code *c = bpf_map_lookup_elem(&codes, &process);

	if (!c || pages == c->pages)
		return c;
	if (pages < c->pages)
		c->generation = bpf_ktime_get_ns();
	c->pages = pages;
	__sync_fetch_and_add(&codes_epoch, 1);
	return c;
}

/* What was found at the last look on this CPU. */
struct code_seen {
	u64 process, pages, epoch;
	u64 key;
};

/* Identifies what the addresses of the current process stand for: a churn_rule_key.code. Most looks
 * find what the last one found. */
static __always_inline u64 code_key(struct code_seen *seen, const struct task_struct *task,
				    const struct churn_id *id, const bool btf)
{
	u64 process = churn_process_key(id), pages = code_pages(task, btf), epoch = codes_epoch;
	struct churn_code fresh = {.pages = pages}, *c;

	if (seen->process == process && seen->pages == pages && seen->epoch == epoch)
		return seen->key;
	c = code_look(process, pages);
	if (!c) {
		fresh.generation = bpf_ktime_get_ns();
		/* Two threads may have their first stack taken at once: one generation for both. */
		if (bpf_map_update_elem(&codes, &process, &fresh, BPF_NOEXIST))
			c = bpf_map_lookup_elem(&codes, &process);
		c = c ?: &fresh;
		__sync_fetch_and_add(&codes_epoch, 1);
	}
	seen->process = process;
	seen->pages = pages;
	seen->epoch = epoch;
	seen->key = churn_code_key(process, c);
	return seen->key;
}

static __always_inline int code_mapping(const bool btf)
{
	const struct task_struct *task = current_task(btf);
	struct churn_id id = {};

	task_id(&id, task, btf);
	code_look(churn_process_key(&id), code_pages(task, btf));
	return 0;
}

#endif /* CHURN_CODE_H */
