/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Port pools: what is taken and by whom, how fast, and how long the rest will last. */
#include "tests/unit/world.h"

#include "user/model/port_holders.h"

/* --- pools ------------------------------------------------------------------------------------ */

static void test_states(void **state)
{
	const struct port_pool *p;
	struct world w;

	(void)state;
	world_begin(&w, 40000, 40009);
	world_add(&w, 40000, SOCKET_ESTABLISHED);
	world_add(&w, 40001, SOCKET_SYN_SENT);
	world_add(&w, 40002, SOCKET_TIME_WAIT);
	world_add(&w, 40003, SOCKET_CLOSE_WAIT);
	world_add(&w, 39999, SOCKET_ESTABLISHED); /* not in the range */
	p = world_only(&w);
	assert_int_equal(p->capacity, 10);
	assert_int_equal(p->free, 6);
	assert_int_equal(p->nr[PORT_ESTABLISHED], 1);
	assert_int_equal(p->nr[PORT_TIME_WAIT], 1);
	assert_int_equal(p->nr[PORT_OTHER], 2);
	assert_int_equal(port_pool__used(p), 4);
	assert_int_equal(p->cliff, 5);
	assert_int_equal(p->fast_free, 3);
	assert_false(p->estimated);
	world_end(&w);
}

static void test_binds(void **state)
{
	const struct port_pool *p;
	struct tcp_socket *s;
	struct world w;

	(void)state;
	world_begin(&w, 40000, 40009);
	world_add(&w, 40000, SOCKET_ESTABLISHED);
	s = world_add(&w, 40005, SOCKET_LISTEN);
	s->peer_port = 0;
	s->port_bound = SOCKET_YES;
	world_add(&w, 40005, SOCKET_ESTABLISHED)->port_bound = SOCKET_YES; /* accepted there */
	s = world_add(&w, 40006, SOCKET_BOUND);
	s->peer_port = 0;
	s->port_bound = SOCKET_YES;
	p = world_only(&w);
	assert_int_equal(p->capacity, 8);
	assert_int_equal(p->nr[PORT_BOUND], 2);
	assert_int_equal(p->free, 7);
	world_end(&w);
}

/* A dump takes a while: a TIME_WAIT and what took its port over may both be in it. */
static void test_a_port_counts_once(void **state)
{
	const struct port_pool *p;
	struct world w;

	(void)state;
	world_begin(&w, 40000, 40009);
	world_add(&w, 40002, SOCKET_TIME_WAIT);
	world_add(&w, 40002, SOCKET_ESTABLISHED);
	world_add(&w, 40004, SOCKET_ESTABLISHED);
	world_add(&w, 40004, SOCKET_TIME_WAIT);
	p = world_only(&w);
	assert_int_equal(p->nr[PORT_ESTABLISHED], 2);
	assert_int_equal(p->free, 8);
	world_end(&w);
}

static void test_pools_apart(void **state)
{
	struct world w;

	(void)state;
	world_begin(&w, 40000, 40009);
	world_add(&w, 40000, SOCKET_ESTABLISHED);
	world_add(&w, 40000, SOCKET_ESTABLISHED)->peer_port = 81;
	put_v4(world_add(&w, 40000, SOCKET_ESTABLISHED)->peer_addr, ELSEWHERE + 2);
	put_v4(world_add(&w, 40000, SOCKET_ESTABLISHED)->local_addr, ELSEWHERE + 3);
	world_add(&w, 40000, SOCKET_ESTABLISHED)->device = 3;
	world_add(&w, 40001, SOCKET_ESTABLISHED)->peer_port = 81;
	world_make(&w);
	assert_int_equal(w.pools.nr, 5);
	assert_int_equal(w.pools.at[0].key.port, 81); /* the fullest one */
	assert_int_equal(w.pools.at[0].free, 8);
	for (uint32_t i = 1; i < 5; i++)
		assert_int_equal(w.pools.at[i].free, 9);
	for (size_t i = 0; i < w.sockets.nr; i++) {
		uint32_t pool = w.pools.of_socket[i];

		assert_in_range(pool, 0, 4);
		assert_int_equal(w.pools.at[pool].key.port, w.sockets.at[i].peer_port);
		assert_int_equal(w.pools.at[pool].key.device, w.sockets.at[i].device);
	}
	world_end(&w);
}

