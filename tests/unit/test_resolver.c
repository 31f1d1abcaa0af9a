/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What waits for the resolver's thread, while that is held up. */
#include "user/callsite/resolver.h"

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
/* After the four that it needs. */
#include <cmocka.h>

#include "tests/unit/teach.h"

/* The thread stands still at the end of each copy's walk for as long as the gate is closed. */
struct gate {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool closed, reached;
};

static const struct gate closed_gate = {
	.lock = PTHREAD_MUTEX_INITIALIZER,
	.changed = PTHREAD_COND_INITIALIZER,
	.closed = true,
};

static void hold(void *ctx, const struct churn_id *process)
{
	struct gate *g = ctx;

	(void)process;
	pthread_mutex_lock(&g->lock);
	g->reached = true;
	pthread_cond_broadcast(&g->changed);
	while (g->closed)
		pthread_cond_wait(&g->changed, &g->lock);
	pthread_mutex_unlock(&g->lock);
}

static void gate_open(struct gate *g)
{
	pthread_mutex_lock(&g->lock);
	g->closed = false;
	pthread_cond_broadcast(&g->changed);
	pthread_mutex_unlock(&g->lock);
}

static void gate_wait(struct gate *g)
{
	pthread_mutex_lock(&g->lock);
	while (!g->reached)
		pthread_cond_wait(&g->changed, &g->lock);
	pthread_mutex_unlock(&g->lock);
}

static struct resolver *resolver_behind(struct gate *g)
{
	struct resolver_teach teach = teach_nobody();
	struct resolver *r;

	teach.ctx = g;
	teach.walked = hold;
	r = resolver__new(&teach);
	assert_non_null(r);
	return r;
}

/* A copy of as many bytes, of a process that there is not. */
static struct churn_stack_copy *copy_of(uint32_t len)
{
	struct churn_stack_copy *copy = calloc(1, sizeof(*copy));

	assert_non_null(copy);
	copy->h.type = CHURN_STACK_COPY;
	copy->process.tgid = INT32_MAX;
	copy->id = 1;
	copy->len = len;
	return copy;
}

/* How many are taken before one is refused. */
static uint32_t fill(struct resolver *r, const struct churn_stack_copy *copy)
{
	uint32_t nr = 0;

	while (!resolver__submit_copy(r, copy))
		nr++;
	assert_int_equal(resolver__submit_copy(r, copy), -ENOBUFS);
	return nr;
}

static void test_bytes_are_bounded(void **state)
{
	struct churn_stack_copy *large = copy_of(CHURN_COPY_LEN), *small = copy_of(64);
	const size_t head = offsetof(struct churn_stack_copy, bytes);
	struct gate gate = closed_gate;
	struct resolver *r = resolver_behind(&gate);
	struct stack_trace trace;
	uint32_t nr;

	(void)state;
	assert_int_equal(resolver__submit_copy(r, large), 0);
	gate_wait(&gate);
	assert_false(resolver__settle(r, 1));
	/* The one that is being looked at waits no more. */
	nr = fill(r, large);
	assert_int_equal(nr, RESOLVER_MAX_WAITING / (head + CHURN_COPY_LEN));
	/* Where a large one does not fit any more, small ones may. */
	nr += fill(r, small);
	gate_open(&gate);
	/* All that were taken come out again, and then there is room. */
	for (uint32_t i = 0; i < nr + 1; i++) {
		assert_true(resolver__take(r, &trace, 10000));
		assert_int_equal(trace.id, 1);
		stack_trace__clear(&trace);
	}
	assert_false(resolver__take(r, &trace, 0));
	assert_true(resolver__settle(r, 10000));
	assert_int_equal(resolver__submit_copy(r, large), 0);
	assert_true(resolver__settle(r, 10000));
	assert_true(resolver__take(r, &trace, 10000));
	stack_trace__clear(&trace);
	assert_int_equal(resolver__submit_copy(r, large), 0);
	resolver__free(r);
	free(large);
	free(small);
}

/* What is small is bounded by its number. */
static void test_pieces_are_bounded(void **state)
{
	struct churn_stack_copy *small = copy_of(8);
	struct gate gate = closed_gate;
	struct resolver *r = resolver_behind(&gate);

	(void)state;
	assert_int_equal(resolver__submit_copy(r, small), 0);
	gate_wait(&gate);
	assert_int_equal(fill(r, small), 16384);
	gate_open(&gate);
	resolver__free(r);
	free(small);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bytes_are_bounded),
		cmocka_unit_test(test_pieces_are_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
