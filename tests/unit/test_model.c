/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include <errno.h>

#include "tests/unit/story.h"

#define PORT 8888

static void test_lost_process_record(void **state)
{
	struct churn_id id = who(100);
	struct story s;

	(void)state;
	story_begin(&s, NULL);
	one_by_one(&s, 100, PORT, 2, MS, MS, CHURN_END_LOCAL, 0);
	one_by_one(&s, 0, PORT, 1, MS, MS, CHURN_END_LOCAL, 0);
	assert_null(s.a.process);
	assert_null(model__find_process(s.m, &id));
	assert_int_equal(model__totals(s.m)->unattributed_process, 3);
	assert_int_equal(group_named(&s, "dialer")->opens, 3);

	story_process(&s, 100, 1, "/usr/bin/poller", NULL);
	one_by_one(&s, 100, PORT, 2, MS, MS, CHURN_END_LOCAL, 0);
	assert_string_equal(s.a.process->exe, "/usr/bin/poller");
	assert_int_equal(model__totals(s.m)->unattributed_process, 3);
	assert_int_equal(group_named(&s, "dialer")->opens, 3);
	assert_int_equal(group_named(&s, "poller")->opens, 2);
	assert_int_equal(model__totals(s.m)->opens, 5);
	assert_int_equal(model__totals(s.m)->avoidable, 3); /* still one process */

	/* Announced again, under another parent by now: the same process in the same row. */
	story_process(&s, 100, 999, "/usr/bin/poller", NULL);
	one_by_one(&s, 100, PORT, 1, MS, MS, CHURN_END_LOCAL, 0);
	assert_int_equal(group_named(&s, "poller")->opens, 3);
	assert_int_equal(group_named(&s, "poller")->nr_processes, 1);
	story_end(&s);
}

static void test_lost_records(void **state)
{
	struct churn_conn a, b;
	const struct flow *f;
	struct story s;

	(void)state;
	story_begin(&s, NULL);
	story_process(&s, 100, 1, "/usr/bin/poller", NULL);
	a = dial(&s, 100, PORT); /* its open record is lost */
	s.now += MS;
	closed(&s, &a, CHURN_END_LOCAL);
	assert_int_equal(model__totals(s.m)->orphan_closes, 1);
	b = dial(&s, 100, PORT); /* its close record is lost, the socket connects again */
	opened(&s, &b);
	s.now += S;
	b.open_ns = s.now;
	b.established_ns = s.now + 10 * US;
	opened(&s, &b);
	s.now += MS;
	closed(&s, &b, CHURN_END_LOCAL);
	f = flow_of(&s, "poller");
	assert_int_equal(f->opens, 2);
	assert_int_equal(f->closes, 2);
	assert_int_equal(f->live, 0);
	assert_int_equal(f->live_peak, 1);
	assert_int_equal(model__totals(s.m)->orphan_closes, 1);
	story_end(&s);
}

/* One socket, blocked, fails twice and then gets through, disconnects and connects again. */
static void test_one_socket_many_connects(void **state)
{
	struct churn_conn c;
	const struct flow *f;
	struct story s;

	(void)state;
	story_begin(&s, NULL);
	story_process(&s, 100, 1, "/usr/bin/poller", NULL);
	c = dial(&s, 100, PORT);
	failed(&s, c, ECONNREFUSED, CHURN_CAUSE_REFUSED);
	s.now += MS;
	failed(&s, c, ECONNREFUSED, CHURN_CAUSE_REFUSED);
	for (int i = 0; i < 2; i++) {
		s.now += MS;
		c.open_ns = s.now;
		c.established_ns = s.now + 10 * US;
		opened(&s, &c);
		s.now += MS;
		closed(&s, &c, CHURN_END_ABORT);
	}
	s.now += MS;
	c.open_ns = s.now;
	failed(&s, c, EADDRNOTAVAIL, CHURN_CAUSE_EPHEMERAL_EXHAUSTED);
	f = flow_of(&s, "poller");
	assert_int_equal(f->opens, 2);
	assert_int_equal(f->closes, 2);
	assert_int_equal(f->failed, 3);
	assert_int_equal(f->failures.nr, 2);
	assert_int_equal(f->failures.at[0].error, ECONNREFUSED);
	assert_int_equal(f->failures.at[0].nr, 2);
	assert_int_equal(f->failures.at[1].cause, CHURN_CAUSE_EPHEMERAL_EXHAUSTED);
	assert_int_equal(f->interval.nr, 4);
	assert_int_equal(model__totals(s.m)->failures, 3);
	assert_int_equal(model__totals(s.m)->orphan_closes, 0);
	story_end(&s);
}

