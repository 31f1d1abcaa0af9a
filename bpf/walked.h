/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Walks that need not be done again. A walk is decided by the registers it starts from and by the
 * words that it reads; so where a stack starts at the same place, and holds the same words there,
 * it is the same stack. One copy and a comparison, instead of a rule for each frame.
 */
#ifndef CHURN_WALKED_H
#define CHURN_WALKED_H

#include "bpf/maps.h"

#define WALKED_WORDS 64	  /* return addresses, and frame pointers that were needed */
#define WALKED_SPAN  8192 /* how far above the stack pointer they may stand, bytes */
#define WALKED_EVERY                                                                               \
	4 /* times that a stack is seen before its walk is kept: most paths are
			   * taken once, and keeping costs more than a lookup */

struct walked {
	u64 id;		      /* of the stack */
	u64 process;	      /* code_key(); it began with this, */
	u64 pc, sp, fp;	      /* and these registers */
	u32 fp_used;	      /* the walk depends on fp */
	u32 nr;		      /* words; over WALKED_WORDS: this walk cannot be kept */
	u32 span;	      /* from sp to the end of the last word, bytes */
	u16 left, repeats;    /* opens until the next that is sampled, and how many they were */
	u64 sum;	      /* of the words, each by a factor of its own: walked_term() */
	u16 at[WALKED_WORDS]; /* from sp */
};

/* Each has one place, and takes it from whoever has it: a hash map costs more than the comparison.
 * Of a CPU, so that nobody reads what another one writes. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct walked);
} walks SEC(".maps");

const volatile __u32 cfg_walks = 1; /* elements of it, a power of two */

static __always_inline struct walked *walked_place(const struct walked *w)
{
	u64 hash = churn_mix(churn_mix(w->process, w->pc), w->sp);
	u32 index = (u32)(hash >> 32) & (cfg_walks - 1);

	return bpf_map_lookup_elem(&walks, &index);
}

/* The terms need not wait for each other. Two stacks of
 * one process, of one size, whose sums are the same by chance would be taken for one: that is as
 * likely as two stacks with one id. */
static __always_inline u64 walked_term(u32 index, u64 word)
{
	u64 term =
		(word ^ word >> 29) * (0x9e3779b97f4a7c15ULL + 2 * index * 0xbf58476d1ce4e5b9ULL);

	return term ^ term >> 32;
}

static __always_inline void walked_begin(struct walked *w, u64 process, u64 pc, u64 sp, u64 fp)
{
	w->process = process;
	w->pc = pc;
	w->sp = sp;
	w->fp = fp;
	w->fp_used = 0;
	w->nr = 0;
	w->span = 0;
	w->sum = 0;
}

/* Whether `now` begins as this one did. */
static __always_inline bool walked_begins(const struct walked *w, const struct walked *now)
{
	return w->process == now->process && w->pc == now->pc && w->sp == now->sp &&
	       (!w->fp_used || w->fp == now->fp);
}

/* The walk depends on something else. */
static __always_inline void walked_spoil(struct walked *w)
{
	w->nr = WALKED_WORDS + 1;
}

/* The walk has read `word`, `at` bytes above where it started. */
static __always_inline void walked_note(struct walked *w, u64 at, u64 word)
{
	u32 nr = w->nr;

	if (nr >= WALKED_WORDS || at > WALKED_SPAN - sizeof(word)) {
		walked_spoil(w);
		return;
	}
	w->at[nr] = at;
	w->sum += walked_term(nr, word);
	w->nr = nr + 1;
	if (w->span < at + sizeof(word))
		w->span = at + sizeof(word);
}

/* `window` holds w->span bytes from the stack pointer on. */
static __always_inline bool walked_same(const struct walked *w, const u8 *window)
{
	u64 sum = 0;

	for (u32 i = 0; i < WALKED_WORDS && i < w->nr; i++) {
		u64 at = w->at[i];

		if (at > WALKED_SPAN - sizeof(u64))
			return false;
		sum += walked_term(i, *(u64 *)(window + at));
	}
	return sum == w->sum;
}

#endif /* CHURN_WALKED_H */
