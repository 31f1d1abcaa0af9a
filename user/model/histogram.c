/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "user/model/histogram.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define SUB_BITS 5 /* 2^5 buckets for each power of two: half a bucket is 1.6 % of the value */

/* A search takes as long as everything else that is done for a record. Hints where
 * a bucket was found last are checked before use, and take half as much memory as the buckets. */
#define HINTS_FROM	 8 /* buckets */
#define HINTS_PER_BUCKET 4

struct histogram_bucket {
	uint32_t index;
	uint64_t nr;
};

static uint32_t bucket_index(uint64_t value)
{
	uint32_t shift;

	if (value < (1U << SUB_BITS))
		return (uint32_t)value;
	shift = 63 - (uint32_t)__builtin_clzll(value) - SUB_BITS;
	return ((shift + 1) << SUB_BITS) + (uint32_t)((value >> shift) & ((1U << SUB_BITS) - 1));
}

static uint64_t bucket_middle(uint32_t index)
{
	uint32_t shift;
	uint64_t low;

	if (index < (1U << SUB_BITS))
		return index;
	shift = (index >> SUB_BITS) - 1;
	low = ((uint64_t)(1U << SUB_BITS) + (index & ((1U << SUB_BITS) - 1))) << shift;
	return low + (((uint64_t)1 << shift) >> 1);
}

/* Position of the bucket, or of the first one behind it. */
static uint32_t bucket_position(const struct histogram *h, uint32_t index)
{
	const struct histogram_bucket *low = h->buckets;
	uint32_t nr = h->nr_buckets;

	/* Without a branch to be predicted: nobody knows where the next value falls. */
	while (nr > 1) {
		uint32_t half = nr / 2;

		low += half * (low[half - 1].index < index);
		nr -= half;
	}
	return (uint32_t)(low - h->buckets) + (nr && low->index < index);
}

static int bucket_insert(struct histogram *h, uint32_t at, uint32_t index)
{
	if (h->nr_buckets == h->cap_buckets) {
		uint32_t cap = h->cap_buckets ? h->cap_buckets * 2 : 4;
		struct histogram_bucket *grown = realloc(h->buckets, cap * sizeof(*grown));

		if (!grown)
			return -ENOMEM;
		h->buckets = grown;
		h->cap_buckets = cap;
		free(h->hints);
		h->hints = NULL;
		if (cap >= HINTS_FROM) /* NULL: it is slower */
			h->hints = calloc(HINTS_PER_BUCKET * cap, sizeof(*h->hints));
	}
	memmove(h->buckets + at + 1, h->buckets + at, (h->nr_buckets - at) * sizeof(*h->buckets));
	h->buckets[at] = (struct histogram_bucket){.index = index};
	h->nr_buckets++;
	return 0;
}

/* The caller has seen that there are hints; the number of buckets is a power of two. */
static uint16_t *hint_of(const struct histogram *h, uint32_t index)
{
	return &h->hints[index & (HINTS_PER_BUCKET * h->cap_buckets - 1)];
}

/* Rare: out of the way of the others. */
static __attribute__((noinline)) int bucket_search(struct histogram *h, uint32_t index, uint64_t nr)
{
	uint32_t at = bucket_position(h, index);

	if (at == h->nr_buckets || h->buckets[at].index != index) {
		int err = bucket_insert(h, at, index);

		if (err)
			return err;
	}
	if (h->hints)
		*hint_of(h, index) = (uint16_t)at;
	h->buckets[at].nr += nr;
	return 0;
}

static int bucket_add(struct histogram *h, uint32_t index, uint64_t nr)
{
	uint32_t at = h->hints ? *hint_of(h, index) : 0;

	if (at >= h->nr_buckets || h->buckets[at].index != index)
		return bucket_search(h, index, nr);
	h->buckets[at].nr += nr;
	return 0;
}

static void account(struct histogram *h, uint64_t nr, uint64_t min, uint64_t max, uint64_t sum)
{
	if (!h->nr || min < h->min)
		h->min = min;
	if (!h->nr || max > h->max)
		h->max = max;
	h->nr += nr;
	h->sum += sum;
}

int histogram__add(struct histogram *h, uint64_t value)
{
	int err = bucket_add(h, bucket_index(value), 1);

	if (!err)
		account(h, 1, value, value, value);
	return err;
}

int histogram__merge(struct histogram *dst, const struct histogram *src)
{
	/* All the room first: a merge that fails half way would count a part twice when retried. */
	for (uint32_t i = 0; i < src->nr_buckets; i++) {
		int err = bucket_add(dst, src->buckets[i].index, 0);

		if (err)
			return err;
	}
	for (uint32_t i = 0; i < src->nr_buckets; i++)
		bucket_add(dst, src->buckets[i].index, src->buckets[i].nr);
	if (src->nr)
		account(dst, src->nr, src->min, src->max, src->sum);
	return 0;
}

uint64_t histogram__quantile(const struct histogram *h, double q)
{
	uint64_t rank, seen = 0, value;
	uint32_t i;

	if (!h->nr)
		return 0;
	if (!(q > 0))
		return h->min;
	if (q >= 1)
		return h->max;
	rank = (uint64_t)(q * (double)h->nr);
	if ((double)rank < q * (double)h->nr)
		rank++;
	for (i = 0; i + 1 < h->nr_buckets; i++) {
		seen += h->buckets[i].nr;
		if (seen >= rank)
			break;
	}
	value = bucket_middle(h->buckets[i].index);
	if (value < h->min)
		return h->min;
	return value > h->max ? h->max : value;
}

void histogram__clear(struct histogram *h)
{
	free(h->buckets);
	free(h->hints);
	memset(h, 0, sizeof(*h));
}