/* Before kernel 5.12 there is no cookie; two sockets of one process may even open at once. */
static void test_without_cookies(void **state)
{
	struct churn_conn a, b;
	struct story s;

	(void)state;
	story_begin(&s, NULL);
	story_process(&s, 100, 1, "/usr/bin/poller", NULL);
	a = dial(&s, 100, PORT);
	b = dial(&s, 100, PORT);
	a.id = b.id = 0;
	opened(&s, &a);
	opened(&s, &b);
	assert_int_equal(flow_of(&s, "poller")->live, 2);
	s.now += MS;
	closed(&s, &b, CHURN_END_LOCAL);
	closed(&s, &a, CHURN_END_LOCAL);
	assert_int_equal(flow_of(&s, "poller")->live, 0);
	assert_int_equal(model__totals(s.m)->orphan_closes, 0);
	story_end(&s);
}

static void test_durations(void **state)
{
	struct churn_conn c;
	struct churn_end e;
	const struct flow *f;
	struct story s;

	(void)state;
	story_begin(&s, NULL);
	story_process(&s, 100, 1, "/usr/bin/poller", NULL);
	one_by_one(&s, 100, PORT, 10, 2 * MS, 98 * MS, CHURN_END_LOCAL, 0);
	c = dial(&s, 100, PORT);
	opened(&s, &c);
	s.now += 5 * S;
	closed(&s, &c, CHURN_END_LOCAL);
	c = dial(&s, 100, PORT + 1); /* closed at once, but the peer took its time */
	opened(&s, &c);
	s.now += 5 * S;
	e = ended(&s, &c, CHURN_END_LOCAL, 5 * S);
	e.ending_ns = c.established_ns + MS;
	tell_end(&s, &e);
	assert_int_equal(model__totals(s.m)->short_lived, 11);
	f = flow_of(&s, "poller");
	assert_int_equal(f->short_lived, 10);
	assert_int_equal(f->group->short_lived, 11);
	assert_int_equal(f->interval.nr, 10);
	assert_int_equal(f->interval.min, 100 * MS);
	assert_int_equal(f->interval.max, 100 * MS);
	assert_int_equal(f->connect.min, 30 * US);
	assert_int_equal(f->lifetime.nr, 11);
	assert_int_equal(f->lifetime.min, 2 * MS - 30 * US);
	assert_int_equal(f->first_ns, S);
	assert_int_equal(f->last_ns, 2 * S);
	assert_int_equal(f->bytes_sent, 1100);
	story_end(&s);
}

/* The search for a source port: measured where a hook sees it, else at most the time to connect. */
static void test_port_search(void **state)
{
	const struct group *g;
	struct churn_conn c;
	struct story s;

	(void)state;
	story_begin(&s, NULL);
	for (int i = 1; i <= 100; i++) {
		c = dial(&s, 10, 80);
		c.search_ns = (uint32_t)i * 1000;
		opened(&s, &c);
		closed(&s, &c, CHURN_END_LOCAL);
	}
	c = dial(&s, 10, 80);
	c.search_ns = 4 * MS;
	failed(&s, c, EADDRNOTAVAIL, CHURN_CAUSE_EPHEMERAL_EXHAUSTED);
	g = group_at(&s, 0);
	assert_int_equal(g->flows[0]->search.nr, 101);
	assert_int_equal(g->flows[0]->search.max, 4 * MS);
	assert_in_range(histogram__quantile(&g->flows[0]->search, 0.5), 49 * US, 53 * US);
	assert_int_equal(g->flows[0]->search_at_most.nr, 0);

	c = dial(&s, 11, 81);
	opened(&s, &c);
	closed(&s, &c, CHURN_END_LOCAL);
	c = dial(&s, 11, 81);
	s.now = c.open_ns + 3 * MS;
	failed(&s, c, EADDRNOTAVAIL, CHURN_CAUSE_EPHEMERAL_EXHAUSTED);
	/* The control: what comes after the search says nothing of it. */
	c = dial(&s, 11, 81);
	s.now = c.open_ns + 100 * S;
	failed(&s, c, ETIMEDOUT, CHURN_CAUSE_TIMEOUT);
	g = group_at(&s, 0);
	assert_int_equal(g->flows[1]->search.nr, 0);
	assert_int_equal(g->flows[1]->search_at_most.nr, 2);
	assert_int_equal(g->flows[1]->search_at_most.max, 3 * MS);
	story_end(&s);
}

