/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "user/source/activations.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "user/base/hash.h"
#include "user/model/activation.h"

#define MAX_SAMPLES 4096

/* Each end asks, and of most the answer is no: a chain of its own for each of those that are
 * sampled at a time, so that it takes one look. */
#define CHAINS 1024

struct sample {
	uint64_t conn;
	struct sample *chain;
	struct sample *prev, *next; /* oldest first */
	enum churn_activation verdict;
	uint8_t frame;
	struct churn_py_stack open; /* cut after its frames */
};

struct activations {
	struct sample *chains[CHAINS];
	struct sample *samples;
	uint32_t nr;
};

struct activations *activations__new(void)
{
	return calloc(1, sizeof(struct activations));
}

/* Where the sample is linked, or would be. */
static struct sample **find(struct activations *a, uint64_t conn)
{
	struct sample **at = &a->chains[hash_words(&conn, sizeof(conn)) % CHAINS];

	while (*at && (*at)->conn != conn)
		at = &(*at)->chain;
	return at;
}

static void forget(struct activations *a, struct sample **at)
{
	struct sample *s = *at;

	*at = s->chain;
	DL_DELETE(a->samples, s);
	a->nr--;
	free(s);
}

void activations__free(struct activations *a)
{
	if (!a)
		return;
	while (a->samples)
		forget(a, find(a, a->samples->conn));
	free(a);
}

static int remember(struct activations *a, const struct churn_py_stack *calls)
{
	size_t size =
		offsetof(struct churn_py_stack, frames) + calls->nr * sizeof(calls->frames[0]);
	struct sample *s = malloc(offsetof(struct sample, open) + size);
	struct sample **at = find(a, calls->conn);

	/* The same socket connects again. */
	if (*at)
		forget(a, at);
	if (!s)
		return -ENOMEM;
	s->conn = calls->conn;
	s->verdict = CHURN_ACTIVATION_UNKNOWN;
	s->frame = 0;
	memcpy(&s->open, calls, size);
	s->chain = *at;
	*at = s;
	DL_APPEND(a->samples, s);
	if (++a->nr > MAX_SAMPLES)
		forget(a, find(a, a->samples->conn));
	return 0;
}

int activations__add(struct activations *a, const struct churn_py_stack *calls)
{
	struct sample *s;

	if (!calls->closing)
		return remember(a, calls);
	s = *find(a, calls->conn);
	if (s)
		s->verdict = activation_judge(&s->open, calls, &s->frame);
	return 0;
}

const struct churn_end *activations__settle(struct activations *a, const struct churn_end *e,
					    struct churn_end *judged)
{
	struct sample **at = find(a, e->conn.id);

	if (!*at)
		return e;
	*judged = *e;
	judged->activation = (*at)->verdict;
	judged->activation_frame = (*at)->frame;
	forget(a, at);
	return judged;
}
