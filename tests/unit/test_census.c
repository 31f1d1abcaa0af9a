/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* A traced model against a census: whose the ports are, and what was missed. */
#include "tests/unit/story.h"

#include <errno.h>
#include <time.h>

#include "user/base/array.h"
#include "user/model/census.h"
#include "user/model/shortages.h"

#define NETNS 77
#define LOW   40000

static struct churn_conn conn(uint64_t id, uint32_t pid, uint16_t port)
{
	struct churn_conn c = {
		.id = id,
		.open_ns = 2 * S,
		.established_ns = 2 * S + MS,
		.owner = {.start_ns = pid, .tgid = pid},
		.netns = NETNS,
		.local_addr = {[10] = 0xff, [11] = 0xff, [12] = 10, [15] = 1},
		.peer_addr = {[10] = 0xff, [11] = 0xff, [12] = 10, [15] = 2},
		.local_port = port,
		.peer_port = 80,
		.family = 4,
		.role = CHURN_CLIENT,
		.initiator = CHURN_END_LOCAL,
	};

	snprintf(c.comm, sizeof(c.comm), "p%u", pid);
	return c;
}

static struct model *model(void)
{
	struct model_options mo = model_default_options;
	struct model *m;

	mo.max_time_wait = 1000;
	m = model__new(&mo);
	assert_non_null(m);
	model__set_start(m, S);
	for (uint32_t pid = 1; pid <= 3; pid++) {
		struct process_identity p = {.id = {.start_ns = pid, .tgid = pid}};

		snprintf(p.comm, sizeof(p.comm), "p%u", pid);
		assert_int_equal(model__process(m, &p), 0);
	}
	return m;
}

/* A traced model, and what a census finds, put together by hand. */
struct found {
	struct model *m;
	struct port_rules rules;
	struct socket_list sockets;
	struct model_census census;
	uint32_t netns;
};

static void found_begin(struct found *f)
{
	memset(f, 0, sizeof(*f));
	f->m = model();
	port_rules__init(&f->rules);
	f->rules.netns = f->netns = NETNS;
	f->rules.low = LOW;
	f->rules.high = LOW + 99;
	f->census = (struct model_census){.rules = &f->rules,
					  .nr_rules = 1,
					  .netns = &f->netns,
					  .nr_netns = 1,
					  .pools = true};
}

static struct tcp_socket *found_add(struct found *f, const struct churn_conn *c,
				    enum socket_state state)
{
	struct tcp_socket *s = socket_list__add(&f->sockets);

	assert_non_null(s);
	s->cookie = c->id;
	s->netns = c->netns;
	memcpy(s->local_addr, c->local_addr, 16);
	memcpy(s->peer_addr, c->peer_addr, 16);
	s->local_port = c->local_port;
	s->peer_port = c->peer_port;
	s->family = 4;
	s->state = state;
	s->port_bound = SOCKET_NO;
	if (state == SOCKET_TIME_WAIT) {
		s->time_wait = true;
		s->timestamps = SOCKET_YES;
		s->timer_ms = 59000;
	}
	return s;
}

static const struct model_ports *found_tell(struct found *f, uint64_t taken_ns)
{
	f->census.taken_ns = taken_ns;
	f->census.sockets = &f->sockets;
	assert_int_equal(model__census(f->m, &f->census), 0);
	return model__ports(f->m);
}

static void found_end(struct found *f)
{
	model__free(f->m);
	socket_list__clear(&f->sockets);
}

static void opens(struct model *m, const struct churn_conn *c)
{
	struct churn_open e = {.h = {.ts_ns = c->established_ns, .type = CHURN_CONNECT},
			       .conn = *c};

	assert_int_equal(model__open(m, &e, NULL), 0);
}

static void ends(struct model *m, const struct churn_conn *c, uint64_t ns)
{
	struct churn_end e = {.h = {.ts_ns = ns, .type = CHURN_CLOSE},
			      .conn = *c,
			      .ending_ns = ns,
			      .time_wait = CHURN_TIME_WAIT_LOCAL};

	assert_int_equal(model__end(m, &e, NULL), 0);
}

static const struct port_holder *holder(const struct model_ports *p, uint32_t pid)
{
	uint32_t nr;
	const struct port_holder *h = port_holders__of(&p->holders, 0, &nr);

	for (uint32_t i = 0; i < nr; i++) {
		if (pid ? h[i].who.process && h[i].who.process->id.tgid == pid : !h[i].who.process)
			return &h[i];
	}
	return NULL;
}