static void test_min_used(void **state)
{
	struct port_pools_options opts = {.nr_rules = 1, .min_used = 3};
	struct port_pools pools;
	struct world w;

	(void)state;
	world_begin(&w, 40000, 40099);
	for (uint16_t i = 0; i < 3; i++)
		world_add(&w, 40000 + i, SOCKET_ESTABLISHED);
	for (uint16_t i = 0; i < 2; i++)
		world_add(&w, 40000 + i, SOCKET_ESTABLISHED)->peer_port = 81;
	opts.rules = &w.rules;
	assert_int_equal(port_pools__make(&pools, &w.sockets, &opts), 0);
	assert_int_equal(pools.nr, 1);
	assert_int_equal(pools.below, 1);
	assert_int_equal(pools.of_socket[4], PORT_POOL_NONE);
	port_pools__clear(&pools);
	opts.min_used = 0;
	opts.min_used_of_range = 0.04;
	assert_int_equal(port_pools__make(&pools, &w.sockets, &opts), 0);
	assert_int_equal(pools.nr, 0);
	port_pools__clear(&pools);
	world_end(&w);
}

/* Each crawled host is a pool of one port: bounded in number, and counted. */
static void test_too_many(void **state)
{
	struct world w;

	(void)state;
	world_begin(&w, 40000, 40009);
	for (uint32_t i = 0; i < 3000; i++)
		put_v4(world_add(&w, 40000, SOCKET_ESTABLISHED)->peer_addr, ELSEWHERE + i);
	world_add(&w, 40001, SOCKET_ESTABLISHED);
	world_make(&w);
	assert_int_equal(w.pools.nr + w.pools.beyond, 3000);
	assert_true(w.pools.beyond > 0);
	assert_int_equal(port_pool__used(&w.pools.at[0]), 2); /* the fullest one is not left out */
	world_end(&w);
}

/* Unknown namespaces (vanished), unknown ranges, nothing at all. */
static void test_without_rules(void **state)
{
	struct world w;

	(void)state;
	world_begin(&w, 40000, 40009);
	world_make(&w);
	assert_int_equal(w.pools.nr, 0);
	world_add(&w, 40000, SOCKET_ESTABLISHED)->netns = NETNS + 1;
	world_make(&w);
	assert_int_equal(w.pools.nr, 0);
	assert_int_equal(w.pools.of_socket[0], PORT_POOL_NONE);
	world_add(&w, 40000, SOCKET_ESTABLISHED);
	w.rules.high = 0;
	world_make(&w);
	assert_int_equal(w.pools.nr, 0);
	world_end(&w);
}

static void test_estimated(void **state)
{
	struct world w;

	(void)state;
	world_begin(&w, 40000, 40009);
	world_add(&w, 40000, SOCKET_ESTABLISHED)->port_bound = SOCKET_UNKNOWN;
	assert_true(world_only(&w)->estimated);
	w.sockets.at[0].port_bound = SOCKET_NO;
	assert_false(world_only(&w)->estimated);
	world_add(&w, 40001, SOCKET_TIME_WAIT)->timestamps = SOCKET_UNKNOWN;
	assert_true(world_only(&w)->estimated);
	world_end(&w);
}

/* --- rates ------------------------------------------------------------------------------------ */

static void test_rate_by_age(void **state)
{
	struct world w;

	(void)state;
	world_begin(&w, 40000, 40999);
	for (uint16_t i = 0; i < 400; i++) /* 20 a second, for 20 s */
		world_add(&w, 40000 + i, SOCKET_TIME_WAIT)->timer_ms = 60000 - i * 50;
	world_make(&w);
	port_pools__rate_by_age(&w.pools, &w.sockets);
	assert_true(w.pools.at[0].rate_per_second > 19.9);
	assert_true(w.pools.at[0].rate_per_second < 20.1);
	world_end(&w);
}

