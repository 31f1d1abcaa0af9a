/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* One call site that is reached in several ways: each is counted for itself. */
#include <errno.h>

#include "tests/unit/story.h"
#include "user/model/paths.h"
#include "user/view/report.h"

#define PORT 8888
#define WAYS 60 /* more than are kept */

static void begin(struct story *s)
{
	story_begin(s, NULL);
	story_process(s, 100, 1, "/usr/bin/poller", NULL);
}

/* A stack `caller`, third(), dial(), at addresses that nobody else has. */
static void way(struct story *s, uint64_t id, const char *caller)
{
	char name[32], third[] = "third", dial[] = "dial", file[] = "/srv/poller.c",
		       module[] = "/srv/poller";
	struct frame f[] = {
		{.function = dial, .file = file, .module = module, .line = 10, .pc = id << 12},
		{.function = third, .file = file, .module = module, .line = 20},
		{.function = name, .file = file, .module = module, .line = 30},
	};
	struct stack_trace t = {.id = id, .nr = 3, .language = "native", .frames = f};

	snprintf(name, sizeof(name), "%s", caller);
	assert_int_equal(model__stack(s->m, &t), 0);
}

static void come(struct story *s, uint64_t stack, int n)
{
	one_by_one(s, 100, PORT, n, MS, MS, CHURN_END_LOCAL, stack);
}

static const char *caller_of(const struct callsite_path *p)
{
	return p->stack->frames[p->stack->nr - 1].function;
}

static const struct callsite *only_site(struct story *s)
{
	const struct flow *f = flow_of(s, "poller");

	assert_int_equal(f->nr_callsites, 1);
	return f->callsites;
}

static char *print(struct story *s, enum view_format format)
{
	const struct report_options opts = {.stacks = true, .duration_ns = S};
	const struct findings none = {0};
	char *text;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	assert_non_null(out);
	assert_int_equal(model__seal(s->m), 0);
	assert_int_equal(report__print(out, format, s->m, &none, &opts), 0);
	fclose(out);
	return text;
}

static void test_three(void **state)
{
	const struct callsite *c;
	struct churn_conn refused;
	struct story s;

	(void)state;
	begin(&s);
	way(&s, 1, "left");
	way(&s, 2, "right");
	for (int i = 0; i < 60; i++) {
		come(&s, 1, 1);
		come(&s, 2, 2);
	}
	come(&s, 3, 7); /* known later */
	refused = dial(&s, 100, PORT);
	refused.stack = 3;
	failed(&s, refused, ECONNREFUSED, CHURN_CAUSE_REFUSED);
	way(&s, 3, "late");
	c = only_site(&s);
	assert_int_equal(c->opens + c->failures, 188);
	assert_int_equal(c->nr_paths, 3);
	assert_int_equal(c->by_other_paths, 0);
	assert_string_equal(caller_of(&c->paths[0]), "right");
	assert_int_equal(c->paths[0].nr, 120);
	assert_string_equal(caller_of(&c->paths[1]), "left");
	assert_int_equal(c->paths[1].nr, 60);
	assert_string_equal(caller_of(&c->paths[2]), "late");
	assert_int_equal(c->paths[2].nr, 8);
	assert_ptr_equal(c->stack, c->paths[0].stack);
	story_end(&s);
}

/* Processes of one program have the same stacks, at other addresses: one path. */
static void test_same_path_elsewhere(void **state)
{
	const struct callsite *c;
	struct story s;

	(void)state;
	begin(&s);
	for (uint64_t id = 1; id <= WAYS; id++) {
		way(&s, id, "left");
		come(&s, id, 1);
	}
	c = only_site(&s);
	assert_int_equal(c->nr_paths, 1);
	assert_int_equal(c->paths[0].nr, WAYS);
	assert_int_equal(c->by_other_paths, 0);
	story_end(&s);
}

static void make_ways(struct story *s, int nr)
{
	for (int i = 1; i <= nr; i++) {
		char name[32];

		snprintf(name, sizeof(name), "way_%d", i);
		way(s, (uint64_t)i, name);
	}
}

