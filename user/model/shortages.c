/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "user/model/shortages.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define MAX_SHORTAGES 256

static void clear_holder(struct port_holder *h)
{
	struct process_identity *process = (struct process_identity *)h->who.process;
	struct stack_trace *stack = (struct stack_trace *)h->who.stack;

	if (process)
		process_identity__clear(process);
	if (stack)
		stack_trace__clear(stack);
	free(process);
	free(stack);
	memset(h, 0, sizeof(*h));
}

static int copy_process(struct port_holder *to, const struct process_identity *from)
{
	struct process_identity *copy = from ? calloc(1, sizeof(*copy)) : NULL;

	if (from && (!copy || process_identity__copy(copy, from))) {
		free(copy);
		return -ENOMEM;
	}
	to->who.process = copy;
	return 0;
}

/* The application frame is all that is told. */
static int copy_frame(struct port_holder *to, const struct socket_holder *from)
{
	struct stack_trace one, *copy;

	if (!from->stack || from->frame < 0)
		return 0;
	one = *from->stack;
	one.frames = from->stack->frames + from->frame;
	one.nr = 1;
	copy = calloc(1, sizeof(*copy));
	if (!copy || stack_trace__copy(copy, &one)) {
		free(copy);
		return -ENOMEM;
	}
	to->who.stack = copy;
	to->who.frame = 0;
	return 0;
}

static void clear_holders(struct port_shortage *s)
{
	for (uint32_t i = 0; i < s->nr_holders; i++)
		clear_holder(&s->holders[i]);
	free(s->holders);
	s->holders = NULL;
	s->nr_holders = 0;
}

static int copy_holders(struct port_shortage *s, const struct port_holder *from, uint32_t nr)
{
	clear_holders(s);
	s->holders = calloc(nr + 1, sizeof(*s->holders));
	if (!s->holders)
		return -ENOMEM;
	for (; s->nr_holders < nr; from++) {
		struct port_holder *to = &s->holders[s->nr_holders++];

		*to = *from;
		to->who.process = NULL;
		to->who.stack = NULL;
		to->who.frame = -1;
		if (copy_process(to, from->who.process) || copy_frame(to, &from->who))
			return -ENOMEM;
	}
	return 0;
}

/* NULL with errno set; ENOBUFS: there are too many others. */
static struct port_shortage *get(struct shortage_table *t, const struct port_pool_key *key)
{
	struct port_shortage *s;

	HASH_FIND(hh, t->by_key, key, sizeof(*key), s);
	if (s)
		return s;
	if (HASH_COUNT(t->by_key) >= MAX_SHORTAGES) {
		errno = ENOBUFS;
		return NULL;
	}
	s = calloc(1, sizeof(*s));
	if (!s)
		return NULL;
	s->key = *key;
	s->free = UINT32_MAX;
	HASH_ADD(hh, t->by_key, key, sizeof(s->key), s);
	if (s->hh.tbl)
		return s;
	free(s);
	errno = ENOMEM;
	return NULL;
}

int shortage_table__note(struct shortage_table *t, const struct port_pool *p,
			 const struct port_holder *holders, uint32_t nr, uint64_t at_ns)
{
	struct port_shortage *s = get(t, &p->key);

	if (!s)
		return errno == ENOBUFS ? 0 : -ENOMEM;
	if (p->free >= s->free)
		return 0;
	s->at_ns = at_ns;
	s->capacity = p->capacity;
	s->free = p->free;
	s->used = port_pool__used(p);
	s->estimated = p->estimated;
	memcpy(s->nr, p->nr, sizeof(s->nr));
	return copy_holders(s, holders, nr);
}

static bool may_be_of(const struct port_shortage *s, const struct flow *f)
{
	static const uint8_t unknown[16];

	return s->key.netns == f->dest.netns && s->key.port == f->dest.port &&
	       !memcmp(s->key.peer, f->dest.addr, sizeof(s->key.peer)) &&
	       (f->several_local || !memcmp(f->local_addr, unknown, sizeof(unknown)) ||
		!memcmp(s->key.local, f->local_addr, sizeof(s->key.local)));
}

const struct port_shortage *shortage_table__find(const struct shortage_table *t,
						 const struct flow *f)
{
	const struct port_shortage *s, *tmp, *worst = NULL;

	HASH_ITER (hh, t->by_key, s, tmp) {
		if (may_be_of(s, f) && (!worst || s->free < worst->free))
			worst = s;
	}
	return worst;
}

void shortage_table__clear(struct shortage_table *t)
{
	struct port_shortage *s, *tmp;

	HASH_ITER (hh, t->by_key, s, tmp) {
		HASH_DEL(t->by_key, s);
		clear_holders(s);
		free(s);
	}
}
