/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Findings on source ports: pools under pressure, bind(). */
#include <errno.h>

#include "tests/unit/story.h"

#include "user/base/text.h"
#include "user/model/census.h"

#define PORT   8888
#define SHOP   10
#define WINDOW (60 * S)

static void begin(struct story *s)
{
	story_begin(s, NULL);
	story_process(s, SHOP, 1, "/usr/bin/shop", NULL);
}

static const struct time_wait_limit *the_limit; /* of the next census, NULL: not known */

/* `rate` connections a second for two seconds to a range of 600 ports; of two the peer closes one,
 * or none. */
static void press_with(struct story *s, struct socket_list *sockets, struct port_rules *rules,
		       uint32_t rate, bool by_peer)
{
	struct model_census census = {.rules = rules,
				      .nr_rules = 1,
				      .netns = &rules->netns,
				      .nr_netns = 1,
				      .pools = true,
				      .sockets = sockets};

	port_rules__init(rules);
	rules->netns = 1;
	rules->low = 32768;
	rules->high = 32768 + 599;
	rules->tw_reuse = TW_REUSE_OFF;
	for (uint32_t i = 0; i < 2 * rate; i++) {
		struct churn_conn c = dial(s, SHOP, PORT);
		struct tcp_socket *parked;

		opened(s, &c);
		s->now += S / rate;
		if (by_peer && i % 2) {
			closed(s, &c, CHURN_END_PEER);
			continue;
		}
		closed(s, &c, CHURN_END_LOCAL);
		parked = loopback_socket(sockets, SOCKET_TIME_WAIT, c.local_port, PORT, 0);
		parked->time_wait = true;
		parked->cookie = c.id;
		parked->timer_ms = 59000;
		parked->timestamps = SOCKET_YES;
		parked->port_bound = SOCKET_NO;
	}
	if (the_limit) {
		census.limits = the_limit;
		census.nr_limits = 1;
		rules->max_time_wait = the_limit->max;
	}
	census.taken_ns = s->now;
	assert_int_equal(model__census(s->m, &census), 0);
}

static void press(struct story *s, struct socket_list *sockets, struct port_rules *rules,
		  uint32_t rate)
{
	press_with(s, sockets, rules, rate, false);
}

static void test_pressure(void **state)
{
	struct socket_list sockets = {0};
	struct port_rules rules;
	const struct finding *f;
	struct story s;

	(void)state;
	begin(&s);
	press(&s, &sockets, &rules, 20); /* 20 x 60 s = 1,200 of 600 */
	story_draw(&s, WINDOW, NULL);
	f = story_finding(&s, "port-pressure");
	assert_non_null(f);
	assert_int_equal(f->severity, FINDING_CRITICAL);
	assert_true(says(f->evidence, "want 1,200 ports; 127.0.0.1:8888 has 600"));
	assert_true(says(f->evidence,
			 "40 of 600 ports are taken now; 10 opens a second can go on for ever"));
	assert_true(says(f->evidence, "no port is free in 28 s"));
	f = story_finding(&s, "tuning");
	assert_true(says(f->evidence,
			 "ip_local_port_range is 32768-33367, 600 ports: with 1024-65535 1,075"));
	assert_true(says(f->evidence, "tcp_tw_reuse is 0: with 1"));
	socket_list__clear(&sockets);
	story_end(&s);
}

/* The same opens, half of which the peer closes. Says what the pool says. */
static void test_pressure_of_some(void **state)
{
	struct socket_list sockets = {0};
	struct port_rules rules;
	const struct finding *f;
	struct story s;
	char left[32], said[64];

	(void)state;
	begin(&s);
	press_with(&s, &sockets, &rules, 40, true);
	story_draw(&s, WINDOW, NULL);
	f = story_finding(&s, "port-pressure");
	assert_non_null(f);
	assert_true(says(f->evidence,
			 "of 40 opens a second while at work 20 leave their ports in TIME_WAIT"));
	assert_true(says(f->evidence, "and want 1,"));
	text_duration(left, sizeof(left),
		      (uint64_t)(model__ports(s.m)->pools.at[0].seconds_left * 1e9));
	snprintf(said, sizeof(said), "at this rate no port is free in %s", left);
	assert_true(says(f->evidence, said));
	socket_list__clear(&sockets);
	story_end(&s);
}

