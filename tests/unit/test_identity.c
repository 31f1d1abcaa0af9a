/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Which connection a record is about, where others look alike, or the record before it was lost. */
#include <errno.h>

#include "story.h"

#define PORT 8888

static void begin(struct story *s, struct churn_conn *first)
{
	story_begin(s, NULL);
	story_process(s, 100, 1, "/usr/bin/poller", NULL);
	*first = dial(s, 100, PORT);
	opened(s, first);
	s->now += MS;
}

/* The same one, later. */
static struct churn_conn again(const struct story *s, const struct churn_conn *first)
{
	struct churn_conn c = *first;

	c.open_ns = s->now;
	c.established_ns = s->now + 10 * US;
	return c;
}

/* A socket connects again, and fails to: its connection before that has ended, seen or not. */
static void test_same_socket(void **state)
{
	for (int fails = 0; fails < 2; fails++) {
		struct churn_conn first, c;
		struct story s;

		(void)state;
		begin(&s, &first);
		c = again(&s, &first);
		c.local_port++;
		if (fails)
			failed(&s, c, ECONNREFUSED, CHURN_CAUSE_REFUSED);
		else
			opened(&s, &c);
		assert_int_equal(flow_of(&s, "poller")->live, !fails);
		story_end(&s);
	}
}

/* Another socket has the four-tuple: the one before has ended, but in another namespace it
 * lives. */
static void test_same_four_tuple(void **state)
{
	for (uint32_t elsewhere = 0; elsewhere < 2; elsewhere++) {
		struct churn_conn first, c;
		const struct group *g;
		uint64_t live = 0;
		struct story s;

		(void)state;
		begin(&s, &first);
		c = again(&s, &first);
		c.id = s.next_id++;
		c.netns += elsewhere;
		opened(&s, &c);
		g = group_at(&s, 0);
		for (uint32_t i = 0; i < g->nr_flows; i++)
			live += g->flows[i]->live;
		assert_int_equal(live, 1 + elsewhere);
		story_end(&s);
	}
}

/* Without cookies, two namespaces may open the same at one moment. */
static void test_no_cookie(void **state)
{
	struct churn_conn first, c;
	struct story s;

	(void)state;
	story_begin(&s, NULL);
	story_process(&s, 100, 1, "/usr/bin/poller", NULL);
	first = dial(&s, 100, PORT);
	first.id = 0;
	c = first;
	c.netns++;
	opened(&s, &first);
	opened(&s, &c);
	s.now += MS;
	closed(&s, &c, CHURN_END_LOCAL);
	closed(&s, &first, CHURN_END_LOCAL);
	assert_int_equal(model__totals(s.m)->orphan_closes, 0);
	story_end(&s);
}

/* An end that is of a later connection of the socket, or says that it is of the other kind, is not
 * this one's. */
static void test_end_of_another(void **state)
{
	for (int kind = 0; kind < 2; kind++) {
		struct churn_conn first, c;
		struct story s;

		(void)state;
		begin(&s, &first);
		c = kind ? first : again(&s, &first);
		if (kind)
			c.role = CHURN_SERVER;
		s.now += MS;
		closed(&s, &c, CHURN_END_LOCAL);
		assert_int_equal(model__totals(s.m)->orphan_closes, 1);
		assert_int_equal(flow_of(&s, "poller")->live, 1);
		story_end(&s);
	}
}

/* Two ends of one four-tuple belong together only if they lived at the same time. */
static void test_not_contemporary(void **state)
{
	struct churn_conn client, server;
	struct story s;

	(void)state;
	for (int later = 0; later < 2; later++) {
		story_begin(&s, NULL);
		story_process(&s, 100, 1, "/usr/bin/poller", NULL);
		story_process(&s, 10, 1, "/usr/sbin/server", NULL);
		client = dial(&s, 100, PORT);
		server = answer(&s, &client, 10);
		if (later) { /* another client's, whose open was lost */
			opened(&s, &client);
			s.now += MS;
			closed(&s, &client, CHURN_END_LOCAL);
			s.now += 2 * S;
			server.open_ns = server.established_ns = s.now;
			opened(&s, &server);
		} else { /* it was accepted before this client connected */
			opened(&s, &server);
			s.now += S;
			client = again(&s, &client);
			opened(&s, &client);
		}
		assert_null(s.a.peer);
		story_end(&s);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_same_socket),	 cmocka_unit_test(test_same_four_tuple),
		cmocka_unit_test(test_no_cookie),	 cmocka_unit_test(test_end_of_another),
		cmocka_unit_test(test_not_contemporary),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
