/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include <errno.h>

#include "tests/unit/story.h"

#define PORT   8888
#define MINUTE (60 * S)

static void draw(struct story *s)
{
	story_draw(s, MINUTE, NULL);
	for (uint32_t i = 0; i < s->found.nr; i++) { /* what every finding owes */
		const struct finding *f = &s->found.at[i];

		assert_non_null(f->title);
		assert_non_null(f->fix);
		assert_non_null(f->counter_evidence);
		assert_non_null(f->evidence[0]);
	}
}

static void begin(struct story *s, const char *exe)
{
	story_begin(s, NULL);
	story_process(s, 100, 1, exe, NULL);
	story_stack(s, 1, "check_health", 42);
}

static void test_connection_per_request(void **state)
{
	const struct finding *f;
	struct story s;

	(void)state;
	begin(&s, "/usr/bin/poller");
	for (uint64_t i = 0; i < 413; i++) /* no steady cadence */
		one_by_one(&s, 100, PORT, 1, 2 * MS, (1 + i % 90) * MS, CHURN_END_LOCAL, 1);
	draw(&s);
	assert_int_equal(s.found.nr, 1);
	f = &s.found.at[0];
	assert_string_equal(f->id, "connection-per-request");
	assert_int_equal(f->severity, FINDING_WARNING);
	assert_string_equal(f->group->program, "poller");
	assert_int_equal(f->flow->dest.port, PORT);
	assert_int_equal(f->callsite->frame, 0);
	assert_true(says(f->evidence, "412 of 413 opens to 127.0.0.1:8888 were avoidable with a "
				      "pool of 1"));
	assert_true(says(f->evidence, "first FIN by us in 413 of 413 closes"));
	assert_true(says(f->evidence, "median 1 data segment sent per connection"));
	assert_true(says(f->evidence, "check_health (health.c:42)"));
	assert_null(f->counter_evidence[0]);
	findings__clear(&s.found);
	assert_int_equal(s.found.nr, 0);
	story_end(&s);
}

static void test_what_speaks_against_it(void **state)
{
	uint64_t lost[CHURN_LOST__COUNT] = {[CHURN_LOST_RING_CLOSE] = 4};
	const struct finding *f;
	struct story s;

	(void)state;
	begin(&s, "/usr/bin/poller");
	one_by_one(&s, 100, PORT, 20, 2 * MS, 3 * MS, CHURN_END_LOCAL, 1);
	one_by_one(&s, 100, PORT, 3, 2 * MS, 3 * MS, CHURN_END_PEER, 1);
	failed(&s, dial(&s, 100, PORT), ECONNREFUSED, CHURN_CAUSE_REFUSED);
	model__set_lost(s.m, lost, 0);
	story_draw(&s, 10 * S, NULL);
	f = story_finding(&s, "connection-per-request");
	assert_non_null(f);
	assert_true(says(f->counter_evidence, "3 connections ended by the peer"));
	assert_true(says(f->counter_evidence, "1 open failed"));
	assert_true(says(f->counter_evidence, "4 events lost: counts are lower bounds"));
	assert_true(says(f->counter_evidence, "window of only 10"));
	story_end(&s);
}

