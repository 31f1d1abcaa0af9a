/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "user/model/histogram.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define SUB_BITS 5 /* 2^5 buckets for each power of two: half a bucket is 1.6 % of the value */

/* A search takes as long as everything else that is done for a record. Hints are for the buckets of
 * sixteen powers of two at a time, and are checked before use. */
#define NR_HINTS   512
#define HINTS_FROM 64 /* buckets, from which on hints take less memory than these */

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
		if (cap > HINTS_FROM && !h->hints)
			h->hints = calloc(NR_HINTS, sizeof(*h->hints)); /* NULL: it is slower */
	}
	memmove(h->buckets + at + 1, h->buckets + at, (h->nr_buckets - at) * sizeof(*h->buckets));
	h->buckets[at] = (struct histogram_bucket){.index = index};
	h->nr_buckets++;
	return 0;
}

static int bucket_add(struct histogram *h, uint32_t index, uint64_t nr)
{
	uint16_t *hint = h->hints ? &h->hints[index % NR_HINTS] : NULL;
	uint32_t at = hint ? *hint : h->nr_buckets;
	int err = 0;

	if (at >= h->nr_buckets || h->buckets[at].index != index) {
		at = bucket_position(h, index);
		if (at == h->nr_buckets || h->buckets[at].index != index)
			err = bucket_insert(h, at, index);
		if (hint)
			*hint = (uint16_t)at;
	}
	if (!err)
		h->buckets[at].nr += nr;
	return err;
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
