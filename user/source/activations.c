/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "user/source/activations.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "user/base/hash.h"
#include "user/model/activation.h"

#define MAX_SAMPLES 4096

struct sample {
	uint64_t conn;
	enum churn_activation verdict;
	uint8_t frame;
	struct churn_py_stack *open; /* cut after its frames */
	UT_hash_handle hh;	     /* oldest first */
};

struct activations {
	struct sample *by_conn;
};

struct activations *activations__new(void)
{
	return calloc(1, sizeof(struct activations));
}

static void forget(struct activations *a, struct sample *s)
{
	HASH_DEL(a->by_conn, s);
	free(s->open);
	free(s);
}

void activations__free(struct activations *a)
{
	struct sample *s, *next;

	if (!a)
		return;
	HASH_ITER (hh, a->by_conn, s, next)
		forget(a, s);
	free(a);
}

static struct sample *find(const struct activations *a, uint64_t conn)
{
	struct sample *s;

	HASH_FIND(hh, a->by_conn, &conn, sizeof(conn), s);
	return s;
}

static int remember(struct activations *a, const struct churn_py_stack *calls)
{
	size_t size =
		offsetof(struct churn_py_stack, frames) + calls->nr * sizeof(calls->frames[0]);
	struct sample *s = find(a, calls->conn);

	/* The same socket connects again. */
	if (s)
		forget(a, s);
	s = calloc(1, sizeof(*s));
	if (!s)
		return -ENOMEM;
	s->conn = calls->conn;
	s->open = malloc(size);
	if (!s->open)
		goto fail;
	memcpy(s->open, calls, size);
	HASH_ADD(hh, a->by_conn, conn, sizeof(s->conn), s);
	if (!s->hh.tbl)
		goto fail;
	if (HASH_COUNT(a->by_conn) > MAX_SAMPLES)
		forget(a, a->by_conn);
	return 0;
fail:
	free(s->open);
	free(s);
	return -ENOMEM;
}

int activations__add(struct activations *a, const struct churn_py_stack *calls)
{
	struct sample *s;

	if (!calls->closing)
		return remember(a, calls);
	s = find(a, calls->conn);
	if (s)
		s->verdict = activation_judge(s->open, calls, &s->frame);
	return 0;
}

const struct churn_end *activations__settle(struct activations *a, const struct churn_end *e,
					    struct churn_end *judged)
{
	struct sample *s = find(a, e->conn.id);

	if (!s)
		return e;
	*judged = *e;
	judged->activation = s->verdict;
	judged->activation_frame = s->frame;
	forget(a, s);
	return judged;
}