static void test_fixes_in_the_runtime_s_words(void **state)
{
	static const struct {
		const char *exe, *fix;
	} cases[] = {
		{"/usr/bin/python3.11", "requests.Session"},
		{"/usr/bin/node", "http.Agent({keepAlive: true})"},
		{"/usr/bin/java", "HttpClient"},
		{"/usr/sbin/haproxy", "http-reuse always"},
		{"/usr/sbin/nginx", "'keepalive N' in the upstream block"},
		{"/usr/bin/php8.2", "curl handle"},
		{"/usr/bin/curl", "one process per request cannot reuse"},
		{"/opt/app", "open the connection once"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct story s;

		begin(&s, cases[i].exe);
		one_by_one(&s, 100, PORT, 20, 2 * MS, 3 * MS, CHURN_END_LOCAL, 1);
		draw(&s);
		assert_int_equal(s.found.nr, 1);
		assert_non_null(strstr(s.found.at[0].fix, cases[i].fix));
		story_end(&s);
	}
}

static void test_controls_are_silent(void **state)
{
	struct churn_conn pooled;
	struct churn_end e;
	struct story s;

	(void)state;
	begin(&s, "/usr/bin/poller");
	pooled = dial(&s, 100, PORT); /* one connection for all */
	opened(&s, &pooled);
	s.now += 55 * S;
	e = ended(&s, &pooled, CHURN_END_LOCAL, 0);
	e.data_segs_out = 5000;
	tell_end(&s, &e);
	for (uint16_t i = 1; i <= 300; i++) { /* a crawler */
		pooled = dial(&s, 100, i);
		opened(&s, &pooled);
		s.now += 100 * MS;
		closed(&s, &pooled, CHURN_END_LOCAL);
	}
	for (uint32_t i = 0; i < 40; i++) { /* 40 programs, a connection each, at odd times */
		story_process(&s, 200 + i, 50, "/usr/bin/curl", NULL);
		one_by_one(&s, 200 + i, PORT, 1, MS, i * i * MS, CHURN_END_LOCAL, 0);
	}
	draw(&s);
	assert_int_equal(s.found.nr, 0);
	story_end(&s);
}

static void test_peer_closes(void **state)
{
	const struct finding *f;
	struct churn_conn c;
	struct churn_end e;
	struct story s;

	(void)state;
	begin(&s, "/usr/bin/poller");
	story_process(&s, 10, 1, "/usr/sbin/server", NULL);
	for (uint64_t i = 0; i < 20; i++) {
		c = dial(&s, 100, PORT);
		c.stack = 1;
		opened(&s, &c);
		if (!i) {
			struct churn_conn server = answer(&s, &c, 10);

			opened(&s, &server);
		}
		s.now += 5 * MS;
		closed(&s, &c, CHURN_END_PEER);
		s.now += (1 + i * i) * MS;
	}
	draw(&s);
	assert_int_equal(s.found.nr, 1);
	f = &s.found.at[0];
	assert_string_equal(f->id, "peer-closes");
	assert_true(says(f->evidence, "first FIN by the peer in 20 of 20 closes"));
	assert_true(says(f->evidence, "the peer is server, process 10 on this host"));
	story_end(&s);

	/* After a long idle time it is a keep-alive timeout, and no finding. */
	begin(&s, "/usr/bin/poller");
	for (uint64_t i = 0; i < 5; i++) {
		c = dial(&s, 100, PORT);
		opened(&s, &c);
		s.now += 5 * S + i * S;
		e = ended(&s, &c, CHURN_END_PEER, 5 * S);
		tell_end(&s, &e);
	}
	draw(&s);
	assert_null(story_finding(&s, "peer-closes"));
	story_end(&s);
}

static void test_polling(void **state)
{
	const struct finding *f;
	struct story s;

	(void)state;
	begin(&s, "/usr/bin/poller");
	for (uint64_t i = 0; i < 20; i++)
		one_by_one(&s, 100, PORT, 1, 2 * MS, (98 + i % 3) * MS, CHURN_END_LOCAL, 1);
	draw(&s);
	f = story_finding(&s, "polling");
	assert_non_null(f);
	assert_int_equal(f->severity, FINDING_INFO);
	assert_non_null(story_finding(&s, "connection-per-request"));
	assert_ptr_equal(f, &s.found.at[1]); /* the worse one first */
	assert_true(says(f->evidence, "20 of 20 opens come from check_health"));
	assert_true(says(f->evidence, "at this cadence: "));
	assert_true(says(f->evidence, "10 times as many: "));
	assert_true(says(f->evidence, "of the default range of 28,232 ports"));
	story_end(&s);

	begin(&s, "/usr/bin/poller"); /* unsteady; too few; too fast */
	for (uint64_t i = 0; i < 30; i++)
		one_by_one(&s, 100, PORT, 1, 2 * MS, (30 + i * 7 % 80) * MS, CHURN_END_LOCAL, 1);
	one_by_one(&s, 100, PORT + 1, 4, 2 * MS, 98 * MS, CHURN_END_LOCAL, 1);
	one_by_one(&s, 100, PORT + 2, 50, 2 * MS, 3 * MS, CHURN_END_LOCAL, 1);
	draw(&s);
	assert_null(story_finding(&s, "polling"));
	story_end(&s);
}

static void test_polling_costs_nothing_here(void **state)
{
	const struct finding *f;
	struct story s;

	(void)state;
	begin(&s, "/usr/bin/poller");
	one_by_one(&s, 100, PORT, 20, 2 * MS, 98 * MS, CHURN_END_PEER, 1);
	draw(&s);
	f = story_finding(&s, "polling");
	assert_non_null(f);
	assert_false(says(f->evidence, "TIME_WAIT"));
	assert_true(says(f->counter_evidence, "this side does not hold TIME_WAIT"));
	story_end(&s);

	begin(&s, "/usr/bin/poller"); /* a quarter of them do */
	for (int i = 0; i < 5; i++) {
		one_by_one(&s, 100, PORT, 3, 2 * MS, 98 * MS, CHURN_END_PEER, 1);
		one_by_one(&s, 100, PORT, 1, 2 * MS, 98 * MS, CHURN_END_LOCAL, 1);
	}
	draw(&s);
	f = story_finding(&s, "polling");
	assert_non_null(f);
	assert_true(says(f->evidence, "at this cadence: 150 sockets in TIME_WAIT"));
	assert_true(says(f->counter_evidence, "only 5 of 20 closes left its port in TIME_WAIT"));
	f = story_finding(&s, "peer-closes");
	assert_non_null(f);
	assert_non_null(strstr(f->title, " ends most connections of "));
	story_end(&s);
}

static void exhaust(struct story *s, uint32_t tgid, uint16_t port, int times)
{
	for (int i = 0; i < times; i++) {
		s->now += (uint64_t)(i * i) * 10 * US;
		failed(s, dial(s, tgid, port), EADDRNOTAVAIL, CHURN_CAUSE_EPHEMERAL_EXHAUSTED);
	}
}

static void test_port_exhaustion_blames_another(void **state)
{
	const struct finding *f;
	struct story s;

	(void)state;
	begin(&s, "/usr/bin/poller");
	story_process(&s, 20, 1, "/usr/sbin/dnsfwd", NULL);
	one_by_one(&s, 20, PORT, 1, MS, MS, CHURN_END_LOCAL, 0);
	one_by_one(&s, 100, PORT, 3000, 100 * US, 100 * US, CHURN_END_LOCAL, 1);
	one_by_one(&s, 100, PORT + 1, 5000, 100 * US, 100 * US, CHURN_END_LOCAL, 1);
	exhaust(&s, 20, PORT, 7);
	exhaust(&s, 100, PORT, 12);
	draw(&s);
	f = &s.found.at[0];
	assert_string_equal(f->id, "port-exhaustion");
	assert_int_equal(f->severity, FINDING_CRITICAL);
	assert_string_equal(f->group->program, "dnsfwd");
	assert_int_equal(f->flow->dest.port, PORT);
	assert_string_equal(f->culprit->program, "poller");
	assert_int_equal(f->culprit_flow->dest.port, PORT);
	assert_non_null(strstr(f->title, "poller holds them"));
	assert_true(says(f->evidence, "7 of 8 opens by dnsfwd [pid 20] failed"));
	assert_true(says(f->evidence, "poller fails too: 12 times"));
	assert_true(
		says(f->evidence,
		     "poller [pid 100] holds 3,000 of the 3,001 ports seen taken, 100 %: 3,000 in "
		     "TIME_WAIT, 0 open connections; taken in check_health (health.c:42)"));
	assert_true(
		says(f->evidence, "dnsfwd [pid 20] holds 1 of the 3,001 ports seen taken, 0 %"));
	assert_int_equal(f->nr_holders, 2);
	assert_string_equal(f->holders[0].flow->group->program, "poller");
	assert_int_equal(f->holders[0].nr, 3000);
	assert_int_equal(f->holders[0].of, 3001);
	for (uint32_t i = 1; i < s.found.nr; i++)
		assert_string_not_equal(s.found.at[i].id, "port-exhaustion");
	story_end(&s);
}

static void test_port_exhaustion_of_its_own(void **state)
{
	const struct finding *f;
	struct story s;

	(void)state;
	begin(&s, "/usr/bin/poller");
	exhaust(&s, 100, PORT, 5); /* the holders are older than the trace */
	draw(&s);
	assert_int_equal(s.found.nr, 1);
	assert_null(s.found.at[0].culprit);
	assert_true(says(s.found.at[0].counter_evidence, "before the trace began"));
	assert_non_null(strstr(s.found.at[0].fix, "find out who holds the ports"));
	one_by_one(&s, 100, PORT, 10, MS, MS, CHURN_END_LOCAL, 1);
	draw(&s);
	f = story_finding(&s, "port-exhaustion");
	assert_non_null(f);
	assert_ptr_equal(f->culprit, f->group);
	assert_true(says(f->evidence, "holds 10 of the 10 ports seen taken, 100 %"));
	story_end(&s);
}

/* One finding for a pool, however many suffer; none of a program with another local address. */
static void test_port_exhaustion_once_a_pool(void **state)
{
	const struct finding *f;
	struct story s;
	int nr = 0;

	(void)state;
	begin(&s, "/usr/bin/poller");
	story_process(&s, 20, 1, "/usr/sbin/dnsfwd", NULL);
	story_process(&s, 30, 1, "/usr/sbin/mailer", NULL);
	story_process(&s, 40, 1, "/usr/sbin/other", NULL);
	one_by_one(&s, 100, PORT, 300, 100 * US, 100 * US, CHURN_END_LOCAL, 1);
	for (int i = 0; i < 500; i++) {
		struct churn_conn c = dial(&s, 40, PORT);

		c.local_addr[15] = 2;
		opened(&s, &c);
		closed(&s, &c, CHURN_END_LOCAL);
	}
	exhaust(&s, 30, PORT, 9);
	exhaust(&s, 20, PORT, 7);
	draw(&s);
	for (uint32_t i = 0; i < s.found.nr; i++)
		nr += !strcmp(s.found.at[i].id, "port-exhaustion");
	assert_int_equal(nr, 1);
	f = &s.found.at[0];
	assert_string_equal(f->group->program, "mailer");
	assert_string_equal(f->culprit->program, "poller");
	assert_true(says(f->evidence, "9 of 9 opens by mailer [pid 30] failed"));
	assert_true(says(f->evidence, "7 of 7 opens by dnsfwd [pid 20] failed"));
	assert_false(says(f->evidence, "other"));
	assert_int_equal(f->nr_holders, 1);
	story_end(&s);
}

/* What was in TIME_WAIT a minute ago holds no port any more. */
static void test_ports_come_free_again(void **state)
{
	const struct finding *f;
	struct story s;

	(void)state;
	begin(&s, "/usr/bin/poller");
	story_process(&s, 20, 1, "/usr/sbin/dnsfwd", NULL);
	one_by_one(&s, 20, PORT, 300, MS, MS, CHURN_END_LOCAL, 0);
	s.now += 59 * S;
	one_by_one(&s, 100, PORT, 3, MS, MS, CHURN_END_LOCAL, 1);
	assert_int_equal(flow_of(&s, "dnsfwd")->parked, 300);
	s.now += 3 * S;
	exhaust(&s, 20, PORT, 1);
	assert_int_equal(flow_of(&s, "dnsfwd")->parked, 0);
	assert_int_equal(flow_of(&s, "dnsfwd")->time_wait, 300);
	draw(&s);
	f = story_finding(&s, "port-exhaustion");
	assert_string_equal(f->culprit->program, "poller");
	assert_int_equal(f->nr_holders, 1);
	assert_int_equal(f->holders[0].nr, 3);
	story_end(&s);
}

static void test_empty(void **state)
{
	struct story s;

	(void)state;
	story_begin(&s, NULL);
	draw(&s);
	assert_int_equal(s.found.nr, 0);
	story_end(&s);
}

static void test_names_are_all(void **state)
{
	char names[] = FINDING_NAMES, *rest = names, *name;
	uint32_t bits = 0, bit;

	(void)state;
	while ((name = strsep(&rest, ","))) {
		bit = finding_bit(name + strspn(name, " "));
		assert_int_not_equal(bit, 0);
		assert_int_equal(bits & bit, 0);
		bits |= bit;
	}
	assert_int_equal(bits & (bits + 1), 0); /* but for the last ids, none is left out */
	assert_int_equal(finding_bit("doom"), 0);
	assert_int_equal(finding_bit(""), 0);
}

/* A proxy with three backends does one thing wrong, not three; another program, and another place
 * in the code, are other causes. */
static void test_one_cause_leads(void **state)
{
	uint32_t leaders = 0, under[3] = {0};
	struct story s;

	(void)state;
	begin(&s, "/usr/bin/proxy");
	story_process(&s, 20, 1, "/usr/bin/other", NULL);
	story_stack(&s, 2, "other_place", 7);
	one_by_one(&s, 100, PORT, 60, 2 * MS, 3 * MS, CHURN_END_LOCAL, 1);
	one_by_one(&s, 100, PORT + 1, 40, 2 * MS, 3 * MS, CHURN_END_LOCAL, 1);
	one_by_one(&s, 100, PORT + 2, 20, 2 * MS, 98 * MS, CHURN_END_LOCAL, 1); /* polls, too */
	one_by_one(&s, 20, PORT, 30, 2 * MS, 3 * MS, CHURN_END_LOCAL, 2);
	draw(&s);
	assert_int_equal(s.found.nr, 5);
	for (uint32_t i = 0; i < s.found.nr; i++) {
		const struct finding *f = &s.found.at[i];

		if (f->under == FINDING_LEADS) {
			leaders++;
			continue;
		}
		assert_true(f->under < i);
		assert_int_equal(s.found.at[f->under].under, FINDING_LEADS);
		assert_ptr_equal(s.found.at[f->under].group, f->group);
		under[f->under]++;
	}
	assert_int_equal(leaders, 2);
	assert_int_equal(s.found.at[0].flow->dest.port, PORT);
	assert_string_equal(s.found.at[0].group->program, "proxy");
	assert_int_equal(under[0], 3);
	story_end(&s);
}

static void test_another_place_is_another_cause(void **state)
{
	struct story s;

	(void)state;
	begin(&s, "/usr/bin/proxy");
	story_stack(&s, 2, "other_place", 7);
	one_by_one(&s, 100, PORT, 60, 2 * MS, 3 * MS, CHURN_END_LOCAL, 1);
	one_by_one(&s, 100, PORT + 1, 40, 2 * MS, 3 * MS, CHURN_END_LOCAL, 2);
	draw(&s);
	assert_int_equal(s.found.nr, 2);
	assert_int_equal(s.found.at[0].under, FINDING_LEADS);
	assert_int_equal(s.found.at[1].under, FINDING_LEADS);
	story_end(&s);
}

/* --- clients of one call ---------------------------------------------------------------------- */

/* `n` connections, each `life` long, `idle` at its end, `pause` after the one before, and
 * judged. */
static void judged(struct story *s, int n, enum churn_activation verdict, uint64_t life,
		   uint64_t idle, uint64_t pause)
{
	for (int i = 0; i < n; i++) {
		struct churn_conn c = dial(s, 100, PORT);
		struct churn_end e;

		c.stack = 1;
		opened(s, &c);
		s->now += life;
		e = ended(s, &c, CHURN_END_LOCAL, idle);
		e.activation = (uint8_t)verdict;
		tell_end(s, &e);
		s->now += pause;
	}
}

static const struct callsite *judged_site(struct story *s)
{
	draw(s);
	return &flow_of(s, "poller")->callsites[0];
}

static void test_client_of_one_call(void **state)
{
	static const struct {
		enum churn_activation verdict;
		uint64_t life, idle, pause; /* ms */
		uint64_t owned;
	} cases[] = {
		/* Opened in one call, closed in the next one. */
		{CHURN_ACTIVATION_LATER, 20, 20, 20, 0},
		{CHURN_ACTIVATION_LATER, 4, 0, 4, 0},
		{CHURN_ACTIVATION_LATER, 60000, 59990, 60000, 0},
		/* In a with statement: in use, or short. */
		{CHURN_ACTIVATION_LATER, 40, 0, 40, 30},
		{CHURN_ACTIVATION_LATER, 2, 0, 20, 30},
		/* What stood there at open is gone: that needs no second sign. */
		{CHURN_ACTIVATION_RETURNED, 20, 20, 20, 30},
		/* Never, whatever the times. */
		{CHURN_ACTIVATION_EARLIER, 2, 0, 20, 0},
		{CHURN_ACTIVATION_ELSEWHERE, 2, 0, 20, 0},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const struct callsite *c;
		const struct finding *f;
		struct story s;

		begin(&s, "/usr/bin/poller");
		judged(&s, 30, cases[i].verdict, cases[i].life * MS, cases[i].idle * MS,
		       cases[i].pause * MS);
		c = judged_site(&s);
		f = story_finding(&s, "function-local-client");
		assert_int_equal(c->ends[cases[i].verdict], 30);
		/* Of the first one, no interval may be known when it ends. */
		assert_true(c->owner_ends <= cases[i].owned && c->owner_ends + 1 >= cases[i].owned);
		assert_int_equal(f != NULL, cases[i].owned > 0);
		assert_true(!f || says(f->evidence, "of 30 connections looked at were opened in a "
						    "call of check_health"));
		story_end(&s);
	}
}

/* Until the next call, where calls come at random: 5 ms on average. */
static uint64_t until_next_call(uint32_t *random)
{
	uint64_t us = 0;

	do {
		*random = *random * 1664525 + 1013904223;
		us += 50;
	} while (*random >> 16 >= 65536 / 100);
	return us * US;
}

/* Calls that open and close in turn, but at no steady pace: no life is near half an interval. */
static void test_clients_in_turn_at_random(void **state)
{
	(void)state;
	for (uint32_t seed = 1; seed <= 200; seed++) {
		uint32_t random = seed;
		struct story s;

		begin(&s, "/usr/bin/poller");
		for (int i = 0; i < 30; i++) {
			uint64_t life = until_next_call(&random);

			judged(&s, 1, CHURN_ACTIVATION_LATER, life, 0, until_next_call(&random));
		}
		draw(&s);
		if (story_finding(&s, "function-local-client"))
			fail_msg("seed %u: %lu of 30 are believed", seed,
				 judged_site(&s)->owner_ends);
		story_end(&s);
	}
}

/* What is not believed speaks against it, and silences it when it is too much. */
static void test_client_of_one_call_mixed(void **state)
{
	const struct finding *f;
	struct story s;

	(void)state;
	begin(&s, "/usr/bin/poller");
	judged(&s, 26, CHURN_ACTIVATION_LATER, 40 * MS, 0, 40 * MS);
	judged(&s, 4, CHURN_ACTIVATION_LATER, 40 * MS, 40 * MS, 40 * MS);
	assert_int_equal(judged_site(&s)->owner_ends, 26);
	f = story_finding(&s, "function-local-client");
	assert_non_null(f);
	assert_true(says(f->evidence, "26 of 30 connections looked at"));
	assert_true(
		says(f->counter_evidence, "4 connections ended otherwise, or maybe in a later"));
	judged(&s, 4, CHURN_ACTIVATION_LATER, 40 * MS, 40 * MS, 40 * MS);
	assert_int_equal(judged_site(&s)->owner_ends, 26);
	assert_null(story_finding(&s, "function-local-client"));
	story_end(&s);
}

/* What stands for an unknown caller is said as it is: without an offset in a file. */
static void test_unknown_caller(void **state)
{
	char module[] = "[node: from its event loop, caller unknown]";
	struct frame frame = {.module = module};
	const struct stack_trace t = {.id = 1, .nr = 1, .language = "nodejs", .frames = &frame};
	const struct finding *f;
	struct story s;

	(void)state;
	story_begin(&s, NULL);
	story_process(&s, 100, 1, "/usr/bin/node", NULL);
	assert_int_equal(model__stack(s.m, &t), 0);
	one_by_one(&s, 100, PORT, 30, 2 * MS, 20 * MS, CHURN_END_LOCAL, 1);
	draw(&s);
	f = story_finding(&s, "connection-per-request");
	assert_non_null(f);
	assert_true(says(f->evidence, "come from [node: from its event loop, caller unknown]"));
	assert_false(says(f->evidence, "unknown]+0x0"));
	story_end(&s);
}

/* A module is run once: "in each call of <module>" would be nonsense. */
static void test_client_of_a_script(void **state)
{
	static const char *const functions[] = {"<module>", "poll"};
	static const char *const said[] = {
		"likely makes a client in each round of a loop in <module> (",
		"likely makes a client in each call of poll (",
	};

	(void)state;
	for (int i = 0; i < 2; i++) {
		const struct finding *f;
		struct story s;

		story_begin(&s, NULL);
		story_process(&s, 100, 1, "/usr/bin/poller", NULL);
		story_stack(&s, 1, functions[i], 42);
		judged(&s, 30, CHURN_ACTIVATION_LATER, 2 * MS, 0, 20 * MS);
		draw(&s);
		f = story_finding(&s, "function-local-client");
		assert_non_null(f);
		assert_non_null(strstr(f->title, said[i]));
		story_end(&s);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names_are_all),
		cmocka_unit_test(test_empty),
		cmocka_unit_test(test_connection_per_request),
		cmocka_unit_test(test_what_speaks_against_it),
		cmocka_unit_test(test_fixes_in_the_runtime_s_words),
		cmocka_unit_test(test_controls_are_silent),
		cmocka_unit_test(test_peer_closes),
		cmocka_unit_test(test_polling),
		cmocka_unit_test(test_polling_costs_nothing_here),
		cmocka_unit_test(test_one_cause_leads),
		cmocka_unit_test(test_another_place_is_another_cause),
		cmocka_unit_test(test_port_exhaustion_blames_another),
		cmocka_unit_test(test_port_exhaustion_of_its_own),
		cmocka_unit_test(test_port_exhaustion_once_a_pool),
		cmocka_unit_test(test_ports_come_free_again),
		cmocka_unit_test(test_client_of_one_call),
		cmocka_unit_test(test_client_of_one_call_mixed),
		cmocka_unit_test(test_client_of_a_script),
		cmocka_unit_test(test_unknown_caller),
		cmocka_unit_test(test_clients_in_turn_at_random),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
