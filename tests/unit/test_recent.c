/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What was asked for last is at hand: it never stands for something else, nor outlives it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "user/model/groups.h"
#include "user/model/pools.h"
#include "user/model/processes.h"
#include "user/model/sites.h"

/* --- processes -------------------------------------------------------------------------------- */

/* As conn_follow() and model_conn__drop() do. */
static struct process *connect_once(struct process_table *t, const struct churn_id *id)
{
	struct process *p = process_table__get(t, id, "comm");

	assert_non_null(p);
	assert_memory_equal(&p->identity.id, id, sizeof(*id));
	process__hold(t, p);
	assert_ptr_equal(process_table__find(t, id), p);
	process__release(t, p);
	return p;
}

/* The same number again, another program in the same process, and numbers that share a place. */
static void test_processes_are_told_apart(void **state)
{
	static const struct churn_id ids[] = {
		{.tgid = 100, .start_ns = 1},
		{.tgid = 100, .start_ns = 2},
		{.tgid = 100, .start_ns = 2, .exec_id = 1},
		{.tgid = 100 + PROCESSES_RECENT, .start_ns = 1},
		{.tgid = 100 + 2 * PROCESSES_RECENT, .start_ns = 1},
	};
	struct process *known[sizeof(ids) / sizeof(ids[0])];
	struct process_table t = {.max = 100};

	(void)state;
	for (int round = 0; round < 3; round++)
		for (size_t i = 0; i < sizeof(ids) / sizeof(ids[0]); i++) {
			struct process *p = connect_once(&t, &ids[i]);

			if (!round)
				known[i] = p;
			assert_ptr_equal(p, known[i]);
			for (size_t k = 0; k < i; k++)
				assert_ptr_not_equal(p, known[k]);
		}
	process_table__clear(&t);
	assert_null(process_table__find(&t, &ids[4]));
}

static void test_a_process_that_is_gone_is_not_found(void **state)
{
	struct churn_id a = {.tgid = 7, .start_ns = 1}, b = {.tgid = 8, .start_ns = 1};
	struct process_table t = {.max = 2};
	struct process *victim;

	(void)state;
	connect_once(&t, &a);
	connect_once(&t, &b);
	victim = process_table__victim(&t);
	assert_memory_equal(&victim->identity.id, &a, sizeof(a));
	process_table__remove(&t, victim);
	assert_null(process_table__find(&t, &a));
	assert_non_null(process_table__find(&t, &b));
	connect_once(&t, &a);
	process_table__clear(&t);
}

/* --- pools ------------------------------------------------------------------------------------ */

static struct destination destination(uint16_t port)
{
	struct destination d;

	memset(&d, 0, sizeof(d));
	d.family = 4;
	d.port = port;
	return d;
}

static void test_pools(void **state)
{
	struct destination a = destination(80), b = destination(81), c = destination(82);
	struct pool_table t = {.max = 3};
	struct process p = {0}, q = {0};
	struct pool *pa, *pb, *qa;

	(void)state;
	pa = pool_table__get(&t, &p, &a);
	pb = pool_table__get(&t, &p, &b);
	qa = pool_table__get(&t, &q, &a);
	assert_true(pa && pb && qa && pa != pb && pa != qa);
	for (int round = 0; round < 3; round++) {
		assert_ptr_equal(pool_table__get(&t, &p, &a), pa);
		assert_ptr_equal(pool_table__get(&t, &p, &a), pa);
		assert_ptr_equal(pool_table__get(&t, &q, &a), qa);
		assert_ptr_equal(pool_table__get(&t, &p, &b), pb);
	}
	/* The idle one that goes is the oldest, not the one that was asked for last. */
	assert_non_null(pool_table__get(&t, &q, &c));
	assert_int_equal(HASH_COUNT(t.by_key), 3);
	assert_ptr_equal(p.pools, pb);
	assert_null(pb->next);
	pool_table__forget(&t, &p);
	assert_null(p.pools);
	pool_table__clear(&t);
}

/* --- services --------------------------------------------------------------------------------- */