/* A bind() that found no port is a failure of its process, and of no open. */
static void test_bind_failures(void **state)
{
	struct churn_end e = {.h = {.ts_ns = S, .type = CHURN_BIND_FAILED, .size = sizeof(e)},
			      .error = EADDRINUSE,
			      .cause = CHURN_CAUSE_BIND_EXHAUSTED};
	const struct group *g;
	struct story s;

	(void)state;
	story_begin(&s, NULL);
	e.conn = dial(&s, 10, 0);
	for (int i = 0; i < 3; i++)
		tell_end(&s, &e);
	g = group_at(&s, 0);
	assert_int_equal(g->bind_failures, 3);
	assert_int_equal(g->failed, 0);
	assert_int_equal(g->nr_flows, 0);
	assert_int_equal(model__totals(s.m)->bind_failures, 3);
	assert_int_equal(model__totals(s.m)->failures, 0);
	assert_int_equal(model__totals(s.m)->lost_user, 0);
	story_end(&s);
}

static void test_services(void **state)
{
	const struct group *master, *worker;
	struct churn_conn client, server;
	struct story s;

	(void)state;
	story_begin(&s, NULL);
	story_process(&s, 10, 1, "/usr/sbin/master", NULL);
	story_process(&s, 11, 10, "/usr/sbin/worker", NULL);
	for (int i = 0; i < 3; i++) { /* by the listener; the close knows better; nobody at first */
		client = dial(&s, 0, PORT);
		server = answer(&s, &client, i == 2 ? 0 : 10);
		opened(&s, &server);
		s.now += MS;
		if (i) {
			server.owner = who(11);
			server.attribution = CHURN_OWNER_EXACT;
		}
		closed(&s, &server, CHURN_END_PEER);
	}
	master = group_named(&s, "master");
	worker = group_named(&s, "worker");
	assert_int_equal(master->accepts, 1);
	assert_int_equal(master->closes, 1);
	assert_int_equal(worker->accepts, 2);
	assert_int_equal(worker->closes, 2);
	assert_int_equal(worker->services[0]->port, PORT);
	assert_int_equal(worker->services[0]->live, 0);
	assert_int_equal(worker->services[0]->closed_by[CHURN_END_PEER], 2);
	assert_int_equal(model__totals(s.m)->accepts, 3);
	assert_int_equal(model__totals(s.m)->unattributed_process, 0);
	assert_null(group_named(&s, "(unknown)")); /* nothing is left in it */
	story_end(&s);
}

static void test_both_ends(void **state)
{
	struct churn_conn client, server;
	struct story s;

	(void)state;
	for (int order = 0; order < 4; order++) {
		story_begin(&s, NULL);
		story_process(&s, 100, 1, "/usr/bin/poller", NULL);
		story_process(&s, 10, 1, "/usr/sbin/server", NULL);
		if (order != 2) {
			one_by_one(&s, 100, PORT, 1, MS, MS, CHURN_END_LOCAL, 0);
			assert_null(flow_of(&s, "poller")->peer);
		}
		client = dial(&s, 100, PORT);
		if (order == 2)
			client.peer_addr[12] = client.local_addr[12] = 10;
		server = answer(&s, &client, order == 3 ? 0 : 10);
		if (order == 2)
			server.netns = 2; /* through a veth pair */
		if (order == 1)
			opened(&s, &server);
		opened(&s, &client);
		if (order == 1)
			assert_int_equal(s.a.peer->id.tgid, 10);
		if (order == 2) { /* over before the accept was heard of */
			s.now += 200 * US;
			closed(&s, &client, CHURN_END_LOCAL);
		}
		if (order != 1)
			opened(&s, &server);
		assert_int_equal(s.a.peer->id.tgid, order == 1 ? 10 : 100);
		s.now += MS;
		server.owner = who(10);
		server.attribution = CHURN_OWNER_EXACT;
		closed(&s, &server, CHURN_END_PEER);
		assert_int_equal(s.a.peer->id.tgid, 100);
		assert_int_equal(flow_of(&s, "poller")->peer->id.tgid, 10);
		if (order != 2) {
			closed(&s, &client, CHURN_END_LOCAL);
			assert_int_equal(s.a.peer->id.tgid, 10);
		}
		story_end(&s);
	}
}

