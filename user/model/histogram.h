/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Distribution of a non-negative quantity within 3 % of its value, in memory that grows with the
 * number of distinct magnitudes only: log-linear buckets, 32 for each power of two, kept sorted.
 */
#ifndef CHURN_MODEL_HISTOGRAM_H
#define CHURN_MODEL_HISTOGRAM_H

#include <stdint.h>

struct histogram_bucket;

struct histogram {
	uint64_t nr;
	uint64_t min, max, sum;
	struct histogram_bucket *buckets;
	uint32_t nr_buckets, cap_buckets;
	uint16_t *hints; /* where buckets were found to stand; NULL while they are few */
};

/* A zeroed histogram is an empty one. 0 or -ENOMEM (the value is then not counted). */
int histogram__add(struct histogram *h, uint64_t value);
int histogram__merge(struct histogram *dst, const struct histogram *src);
/* The value below which the share q (0..1) lies; 0 for an empty histogram. */
uint64_t histogram__quantile(const struct histogram *h, double q);
void histogram__clear(struct histogram *h);

#endif /* CHURN_MODEL_HISTOGRAM_H */
