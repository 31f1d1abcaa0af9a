/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Rows of a report: of processes, of call sites; and how many there may be. */
#include <errno.h>

#include "tests/unit/story.h"

#define PORT 8888

/* --- rows ------------------------------------------------------------------------------------- */

static void test_rows_by_program(void **state)
{
	struct story s;
	const struct group *g;
	uint32_t nr;

	(void)state;
	story_begin(&s, NULL);
	for (uint32_t i = 0; i < 40; i++) {
		story_process(&s, 200 + i, 50, i % 2 ? "/usr/bin/curl" : "/bin/curl", NULL);
		one_by_one(&s, 200 + i, PORT, 1, MS, MS, CHURN_END_LOCAL, 0);
	}
	for (uint32_t i = 0; i < 2; i++) {
		const char *argv[] = {"python3", i ? "a.py" : "b.py", NULL};

		story_process(&s, 300 + i, 50, "/usr/bin/python3", argv);
		one_by_one(&s, 300 + i, PORT, 1, MS, MS, CHURN_END_LOCAL, 0);
	}
	g = group_at(&s, 0);
	assert_string_equal(g->program, "curl");
	assert_int_equal(g->nr_processes, 40);
	assert_int_equal(g->opens, 40);
	assert_int_equal(g->nr_flows, 1);
	assert_int_equal(g->flows[0]->opens, 40);
	assert_int_equal(g->pids[0], 200);
	model__groups(s.m, &nr);
	assert_int_equal(nr, 3);
	assert_non_null(group_named(&s, "a.py"));
	assert_non_null(group_named(&s, "b.py"));
	story_end(&s);
}

static uint32_t rows(enum model_group_by by)
{
	struct model_options opts = model_default_options;
	struct story s;
	uint32_t nr;

	opts.by = by;
	story_begin(&s, &opts);
	for (uint32_t i = 0; i < 6; i++) {
		const char *argv[] = {"python3", i % 2 ? "a.py" : "b.py", NULL};

		story_process(&s, 300 + i, 50 + i / 3, "/usr/bin/python3", argv);
		one_by_one(&s, 300 + i, PORT, 1, MS, MS, CHURN_END_LOCAL, 0);
	}
	group_at(&s, 0);
	model__groups(s.m, &nr);
	story_end(&s);
	return nr;
}

static void test_rows_by_other_things(void **state)
{
	(void)state;
	assert_int_equal(rows(MODEL_BY_PROGRAM), 4);
	assert_int_equal(rows(MODEL_BY_PID), 6);
	assert_int_equal(rows(MODEL_BY_EXE), 1);
	assert_int_equal(rows(MODEL_BY_COMM), 1);
	assert_int_equal(rows(MODEL_BY_CONTAINER), 1);
}

/* --- call sites ------------------------------------------------------------------------------- */

static void test_callsites(void **state)
{
	const struct flow *f;
	struct story s;

	(void)state;
	story_begin(&s, NULL);
	story_process(&s, 100, 1, "/usr/bin/poller", NULL);
	story_stack(&s, 1, "check_health", 42);
	story_stack(&s, 2, "check_health", 42); /* the same place, in another process */
	one_by_one(&s, 100, PORT, 3, MS, MS, CHURN_END_LOCAL, 1);
	assert_non_null(s.a.stack);
	assert_true(s.a.callsite_id != 0);
	one_by_one(&s, 100, PORT, 5, MS, MS, CHURN_END_LOCAL, 2);
	one_by_one(&s, 100, PORT, 6, MS, MS, CHURN_END_LOCAL, 3); /* resolved later */
	assert_null(s.a.stack);
	assert_int_equal(s.a.frame, -1);
	one_by_one(&s, 100, PORT, 4, MS, MS, CHURN_END_LOCAL, 4); /* never delivered */
	one_by_one(&s, 100, PORT, 1, MS, MS, CHURN_END_LOCAL, 0);
	f = flow_of(&s, "poller");
	assert_int_equal(f->nr_callsites, 2);
	assert_int_equal(f->callsites[0].id, 0);
	assert_int_equal(f->callsites[0].opens, 11);
	assert_null(f->callsites[0].stack);
	assert_int_equal(model__totals(s.m)->unattributed_callsite, 11);

	story_stack(&s, 3, "check_health", 42);
	failed(&s, dial(&s, 100, PORT), ECONNREFUSED, CHURN_CAUSE_REFUSED);
	f = flow_of(&s, "poller");
	assert_int_equal(f->nr_callsites, 2);
	assert_int_equal(f->callsites[0].opens, 14);
	assert_int_equal(f->callsites[0].avoidable, 13);
	assert_int_equal(f->callsites[0].short_lived, 14);
	assert_int_equal(f->callsites[0].nr_paths, 1);
	assert_int_equal(f->callsites[0].paths->nr, 14);
	assert_int_equal(f->callsites[0].stack->id, 1);
	assert_int_equal(f->callsites[0].frame, 0);
	assert_int_equal(f->callsites[1].failures, 1);
	assert_int_equal(model__totals(s.m)->unattributed_callsite, 6);
	story_end(&s);
}

