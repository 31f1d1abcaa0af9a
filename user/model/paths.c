/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "user/model/paths.h"

#include <errno.h>
#include <stdlib.h>

static uint64_t rank(const struct path_count *c)
{
	return c->nr + c->inherited;
}

static void rise(struct path_counts *p, uint32_t i)
{
	const struct path_count moved = p->at[i];

	for (; i && rank(&p->at[i - 1]) < rank(&moved); i--)
		p->at[i] = p->at[i - 1];
	p->at[i] = moved;
}

/* Most call sites are reached in one way. */
static int grow(struct path_counts *p)
{
	uint32_t cap = p->cap ? p->cap * 2 : 1;
	struct path_count *grown = realloc(p->at, cap * sizeof(*grown));

	if (!grown)
		return -ENOMEM;
	p->at = grown;
	p->cap = cap;
	return 0;
}

int path_counts__add(struct path_counts *p, struct stack_table *t, struct stack_entry *stack,
		     uint64_t nr)
{
	uint64_t inherited = 0;
	uint32_t i;

	for (i = 0; i < p->nr; i++) {
		if (p->at[i].id != stack->path_id)
			continue;
		p->at[i].nr += nr;
		rise(p, i);
		return 0;
	}
	if (i == PATHS_MAX) {
		i--;
		inherited = rank(&p->at[i]);
		stack__release(t, p->at[i].stack);
	} else if (i == p->cap && grow(p)) {
		return -ENOMEM;
	} else {
		p->nr++;
	}
	stack__hold(t, stack);
	p->at[i] = (struct path_count){
		.id = stack->path_id, .stack = stack, .nr = nr, .inherited = inherited};
	rise(p, i);
	return 0;
}

void path_counts__clear(struct path_counts *p)
{
	free(p->at);
	*p = (struct path_counts){};
}