/* 1,200 are wanted of 600; but so many cannot be in TIME_WAIT. */
static void draw_with_limit(uint32_t max, bool pressure)
{
	const struct time_wait_limit limit = {.netns = 1, .max = max, .counted = true};
	struct socket_list sockets = {0};
	struct port_rules rules;
	const struct finding *f;
	struct story s;

	begin(&s);
	the_limit = &limit;
	press(&s, &sockets, &rules, 20);
	the_limit = NULL;
	story_draw(&s, WINDOW, NULL);
	f = story_finding(&s, "port-pressure");
	assert_int_equal(f != NULL, pressure);
	assert_int_equal(story_finding(&s, "tuning") != NULL, pressure);
	if (f && max < 1200)
		assert_true(says(f->evidence, "but net.ipv4.tcp_max_tw_buckets allows 6"));
	else if (f)
		assert_false(says(f->evidence, "tcp_max_tw_buckets"));
	f = story_finding(&s, "polling");
	assert_non_null(f);
	assert_int_equal(says(f->evidence, "10 times as many: 5 sockets in TIME_WAIT, all that "
					   "net.ipv4.tcp_max_tw_buckets allows, 0.0 %"),
			 max == 5);
	assert_int_equal(says(f->evidence, "at this cadence: 1,200 sockets in TIME_WAIT, 4."),
			 max >= 1200);
	socket_list__clear(&sockets);
	story_end(&s);
}

static void test_pressure_with_a_limit(void **state)
{
	(void)state;
	draw_with_limit(5, false);
	draw_with_limit(599, false);
	draw_with_limit(600, true);
	draw_with_limit(1200, true);
	draw_with_limit(TIME_WAIT_NO_LIMIT, true);
}

/* The control: 9 x 60 s = 540 of 600. */
static void test_no_pressure(void **state)
{
	struct socket_list sockets = {0};
	struct port_rules rules;
	struct story s;

	(void)state;
	begin(&s);
	press(&s, &sockets, &rules, 9);
	story_draw(&s, WINDOW, NULL);
	assert_null(story_finding(&s, "port-pressure"));
	assert_null(story_finding(&s, "tuning"));
	socket_list__clear(&sockets);
	story_end(&s);
}

/* The same load, and what follows when it has ended: it is no reason to expect the pool's end. */
static void draw_after_burst(uint64_t quiet_ns, bool found)
{
	struct socket_list sockets = {0};
	struct port_rules rules;
	struct story s;

	begin(&s);
	model__set_start(s.m, s.now);
	press(&s, &sockets, &rules, 20);
	story_draw(&s, 2 * S + quiet_ns, NULL);
	assert_int_equal(story_finding(&s, "port-pressure") != NULL, found);
	socket_list__clear(&sockets);
	story_end(&s);
}

static void test_burst_is_over(void **state)
{
	(void)state;
	draw_after_burst(0, true);
	draw_after_burst(4 * S, true);
	draw_after_burst(6 * S, false);
}

/* --- bind() and the order of it all ----------------------------------------------------------- */

static void test_bind_comes_first(void **state)
{
	struct churn_end e = {.h = {.ts_ns = S, .type = CHURN_BIND_FAILED, .size = sizeof(e)},
			      .error = EADDRINUSE,
			      .cause = CHURN_CAUSE_BIND_EXHAUSTED};
	struct story s;

	(void)state;
	begin(&s);
	story_stack(&s, 1, "bind_source", 104);
	one_by_one(&s, SHOP, PORT, 100, MS, MS, CHURN_END_LOCAL, 1);
	e.conn = dial(&s, SHOP, 0);
	e.conn.stack = 1;
	for (int i = 0; i < 24; i++)
		tell_end(&s, &e);
	story_draw(&s, WINDOW, NULL);
	assert_true(s.found.nr > 1);
	assert_string_equal(s.found.at[0].id, "bind-exhaustion");
	assert_true(says(s.found.at[0].evidence,
			 "24 bind() calls of shop [pid 10] to port 0 of 127.0.0.1"));
	assert_true(says(s.found.at[0].evidence, "it binds in bind_source (health.c:104)"));
	assert_true(findings__set(&s.found) & finding_bit("bind-exhaustion"));
	assert_false(findings__set(&s.found) & finding_bit("port-exhaustion"));
	assert_int_equal(finding_bit("doom"), 0);
	story_end(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pressure),
		cmocka_unit_test(test_pressure_with_a_limit),
		cmocka_unit_test(test_pressure_of_some),
		cmocka_unit_test(test_no_pressure),
		cmocka_unit_test(test_burst_is_over),
		cmocka_unit_test(test_bind_comes_first),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
