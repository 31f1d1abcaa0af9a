/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Records behind the stacks that they wait for, and stacks that come too late to be waited for. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <unistd.h>

#include "tests/unit/teach.h"
#include "user/source/queue.h"

#define STACKS 50

struct fixture {
	struct resolver *resolver;
	struct queue *queue;
	uint64_t stacks[STACKS], stacks_before_open;
	uint64_t nr_stacks, nr_opens, nr_processes;
};

static int see_stack(void *ctx, const struct stack_trace *s)
{
	struct fixture *f = ctx;

	assert_true(f->nr_stacks < STACKS);
	f->stacks[f->nr_stacks++] = s->id;
	return 0;
}

static int see_open(void *ctx, const struct churn_open *e)
{
	struct fixture *f = ctx;

	(void)e;
	f->nr_opens++;
	f->stacks_before_open = f->nr_stacks;
	return 0;
}

static void set_up(struct fixture *f, const struct sink *sink, uint64_t max_wait_ns)
{
	const struct resolver_teach teach = teach_nobody();

	f->resolver = resolver__new(&teach);
	assert_non_null(f->resolver);
	f->queue = queue__new(f->resolver, max_wait_ns);
	assert_non_null(f->queue);
	queue__connect(f->queue, sink);
}

/* As many stacks, of addresses in this program, and a connection behind them. */
static void push(struct fixture *f)
{
	struct churn_stack s = {.h.type = CHURN_STACK, .process.tgid = (uint32_t)getpid(), .nr = 1};
	struct churn_open e = {.h.type = CHURN_CONNECT};

	for (uint64_t i = 0; i < STACKS; i++) {
		s.id = i + 1;
		s.pc[0] = (uintptr_t)push + i;
		assert_int_equal(queue__push_stack(f->queue, &s, 0), 0);
	}
	assert_int_equal(queue__push_open(f->queue, &e), 0);
}

static void finish(struct fixture *f)
{
	assert_int_equal(queue__flush(f->queue, 10000), 0);
	assert_int_equal(f->nr_opens, 1);
	assert_int_equal(f->nr_stacks, STACKS);
	for (uint64_t i = 0; i < STACKS; i++)
		assert_int_equal(f->stacks[i], i + 1);
	queue__free(f->queue);
	resolver__free(f->resolver);
}

static void stacks_come_before_what_names_them(void **state)
{
	struct fixture f = {0};
	const struct sink sink = {.ctx = &f, .stack = see_stack, .open = see_open};

	(void)state;
	set_up(&f, &sink, UINT64_MAX);
	push(&f);
	finish(&f);
	assert_int_equal(f.stacks_before_open, STACKS);
}

/* The connection waited for none of them; a report still books it where they say. */
static void late_stacks_are_told_at_the_end(void **state)
{
	struct fixture f = {0};
	const struct sink sink = {.ctx = &f, .stack = see_stack, .open = see_open};

	(void)state;
	set_up(&f, &sink, 0);
	push(&f);
	assert_int_equal(queue__deliver(f.queue, 1), 0);
	assert_int_equal(f.nr_opens, 1);
	finish(&f);
}

static int see_process(void *ctx, const struct process_identity *p)
{
	struct fixture *f = ctx;

	assert_int_equal(p->id.tgid, 7);
	assert_int_equal(f->nr_opens, 0);
	f->nr_processes++;
	return 0;
}

/* Somebody began to listen while the trace was being set up. */
static void processes_wait_for_the_sink(void **state)
{
	struct churn_open e = {.h.type = CHURN_CONNECT};
	struct process_identity early = {.id.tgid = 7};
	struct fixture f = {0};
	const struct sink sink = {.ctx = &f, .process = see_process, .open = see_open};

	(void)state;
	set_up(&f, NULL, 0);
	assert_int_equal(queue__push_process(f.queue, &early), 0);
	queue__connect(f.queue, &sink);
	assert_int_equal(queue__push_open(f.queue, &e), 0);
	assert_int_equal(queue__deliver(f.queue, 1), 0);
	assert_int_equal(f.nr_processes, 1);
	assert_int_equal(f.nr_opens, 1);
	queue__free(f.queue);
	resolver__free(f.resolver);
}

static int count_open(void *ctx, const struct churn_open *e)
{
	struct fixture *f = ctx;

	assert_int_equal(e->conn.id, f->nr_opens++);
	return 0;
}

/* What is first in line holds up a million records, no more: those are refused, which the
 * caller counts as lost, and memory has a bound. */
static void no_more_than_a_million_wait(void **state)
{
	struct churn_open e = {.h.type = CHURN_CONNECT};
	struct process_identity first = {.id.tgid = 7};
	struct fixture f = {0};
	const struct sink sink = {.ctx = &f, .process = see_process, .open = count_open};

	(void)state;
	set_up(&f, NULL, 0);
	assert_int_equal(queue__push_process(f.queue, &first), 0);
	for (e.conn.id = 0; e.conn.id < 999999; e.conn.id++)
		assert_int_equal(queue__push_open(f.queue, &e), 0);
	assert_int_equal(queue__push_open(f.queue, &e), -ENOBUFS);
	queue__connect(f.queue, &sink);
	assert_int_equal(queue__deliver(f.queue, 1), 0);
	assert_int_equal(f.nr_opens, 999999);
	e.conn.id = f.nr_opens; /* there is room again */
	assert_int_equal(queue__push_open(f.queue, &e), 0);
	assert_int_equal(f.nr_opens, 1000000);
	queue__free(f.queue);
	resolver__free(f.resolver);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(processes_wait_for_the_sink),
		cmocka_unit_test(stacks_come_before_what_names_them),
		cmocka_unit_test(late_stacks_are_told_at_the_end),
		cmocka_unit_test(no_more_than_a_million_wait),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