static void test_as_many_as_are_kept(void **state)
{
	const struct callsite *c;
	struct story s;

	(void)state;
	begin(&s);
	make_ways(&s, PATHS_MAX);
	for (int round = 0; round < 10; round++)
		for (int i = 1; i <= PATHS_MAX; i++)
			come(&s, (uint64_t)i, i);
	c = only_site(&s);
	assert_int_equal(c->nr_paths, PATHS_MAX);
	assert_int_equal(c->by_other_paths, 0);
	for (int i = 0; i < PATHS_MAX; i++)
		assert_int_equal(c->paths[i].nr, (PATHS_MAX - i) * 10);
	story_end(&s);
}

/* Beyond that no count is above the truth, and what is missing from them is in the remainder. */
static void check_bounds(const struct callsite *c, const uint64_t *truth)
{
	uint64_t sum = c->by_other_paths;

	assert_int_equal(c->nr_paths, PATHS_MAX);
	for (uint32_t i = 0; i < c->nr_paths; i++) {
		assert_true(c->paths[i].nr <= truth[c->paths[i].stack->id]);
		assert_true(!i || c->paths[i].nr <= c->paths[i - 1].nr);
		sum += c->paths[i].nr;
	}
	assert_int_equal(sum, c->opens + c->failures);
	assert_true(c->by_other_paths > 0);
}

static void test_more_than_are_kept(void **state)
{
	uint64_t truth[WAYS + 1] = {0};
	const struct callsite *c;
	uint32_t random = 1;
	struct story s;

	(void)state;
	begin(&s);
	make_ways(&s, WAYS);
	for (int i = 0; i < 5000; i++) {
		uint64_t id;

		random = random * 1664525 + 1013904223;
		id = 1 + (random >> 8) % WAYS;
		if (i > 1000 && i % 3 == 0)
			id = WAYS; /* the most frequent one, which was not there in the beginning */
		else if (id == WAYS)
			id = 1;
		truth[id]++;
		come(&s, id, 1);
	}
	c = only_site(&s);
	assert_int_equal(c->opens, 5000);
	check_bounds(c, truth);
	assert_int_equal(c->paths[0].stack->id, WAYS);
	assert_true(c->paths[0].nr > truth[WAYS] * 9 / 10);
	story_end(&s);
}

/* Round and round: the scheme's worst case, where each newcomer is thrown out before it returns. */
static void test_none_is_frequent(void **state)
{
	uint64_t truth[WAYS + 1] = {0};
	struct story s;

	(void)state;
	begin(&s);
	make_ways(&s, WAYS);
	for (int i = 0; i < 50 * WAYS; i++) {
		truth[1 + i % WAYS]++;
		come(&s, 1 + (uint64_t)(i % WAYS), 1);
	}
	check_bounds(only_site(&s), truth);
	story_end(&s);
}

/* Each destination has its own counts. */
static void test_destinations(void **state)
{
	const struct group *g;
	struct story s;

	(void)state;
	begin(&s);
	way(&s, 1, "left");
	way(&s, 2, "right");
	come(&s, 1, 3);
	one_by_one(&s, 100, PORT + 1, 1, MS, MS, CHURN_END_LOCAL, 1);
	one_by_one(&s, 100, PORT + 1, 4, MS, MS, CHURN_END_LOCAL, 2);
	g = group_named(&s, "poller");
	assert_int_equal(g->nr_flows, 2);
	assert_int_equal(g->flows[0]->callsites->nr_paths, 2);
	assert_int_equal(g->flows[0]->callsites->paths[0].nr, 4);
	assert_int_equal(g->flows[0]->callsites->paths[1].nr, 1);
	assert_int_equal(g->flows[1]->callsites->nr_paths, 1);
	assert_int_equal(g->flows[1]->callsites->paths[0].nr, 3);
	story_end(&s);
}

