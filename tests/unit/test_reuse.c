/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "tests/unit/story.h"
#include "user/model/reuse.h"

#define PORT 8888

static uint64_t avoidable(struct story *s)
{
	return model__totals(s->m)->avoidable;
}

static void begin(struct story *s)
{
	story_begin(s, NULL);
	story_process(s, 100, 1, "/usr/bin/poller", NULL);
}

static void test_sequential(void **state)
{
	struct story s;
	const struct flow *f;

	(void)state;
	begin(&s);
	one_by_one(&s, 100, PORT, 413, 2 * MS, 20 * MS, CHURN_END_LOCAL, 0);
	f = flow_of(&s, "poller");
	assert_int_equal(f->opens, 413);
	assert_int_equal(f->avoidable, 412);
	assert_int_equal(f->pool_peak, 1);
	assert_int_equal(f->live, 0);
	assert_int_equal(f->time_wait, 413);
	story_end(&s);
}

/* The peer closes late: each close is reported after the next open, as on a real loopback. */
static void test_sequential_with_lingering_closes(void **state)
{
	struct churn_conn previous = {0};
	struct story s;
	const struct flow *f;

	(void)state;
	begin(&s);
	for (int i = 0; i < 100; i++) {
		struct churn_conn c = dial(&s, 100, PORT);

		opened(&s, &c);
		if (i) {
			struct churn_end e;

			s.now += 50 * US;
			e = ended(&s, &previous, CHURN_END_LOCAL, 4 * MS);
			e.ending_ns = c.open_ns - 10 * US; /* our FIN, before the next open */
			tell_end(&s, &e);
			assert_int_equal(s.a.avoidable, i > 1);
		}
		previous = c;
		s.now += 500 * US;
	}
	f = flow_of(&s, "poller");
	assert_int_equal(f->avoidable, 99);
	assert_int_equal(f->pool_peak, 1);
	story_end(&s);
}

/* k threads, each in a loop, out of step; the closes linger beyond the next open. */
static void run_threads(struct story *s, int k, int rounds, uint64_t lag)
{
	struct churn_conn *live = calloc((size_t)k, sizeof(*live));
	struct churn_conn *old = calloc((size_t)k, sizeof(*old));
	uint64_t *fin = calloc((size_t)k, sizeof(*fin));

	assert_true(live && old && fin);
	for (int r = 0; r < rounds; r++) {
		for (int t = 0; t < k; t++) {
			s->now += 100 * US;
			old[t] = live[t];
			fin[t] = s->now;
			s->now += 10 * US;
			live[t] = dial(s, 100, PORT);
			opened(s, &live[t]);
			if (r) {
				struct churn_end e;

				s->now += lag;
				e = ended(s, &old[t], CHURN_END_LOCAL, lag + 40 * US);
				e.ending_ns = fin[t];
				tell_end(s, &e);
			}
		}
	}
	free(live);
	free(old);
	free(fin);
}

static void test_threads(void **state)
{
	static const int threads[] = {2, 8, 300};

	(void)state;
	for (size_t i = 0; i < sizeof(threads) / sizeof(threads[0]); i++) {
		uint64_t k = (uint64_t)threads[i];
		const struct flow *f;
		struct story s;

		begin(&s);
		run_threads(&s, threads[i], 20, 60 * US);
		f = flow_of(&s, "poller");
		assert_int_equal(f->opens, 20 * k);
		assert_int_equal(f->avoidable, 19 * k);
		assert_int_equal(f->pool_peak, k);
		story_end(&s);
	}
}

/* All at once, then all gone, again and again. */
static void test_waves(void **state)
{
	struct churn_conn c[10];
	const struct flow *f;
	struct story s;

	(void)state;
	begin(&s);
	for (int wave = 0; wave < 5; wave++) {
		for (int i = 0; i < 10; i++) {
			c[i] = dial(&s, 100, PORT);
			opened(&s, &c[i]);
			s.now += MS;
		}
		for (int i = 0; i < 10; i++)
			closed(&s, &c[i], CHURN_END_LOCAL);
		s.now += S;
	}
	f = flow_of(&s, "poller");
	assert_int_equal(f->avoidable, 40);
	assert_int_equal(f->pool_peak, 10);
	assert_int_equal(f->live_peak, 10);
	story_end(&s);
}