static void test_time_wait_has_an_owner(void **state)
{
	struct churn_conn a = conn(11, 1, LOW), b = conn(12, 2, LOW + 1);
	const struct model_ports *p;
	struct found f;

	(void)state;
	found_begin(&f);
	opens(f.m, &a);
	opens(f.m, &b);
	ends(f.m, &a, 3 * S);
	ends(f.m, &b, 3 * S);
	found_add(&f, &a, SOCKET_TIME_WAIT);
	found_add(&f, &b, SOCKET_TIME_WAIT);
	p = found_tell(&f, 4 * S);
	assert_non_null(p);
	assert_int_equal(p->pools.nr, 1);
	assert_int_equal(holder(p, 1)->time_wait, 1);
	assert_int_equal(holder(p, 2)->time_wait, 1);
	assert_null(holder(p, 0));
	assert_int_equal(p->older_time_wait, 0);
	found_end(&f);
}

/* The same four-tuple, but another socket: nobody is blamed for it. */
static void test_another_cookie_is_another_socket(void **state)
{
	struct churn_conn a = conn(11, 1, LOW), stranger = conn(99, 1, LOW);
	const struct model_ports *p;
	struct found f;

	(void)state;
	found_begin(&f);
	opens(f.m, &a);
	ends(f.m, &a, 3 * S);
	found_add(&f, &stranger, SOCKET_TIME_WAIT);
	p = found_tell(&f, 4 * S);
	assert_null(holder(p, 1));
	assert_int_equal(holder(p, 0)->time_wait, 1);
	found_end(&f);
}

/* Kernels before 5.12 tell no cookies to the trace. */
static void test_by_four_tuple(void **state)
{
	struct churn_conn a = conn(CHURN_ID_OWN | 1, 1, LOW), elsewhere = a;
	struct churn_conn b = conn(CHURN_ID_OWN | 2, 2, LOW + 1);
	const struct model_ports *p;
	struct found f;

	(void)state;
	found_begin(&f);
	opens(f.m, &a);
	opens(f.m, &b);
	ends(f.m, &a, 3 * S);
	found_add(&f, &a, SOCKET_TIME_WAIT)->cookie = 5;
	found_add(&f, &b, SOCKET_ESTABLISHED)->cookie = 6;
	elsewhere.local_port = LOW + 2;
	found_add(&f, &elsewhere, SOCKET_TIME_WAIT)->cookie = 7;
	p = found_tell(&f, 4 * S);
	assert_int_equal(holder(p, 1)->time_wait, 1);
	assert_int_equal(holder(p, 2)->established, 1);
	assert_int_equal(holder(p, 0)->time_wait, 1);
	found_end(&f);
}

static void test_older_than_the_trace(void **state)
{
	struct churn_conn a = conn(11, 1, LOW), b = conn(12, 1, LOW + 1);
	const struct model_ports *p;
	struct found f;

	(void)state;
	found_begin(&f);
	found_add(&f, &a, SOCKET_TIME_WAIT)->timer_ms = 49000;
	found_add(&f, &b, SOCKET_TIME_WAIT)->timer_ms = 51000;
	p = found_tell(&f, 11 * S); /* 10 s after the start */
	assert_int_equal(p->older_time_wait, 1);
	assert_int_equal(p->older_left_ms, 49000);
	assert_int_equal(holder(p, 0)->older, 1);
	assert_int_equal(holder(p, 0)->time_wait, 2);
	found_end(&f);
}

static const struct process_identity *owner_of(void *ctx, const struct tcp_socket *s)
{
	return s->inode ? ctx : NULL;
}

static void test_owner_by_file(void **state)
{
	struct process_identity old = {.id = {.tgid = 900}, .comm = "old"};
	struct churn_conn a = conn(11, 1, LOW), b = conn(12, 1, LOW + 1);
	const struct model_ports *p;
	struct found f;

	(void)state;
	found_begin(&f);
	opens(f.m, &a);
	found_add(&f, &a, SOCKET_ESTABLISHED)->inode = 1; /* traced: the trace knows better */
	found_add(&f, &b, SOCKET_ESTABLISHED)->inode = 2;
	f.census.owner = owner_of;
	f.census.ctx = &old;
	p = found_tell(&f, 4 * S);
	old.id.tgid = 0; /* it was copied */
	assert_int_equal(holder(p, 1)->established, 1);
	assert_int_equal(holder(p, 900)->established, 1);
	assert_string_equal(holder(p, 900)->who.process->comm, "old");
	found_end(&f);
}