static void test_rate_of_a_moment_is_unknown(void **state)
{
	struct world w;

	(void)state;
	world_begin(&w, 40000, 40999);
	for (uint16_t i = 0; i < 100; i++)
		world_add(&w, 40000 + i, SOCKET_TIME_WAIT)->timer_ms = 59900;
	world_make(&w);
	port_pools__rate_by_age(&w.pools, &w.sockets);
	assert_true(w.pools.at[0].rate_per_second < 0);
	assert_true(w.pools.at[0].seconds_left < 0);
	world_end(&w);
}

static void test_rate_by_census(void **state)
{
	struct socket_list before = {};
	struct world w;

	(void)state;
	world_begin(&w, 40000, 40999);
	for (uint16_t i = 0; i < 100; i++)
		world_add(&w, 40000 + i, SOCKET_ESTABLISHED);
	before = w.sockets;
	before.nr = 60;
	world_make(&w);
	assert_int_equal(port_pools__rate_by_census(&w.pools, &w.sockets, &before, 2000000000ULL),
			 0);
	assert_true(w.pools.at[0].rate_per_second == 20);
	world_end(&w);
}

/* 100 ports, of which some are in TIME_WAIT with so many seconds left, and no more than `max`. */
static double exhaustion_of(uint16_t parked, uint32_t left_ms, struct port_load load,
			    uint8_t tw_reuse, uint32_t max)
{
	struct world w;
	double s;

	world_begin(&w, 40000, 40099);
	w.rules.tw_reuse = tw_reuse;
	w.rules.max_time_wait = max;
	world_add(&w, 40099, SOCKET_ESTABLISHED);
	for (uint16_t i = 0; i < parked; i++)
		world_add(&w, 40000 + i, SOCKET_TIME_WAIT)->timer_ms = left_ms;
	s = port_pool__exhaustion(world_only(&w), load);
	world_end(&w);
	return s;
}

static double exhaustion(uint16_t parked, uint32_t left_ms, double rate, uint8_t tw_reuse)
{
	return exhaustion_of(parked, left_ms, (struct port_load){.parked = rate}, tw_reuse,
			     TIME_WAIT_NO_LIMIT);
}

/* 99 of the 100 are free at first. */
static void test_exhaustion_with_a_limit(void **state)
{
	const struct port_load parked = {.parked = 30}, held = {.held = 30};
	const struct port_load both = {.parked = 10, .held = 1.2};

	(void)state;
	assert_true(exhaustion_of(0, 0, parked, 0, 98) < 0);
	assert_true(exhaustion_of(0, 0, parked, 0, 99) > 3.2); /* 99 of 30 a second */
	assert_true(exhaustion_of(0, 0, parked, 0, 99) <= 4);
	assert_true(exhaustion_of(0, 0, parked, 0, 20) < 0);
	assert_true(exhaustion_of(0, 0, parked, 0, 0) < 0);
	/* The limit was higher when they began. */
	assert_true(exhaustion_of(50, 30000, parked, 0, 20) < 0);
	/* What is open is nobody's TIME_WAIT. */
	assert_true(exhaustion_of(0, 0, held, 0, 20) > 3.2 && exhaustion_of(0, 0, held, 0, 20) < 4);
	/* 20 in TIME_WAIT, 72 open after a minute; with 30 it is more than there are. */
	assert_true(exhaustion_of(0, 0, both, 0, 20) < 0);
	assert_true(exhaustion_of(0, 0, both, 0, 30) > 0);
}

static void test_exhaustion(void **state)
{
	(void)state;
	assert_true(exhaustion(0, 0, 0, 0) < 0);
	assert_true(exhaustion(0, 0, 1.6, 0) < 0);  /* 60 s x 1.6 = 96 of 99 */
	assert_true(exhaustion(0, 0, 1.7, 0) > 58); /* 60 s x 1.7 = 102 */
	assert_true(exhaustion(0, 0, 1.7, 0) < 59);
	assert_true(exhaustion(0, 0, 9.9, 0) > 9.99);
	assert_true(exhaustion(0, 0, 9.9, 0) < 10.01);
	assert_true(exhaustion(99, 50000, 1, 0) == 0);
	/* 49 free, the other 50 come back after 10 s: too late for 6 a second, in time for 4. */
	assert_true(exhaustion(50, 10000, 6, 0) > 8 && exhaustion(50, 10000, 6, 0) < 8.5);
	assert_true(exhaustion(50, 10000, 4, 0) > 20);
	/* Given back after a second, they last for ever: until 99 are opened in one. */
	assert_true(exhaustion(0, 0, 90, 1) < 0);
	assert_true(exhaustion(0, 0, 100, 1) >= 0);
}

