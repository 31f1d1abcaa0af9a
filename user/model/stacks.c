/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "user/model/stacks.h"

#include <errno.h>
#include <stdlib.h>
#include <utlist.h>

static void remove_entry(struct stack_table *t, struct stack_entry *e)
{
	HASH_DEL(t->by_id, e);
	stack_trace__clear(&e->trace);
	free(e);
}

static void find_callsite(const struct stack_table *t, struct stack_entry *e)
{
	e->frame = stack_trace__application_frame(&e->trace, t->skip, t->nr_skip);
	if (e->frame >= 0 && (uint32_t)e->frame < e->trace.nr)
		e->callsite_id = frame__callsite_id(&e->trace.frames[e->frame]);
	else
		e->frame = -1;
	e->path_id = stack_trace__path_id(&e->trace);
	if (e->frame >= 0 && frame__is_reason(&e->trace.frames[e->frame]))
		return;
	for (uint32_t i = 0; i < e->trace.nr && !e->named; i++)
		e->named = e->trace.frames[i].function != NULL;
}

int stack_table__add(struct stack_table *t, const struct stack_trace *s)
{
	struct stack_entry *e;

	if (!s->id || stack_table__find(t, s->id))
		return 0;
	if (HASH_COUNT(t->by_id) >= t->max) {
		e = t->idle;
		if (!e)
			return 0;
		DL_DELETE(t->idle, e);
		remove_entry(t, e);
		t->evicted++;
	}
	e = calloc(1, sizeof(*e));
	if (!e)
		return -ENOMEM;
	if (stack_trace__copy(&e->trace, s))
		goto free_entry;
	find_callsite(t, e);
	HASH_ADD(hh, t->by_id, trace.id, sizeof(e->trace.id), e);
	if (!e->hh.tbl) {
		stack_trace__clear(&e->trace);
		goto free_entry;
	}
	DL_APPEND(t->idle, e);
	return 0;
free_entry:
	free(e);
	return -ENOMEM;
}

struct stack_entry *stack_table__find(const struct stack_table *t, uint64_t id)
{
	struct stack_entry *e = NULL;

	if (id)
		HASH_FIND(hh, t->by_id, &id, sizeof(id), e);
	return e;
}

void stack_table__clear(struct stack_table *t)
{
	struct stack_entry *e, *tmp;

	HASH_ITER (hh, t->by_id, e, tmp)
		remove_entry(t, e);
	t->idle = NULL;
}

void stack__hold(struct stack_table *t, struct stack_entry *e)
{
	if (e && !e->refs++)
		DL_DELETE(t->idle, e);
}

void stack__release(struct stack_table *t, struct stack_entry *e)
{
	if (e && !--e->refs)
		DL_APPEND(t->idle, e);
}