/* What is missing once may have ended a moment ago; twice, its end was lost. */
static void test_missing_twice_is_corrected(void **state)
{
	struct churn_conn a = conn(11, 1, LOW), b = conn(12, 2, LOW + 1), c = conn(13, 3, LOW + 2);
	struct found f;

	(void)state;
	found_begin(&f);
	opens(f.m, &a);
	opens(f.m, &b);
	opens(f.m, &c);
	f.census.pools = false;
	found_add(&f, &a, SOCKET_ESTABLISHED);
	found_add(&f, &c, SOCKET_TIME_WAIT); /* has ended, too */
	assert_null(found_tell(&f, 10 * S));
	assert_int_equal(model__totals(f.m)->corrected, 0);
	found_tell(&f, 10 * S);
	assert_int_equal(model__totals(f.m)->corrected, 2);
	found_tell(&f, 10 * S);
	assert_int_equal(model__totals(f.m)->corrected, 2);
	found_end(&f);
}

static void test_not_corrected(void **state)
{
	struct churn_conn a = conn(11, 1, LOW), cookieless = conn(CHURN_ID_OWN | 1, 2, LOW + 1);
	struct found f;

	(void)state;
	found_begin(&f);
	opens(f.m, &a);
	opens(f.m, &cookieless);
	f.census.pools = false;
	found_tell(&f, 2 * S + 500 * MS); /* too young to be missed */
	found_tell(&f, 2 * S + 500 * MS);
	f.netns = NETNS + 1; /* the one that was read is another */
	found_tell(&f, 10 * S);
	found_tell(&f, 10 * S);
	f.netns = NETNS;
	found_tell(&f, 10 * S); /* missing once */
	found_add(&f, &a, SOCKET_ESTABLISHED);
	found_tell(&f, 10 * S); /* there again */
	f.sockets.nr = 0;
	found_tell(&f, 10 * S); /* missing once */
	assert_int_equal(model__totals(f.m)->corrected, 0);
	found_end(&f);
}

static uint64_t cpu_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
	return now.tv_sec * 1000ULL + now.tv_nsec / MS;
}

/* Only where the census has been is anything missing; that costs no time per namespace for each
 * connection, which here would be seconds. */
static void test_many_namespaces(void **state)
{
	static uint32_t netns[100000];
	uint64_t began;
	struct found f;

	(void)state;
	found_begin(&f);
	f.census.netns = netns; /* the odd ones, in no order */
	f.census.nr_netns = ARRAY_SIZE(netns);
	for (uint32_t i = 0; i < f.census.nr_netns; i++)
		netns[i] = 2 * (uint32_t)(i * 7919ULL % f.census.nr_netns) + 1;
	for (uint32_t i = 0; i < 20000; i++) {
		struct churn_conn c = conn(1000 + i, 1, (uint16_t)(1024 + i));

		c.netns = i < 5 ? 1 + i * 40000 : 2 + 10 * i;
		opens(f.m, &c);
	}
	f.census.pools = false;
	began = cpu_ms();
	found_tell(&f, 10 * S);
	found_tell(&f, 10 * S);
	assert_in_range(cpu_ms() - began, 0, 400);
	assert_int_equal(model__totals(f.m)->corrected, 5);
	found_end(&f);
}

static void test_outdated(void **state)
{
	struct churn_conn a = conn(11, 1, LOW);
	struct found f;

	(void)state;
	found_begin(&f);
	assert_null(model__ports(f.m));
	assert_non_null(found_tell(&f, 4 * S));
	opens(f.m, &a);
	assert_null(model__ports(f.m));
	found_end(&f);
}

static void test_rate_is_the_traced_one(void **state)
{
	struct churn_conn c = conn(11, 1, LOW);
	const struct model_ports *p;
	struct found f;

	(void)state;
	found_begin(&f);
	for (uint16_t i = 0; i < 20; i++) {
		c = conn(11 + i, 1, LOW + i);
		opens(f.m, &c);
	}
	found_add(&f, &c, SOCKET_ESTABLISHED);
	p = found_tell(&f, 11 * S); /* 10 s after the start */
	assert_true(p->pools.at[0].rate_per_second == 2);
	assert_int_equal(p->pools.at[0].cost.nr, 20); /* of connect(), which took 1 ms */
	assert_false(p->pools.at[0].cost.measured);
	assert_in_range(p->pools.at[0].cost.median, 97 * MS / 100, 103 * MS / 100);
	found_end(&f);
}

