/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Findings on invented hosts: collisions, leaks, full queues. */
#include <errno.h>

#include "tests/unit/story.h"

#include "user/model/census.h"

#define PORT   8888
#define SHOP   10
#define STOCK  20
#define WINDOW (60 * S)

static const struct process_identity stock = {
	.id = {.start_ns = STOCK * S, .tgid = STOCK, .exec_id = 1}, .comm = "stock"};

/* Every file is the stock's. */
static void find_owner(void *ctx, const struct tcp_socket *s, struct leak_owner *who)
{
	(void)ctx;
	if (s->inode)
		*who = (struct leak_owner){.process = &stock, .fd_count = 1000, .fd_limit = 1024};
}

static void begin(struct story *s)
{
	story_begin(s, NULL);
	story_process(s, SHOP, 1, "/usr/bin/shop", NULL);
	story_process(s, STOCK, 1, "/usr/bin/stock", NULL);
}

/* --- collisions ------------------------------------------------------------------------------- */

/* The shop asks and closes; `tgid` never does. Returns the accepting end. */
static struct churn_conn leak_one_of(struct story *s, struct churn_conn *client, uint32_t tgid)
{
	struct churn_conn server;

	*client = dial(s, SHOP, PORT);
	server = answer(s, client, tgid);
	opened(s, &server);
	opened(s, client);
	s->now += MS;
	closed(s, client, CHURN_END_LOCAL);
	s->now += 10 * S; /* longer than ended connections are kept */
	return server;
}

static struct churn_conn leak_one(struct story *s, struct churn_conn *client)
{
	return leak_one_of(s, client, STOCK);
}

/* connect() again from the same port, which takes `took`. */
static struct churn_conn dial_again(struct story *s, const struct churn_conn *first, uint64_t took)
{
	struct churn_conn c = dial(s, SHOP, PORT);

	c.local_port = first->local_port;
	c.established_ns = c.open_ns + took;
	return c;
}

static void end_by_rst(struct story *s, const struct churn_conn *server, int error)
{
	struct churn_end e = ended(s, server, CHURN_END_PEER, 0);

	e.ending_ns = s->now - 10 * S;
	e.error = (uint16_t)error;
	tell_end(s, &e);
}

static const struct collisions *collisions_of(struct story *s)
{
	return flow_of(s, "shop")->collisions;
}

static void test_healed(void **state)
{
	struct churn_conn first, server, again;
	const struct finding *f;
	struct story s;

	(void)state;
	begin(&s);
	server = leak_one(&s, &first);
	again = dial_again(&s, &first, 10 * MS);
	s.now += 8 * MS;
	end_by_rst(&s, &server, EPIPE);
	s.now += 2 * MS;
	opened(&s, &again);
	assert_non_null(collisions_of(&s));
	assert_int_equal(collisions_of(&s)->healed, 1);
	assert_int_equal(collisions_of(&s)->hung, 0);
	assert_int_equal(collisions_of(&s)->waited_ns, 10 * S);
	story_draw(&s, WINDOW, NULL);
	f = story_finding(&s, "stale-close-wait-collision");
	assert_non_null(f);
	assert_int_equal(f->severity, FINDING_WARNING);
	assert_non_null(strstr(f->title, "stock [pid 20] has not closed"));
	assert_true(says(f->evidence, "1 of 2 connects took 10 ms"));
	story_end(&s);
}

/* What is told of one is of that one: also when it is not known whom the latest met. */
static void test_healed_of_unknown(void **state)
{
	static const uint32_t holders[] = {0, STOCK, 0};
	struct churn_conn first, server, again;
	uint16_t port = 0;
	struct story s;

	(void)state;
	begin(&s);
	story_stack(&s, 1, "serve", 20);
	for (int i = 0; i < 3; i++) {
		server = leak_one_of(&s, &first, holders[i]);
		again = dial_again(&s, &first, 10 * MS);
		s.now += 8 * MS;
		server.stack = holders[i] ? 1 : 0;
		end_by_rst(&s, &server, EPIPE);
		s.now += 2 * MS;
		opened(&s, &again);
		assert_int_equal(collisions_of(&s)->healed, i + 1);
		if (i == 1)
			port = again.local_port;
		assert_int_equal(!collisions_of(&s)->holder, i == 0);
		assert_int_equal(collisions_of(&s)->holder_stack, i != 0);
	}
	assert_int_equal(collisions_of(&s)->client_port, port);
	story_end(&s);
}