/* A place without any function name is a call site, but not an attributed one. */
static void test_callsite_without_names(void **state)
{
	struct churn_conn live;
	const struct flow *f;
	struct story s;

	(void)state;
	story_begin(&s, NULL);
	story_process(&s, 100, 1, "/usr/bin/poller", NULL);
	live = dial(&s, 100, PORT);
	live.stack = 9;
	opened(&s, &live); /* opened before its stack is known, closed after */
	story_stack(&s, 9, NULL, 0);
	f = flow_of(&s, "poller");
	assert_int_equal(f->nr_callsites, 1);
	assert_true(f->callsites[0].id != 0);
	assert_int_equal(model__totals(s.m)->unattributed_callsite, 1);
	s.now += MS;
	closed(&s, &live, CHURN_END_LOCAL);
	f = flow_of(&s, "poller");
	assert_int_equal(f->callsites[0].short_lived, 1);
	story_end(&s);
}

/* --- bounds ----------------------------------------------------------------------------------- */

static void test_bounds(void **state)
{
	struct model_options opts = model_default_options;
	uint64_t lost[CHURN_LOST__COUNT] = {[CHURN_LOST_RING_OPEN] = 3};
	const struct group *const *groups;
	uint64_t opens = 0;
	struct story s;
	uint32_t nr;

	(void)state;
	opts.max_conns = 10;
	opts.max_groups = 5;
	opts.by = MODEL_BY_PID;
	story_begin(&s, &opts);
	for (uint32_t i = 0; i < 20; i++) {
		struct churn_conn c = dial(&s, 100 + i, PORT);

		opened(&s, &c);
	}
	model__set_lost(s.m, lost, 7);
	assert_int_equal(model__totals(s.m)->lost_user, 17);
	assert_int_equal(model__totals(s.m)->lost[CHURN_LOST_RING_OPEN], 3);
	group_at(&s, 0);
	groups = model__groups(s.m, &nr);
	assert_int_equal(nr, 6);
	for (uint32_t i = 0; i < nr; i++)
		opens += groups[i]->opens;
	assert_int_equal(opens, 20);
	assert_string_equal(groups[0]->program, "~other");
	assert_int_equal(groups[0]->opens, 15);
	assert_int_equal(groups[0]->nr_processes, 15);
	story_end(&s);
}

/* More destinations, stacks and processes than are kept; the sums stay exact. */
static void test_many_of_everything(void **state)
{
	uint64_t opens = 0, callsites = 0;
	const struct group *g;
	struct story s;

	(void)state;
	story_begin(&s, NULL);
	for (uint32_t i = 1; i <= 70000; i++) {
		struct churn_conn c = dial(&s, i, (uint16_t)i);

		memcpy(c.peer_addr + 12, &i, sizeof(i));
		c.stack = i;
		if (i % 2)
			story_stack(&s, i, "main", i % 1000);
		opened(&s, &c);
		s.now += 10 * US;
		closed(&s, &c, CHURN_END_LOCAL);
		s.now += MS;
	}
	g = group_named(&s, "dialer");
	assert_non_null(g);
	assert_int_equal(g->opens, 70000);
	assert_true(g->nr_flows <= 32769);
	for (uint32_t i = 0; i < g->nr_flows; i++) {
		opens += g->flows[i]->opens;
		for (uint32_t k = 0; k < g->flows[i]->nr_callsites; k++)
			callsites += g->flows[i]->callsites[k].opens;
	}
	assert_int_equal(opens, 70000);
	assert_int_equal(callsites, 70000);
	assert_int_equal(g->flows[0]->dest.family, 0);
	assert_int_equal(model__totals(s.m)->lost_user, 0);
	story_end(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows_by_program),
		cmocka_unit_test(test_rows_by_other_things),
		cmocka_unit_test(test_callsites),
		cmocka_unit_test(test_callsite_without_names),
		cmocka_unit_test(test_bounds),
		cmocka_unit_test(test_many_of_everything),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