/* 40 opens in 4 s to a pool of 100 ports, which were closed by this side or by the peer. */
static double seconds_left(bool by_peer)
{
	struct churn_conn c;
	struct found f;
	double left;

	found_begin(&f);
	for (uint16_t i = 0; i < 40; i++) {
		struct churn_end e = {.h = {.ts_ns = 3 * S, .type = CHURN_CLOSE}};

		c = conn(11 + i, 1, LOW + i);
		c.initiator = by_peer ? CHURN_END_PEER : CHURN_END_LOCAL;
		opens(f.m, &c);
		e.conn = c;
		e.ending_ns = 3 * S;
		e.time_wait = by_peer ? CHURN_TIME_WAIT_NONE : CHURN_TIME_WAIT_LOCAL;
		assert_int_equal(model__end(f.m, &e, NULL), 0);
	}
	c = conn(99, 1, LOW + 99);
	found_add(&f, &c, SOCKET_ESTABLISHED);
	left = found_tell(&f, 5 * S)->pools.at[0].seconds_left;
	assert_true(model__ports(f.m)->pools.at[0].rate_per_second == 10);
	found_end(&f);
	return left;
}

/* A port whose connection the peer has closed is free again: no pool runs out by those. */
static void test_ports_given_back_at_once(void **state)
{
	(void)state;
	assert_in_range(seconds_left(false), 9, 10);
	assert_true(seconds_left(true) < 0);
}

/* Each local address has ports of its own. */
static void test_rate_of_each_address(void **state)
{
	const struct model_ports *p;
	struct churn_conn c;
	struct found f;

	(void)state;
	found_begin(&f);
	for (uint16_t i = 0; i < 30; i++) {
		c = conn(11 + i, i % 3 ? 1 : 2, LOW + i);
		c.local_addr[15] += i % 3 ? 0 : 1;
		opens(f.m, &c);
		found_add(&f, &c, SOCKET_ESTABLISHED);
	}
	p = found_tell(&f, 11 * S);
	assert_int_equal(p->pools.nr, 2);
	for (int i = 0; i < 2; i++)
		assert_true(p->pools.at[i].rate_per_second ==
			    (p->pools.at[i].nr[PORT_ESTABLISHED] == 20 ? 2 : 1));
	found_end(&f);
}

/* Of the searches to another destination nothing goes into this pool. */
static void test_cost_of_the_search(void **state)
{
	struct churn_conn c = conn(11, 1, LOW), elsewhere = conn(12, 1, LOW + 1);
	const struct model_ports *p;
	struct found f;

	(void)state;
	found_begin(&f);
	c.search_ns = 5000;
	elsewhere.search_ns = 900000;
	elsewhere.peer_port++;
	opens(f.m, &c);
	opens(f.m, &elsewhere);
	found_add(&f, &c, SOCKET_ESTABLISHED);
	p = found_tell(&f, 11 * S);
	assert_int_equal(p->pools.at[0].key.port, c.peer_port);
	assert_int_equal(p->pools.at[0].cost.nr, 1);
	assert_true(p->pools.at[0].cost.measured);
	assert_int_equal(p->pools.at[0].cost.max, 5000);
	found_end(&f);
}

static void fails(struct model *m, uint32_t pid, uint64_t ns)
{
	struct churn_conn c = conn(0, pid, 0);
	struct churn_end e = {.h = {.ts_ns = ns, .type = CHURN_FAILED},
			      .conn = c,
			      .error = EADDRNOTAVAIL,
			      .cause = CHURN_CAUSE_EPHEMERAL_EXHAUSTED};

	assert_int_equal(model__end(m, &e, NULL), 0);
}

/* Ten ports: four in TIME_WAIT of p1, two established of p2, three in TIME_WAIT since before the
 * trace, one of nobody that is known. One is told twice: a dump takes a while. */
static void shortage_begin(struct found *f)
{
	found_begin(f);
	f->rules.high = LOW + 9;
	f->census.pools = false;
	for (uint16_t i = 0; i < 10; i++) {
		struct churn_conn c = conn(11 + i, i < 4 ? 1 : 2, LOW + i);
		bool parked = i < 4 || (i > 5 && i < 9);

		if (i < 6)
			opens(f->m, &c);
		if (i < 4)
			ends(f->m, &c, 3 * S);
		found_add(f, &c, parked ? SOCKET_TIME_WAIT : SOCKET_ESTABLISHED)->timer_ms =
			i < 4 ? 52000 : 49000;
		if (i == 5)
			found_add(f, &c, SOCKET_TIME_WAIT);
	}
}