/* The controls: a reset of another kind, a reset before the connect(), another port, a fast one. */
static void test_no_collision(void **state)
{
	static const struct {
		int error;
		uint64_t before, took;
		uint16_t other;
	} cases[] = {
		{ECONNRESET, 8 * MS, 10 * MS, 0},
		{EPIPE, 0, 10 * MS, 0},
		{EPIPE, 8 * MS, 10 * MS, 1},
		{EPIPE, 50 * US, 100 * US, 0},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct churn_conn first, server, again;
		struct story s;

		begin(&s);
		server = leak_one(&s, &first);
		if (!cases[i].before)
			end_by_rst(&s, &server, cases[i].error);
		s.now += MS;
		again = dial_again(&s, &first, cases[i].took);
		again.local_port += cases[i].other;
		s.now += cases[i].before;
		if (cases[i].before)
			end_by_rst(&s, &server, cases[i].error);
		s.now = again.established_ns;
		opened(&s, &again);
		assert_null(collisions_of(&s));
		story_end(&s);
	}
}

static void fail_again(struct story *s, const struct churn_conn *first, enum churn_cause cause)
{
	struct churn_end e = {.h = {.type = CHURN_FAILED, .size = sizeof(e)}, .cause = cause};

	e.conn = dial_again(s, first, 0);
	e.conn.established_ns = 0;
	s->now += S;
	e.h.ts_ns = s->now;
	tell_end(s, &e);
}

static void test_hung(void **state)
{
	struct churn_conn first, server;
	const struct finding *f;
	struct story s;

	(void)state;
	begin(&s);
	server = leak_one(&s, &first);
	fail_again(&s, &first, CHURN_CAUSE_REFUSED); /* a listener that has gone is another story */
	assert_null(collisions_of(&s));
	fail_again(&s, &first, CHURN_CAUSE_ABORTED);
	fail_again(&s, &first, CHURN_CAUSE_TIMEOUT);
	assert_int_equal(collisions_of(&s)->hung, 2);
	story_draw(&s, WINDOW, NULL);
	f = story_finding(&s, "stale-close-wait-collision");
	assert_int_equal(f->severity, FINDING_CRITICAL);
	assert_true(says(f->evidence, "2 connects got no answer at all, for up to 1 s"));
	/* Once the stock has closed, a timeout is a timeout. */
	closed(&s, &server, CHURN_END_PEER);
	fail_again(&s, &first, CHURN_CAUSE_TIMEOUT);
	assert_int_equal(collisions_of(&s)->hung, 2);
	story_end(&s);
}

/* The stale socket is older than the trace: it is known from a look, and its end has no record. */
static void test_older_than_the_trace(void **state)
{
	struct tcp_socket old = {.state = SOCKET_CLOSE_WAIT,
				 .netns = 1,
				 .cookie = 4711,
				 .family = 4,
				 .local_port = PORT,
				 .peer_port = 40000};
	struct churn_conn again;
	struct story s;

	(void)state;
	begin(&s);
	loopback(old.local_addr);
	loopback(old.peer_addr);
	assert_int_equal(model__waiting(s.m, &old, &stock), 0);
	again = dial(&s, SHOP, PORT);
	again.local_port = 40000;
	again.established_ns = again.open_ns + 10 * MS;
	opened(&s, &again);
	assert_int_equal(collisions_of(&s)->healed, 1);
	assert_int_equal(collisions_of(&s)->holder->id.tgid, STOCK);
	/* It is gone by now. */
	again = dial(&s, SHOP, PORT);
	again.local_port = 40000;
	again.established_ns = again.open_ns + 10 * MS;
	opened(&s, &again);
	assert_int_equal(collisions_of(&s)->healed, 1);
	story_end(&s);
}