static void test_controls(void **state)
{
	struct churn_conn pooled, c;
	struct story s;

	(void)state;
	begin(&s);
	pooled = dial(&s, 100, PORT); /* one connection, open long */
	opened(&s, &pooled);
	s.now += 60 * S;
	closed(&s, &pooled, CHURN_END_LOCAL);
	assert_int_equal(avoidable(&s), 0);

	for (uint16_t port = 1; port <= 200; port++) { /* a crawler */
		c = dial(&s, 100, port);
		opened(&s, &c);
		s.now += MS;
		closed(&s, &c, CHURN_END_LOCAL);
	}
	assert_int_equal(avoidable(&s), 0);
	story_end(&s);
}

/* The server's FIN comes with the answer; our own close comes later, and its record later still. */
static void test_server_closes_first(void **state)
{
	struct churn_conn previous = {0};
	struct story s;

	(void)state;
	for (int known = 0; known < 2; known++) {
		begin(&s);
		for (int i = 0; i < 100; i++) {
			struct churn_conn c = dial(&s, 100, PORT);

			opened(&s, &c);
			if (i) {
				struct churn_end e;

				s.now += 60 * US;
				e = ended(&s, &previous, CHURN_END_PEER, 8 * MS);
				e.ending_ns = known ? previous.established_ns + 200 * US : 0;
				tell_end(&s, &e);
			}
			previous = c;
			s.now += 10 * MS;
		}
		assert_int_equal(avoidable(&s), 0);
		story_end(&s);
	}
}

/* The server drops idle connections after 5 s: an open meanwhile was avoidable, one after not. */
static void test_idle_until_the_peer_closes(void **state)
{
	struct churn_conn a, b, c;
	struct churn_end e;
	struct story s;

	(void)state;
	begin(&s);
	a = dial(&s, 100, PORT);
	opened(&s, &a);
	s.now += 2 * S;
	b = dial(&s, 100, PORT);
	opened(&s, &b);
	assert_false(s.a.avoidable); /* not known yet */
	s.now += 3 * S;
	e = ended(&s, &a, CHURN_END_PEER, 5 * S - 10 * MS);
	tell_end(&s, &e);
	assert_int_equal(avoidable(&s), 1);
	s.now += S;
	c = dial(&s, 100, PORT);
	opened(&s, &c);
	s.now += MS;
	closed(&s, &b, CHURN_END_LOCAL);
	assert_true(s.a.avoidable);
	assert_int_equal(avoidable(&s), 1); /* b was busy to its end: c stays */
	story_end(&s);
}

static void test_window(void **state)
{
	struct story s;

	(void)state;
	begin(&s);
	one_by_one(&s, 100, PORT, 2, MS, 29 * S, CHURN_END_LOCAL, 0);
	assert_int_equal(avoidable(&s), 1);
	s.now += 2 * S; /* 31 s after the close */
	one_by_one(&s, 100, PORT, 1, MS, 0, CHURN_END_LOCAL, 0);
	assert_int_equal(avoidable(&s), 1);
	story_end(&s);
}

static void test_what_offers_nothing(void **state)
{
	static const enum churn_initiator ends[] = {CHURN_END_EXIT, CHURN_END_RESET,
						    CHURN_END_TIMEOUT, CHURN_END_UNKNOWN};
	struct churn_conn c;
	struct churn_end e;
	struct story s;

	(void)state;
	begin(&s);
	for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++)
		one_by_one(&s, 100, PORT, 3, MS, MS, ends[i], 0);
	assert_int_equal(avoidable(&s), 0);

	/* An RST of ours offers what an exchange has proved to work. */
	c = dial(&s, 100, PORT);
	opened(&s, &c);
	s.now += MS;
	e = ended(&s, &c, CHURN_END_ABORT, 0);
	e.bytes_sent = e.bytes_received = 0;
	tell_end(&s, &e);
	s.now += MS;
	one_by_one(&s, 100, PORT, 1, MS, MS, CHURN_END_ABORT, 0);
	assert_int_equal(avoidable(&s), 0);
	one_by_one(&s, 100, PORT, 1, MS, MS, CHURN_END_ABORT, 0);
	assert_int_equal(avoidable(&s), 1);
	failed(&s, dial(&s, 100, PORT), 111, CHURN_CAUSE_REFUSED);
	assert_int_equal(avoidable(&s), 1);
	story_end(&s);
}