static void test_shortage_adds_up(void **state)
{
	const struct finding *x;
	struct findings found;
	uint64_t sum = 0;
	struct found f;

	(void)state;
	shortage_begin(&f);
	fails(f.m, 3, 10 * S);
	assert_null(found_tell(&f, 11 * S));
	f.sockets.nr = 1; /* the ports come back, and still somebody fails */
	fails(f.m, 3, 80 * S);
	found_tell(&f, 81 * S);
	assert_int_equal(model__seal(f.m), 0);
	assert_int_equal(findings__draw(&found, f.m, 100 * S, NULL), 0);
	x = finding_named(&found, "port-exhaustion");
	assert_non_null(x);
	for (uint32_t i = 0; i < x->nr_holders; i++) {
		assert_int_equal(x->holders[i].of, 10);
		sum += x->holders[i].nr;
	}
	assert_int_equal(sum, 10);
	assert_int_equal(x->nr_holders, 3);
	assert_string_equal(x->holders[0].group->sample.comm, "p1");
	assert_int_equal(x->holders[0].nr, 4);
	assert_null(x->holders[2].process);
	assert_int_equal(x->holders[2].older, 3);
	assert_true(says(x->evidence, "10 s into the trace 0 of the 10 ports of this pool were"));
	assert_true(says(x->evidence, "p1 [pid 1] held 4 of the 10 ports in use, 40 %: 4 in TIME"));
	assert_true(says(x->evidence, "p2 [pid 2] held 2 of the 10 ports in use, 20 %: 2 estab"));
	assert_true(
		says(x->evidence, "3 of the 10 ports in use, 30 %, were in TIME_WAIT since be"));
	assert_true(says(x->evidence, "whose the other 1 of the 10 are, 10 %, is not known"));
	assert_non_null(strstr(x->title, "p1 holds them"));
	findings__clear(&found);
	found_end(&f);
}

/* The controls: nobody fails, or somebody elsewhere. */
static void test_no_shortage(void **state)
{
	struct churn_conn elsewhere = conn(0, 3, 0);
	struct flow flow = {.dest = {.netns = NETNS, .port = 80, .family = 4}};
	struct found f;

	(void)state;
	memcpy(flow.dest.addr, elsewhere.peer_addr, 16);
	shortage_begin(&f);
	found_tell(&f, 11 * S);
	assert_null(model__shortage(f.m, &flow));
	fails(f.m, 3, 12 * S);
	found_tell(&f, 13 * S);
	assert_non_null(model__shortage(f.m, &flow));
	flow.dest.port = 81;
	assert_null(model__shortage(f.m, &flow));
	found_end(&f);
}

/* No more pools than are remembered, but of those each moment that is worse. */
static void test_shortage_grows_worse(void **state)
{
	struct port_pool pool = {.capacity = 100};
	struct flow f = {.dest = {.port = 1}, .several_local = true};
	struct shortage_table t = {0};

	(void)state;
	for (pool.key.port = 1; pool.key.port <= 1000; pool.key.port++) {
		pool.free = 7;
		assert_int_equal(shortage_table__note(&t, &pool, NULL, 0, S), 0);
	}
	pool.key.port = 1;
	pool.free = 0;
	assert_int_equal(shortage_table__note(&t, &pool, NULL, 0, 2 * S), 0);
	assert_int_equal(shortage_table__find(&t, &f)->free, 0);
	f.dest.port = 1000;
	assert_null(shortage_table__find(&t, &f));
	shortage_table__clear(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_time_wait_has_an_owner),
		cmocka_unit_test(test_another_cookie_is_another_socket),
		cmocka_unit_test(test_by_four_tuple),
		cmocka_unit_test(test_older_than_the_trace),
		cmocka_unit_test(test_owner_by_file),
		cmocka_unit_test(test_missing_twice_is_corrected),
		cmocka_unit_test(test_not_corrected),
		cmocka_unit_test(test_many_namespaces),
		cmocka_unit_test(test_outdated),
		cmocka_unit_test(test_rate_is_the_traced_one),
		cmocka_unit_test(test_ports_given_back_at_once),
		cmocka_unit_test(test_rate_of_each_address),
		cmocka_unit_test(test_cost_of_the_search),
		cmocka_unit_test(test_shortage_adds_up),
		cmocka_unit_test(test_no_shortage),
		cmocka_unit_test(test_shortage_grows_worse),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
