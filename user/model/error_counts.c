/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "user/model/error_counts.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Recordings are foreign text: a made-up one must not grow the array without end. */
#define MAX_KINDS 256

int error_counts__add(struct error_counts *c, uint16_t error, uint8_t cause)
{
	struct error_count *grown;

	for (uint32_t i = 0; i < c->nr; i++) {
		if (c->at[i].error == error && c->at[i].cause == cause) {
			c->at[i].nr++;
			return 0;
		}
	}
	if (c->nr >= MAX_KINDS && (error || cause))
		return error_counts__add(c, 0, CHURN_CAUSE_UNKNOWN);
	grown = realloc(c->at, (c->nr + 1) * sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	c->at = grown;
	c->at[c->nr++] = (struct error_count){.error = error, .cause = cause, .nr = 1};
	return 0;
}

static int compare_counts(const void *a, const void *b)
{
	const struct error_count *x = a, *y = b;

	if (x->nr != y->nr)
		return x->nr < y->nr ? 1 : -1;
	if (x->error != y->error)
		return x->error < y->error ? -1 : 1;
	return (int)x->cause - (int)y->cause;
}

void error_counts__sort(struct error_counts *c)
{
	if (c->nr > 1)
		qsort(c->at, c->nr, sizeof(*c->at), compare_counts);
}

uint64_t error_counts__of_cause(const struct error_counts *c, enum churn_cause cause)
{
	uint64_t nr = 0;

	for (uint32_t i = 0; i < c->nr; i++)
		if (c->at[i].cause == cause)
			nr += c->at[i].nr;
	return nr;
}

void error_counts__clear(struct error_counts *c)
{
	free(c->at);
	memset(c, 0, sizeof(*c));
}