static void test_another_process_has_another_pool(void **state)
{
	struct story s;

	(void)state;
	story_begin(&s, NULL);
	for (uint32_t i = 0; i < 40; i++) {
		story_process(&s, 200 + i, 50, "/usr/bin/curl", NULL);
		one_by_one(&s, 200 + i, PORT, 1, MS, MS, CHURN_END_LOCAL, 0);
	}
	assert_int_equal(avoidable(&s), 0);
	story_end(&s);
}

/* Each slot spares one open, most recent first; a slot once used is gone. */
static void test_matching(void **state)
{
	struct reuse r = {0};
	struct reuse_open o = {.open_ns = 500, .at_once = 1}, spared;
	struct reuse_slot a = {.since_ns = 100, .until_ns = 1000};
	struct reuse_slot b = {.since_ns = 200, .until_ns = 700};

	(void)state;
	assert_int_equal(reuse__close(&r, a, &spared), 0);
	assert_int_equal(reuse__close(&r, b, &spared), 0);
	assert_int_equal(reuse__open(&r, &o), 1); /* takes b */
	o.open_ns = 800;
	assert_int_equal(reuse__open(&r, &o), 1); /* a is still there */
	o.open_ns = 900;
	assert_int_equal(reuse__open(&r, &o), 0);
	o.open_ns = 950;
	o.at_once = 2;
	assert_int_equal(reuse__open(&r, &o), 0);
	assert_int_equal(reuse__peak(&r), 2);
	a.since_ns = 850;
	assert_int_equal(reuse__close(&r, a, &spared), 1);
	assert_int_equal(spared.open_ns, 900);
	assert_int_equal(reuse__peak(&r), 1);
	a.since_ns = 960;
	assert_int_equal(reuse__close(&r, a, &spared), 0); /* too late for the open at 950 */
	reuse__clear(&r);
}

static void test_bounds(void **state)
{
	struct reuse r = {0};
	struct reuse_open spared;

	(void)state;
	for (uint32_t i = 1; i <= 100000; i++) {
		struct reuse_open o = {.open_ns = i, .at_once = i};

		assert_int_equal(reuse__open(&r, &o), 0);
	}
	assert_true(r.nr_opens <= 1024);
	assert_int_equal(reuse__peak(&r), 100000);
	for (uint64_t i = 1; i <= 100000; i++) {
		struct reuse_slot idle = {.since_ns = S + i, .until_ns = 2 * S};
		struct reuse_slot over = {.since_ns = S + i, .until_ns = S + i, .over = true};

		assert_int_equal(reuse__close(&r, idle, &spared), 0);
		assert_int_equal(reuse__close(&r, over, &spared), 0);
	}
	assert_true(r.nr_idle <= 4096);
	assert_true(r.nr_late <= 16);
	reuse__clear(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sequential),
		cmocka_unit_test(test_sequential_with_lingering_closes),
		cmocka_unit_test(test_threads),
		cmocka_unit_test(test_waves),
		cmocka_unit_test(test_controls),
		cmocka_unit_test(test_server_closes_first),
		cmocka_unit_test(test_idle_until_the_peer_closes),
		cmocka_unit_test(test_window),
		cmocka_unit_test(test_what_offers_nothing),
		cmocka_unit_test(test_another_process_has_another_pool),
		cmocka_unit_test(test_matching),
		cmocka_unit_test(test_bounds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