/* --- the host's sockets ----------------------------------------------------------------------- */

static void look(struct story *s, struct socket_list *sockets, bool followed_only,
		 struct leaks *leaks)
{
	struct finding_facts facts = {.leaks = leaks,
				      .sockets = sockets,
				      .find_owner = find_owner,
				      .followed_only = followed_only};

	assert_int_equal(leaks__make(leaks, sockets, 1000, find_owner, NULL), 0);
	story_draw(s, WINDOW, &facts);
}

static void test_leak(void **state)
{
	for (int nr = 4; nr <= 5; nr++) { /* the fewest that are told of, and one less */
		struct socket_list sockets = {0};
		const struct finding *f;
		struct leaks leaks;
		struct story s;

		(void)state;
		begin(&s);
		loopback_socket(&sockets, SOCKET_LISTEN, PORT, 0, 0);
		for (int i = 0; i < nr; i++)
			loopback_socket(&sockets, SOCKET_CLOSE_WAIT, PORT, (uint16_t)(40000 + i),
					(uint32_t)(1000 + 1000 * i));
		look(&s, &sockets, false, &leaks);
		f = story_finding(&s, "close-wait-leak");
		assert_int_equal(f != NULL, nr == 5);
		if (f) {
			assert_int_equal(f->severity, FINDING_CRITICAL); /* 24 files left */
			assert_true(says(f->evidence,
					 "5 connections accepted on 127.0.0.1:8888 are in"));
			assert_true(says(f->evidence, "none is left in 30 s (EMFILE)"));
		}
		leaks__clear(&leaks);
		look(&s, &sockets, true, &leaks); /* the stock was not seen to do anything */
		assert_int_equal(s.found.nr, 0);
		leaks__clear(&leaks);
		assert_int_equal(model__follow(s.m, &stock.id.tgid, 1), 0);
		look(&s, &sockets, true, &leaks); /* but it was named */
		assert_int_equal(!story_finding(&s, "close-wait-leak"), nr == 4);
		leaks__clear(&leaks);
		socket_list__clear(&sockets);
		story_end(&s);
	}
}

/* What a crawler leaks to many destinations is one finding; what it accepts on two ports is two. */
static void test_leak_to_many(void **state)
{
	struct socket_list sockets = {0};
	uint32_t leaders = 0;
	struct leaks leaks;
	struct story s;

	(void)state;
	begin(&s);
	loopback_socket(&sockets, SOCKET_LISTEN, PORT, 0, 0);
	loopback_socket(&sockets, SOCKET_LISTEN, PORT + 1, 0, 0);
	for (uint16_t i = 0; i < 30; i++) {
		loopback_socket(&sockets, SOCKET_CLOSE_WAIT, (uint16_t)(40000 + i), 400 + i / 6,
				5000);
		loopback_socket(&sockets, SOCKET_CLOSE_WAIT, PORT + i % 2, 50000 + i, 5000);
	}
	look(&s, &sockets, false, &leaks);
	assert_int_equal(s.found.nr, 7);
	for (uint32_t i = 0; i < s.found.nr; i++)
		leaders += s.found.at[i].under == FINDING_LEADS;
	assert_int_equal(leaders, 3);
	leaks__clear(&leaks);
	socket_list__clear(&sockets);
	story_end(&s);
}

