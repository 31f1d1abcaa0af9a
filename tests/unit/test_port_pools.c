/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "user/model/check.h"
#include "user/model/port_holders.h"
#include "user/model/port_pools.h"
#include "user/model/what_if.h"

#define NETNS 7

/* Sockets of one namespace with a range of a few ports, and what is made of them. */
struct world {
	struct port_rules rules;
	struct socket_list sockets;
	struct port_pools pools;
};

static void world_begin(struct world *w, uint16_t low, uint16_t high)
{
	memset(w, 0, sizeof(*w));
	port_rules__init(&w->rules);
	w->rules.netns = NETNS;
	w->rules.low = low;
	w->rules.high = high;
}

static void world_end(struct world *w)
{
	port_pools__clear(&w->pools);
	socket_list__clear(&w->sockets);
}

static void put_v4(uint8_t addr[16], uint32_t v4)
{
	memset(addr, 0, 10);
	addr[10] = addr[11] = 0xff;
	for (int i = 0; i < 4; i++)
		addr[12 + i] = v4 >> (24 - 8 * i);
}

#define LOOPBACK  0x7f000001
#define ELSEWHERE 0x0a000001

static struct tcp_socket *add(struct world *w, uint16_t port, enum socket_state state)
{
	struct tcp_socket *s = socket_list__add(&w->sockets);

	assert_non_null(s);
	s->cookie = 1000 + w->sockets.nr;
	s->netns = NETNS;
	s->local_port = port;
	s->peer_port = 80;
	s->family = 4;
	s->state = state;
	s->port_bound = SOCKET_NO;
	put_v4(s->local_addr, ELSEWHERE);
	put_v4(s->peer_addr, ELSEWHERE + 1);
	if (state == SOCKET_TIME_WAIT) {
		s->time_wait = true;
		s->timestamps = SOCKET_YES;
		s->timer_ms = 50000;
	}
	return s;
}

static void make(struct world *w)
{
	const struct port_pools_options opts = {.rules = &w->rules, .nr_rules = 1};

	port_pools__clear(&w->pools);
	assert_int_equal(port_pools__make(&w->pools, &w->sockets, &opts), 0);
}

/* The only pool. */
static const struct port_pool *only(struct world *w)
{
	make(w);
	assert_int_equal(w->pools.nr, 1);
	return &w->pools.at[0];
}

/* --- rules -------------------------------------------------------------------------------------- */

static void test_range(void **state)
{
	static const char *const bad[] = {"",	     "1",   "0\t5",  "5 4",
					  "1 65536", "a b", "1 2 3", "-1 5"};
	struct port_rules r;

	(void)state;
	port_rules__init(&r);
	assert_int_equal(port_rules__set_range(&r, "40000\t40009"), 0);
	assert_int_equal(r.low, 40000);
	assert_int_equal(r.high, 40009);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_not_equal(port_rules__set_range(&r, bad[i]), 0);
		assert_int_equal(r.low, 40000);
	}
	assert_int_equal(port_rules__set_range(&r, "1 65535\n"), 0);
	assert_int_equal(r.high, 65535);
}

static void test_reserved(void **state)
{
	static const char *const bad[] = {"x", "5-", "5-4", "70000", "5;6", "1-65536", "0"};
	struct port_rules r;

	(void)state;
	port_rules__init(&r);
	assert_int_equal(port_rules__set_reserved(&r, "32768,40000-40002,60999"), 0);
	assert_false(port_rules__offers(&r, 32768));
	assert_true(port_rules__offers(&r, 32769));
	assert_true(port_rules__offers(&r, 39999));
	for (uint16_t p = 40000; p <= 40002; p++)
		assert_false(port_rules__offers(&r, p));
	assert_true(port_rules__offers(&r, 40003));
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_not_equal(port_rules__set_reserved(&r, bad[i]), 0);
	assert_false(port_rules__offers(&r, 40001)); /* as it was */
	assert_int_equal(port_rules__set_reserved(&r, ""), 0);
	assert_true(port_rules__offers(&r, 40001));
	assert_false(port_rules__offers(&r, 61000));
	assert_false(port_rules__offers(&r, 32767));
}

static unsigned int offered(uint16_t low, uint16_t high)
{
	struct port_rules r;
	unsigned int nr = 0;

	port_rules__init(&r);
	r.low = low;
	r.high = high;
	for (unsigned int p = 0; p <= 65535; p++)
		nr += port_rules__offers(&r, p);
	return nr;
}