/* A call site whose frame has no function: named by some callers, by others not. */
static void test_unnamed_beside_named(void **state)
{
	char module[] = "/srv/poller", main[] = "main";
	struct frame f[] = {{.module = module, .offset = 0x10}, {.module = module, .offset = 0x20}};
	struct stack_trace t = {.id = 1, .nr = 2, .language = "native", .frames = f};
	const struct callsite *c;
	struct story s;

	(void)state;
	begin(&s);
	assert_int_equal(model__stack(s.m, &t), 0);
	t.id = 2;
	f[1].function = main;
	assert_int_equal(model__stack(s.m, &t), 0);
	come(&s, 1, 5);
	come(&s, 2, 6);
	come(&s, 3, 2);
	t.id = 3; /* known later: like the first */
	f[1].function = NULL;
	assert_int_equal(model__stack(s.m, &t), 0);
	c = only_site(&s);
	assert_int_equal(c->opens, 13);
	assert_int_equal(c->nr_paths, 2);
	assert_int_equal(c->paths[0].nr, 7);
	assert_int_equal(c->paths[1].nr, 6);
	assert_int_equal(model__totals(s.m)->unattributed_callsite, 7);
	story_end(&s);
}

static void test_folded(void **state)
{
	struct story s;
	char *text;

	(void)state;
	begin(&s);
	way(&s, 1, "left");
	way(&s, 2, "right");
	come(&s, 1, 60);
	come(&s, 2, 120);
	come(&s, 3, 4); /* never delivered */
	text = print(&s, VIEW_FOLDED);
	assert_string_equal(text, "poller;right;third;dial 120\n"
				  "poller;left;third;dial 60\n"
				  "poller;[unknown] 4\n");
	free(text);
	story_end(&s);
}

/* The sum of the lines is the number of opens and failures. */
static void test_folded_others(void **state)
{
	struct story s;
	uint64_t sum = 0;
	char *text, *line, *save;

	(void)state;
	begin(&s);
	make_ways(&s, WAYS);
	for (int i = 1; i <= WAYS; i++)
		come(&s, (uint64_t)i, i);
	text = print(&s, VIEW_FOLDED);
	assert_non_null(strstr(text, "\npoller;[other stacks];dial "));
	for (line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
		sum += strtoull(strrchr(line, ' '), NULL, 10);
	assert_int_equal(sum, WAYS * (WAYS + 1) / 2);
	free(text);
	story_end(&s);
}

static void test_share(void **state)
{
	struct story s;
	char *text;

	(void)state;
	begin(&s);
	make_ways(&s, WAYS);
	come(&s, 1, 60);
	text = print(&s, VIEW_TABLE);
	assert_non_null(strstr(text, "way_1 (/srv/poller.c:30)"));
	assert_null(strstr(text, "by this path")); /* all are */
	free(text);
	come(&s, 2, 120);
	text = print(&s, VIEW_TABLE);
	assert_non_null(strstr(text, "        120 of 180 by this path\n        dial ("));
	assert_non_null(strstr(text, "way_2 ("));
	assert_null(strstr(text, "way_1 ("));
	free(text);
	for (int i = 3; i <= WAYS; i++)
		come(&s, (uint64_t)i, 1);
	text = print(&s, VIEW_TABLE);
	assert_non_null(strstr(text, "        at least 120 of 238 by this path\n"));
	free(text);
	story_end(&s);
}

/* A row over two destinations: the share is the row's. */
static void test_share_of_a_row(void **state)
{
	const struct report_options opts = {
		.stacks = true, .duration_ns = S, .by = REPORT_BY_CALLSITE};
	const struct findings none = {0};
	struct story s;
	size_t size;
	char *text;
	FILE *out = open_memstream(&text, &size);

	(void)state;
	begin(&s);
	make_ways(&s, 2);
	come(&s, 1, 30);
	come(&s, 2, 10);
	one_by_one(&s, 100, PORT + 1, 7, MS, MS, CHURN_END_LOCAL, 1);
	assert_int_equal(model__seal(s.m), 0);
	assert_int_equal(report__print(out, VIEW_TABLE, s.m, &none, &opts), 0);
	fclose(out);
	assert_non_null(strstr(text, "        37 of 47 by this path\n"));
	free(text);
	story_end(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_three),
		cmocka_unit_test(test_same_path_elsewhere),
		cmocka_unit_test(test_as_many_as_are_kept),
		cmocka_unit_test(test_more_than_are_kept),
		cmocka_unit_test(test_none_is_frequent),
		cmocka_unit_test(test_destinations),
		cmocka_unit_test(test_unnamed_beside_named),
		cmocka_unit_test(test_folded),
		cmocka_unit_test(test_folded_others),
		cmocka_unit_test(test_share),
		cmocka_unit_test(test_share_of_a_row),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