/* Who has done something, or was named; who was told of alone is not. */
static void test_followed(void **state)
{
	const uint32_t pids[] = {1, STOCK};
	struct process_identity shop = {.id = who(SHOP)};
	struct story s;

	(void)state;
	begin(&s);
	assert_false(model__follows(s.m, NULL));
	assert_false(model__follows(s.m, &stock));
	assert_int_equal(model__follow(s.m, pids, 2), 0);
	assert_true(model__follows(s.m, &stock));
	assert_null(model__group_of(s.m, &stock));
	assert_false(model__follows(s.m, &shop));
	one_by_one(&s, SHOP, PORT, 1, MS, MS, CHURN_END_LOCAL, 0);
	shop.id.start_ns -= 9 * MS; /* as /proc has it: to a clock tick, and without */
	shop.id.exec_id = 0;
	assert_true(model__follows(s.m, &shop));
	shop.id.start_ns -= 5 * S; /* the PID's one before */
	assert_false(model__follows(s.m, &shop));
	story_end(&s);
}

/* All processes of a row are found in it, not only the first of them. */
static void test_group_of_many(void **state)
{
	struct process_identity p;
	struct story s;

	(void)state;
	story_begin(&s, NULL);
	for (uint32_t tgid = 100; tgid < 140; tgid++) {
		p = (struct process_identity){.id = who(tgid)};
		story_process(&s, tgid, 1, "/usr/bin/poller", NULL);
		assert_null(model__group_of(s.m, &p));
		one_by_one(&s, tgid, PORT, 1, MS, MS, CHURN_END_LOCAL, 0);
		assert_ptr_equal(model__group_of(s.m, &p), group_at(&s, 0));
	}
	assert_int_equal(group_at(&s, 0)->nr_processes, 40);
	story_end(&s);
}

/* The stock listens, and stacks are known: 1 of its accept(), 3 of the shop's connect(). */
static void begin_serving(struct story *s, struct socket_list *sockets)
{
	begin(s);
	story_stack(s, 1, "serve", 20);
	story_stack(s, 3, "ask", 30);
	loopback_socket(sockets, SOCKET_LISTEN, PORT, 0, 0);
}

/* The stock accepts one from the shop, by `stack` (0: nobody saw it), and never closes it. */
static struct churn_conn forget_one(struct story *s, struct socket_list *sockets, uint64_t stack)
{
	struct churn_conn client = dial(s, SHOP, PORT), server = answer(s, &client, STOCK);

	client.stack = 3;
	server.stack = stack;
	server.attribution = stack ? CHURN_OWNER_EXACT : CHURN_OWNER_LISTENER;
	opened(s, &server);
	opened(s, &client);
	s->now += MS;
	closed(s, &client, CHURN_END_LOCAL);
	loopback_socket(sockets, SOCKET_CLOSE_WAIT, PORT, client.local_port, 5000)->cookie =
		server.id;
	return server;
}

/* Where a leak was accepted is told; the opens of the other side keep their own place. */
static void test_leak_accepted_in(void **state)
{
	struct socket_list sockets = {0};
	const struct service *service;
	const struct finding *f;
	const struct flow *flow;
	struct leaks leaks;
	struct story s;

	(void)state;
	begin_serving(&s, &sockets);
	for (int i = 0; i < 10; i++)
		forget_one(&s, &sockets, i < 7 ? 1 : 2);
	story_stack(&s, 2, "serve_tls", 25); /* resolved late */
	loopback_socket(&sockets, SOCKET_CLOSE_WAIT, PORT, 39999, 9000)->cookie = 999999;
	forget_one(&s, &sockets, 1);
	sockets.at[sockets.nr - 1].idle_ms = 10; /* on its way: no leak, and not counted with it */
	look(&s, &sockets, false, &leaks);
	f = story_finding(&s, "close-wait-leak");
	assert_non_null(f);
	assert_true(says(f->evidence, "7 of the 11 were accepted in serve (health.c:20)"));
	assert_true(says(f->evidence, "3 of the 11 were accepted in serve_tls (health.c:25)"));
	assert_true(says(f->counter_evidence, "1 of them was accepted before the trace"));
	assert_false(says(f->counter_evidence, "is not known"));
	assert_non_null(f->callsite);
	assert_int_equal(f->callsite->opens, 8);
	assert_string_equal(f->callsite->stack->frames[f->callsite->frame].function, "serve");
	service = group_named(&s, "stock")->services[0];
	assert_int_equal(service->nr_callsites, 2);
	assert_int_equal(service->callsites[1].opens, 3);
	flow = flow_of(&s, "shop");
	assert_int_equal(flow->nr_callsites, 1);
	assert_string_equal(flow->callsites[0].stack->frames[0].function, "ask");
	assert_int_equal(flow->callsites[0].opens, 11);
	assert_int_equal(model__totals(s.m)->unattributed_callsite, 0);
	leaks__clear(&leaks);
	socket_list__clear(&sockets);
	story_end(&s);
}