/* Each netns has a loopback of its own: the same four-tuple there is another connection's. */
static void test_loopback_elsewhere(void **state)
{
	for (int elsewhere = 0; elsewhere < 2; elsewhere++) {
		struct churn_conn client, server;
		struct story s;

		(void)state;
		story_begin(&s, NULL);
		story_process(&s, 100, 1, "/usr/bin/poller", NULL);
		story_process(&s, 10, 1, "/usr/sbin/server", NULL);
		client = dial(&s, 100, PORT);
		server = answer(&s, &client, 10);
		server.netns += elsewhere;
		opened(&s, &server);
		opened(&s, &client);
		assert_int_equal(!s.a.peer, elsewhere);
		assert_int_equal(!flow_of(&s, "poller")->peer, elsewhere);
		story_end(&s);
	}
}

/* The four-tuple comes back, to another server: the older one has nothing to do with it. */
static void test_port_used_again(void **state)
{
	struct churn_conn client, server;
	struct story s;

	(void)state;
	story_begin(&s, NULL);
	story_process(&s, 100, 1, "/usr/bin/poller", NULL);
	story_process(&s, 10, 1, "/usr/sbin/old", NULL);
	story_process(&s, 11, 1, "/usr/sbin/new", NULL);
	client = dial(&s, 100, PORT);
	server = answer(&s, &client, 10);
	opened(&s, &client);
	opened(&s, &server);
	s.now += MS;
	closed(&s, &client, CHURN_END_LOCAL);
	closed(&s, &server, CHURN_END_PEER);
	s.now += MS;
	client.id = s.next_id++;
	client.open_ns = s.now;
	client.established_ns = s.now + 10 * US;
	opened(&s, &client);
	assert_null(s.a.peer);
	server = answer(&s, &client, 11);
	opened(&s, &server);
	assert_int_equal(flow_of(&s, "poller")->peer->id.tgid, 11);
	story_end(&s);
}

/* The kernel side and a file may say anything of who closed: what no word exists for is not known,
 * and counts behind no array's end. */
static void test_unknown_initiator(void **state)
{
	static const uint8_t said[] = {CHURN_END__COUNT, 200, UINT8_MAX};
	struct story s;

	(void)state;
	story_begin(&s, NULL);
	for (size_t i = 0; i < sizeof(said); i++) {
		struct churn_conn c = dial(&s, 100, PORT);

		opened(&s, &c);
		closed(&s, &c, (enum churn_initiator)said[i]);
		assert_int_equal(flow_of(&s, "dialer")->closes, i + 1);
		assert_int_equal(flow_of(&s, "dialer")->closed_by[CHURN_END_UNKNOWN], i + 1);
	}
	story_end(&s);
}

static void test_bad_records(void **state)
{
	struct churn_open o = {.h = {.ts_ns = S, .type = 77}};
	struct churn_end e = {.h = {.ts_ns = S, .type = CHURN_CLOSE}};
	struct annotation a;
	struct story s;

	(void)state;
	story_begin(&s, NULL);
	assert_int_equal(model__open(s.m, &o, &a), 0);
	assert_int_equal(model__end(s.m, &e, NULL), 0);
	assert_int_equal(model__totals(s.m)->lost_user, 2);
	e.conn.role = CHURN_CLIENT;
	e.conn.initiator = 200;
	e.cause = 200;
	assert_int_equal(model__end(s.m, &e, &a), 0);
	e.h.type = CHURN_FAILED;
	assert_int_equal(model__end(s.m, &e, &a), 0);
	assert_int_equal(model__totals(s.m)->closes, 1);
	assert_int_equal(model__totals(s.m)->failures, 1);
	story_end(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lost_process_record),
		cmocka_unit_test(test_lost_records),
		cmocka_unit_test(test_one_socket_many_connects),
		cmocka_unit_test(test_without_cookies),
		cmocka_unit_test(test_durations),
		cmocka_unit_test(test_port_search),
		cmocka_unit_test(test_bind_failures),
		cmocka_unit_test(test_services),
		cmocka_unit_test(test_both_ends),
		cmocka_unit_test(test_loopback_elsewhere),
		cmocka_unit_test(test_port_used_again),
		cmocka_unit_test(test_unknown_initiator),
		cmocka_unit_test(test_bad_records),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
