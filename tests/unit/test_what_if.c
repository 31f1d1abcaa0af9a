/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Pools under other settings. */
#include "tests/unit/world.h"

#include "user/model/what_if.h"

static void test_what_if_parses(void **state)
{
	static const char *const bad[] = {
		"",
		"x",
		"range",
		"range=",
		"range=9-5",
		"range=0-5",
		"range=1-65536",
		"tw_reuse=3",
		"pool=0",
		"pool=65536",
		"pool=1,",
		",pool=1",
		"idle=1x",
		"destinations=0",
		"sources=1001",
		"tw_recycle=1",
		"pool=1 ",
	};
	struct what_if w = what_if_nothing;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_not_equal(what_if__parse(&w, bad[i]), 0);
		assert_false(w.given);
	}
	assert_int_equal(what_if__parse(&w, "range=1024-65535,tw_reuse=1"), 0);
	assert_int_equal(what_if__parse(&w, "pool=10,idle=5m,destinations=3,sources=2"), 0);
	assert_true(w.given);
	assert_int_equal(w.low, 1024);
	assert_int_equal(w.high, 65535);
	assert_int_equal(w.tw_reuse, 1);
	assert_int_equal(w.connections, 10);
	assert_true(w.idle_ns == 300000000000ULL);
	assert_int_equal(w.destinations, 3);
	assert_int_equal(w.sources, 2);
}

/* 100 ports, 20 in TIME_WAIT, 4 open, at that rate; the outcome of that name. */
static struct what_if_outcome outcome_of(const char *changes, double rate, const char *name,
					 uint32_t max_time_wait)
{
	struct what_if_outcome o = {.capacity = UINT32_MAX};
	struct what_if what = what_if_nothing;
	struct what_ifs ifs;
	struct world w;

	world_begin(&w, 40000, 40099);
	w.rules.tw_reuse = 0;
	w.rules.max_time_wait = max_time_wait;
	for (uint16_t i = 0; i < 20; i++)
		world_add(&w, 40000 + i, SOCKET_TIME_WAIT);
	for (uint16_t i = 20; i < 24; i++)
		world_add(&w, 40000 + i, SOCKET_ESTABLISHED);
	world_make(&w);
	port_pool__set_rates(&w.pools.at[0], rate, (struct port_load){.parked = rate});
	assert_int_equal(what_if__parse(&what, changes), 0);
	assert_int_equal(what_ifs__make(&ifs, &what, &w.pools, &w.sockets, &w.rules, 1), 0);
	for (uint32_t i = 0; i < ifs.nr; i++) {
		if (strcmp(ifs.of_pool[0][i].what, name) == 0)
			o = ifs.of_pool[0][i];
	}
	what_ifs__clear(&ifs);
	world_end(&w);
	assert_int_not_equal(o.capacity, UINT32_MAX);
	return o;
}

static struct what_if_outcome outcome(const char *changes, double rate, const char *name)
{
	return outcome_of(changes, rate, name, TIME_WAIT_NO_LIMIT);
}

/* Of what is opened no more than that can be in TIME_WAIT, whatever else is changed. */
static void test_what_if_with_a_limit(void **state)
{
	struct what_if_outcome o = outcome_of("tw_reuse=1", 2, "now", 70);

	(void)state;
	assert_true(o.time_wait_peak == 70 && o.seconds_left < 0);
	o = outcome_of("tw_reuse=1", 2, "now", 97);
	assert_true(o.time_wait_peak == 97 && o.seconds_left > 0); /* 4 are open */
	o = outcome_of("tw_reuse=1", 2, "now", 200);
	assert_true(o.time_wait_peak == 100);
	o = outcome_of("destinations=1", 2, "destinations=1", 70);
	assert_true(o.time_wait_peak == 70);
}

static void test_what_if_now(void **state)
{
	struct what_if_outcome o = outcome("tw_reuse=1", 2, "now");

	(void)state;
	assert_int_equal(o.capacity, 100);
	assert_true(o.opens_per_second == 2);
	assert_true(o.time_wait_peak == 100); /* 120, were there ports */
	assert_true(o.seconds_left > 0 && o.seconds_left < 60);
	o = outcome("tw_reuse=1", 1, "now");
	assert_true(o.time_wait_peak == 60);
	assert_true(o.seconds_left < 0);
	o = outcome("tw_reuse=1", -1, "now");
	assert_true(o.opens_per_second < 0 && o.time_wait_peak < 0 && o.seconds_left < 0);
}

static void test_what_if_settings(void **state)
{
	struct what_if_outcome o = outcome("tw_reuse=1", 2, "tw_reuse=1");

	(void)state;
	assert_true(o.seconds_left < 0);
	assert_true(o.sustainable == 100);
	o = outcome("range=40000-40199", 2, "range=40000-40199");
	assert_int_equal(o.capacity, 200);
	assert_true(o.seconds_left < 0 && o.time_wait_peak == 120);
	o = outcome("range=50000-50002", 2, "range=50000-50002"); /* none of the old ports */
	assert_int_equal(o.capacity, 2);
	assert_true(o.seconds_left == 1);
	o = outcome("range=40000-40001", 2, "range=40000-40001"); /* both are in TIME_WAIT */
	assert_true(o.seconds_left == 0);
	o = outcome("destinations=1", 2, "destinations=1");
	assert_int_equal(o.capacity, 200);
	assert_true(o.seconds_left < 0);
	o = outcome("destinations=1,sources=2", 2, "all of these");
	assert_int_equal(o.capacity, 600);
	/* 1,001 times 1,001 pairs of addresses: more than 32 bits hold */
	o = outcome("range=1024-65535,destinations=1000,sources=1000", 2, "all of these");
	assert_true(o.capacity == 64512ULL * 1001 * 1001);
}

static void test_what_if_pool(void **state)
{
	struct what_if_outcome o = outcome("pool=4", 2, "pool=4,idle=30s");

	(void)state;
	assert_true(o.opens_per_second == 0 && o.seconds_left < 0);
	o = outcome("pool=3", 2, "pool=3,idle=30s"); /* one of four finds no connection */
	assert_true(o.opens_per_second == 0.5);
	o = outcome("pool=4,idle=400ms", 2, "pool=4,idle=0.4s"); /* dropped before it is asked */
	assert_true(o.opens_per_second == 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_if_parses),
		cmocka_unit_test(test_what_if_now),
		cmocka_unit_test(test_what_if_with_a_limit),
		cmocka_unit_test(test_what_if_settings),
		cmocka_unit_test(test_what_if_pool),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