/* What accept() was not seen of is said, and counted; and nothing is made up. */
static void test_leak_accept_unseen(void **state)
{
	struct socket_list sockets = {0};
	const struct finding *f;
	struct leaks leaks;
	struct story s;

	(void)state;
	begin_serving(&s, &sockets);
	for (int i = 0; i < 6; i++)
		forget_one(&s, &sockets, i == 5);
	look(&s, &sockets, false, &leaks);
	f = story_finding(&s, "close-wait-leak");
	assert_true(says(f->evidence, "1 of the 6 was accepted in serve"));
	assert_false(says(f->evidence, "opened in"));
	assert_true(says(f->counter_evidence, "where 5 of them were accepted is not known: "
					      "accept() is not traced"));
	leaks__clear(&leaks);
	sockets.at[1].inode = 0; /* in the queue: there is no accept() yet */
	loopback_socket(&sockets, SOCKET_CLOSE_WAIT, PORT, 39999, 9000)->inode =
		0; /* nor before the trace */
	look(&s, &sockets, false, &leaks);
	f = story_finding(&s, "close-wait-leak");
	assert_true(says(f->counter_evidence, "where 4 of them were accepted is not known"));
	assert_true(says(f->counter_evidence, "2 of them were never accepted"));
	assert_false(says(f->counter_evidence, "before the trace"));
	leaks__clear(&leaks);
	loopback_socket(&sockets, SOCKET_CLOSE_WAIT, PORT, 39998, 9000);
	look(&s, &sockets, false, &leaks);
	f = story_finding(&s, "close-wait-leak");
	assert_true(says(f->counter_evidence, "1 of them was accepted before the trace"));
	leaks__clear(&leaks);
	socket_list__clear(&sockets);
	story_end(&s);
}

/* The stale socket's place, when it was killed by the connect(), and when it hangs it. */
static void test_collision_accepted_in(void **state)
{
	struct socket_list sockets = {0};
	struct churn_conn server, again;
	const struct finding *f;
	struct story s;

	(void)state;
	begin_serving(&s, &sockets);
	server = forget_one(&s, &sockets, 1);
	again = dial(&s, SHOP, PORT);
	again.local_port = server.peer_port;
	again.established_ns = again.open_ns + 10 * MS;
	s.now += 8 * MS;
	end_by_rst(&s, &server, EPIPE);
	s.now += 2 * MS;
	opened(&s, &again);
	story_draw(&s, WINDOW, NULL);
	f = story_finding(&s, "stale-close-wait-collision");
	assert_true(says(f->evidence, "was in CLOSE_WAIT, accepted in serve (health.c:20)"));
	server = forget_one(&s, &sockets, 1);
	again = dial(&s, SHOP, PORT);
	again.local_port = server.peer_port;
	fail_again(&s, &again, CHURN_CAUSE_TIMEOUT);
	story_draw(&s, WINDOW, NULL);
	f = story_finding(&s, "stale-close-wait-collision");
	assert_int_equal(f->severity, FINDING_CRITICAL);
	assert_true(says(f->evidence, "was in CLOSE_WAIT, accepted in serve (health.c:20)"));
	socket_list__clear(&sockets);
	story_end(&s);
}