static void test_services(void **state)
{
	struct group_table t = {.max = 2, .max_services = 4};
	struct group_state *g = group_table__get(&t, NULL, "a"),
			   *h = group_table__get(&t, NULL, "b");
	struct service_state *s = group_table__service(&t, g, 1, 80);

	(void)state;
	for (int round = 0; round < 3; round++) {
		assert_ptr_equal(group_table__service(&t, g, 1, 80), s);
		assert_int_equal(group_table__service(&t, g, 2, 80)->pub.netns, 2);
		assert_int_equal(group_table__service(&t, g, 1, 81)->pub.port, 81);
		assert_ptr_equal(group_table__service(&t, h, 1, 80)->pub.group, &h->pub);
	}
	assert_int_equal(HASH_COUNT(t.services), 4);
	assert_int_equal(group_table__service(&t, g, 1, 82)->pub.port, 0); /* one too many */
	assert_ptr_equal(group_table__service(&t, g, 1, 80), s);
	group_table__clear(&t);
}

/* --- sites ------------------------------------------------------------------------------------ */

struct sites {
	struct stack_table stacks;
	struct site_table table;
	struct site_list list, other;
};

static void sites_begin(struct sites *s, uint32_t max_stacks)
{
	*s = (struct sites){.stacks = {.max = max_stacks}, .table = {.max = 100}};
	s->table.stacks = &s->stacks;
}

static void sites_end(struct sites *s)
{
	site_list__clear(&s->list);
	site_list__clear(&s->other);
	site_table__clear(&s->table);
	stack_table__clear(&s->stacks);
}

static void stack(struct sites *s, uint64_t id, const char *function)
{
	struct frame frame = {.function = (char *)function, .file = (char *)"a.c", .line = 1};

	assert_int_equal(
		stack_table__add(&s->stacks,
				 &(struct stack_trace){.id = id, .nr = 1, .frames = &frame}),
		0);
}

static struct site *get(struct sites *s, struct site_list *list, uint64_t id)
{
	struct site *site = site_table__get(&s->table, list, id);

	assert_non_null(site);
	site__release(site);
	return site;
}

static void test_sites(void **state)
{
	struct site *one, *two, *elsewhere;
	struct sites s;

	(void)state;
	sites_begin(&s, 10);
	stack(&s, 1, "f");
	stack(&s, 2, "g");
	one = get(&s, &s.list, 1);
	two = get(&s, &s.list, 2);
	elsewhere = get(&s, &s.other, 1);
	assert_true(one != two && one != elsewhere);
	for (int round = 0; round < 3; round++) {
		assert_ptr_equal(get(&s, &s.list, 1), one);
		assert_ptr_equal(get(&s, &s.list, 1), one);
		assert_ptr_equal(get(&s, &s.other, 1), elsewhere);
		assert_ptr_equal(get(&s, &s.list, 2), two);
	}
	assert_int_equal(one->paths.at[0].nr, 7);
	assert_int_equal(two->paths.at[0].nr, 4);
	/* No stack, and one that comes after its open: the last one is not asked. */
	assert_int_equal(get(&s, &s.list, 0)->key.kind, SITE_PENDING);
	assert_int_equal(get(&s, &s.list, 3)->key.kind, SITE_PENDING);
	stack(&s, 3, "f");
	assert_ptr_equal(get(&s, &s.list, 3), one);
	sites_end(&s);
}

/* Both stacks show the same path, so that nothing holds the second: it goes when there are too
 * many, and with it what was remembered of it. */
static void test_a_stack_that_is_gone(void **state)
{
	struct site *one;
	struct sites s;

	(void)state;
	sites_begin(&s, 2);
	stack(&s, 1, "f");
	stack(&s, 2, "f");
	one = get(&s, &s.list, 1);
	assert_ptr_equal(get(&s, &s.list, 2), one);
	assert_int_equal(s.list.last_stack->trace.id, 2);
	stack(&s, 3, "g");
	assert_null(stack_table__find(&s.stacks, 2));
	assert_int_equal(get(&s, &s.list, 2)->key.kind, SITE_PENDING);
	assert_ptr_equal(get(&s, &s.list, 1), one);
	sites_end(&s);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_processes_are_told_apart),
		cmocka_unit_test(test_a_process_that_is_gone_is_not_found),
		cmocka_unit_test(test_pools),
		cmocka_unit_test(test_services),
		cmocka_unit_test(test_sites),
		cmocka_unit_test(test_a_stack_that_is_gone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
