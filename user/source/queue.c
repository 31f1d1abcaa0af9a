/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "user/source/queue.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "user/base/clock.h"

#define MAX_ITEMS 1000000 /* about 200 MiB */

struct item {
	struct item *next;
	uint32_t type; /* enum churn_type */
	union {
		struct process_identity process;
		struct {
			uint64_t id;
			uint64_t until_ns; /* held back no longer than this */
		} stack;
		struct churn_open open;
		struct churn_end end;
	};
};

struct queue {
	struct resolver *resolver;
	const struct sink *sink;
	uint64_t max_wait_ns;
	struct item *head, **tail;
	uint32_t nr;
};

struct queue *queue__new(struct resolver *resolver, uint64_t max_wait_ns)
{
	struct queue *q = calloc(1, sizeof(*q));

	if (!q)
		return NULL;
	q->resolver = resolver;
	q->max_wait_ns = max_wait_ns;
	q->tail = &q->head;
	return q;
}

void queue__connect(struct queue *q, const struct sink *sink)
{
	q->sink = sink;
}

static void queue_pop(struct queue *q)
{
	struct item *i = q->head;

	q->head = i->next;
	if (!q->head)
		q->tail = &q->head;
	q->nr--;
	if (i->type == CHURN_PROCESS)
		process_identity__clear(&i->process);
	free(i);
}

void queue__free(struct queue *q)
{
	if (!q)
		return;
	while (q->head)
		queue_pop(q);
	free(q);
}

/* NULL with errno set. */
static struct item *queue_push(struct queue *q, uint32_t type)
{
	struct item *i;

	if (q->nr >= MAX_ITEMS) {
		errno = ENOBUFS;
		return NULL;
	}
	i = malloc(sizeof(*i));
	if (!i)
		return NULL;
	i->next = NULL;
	i->type = type;
	*q->tail = i;
	q->tail = &i->next;
	q->nr++;
	return i;
}

int queue__push_process(struct queue *q, struct process_identity *p)
{
	struct item *i;
	int err;

	/* Who begins to listen before the start is told of after it. */
	if (q->sink && !q->head) {
		err = q->sink->process(q->sink->ctx, p);
		process_identity__clear(p);
		return err;
	}
	i = queue_push(q, CHURN_PROCESS);
	if (!i)
		return -errno;
	i->process = *p;
	memset(p, 0, sizeof(*p));
	return 0;
}

static int queue_push_pending(struct queue *q, uint64_t id, uint64_t now_ns)
{
	struct item *i = queue_push(q, CHURN_STACK);

	if (!i)
		return -errno;
	i->stack.id = id;
	i->stack.until_ns = now_ns + q->max_wait_ns;
	return 0;
}

int queue__push_stack(struct queue *q, const struct churn_stack *s, uint64_t now_ns)
{
	int err = resolver__submit(q->resolver, s);

	return err ? err : queue_push_pending(q, s->id, now_ns);
}

int queue__push_stack_copy(struct queue *q, const struct churn_stack_copy *s, uint64_t now_ns)
{
	int err = resolver__submit_copy(q->resolver, s);

	return err ? err : queue_push_pending(q, s->id, now_ns);
}

int queue__push_py_stack(struct queue *q, const struct churn_py_stack *s, uint64_t now_ns)
{
	int err = resolver__submit_python(q->resolver, s);

	return err ? err : queue_push_pending(q, s->id, now_ns);
}

int queue__push_open(struct queue *q, const struct churn_open *e)
{
	struct item *i;

	if (!q->head)
		return q->sink->open(q->sink->ctx, e);
	i = queue_push(q, e->h.type);
	if (!i)
		return -errno;
	i->open = *e;
	return 0;
}

int queue__push_end(struct queue *q, const struct churn_end *e)
{
	struct item *i;

	if (!q->head)
		return q->sink->end(q->sink->ctx, e);
	i = queue_push(q, e->h.type);
	if (!i)
		return -errno;
	i->end = *e;
	return 0;
}

/*
 * Results come in the order of the requests, so the next one is that of the first stack in the
 * queue, or of one that was given up; then it is late, and goes out all the same.
 * 1: the stack is settled, 0: it is not there yet, or what the sink returned.
 */
static int queue_settle_stack(struct queue *q, uint64_t id, bool give_up, int wait_ms)
{
	const struct sink *sink = q->sink;
	struct stack_trace trace;
	int err;

	while (resolver__take(q->resolver, &trace, wait_ms)) {
		bool wanted = trace.id == id;

		err = sink->stack(sink->ctx, &trace);
		stack_trace__clear(&trace);
		if (err)
			return err;
		if (wanted)
			return 1;
	}
	return give_up;
}

static int queue_deliver_head(const struct queue *q)
{
	const struct sink *sink = q->sink;
	const struct item *i = q->head;

	switch (i->type) {
	case CHURN_PROCESS:
		return sink->process(sink->ctx, &i->process);
	case CHURN_CONNECT:
	case CHURN_ACCEPT:
		return sink->open(sink->ctx, &i->open);
	default:
		return sink->end(sink->ctx, &i->end);
	}
}

static int queue_drain(struct queue *q, uint64_t now_ns, int wait_ms)
{
	int err;

	while (q->head) {
		if (q->head->type == CHURN_STACK) {
			err = queue_settle_stack(q, q->head->stack.id,
						 now_ns >= q->head->stack.until_ns, wait_ms);
			if (err <= 0)
				return err;
		} else {
			err = queue_deliver_head(q);
			if (err)
				return err;
		}
		queue_pop(q);
	}
	return 0;
}

int queue__deliver(struct queue *q, uint64_t now_ns)
{
	return queue_drain(q, now_ns, 0);
}

int queue__flush(struct queue *q, int wait_ms)
{
	uint64_t end_ns = clock_ns(CLOCK_MONOTONIC) + wait_ms * NS_PER_MS;
	int err = 0;

	while (q->head && !err && clock_ns(CLOCK_MONOTONIC) < end_ns)
		err = queue_drain(q, 0, 20);
	/* Stacks that were given up: who counts by call site still has a use for them. */
	while (q->resolver && resolver__owes(q->resolver) && !err &&
	       clock_ns(CLOCK_MONOTONIC) < end_ns)
		err = queue_settle_stack(q, 0, false, 20);
	/* Whatever has no stack by now goes without. */
	return err ? err : queue_drain(q, UINT64_MAX, 0);
}