/* Longer than TIME_WAIT itself, as only a forged recording says. */
static void test_exhaustion_of_a_long_delay(void **state)
{
	const struct port_load load = {.parked = 1.7};
	double s;
	struct world w;

	(void)state;
	world_begin(&w, 40000, 40099);
	w.rules.tw_reuse = TW_REUSE_ALL;
	w.rules.reuse_delay_ms = UINT32_MAX;
	world_add(&w, 40099, SOCKET_ESTABLISHED);
	s = port_pool__exhaustion(world_only(&w), load);
	assert_true(s > 58 && s < 59);
	world_end(&w);
}

static void test_sustainable(void **state)
{
	struct world w;

	(void)state;
	world_begin(&w, 32768, 60999);
	world_add(&w, 40000, SOCKET_ESTABLISHED);
	assert_true((int)port_pool__sustainable(world_only(&w)) == 28232 / 60);
	w.rules.tw_reuse = TW_REUSE_ALL;
	assert_true((int)port_pool__sustainable(world_only(&w)) == 28232);
	world_end(&w);
}

/* --- holders ---------------------------------------------------------------------------------- */

static void find(void *ctx, const struct tcp_socket *s, struct socket_holder *who)
{
	struct process_identity *people = ctx;

	if (s->inode)
		who->process = &people[s->inode - 1];
	who->older = s->local_port == 40000;
}

static void test_holders(void **state)
{
	struct process_identity people[2] = {};
	const struct port_holder *h;
	struct port_holders holders;
	struct world w;
	uint32_t nr;

	(void)state;
	world_begin(&w, 40000, 40009);
	world_add(&w, 40000, SOCKET_TIME_WAIT);
	world_add(&w, 40001, SOCKET_TIME_WAIT);
	world_add(&w, 40002, SOCKET_TIME_WAIT);
	world_add(&w, 40003, SOCKET_ESTABLISHED)->inode = 1;
	world_add(&w, 40004, SOCKET_ESTABLISHED)->inode = 2;
	world_add(&w, 40005, SOCKET_SYN_SENT)->inode = 2;
	world_add(&w, 40005, SOCKET_ESTABLISHED)->peer_port = 81;
	world_make(&w);
	assert_int_equal(port_holders__make(&holders, &w.pools, &w.sockets, find, people), 0);
	h = port_holders__of(&holders, 0, &nr);
	assert_int_equal(nr, 3);
	assert_ptr_equal(h[0].who.process, &people[1]);
	assert_int_equal(h[0].established, 1);
	assert_int_equal(h[0].other, 1);
	assert_ptr_equal(h[1].who.process, &people[0]);
	assert_null(h[2].who.process);
	assert_int_equal(h[2].time_wait, 3);
	assert_int_equal(h[2].older, 1);
	h = port_holders__of(&holders, 1, &nr);
	assert_int_equal(nr, 1);
	assert_int_equal(h[0].established, 1);
	port_holders__of(&holders, 2, &nr);
	assert_int_equal(nr, 0);
	port_holders__clear(&holders);
	world_end(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_states),
		cmocka_unit_test(test_binds),
		cmocka_unit_test(test_a_port_counts_once),
		cmocka_unit_test(test_pools_apart),
		cmocka_unit_test(test_min_used),
		cmocka_unit_test(test_too_many),
		cmocka_unit_test(test_without_rules),
		cmocka_unit_test(test_estimated),
		cmocka_unit_test(test_rate_by_age),
		cmocka_unit_test(test_rate_of_a_moment_is_unknown),
		cmocka_unit_test(test_rate_by_census),
		cmocka_unit_test(test_exhaustion),
		cmocka_unit_test(test_exhaustion_with_a_limit),
		cmocka_unit_test(test_exhaustion_of_a_long_delay),
		cmocka_unit_test(test_sustainable),
		cmocka_unit_test(test_holders),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
