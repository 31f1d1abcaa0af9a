/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "user/model/flow_index.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static int compare(const struct destination *x, const struct destination *y)
{
	if (x->netns != y->netns)
		return x->netns < y->netns ? -1 : 1;
	if (x->port != y->port)
		return x->port < y->port ? -1 : 1;
	return memcmp(x->addr, y->addr, sizeof(x->addr));
}

static int compare_flows(const void *a, const void *b)
{
	const struct flow_state *x = *(const struct flow_state *const *)a;
	const struct flow_state *y = *(const struct flow_state *const *)b;

	return compare(&x->pub.dest, &y->pub.dest);
}

int flow_index__make(struct flow_index *x, const struct flow_table *t)
{
	struct flow_state *f, *tmp;

	x->nr = 0;
	x->at = malloc((HASH_COUNT(t->by_key) + 1) * sizeof(*x->at));
	if (!x->at)
		return -ENOMEM;
	HASH_ITER (hh, t->by_key, f, tmp)
		x->at[x->nr++] = f;
	qsort(x->at, x->nr, sizeof(*x->at), compare_flows);
	return 0;
}

void flow_index__clear(struct flow_index *x)
{
	free(x->at);
	memset(x, 0, sizeof(*x));
}

/* How many stand before that destination; with `past` those to it count, too. */
static uint32_t count_before(const struct flow_index *x, const struct destination *d, bool past)
{
	uint32_t first = 0, end = x->nr;

	while (first < end) {
		uint32_t middle = first + (end - first) / 2;
		int order = compare(&x->at[middle]->pub.dest, d);

		if (order < 0 || (past && !order))
			first = middle + 1;
		else
			end = middle;
	}
	return first;
}

const struct flow_state *const *flow_index__to(const struct flow_index *x,
					       const struct port_pool *p, uint32_t *nr)
{
	struct destination to = {.netns = p->key.netns, .port = p->key.port};
	uint32_t first;

	memcpy(to.addr, p->key.peer, sizeof(to.addr));
	first = count_before(x, &to, false);
	*nr = count_before(x, &to, true) - first;
	return x->at + first;
}
