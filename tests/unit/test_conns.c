/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The table of connections: whatever its size, each is found, and the newest one first. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "user/model/pairs.h"

#define MANY 100000

/* A client of 10.0.0.1 from its i-th port, on a kernel without cookies. */
static struct churn_conn record(uint32_t i, uint32_t netns)
{
	struct churn_conn c = {.netns = netns,
			       .local_port = (uint16_t)i,
			       .peer_port = (uint16_t)(80 + (i >> 16)),
			       .role = CHURN_CLIENT};

	memcpy(c.local_addr + 10, "\xff\xff\x0a\0\0\1", 6);
	memcpy(c.peer_addr + 10, "\xff\xff\x0a\0\0\2", 6);
	return c;
}

static struct conn *add(struct conn_table *t, const struct churn_conn *c)
{
	struct pair_key pair;
	struct conn *conn;

	assert_null(conn_table__find(t, c));
	pair_key_of(&pair, c);
	conn = conn_table__add(t, c, &pair);
	assert_non_null(conn);
	return conn;
}

static void test_found_in_any_size(void **state)
{
	struct conn_table t = {0};
	struct churn_conn c;

	(void)state;
	for (uint32_t i = 0; i < MANY; i++) {
		c = record(i, 1);
		c.id = i % 2 ? i : 0;
		add(&t, &c);
	}
	assert_int_equal(conn_table__nr_live(&t), MANY);
	for (uint32_t i = 0; i < MANY; i += 3) { /* live, and ended */
		c = record(i, 1);
		c.id = i % 2 ? i : 0;
		if (i % 4)
			conn_table__end(&t, conn_table__find(&t, &c), 1);
		else
			conn_table__remove(&t, conn_table__find(&t, &c));
	}
	for (uint32_t i = 0; i < MANY; i++) {
		struct pair_key pair;

		c = record(i, 1);
		c.id = i % 2 ? i : 0;
		assert_int_equal(!conn_table__find(&t, &c), i % 3 == 0);
		pair_key_of(&pair, &c);
		assert_int_equal(!pairs__find(&t, &pair), i % 12 == 0);
	}
	conn_table__clear(&t);
	assert_null(t.by[CONN_BY_KEY].at);
}

/* What a lookup costs on average, in steps. */
static uint64_t steps(const struct conn_chains *chains, enum conn_by by)
{
	uint64_t sum = 0;

	for (uint32_t i = 0; i < chains->cap; i++) {
		uint64_t length = 0;

		for (const struct conn *c = chains->at[i]; c; c = c->chain[by])
			sum += ++length;
	}
	return sum / chains->nr;
}

/* Cookies in a row, and none at all with the same time (a recording may lack it). */
static void test_short_chains(void **state)
{
	for (int cookies = 0; cookies < 2; cookies++) {
		struct conn_table t = {0};

		(void)state;
		for (uint32_t i = 0; i < MANY; i++) {
			struct churn_conn c = record(i, 1);

			c.id = cookies * (4711 + i);
			add(&t, &c);
		}
		for (enum conn_by by = 0; by < CONN_BY__COUNT; by++)
			assert_in_range(steps(&t.by[by], by), 1, 2);
		conn_table__clear(&t);
	}
}

static void test_newest_first(void **state)
{
	struct conn_table t = {0};
	struct conn *old, *new;

	(void)state;
	old = add(&t, &(struct churn_conn){.id = 1, .netns = 1, .role = CHURN_SERVER});
	new = add(&t, &(struct churn_conn){.id = 2, .netns = 2, .role = CHURN_SERVER});
	for (uint32_t i = 0, cap = 0; i < MANY; i++) {
		struct churn_conn c = record(i, 3);

		c.id = 3 + i;
		add(&t, &c);
		if (t.by[CONN_BY_PAIR].cap == cap)
			continue;
		cap = t.by[CONN_BY_PAIR].cap;
		assert_ptr_equal(pairs__find(&t, &old->pair), new);
		assert_ptr_equal(pairs__next(new), old);
		assert_null(pairs__next(old));
	}
	conn_table__clear(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_found_in_any_size),
		cmocka_unit_test(test_short_chains),
		cmocka_unit_test(test_newest_first),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