/* A connect() without an outcome, whose four-tuple is in CLOSE_WAIT; and the controls. */
static void test_hanging(void **state)
{
	for (int control = 0; control < 5; control++) {
		struct socket_list sockets = {0};
		const struct finding *f;
		struct tcp_socket *syn;
		struct leaks leaks;
		struct story s;

		(void)state;
		begin(&s);
		for (uint16_t i = 0; i < 100; i++)
			loopback_socket(&sockets, SOCKET_CLOSE_WAIT, PORT, 40100 - i, 100);
		syn = loopback_socket(&sockets, SOCKET_SYN_SENT, 40033, PORT, 0);
		syn->netns += control == 1;
		syn->local_port += control == 2 ? 1000 : 0;
		syn->peer_port += control == 3;
		syn->local_addr[15] += control == 4;
		look(&s, &sockets, false, &leaks);
		f = story_finding(&s, "stale-close-wait-collision");
		assert_int_equal(!f, control != 0);
		if (f)
			assert_true(says(f->evidence,
					 "127.0.0.1:40033 -> 127.0.0.1:8888 is in SYN_SENT while "
					 "127.0.0.1:8888 -> 127.0.0.1:40033 of"));
		leaks__clear(&leaks);
		socket_list__clear(&sockets);
		story_end(&s);
	}
}

/* A server that accepts in one place, over and over, makes no client there. */
static void test_accepting_is_no_client(void **state)
{
	struct socket_list sockets = {0};
	struct story s;

	(void)state;
	begin_serving(&s, &sockets);
	for (int i = 0; i < 50; i++) {
		struct churn_conn server = forget_one(&s, &sockets, 1);
		struct churn_end e = ended(&s, &server, CHURN_END_LOCAL, 0);

		e.activation = CHURN_ACTIVATION_RETURNED;
		e.close_stack = 1;
		tell_end(&s, &e);
	}
	story_draw(&s, WINDOW, NULL);
	assert_true(s.found.nr > 0); /* about the shop, which connects over and over */
	for (uint32_t i = 0; i < s.found.nr; i++)
		assert_string_equal(s.found.at[i].group->program, "shop");
	assert_int_equal(group_named(&s, "stock")->avoidable, 0);
	assert_int_equal(group_named(&s, "stock")->services[0]->callsites[0].opens, 50);
	socket_list__clear(&sockets);
	story_end(&s);
}

static void test_accept_queue(void **state)
{
	static const struct {
		uint32_t queue, waiting;
		int severity; /* -1: none */
	} cases[] = {{128, 0, -1}, {129, 0, FINDING_WARNING}, {129, 2, FINDING_CRITICAL}};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct socket_list sockets = {0};
		const struct finding *f;
		struct tcp_socket *l;
		struct leaks leaks;
		struct story s;

		begin(&s);
		l = loopback_socket(&sockets, SOCKET_LISTEN, PORT, 0, 0);
		l->rqueue = cases[i].queue;
		l->wqueue = 128;
		for (uint32_t k = 0; k < cases[i].waiting; k++)
			loopback_socket(&sockets, SOCKET_SYN_SENT, (uint16_t)(40000 + k), PORT, 0);
		look(&s, &sockets, false, &leaks);
		f = story_finding(&s, "accept-queue-overflow");
		assert_int_equal(f ? (int)f->severity : -1, cases[i].severity);
		assert_null(story_finding(&s, "stale-close-wait-collision"));
		leaks__clear(&leaks);
		socket_list__clear(&sockets);
		story_end(&s);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_healed),
		cmocka_unit_test(test_healed_of_unknown),
		cmocka_unit_test(test_no_collision),
		cmocka_unit_test(test_hung),
		cmocka_unit_test(test_older_than_the_trace),
		cmocka_unit_test(test_leak),
		cmocka_unit_test(test_leak_to_many),
		cmocka_unit_test(test_followed),
		cmocka_unit_test(test_group_of_many),
		cmocka_unit_test(test_leak_accepted_in),
		cmocka_unit_test(test_leak_accept_unseen),
		cmocka_unit_test(test_collision_accepted_in),
		cmocka_unit_test(test_accepting_is_no_client),
		cmocka_unit_test(test_hanging),
		cmocka_unit_test(test_accept_queue),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