static void test_odd_numbers_lose_one(void **state)
{
	struct port_rules r;

	(void)state;
	assert_int_equal(offered(32768, 60999), 28232);
	assert_int_equal(offered(5000, 5000), 1);
	assert_int_equal(offered(5000, 5001), 2);
	assert_int_equal(offered(5000, 5002), 2);
	assert_int_equal(offered(5000, 5004), 4);
	assert_int_equal(offered(1, 65535), 65534);
	port_rules__init(&r);
	r.low = 5000;
	r.high = 5002;
	assert_false(port_rules__offers(&r, 5002)); /* of three the last, */
	r.high = 5004;
	assert_false(port_rules__offers(&r, 5000)); /* of more the first */
	assert_true(port_rules__offers(&r, 5004));
}

/* tcp_twsk_unique(), net/ipv4/tcp_ipv4.c, case by case. */
static void test_reusable(void **state)
{
	static const struct {
		uint8_t mode;
		bool timestamps;
		uint32_t from, to, device, young_ms;
		uint8_t known, state;
		bool reusable;
	} cases[] = {
		{0, true, LOOPBACK, LOOPBACK, 0, 0, SOCKET_YES, SOCKET_TIME_WAIT, false},
		{1, true, ELSEWHERE, ELSEWHERE, 0, 0, SOCKET_YES, SOCKET_TIME_WAIT, true},
		{1, true, ELSEWHERE, ELSEWHERE, 0, 1, SOCKET_YES, SOCKET_TIME_WAIT, false},
		{1, true, ELSEWHERE, ELSEWHERE, 0, 0, SOCKET_NO, SOCKET_TIME_WAIT, false},
		{1, false, ELSEWHERE, ELSEWHERE, 0, 0, SOCKET_YES, SOCKET_TIME_WAIT, true},
		{1, false, ELSEWHERE, ELSEWHERE, 0, 0, SOCKET_UNKNOWN, SOCKET_TIME_WAIT, false},
		{1, true, ELSEWHERE, ELSEWHERE, 0, 0, SOCKET_UNKNOWN, SOCKET_TIME_WAIT, true},
		{1, true, ELSEWHERE, ELSEWHERE, 0, 0, SOCKET_YES, SOCKET_FIN_WAIT2, false},
		{2, true, ELSEWHERE, ELSEWHERE, 0, 0, SOCKET_YES, SOCKET_TIME_WAIT, false},
		{2, true, LOOPBACK, LOOPBACK, 0, 0, SOCKET_YES, SOCKET_TIME_WAIT, true},
		{2, true, LOOPBACK + 9, ELSEWHERE, 0, 0, SOCKET_YES, SOCKET_TIME_WAIT, true},
		{2, true, ELSEWHERE, LOOPBACK, 0, 0, SOCKET_YES, SOCKET_TIME_WAIT, true},
		{2, true, ELSEWHERE, ELSEWHERE, 1, 0, SOCKET_YES, SOCKET_TIME_WAIT, true},
		{2, true, ELSEWHERE, ELSEWHERE, 2, 0, SOCKET_YES, SOCKET_TIME_WAIT, false},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct tcp_socket s = {.time_wait = true,
				       .state = cases[i].state,
				       .device = cases[i].device,
				       .young_ms = cases[i].young_ms,
				       .timestamps = cases[i].known};
		struct port_rules r;

		port_rules__init(&r);
		r.tw_reuse = cases[i].mode;
		r.timestamps = cases[i].timestamps;
		put_v4(s.local_addr, cases[i].from);
		put_v4(s.peer_addr, cases[i].to);
		assert_int_equal(port_rules__reusable(&r, &s), cases[i].reusable);
		s.time_wait = false;
		assert_false(port_rules__reusable(&r, &s));
	}
}

static void test_reusable_ipv6(void **state)
{
	struct tcp_socket s = {
		.time_wait = true, .state = SOCKET_TIME_WAIT, .timestamps = SOCKET_YES};
	struct port_rules r;

	(void)state;
	port_rules__init(&r);
	assert_false(port_rules__reusable(&r, &s)); /* :: is no loopback */
	s.local_addr[15] = 1;
	assert_true(port_rules__reusable(&r, &s));
	s.local_addr[0] = 0xfd;
	assert_false(port_rules__reusable(&r, &s));
}

/* --- pools -------------------------------------------------------------------------------------- */

static void test_states(void **state)
{
	const struct port_pool *p;
	struct world w;

	(void)state;
	world_begin(&w, 40000, 40009);
	add(&w, 40000, SOCKET_ESTABLISHED);
	add(&w, 40001, SOCKET_SYN_SENT);
	add(&w, 40002, SOCKET_TIME_WAIT);
	add(&w, 40003, SOCKET_CLOSE_WAIT);
	add(&w, 39999, SOCKET_ESTABLISHED); /* not in the range */
	p = only(&w);
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
	add(&w, 40000, SOCKET_ESTABLISHED);
	s = add(&w, 40005, SOCKET_LISTEN);
	s->peer_port = 0;
	s->port_bound = SOCKET_YES;
	add(&w, 40005, SOCKET_ESTABLISHED)->port_bound = SOCKET_YES; /* accepted there */
	s = add(&w, 40006, SOCKET_BOUND);
	s->peer_port = 0;
	s->port_bound = SOCKET_YES;
	p = only(&w);
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
	add(&w, 40002, SOCKET_TIME_WAIT);
	add(&w, 40002, SOCKET_ESTABLISHED);
	add(&w, 40004, SOCKET_ESTABLISHED);
	add(&w, 40004, SOCKET_TIME_WAIT);
	p = only(&w);
	assert_int_equal(p->nr[PORT_ESTABLISHED], 2);
	assert_int_equal(p->free, 8);
	world_end(&w);
}

static void test_pools_apart(void **state)
{
	struct world w;

	(void)state;
	world_begin(&w, 40000, 40009);
	add(&w, 40000, SOCKET_ESTABLISHED);
	add(&w, 40000, SOCKET_ESTABLISHED)->peer_port = 81;
	put_v4(add(&w, 40000, SOCKET_ESTABLISHED)->peer_addr, ELSEWHERE + 2);
	put_v4(add(&w, 40000, SOCKET_ESTABLISHED)->local_addr, ELSEWHERE + 3);
	add(&w, 40000, SOCKET_ESTABLISHED)->device = 3;
	add(&w, 40001, SOCKET_ESTABLISHED)->peer_port = 81;
	make(&w);
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
		add(&w, 40000 + i, SOCKET_ESTABLISHED);
	for (uint16_t i = 0; i < 2; i++)
		add(&w, 40000 + i, SOCKET_ESTABLISHED)->peer_port = 81;
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
		put_v4(add(&w, 40000, SOCKET_ESTABLISHED)->peer_addr, ELSEWHERE + i);
	add(&w, 40001, SOCKET_ESTABLISHED);
	make(&w);
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
	make(&w);
	assert_int_equal(w.pools.nr, 0);
	add(&w, 40000, SOCKET_ESTABLISHED)->netns = NETNS + 1;
	make(&w);
	assert_int_equal(w.pools.nr, 0);
	assert_int_equal(w.pools.of_socket[0], PORT_POOL_NONE);
	add(&w, 40000, SOCKET_ESTABLISHED);
	w.rules.high = 0;
	make(&w);
	assert_int_equal(w.pools.nr, 0);
	world_end(&w);
}

static void test_estimated(void **state)
{
	struct world w;

	(void)state;
	world_begin(&w, 40000, 40009);
	add(&w, 40000, SOCKET_ESTABLISHED)->port_bound = SOCKET_UNKNOWN;
	assert_true(only(&w)->estimated);
	w.sockets.at[0].port_bound = SOCKET_NO;
	assert_false(only(&w)->estimated);
	add(&w, 40001, SOCKET_TIME_WAIT)->timestamps = SOCKET_UNKNOWN;
	assert_true(only(&w)->estimated);
	world_end(&w);
}

/* --- rates -------------------------------------------------------------------------------------- */

static void test_rate_by_age(void **state)
{
	struct world w;

	(void)state;
	world_begin(&w, 40000, 40999);
	for (uint16_t i = 0; i < 400; i++) /* 20 a second, for 20 s */
		add(&w, 40000 + i, SOCKET_TIME_WAIT)->timer_ms = 60000 - i * 50;
	make(&w);
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
		add(&w, 40000 + i, SOCKET_TIME_WAIT)->timer_ms = 59900;
	make(&w);
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
		add(&w, 40000 + i, SOCKET_ESTABLISHED);
	before = w.sockets;
	before.nr = 60;
	make(&w);
	assert_int_equal(port_pools__rate_by_census(&w.pools, &w.sockets, &before, 2000000000ULL),
			 0);
	assert_true(w.pools.at[0].rate_per_second == 20);
	world_end(&w);
}

/* 100 ports, of which some are in TIME_WAIT with so many seconds left. */
static double exhaustion(uint16_t parked, uint32_t left_ms, double rate, uint8_t tw_reuse)
{
	struct world w;
	double s;

	world_begin(&w, 40000, 40099);
	w.rules.tw_reuse = tw_reuse;
	add(&w, 40099, SOCKET_ESTABLISHED);
	for (uint16_t i = 0; i < parked; i++)
		add(&w, 40000 + i, SOCKET_TIME_WAIT)->timer_ms = left_ms;
	s = port_pool__exhaustion(only(&w), rate);
	world_end(&w);
	return s;
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

static void test_sustainable(void **state)
{
	struct world w;

	(void)state;
	world_begin(&w, 32768, 60999);
	add(&w, 40000, SOCKET_ESTABLISHED);
	assert_true((int)port_pool__sustainable(only(&w)) == 28232 / 60);
	w.rules.tw_reuse = TW_REUSE_ALL;
	assert_true((int)port_pool__sustainable(only(&w)) == 28232);
	world_end(&w);
}

/* --- what if ------------------------------------------------------------------------------------ */

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
static struct what_if_outcome outcome(const char *changes, double rate, const char *name)
{
	struct what_if_outcome o = {.capacity = UINT32_MAX};
	struct what_if what = what_if_nothing;
	struct what_ifs ifs;
	struct world w;

	world_begin(&w, 40000, 40099);
	w.rules.tw_reuse = 0;
	for (uint16_t i = 0; i < 20; i++)
		add(&w, 40000 + i, SOCKET_TIME_WAIT);
	for (uint16_t i = 20; i < 24; i++)
		add(&w, 40000 + i, SOCKET_ESTABLISHED);
	make(&w);
	port_pool__set_rate(&w.pools.at[0], rate);
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

/* --- holders, and the monitor's view ------------------------------------------------------------ */

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
	add(&w, 40000, SOCKET_TIME_WAIT);
	add(&w, 40001, SOCKET_TIME_WAIT);
	add(&w, 40002, SOCKET_TIME_WAIT);
	add(&w, 40003, SOCKET_ESTABLISHED)->inode = 1;
	add(&w, 40004, SOCKET_ESTABLISHED)->inode = 2;
	add(&w, 40005, SOCKET_SYN_SENT)->inode = 2;
	add(&w, 40005, SOCKET_ESTABLISHED)->peer_port = 81;
	make(&w);
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

static void test_check(void **state)
{
	static const struct {
		uint16_t used;
		uint32_t close_wait;
		bool incomplete;
		enum check_status status;
	} cases[] = {
		{0, 0, false, CHECK_OK},       {4, 0, false, CHECK_OK},
		{5, 0, false, CHECK_WARNING},  {7, 0, true, CHECK_WARNING},
		{8, 0, false, CHECK_CRITICAL}, {10, 0, true, CHECK_CRITICAL},
		{0, 2, false, CHECK_OK},       {0, 3, false, CHECK_WARNING},
		{0, 4, false, CHECK_CRITICAL}, {5, 4, false, CHECK_CRITICAL},
		{0, 0, true, CHECK_UNKNOWN},
	};
	const struct check_limits limits = {
		.warning = 0.5, .critical = 0.8, .leak_warning = 3, .leak_critical = 4};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct check_result r;
		struct world w;

		world_begin(&w, 40000, 40009);
		for (uint16_t k = 0; k < cases[i].used; k++)
			add(&w, 40000 + k, SOCKET_ESTABLISHED);
		for (uint32_t k = 0; k < cases[i].close_wait; k++)
			add(&w, 80, SOCKET_CLOSE_WAIT);
		make(&w);
		check__judge(&r, &limits, &w.pools, &w.sockets, cases[i].incomplete);
		assert_int_equal(r.status, cases[i].status);
		world_end(&w);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_range),
		cmocka_unit_test(test_reserved),
		cmocka_unit_test(test_odd_numbers_lose_one),
		cmocka_unit_test(test_reusable),
		cmocka_unit_test(test_reusable_ipv6),
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
		cmocka_unit_test(test_sustainable),
		cmocka_unit_test(test_what_if_parses),
		cmocka_unit_test(test_what_if_now),
		cmocka_unit_test(test_what_if_settings),
		cmocka_unit_test(test_what_if_pool),
		cmocka_unit_test(test_holders),
		cmocka_unit_test(test_check),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
