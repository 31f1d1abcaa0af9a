/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* A census -> recording -> the same census; one that is not whole is none. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "user/source/record.h"
#include "user/source/recording.h"
#include "user/source/replay.h"

#define NS	2U
#define SOCKETS 5000

static char path[64];

/* What came, in the order of the recording; the last one comes twice. */
struct got {
	uint32_t nr, whole, owners;
	struct socket_list sockets;
	struct port_rules rules[NS];
	struct time_wait_limit limits[NS];
	uint32_t nr_limits;
	uint64_t taken_ns;
	bool partial;
};

static int got_start(void *ctx, const struct source_start *s)
{
	(void)ctx, (void)s;
	return 0;
}

static int got_status(void *ctx, const struct source_status *s)
{
	(void)ctx, (void)s;
	return 0;
}

static int got_census(void *ctx, const struct model_census *c)
{
	struct got *g = ctx;

	g->nr++;
	g->whole += c->pools;
	g->taken_ns = c->taken_ns;
	g->partial = c->partial;
	assert_int_equal(c->nr_netns, NS);
	assert_int_equal(c->netns[1], 11);
	g->sockets.nr = 0;
	g->owners = 0;
	for (uint32_t i = 0; i < c->nr_rules; i++)
		g->rules[i] = c->rules[i];
	g->nr_limits = c->nr_limits;
	for (uint32_t i = 0; i < c->nr_limits; i++)
		g->limits[i] = c->limits[i];
	for (size_t i = 0; i < c->sockets->nr; i++) {
		const struct tcp_socket *s = &c->sockets->at[i];
		const struct process_identity *p = c->owner(c->ctx, s);

		*socket_list__add(&g->sockets) = *s;
		if (p) {
			assert_int_equal(p->id.tgid, 42);
			assert_string_equal(p->exe, "/bin/\xff"
						    "owner");
			g->owners++;
		}
	}
	return 0;
}

static const struct process_identity *owner_of(void *ctx, const struct tcp_socket *s)
{
	return s->inode % 7 == 1 ? ctx : NULL;
}

/* Two namespaces, both families, every flag, as many ports as do not fit in one line. */
static void fill(struct socket_list *l)
{
	for (uint32_t i = 0; i < SOCKETS; i++) {
		struct tcp_socket *s = socket_list__add(l);

		s->netns = i < SOCKETS / 2 ? 10 : 11;
		s->family = i % 3 ? 4 : 6;
		memset(s->local_addr, s->family == 6 ? 0x20 : 0, 16);
		if (s->family == 4)
			memcpy(s->local_addr + 10, "\xff\xff\x7f\0\0\1", 6);
		memcpy(s->peer_addr, s->local_addr, 16);
		s->peer_addr[15] = 1 + i % 2;
		s->local_port = i;
		s->peer_port = i % 5 ? 443 : 0;
		s->device = i % 11 ? 0 : 3;
		s->state = i % SOCKET_STATE__COUNT;
		s->time_wait = i % 2;
		s->port_bound = i % 3;
		s->timestamps = i / 3 % 3;
		s->timer_ms = i * 1000;
		s->young_ms = i ? UINT32_MAX : 0;
		s->cookie = UINT64_MAX - i;
		s->range_low = i % 13 ? 0 : 40000;
		s->range_high = i % 17 ? 0 : 65535;
		s->range_by_two = i % 19 == 0;
		s->inode = i;
		s->idle_ms = UINT32_MAX;
	}
}

static struct recorder *begin(const struct source_start *start)
{
	struct recorder_options ro = {.version = "test"};
	struct recorder *r;
	struct sink to;

	strcpy(path, "/tmp/test_record_census.XXXXXX");
	close(mkstemp(path));
	r = recorder__open(path, &ro);
	assert_non_null(r);
	to = recorder__sink(r);
	assert_int_equal(to.start(to.ctx, start), 0);
	return r;
}

static void record(uint32_t times)
{
	struct process_identity owner = {.id = {.tgid = 42},
					 .exe = (char *)"/bin/\xff"
							"owner"};
	const struct source_start start = {1709210096123456789ULL, 5000000000ULL, false, NULL, 0};
	struct recorder *r = begin(&start);
	struct sink to = recorder__sink(r);
	const uint32_t netns[NS] = {10, 11};
	struct port_rules rules[NS];
	const struct time_wait_limit limits[NS] = {
		{.netns = 10, .max = 0, .counted = true, .skipped = UINT64_MAX},
		{.netns = 12, .max = TIME_WAIT_NO_LIMIT}};
	struct socket_list l = {0};
	struct model_census c = {.sockets = &l,
				 .limits = limits,
				 .nr_limits = NS,
				 .rules = rules,
				 .nr_rules = NS,
				 .netns = netns,
				 .nr_netns = NS,
				 .partial = true,
				 .owner = owner_of,
				 .ctx = &owner};

	fill(&l);
	for (uint32_t i = 0; i < NS; i++) {
		port_rules__init(&rules[i]);
		rules[i].netns = netns[i];
		rules[i].low = 40000 + i;
		rules[i].tw_reuse = i;
		rules[i].timestamps = i;
	}
	assert_int_equal(port_rules__set_reserved(&rules[1], "1,5-9,65535"), 0);
	for (uint32_t i = 0; i < times; i++) {
		c.taken_ns = start.start_mono_ns + i * 7;
		assert_int_equal(to.census(to.ctx, &c), 0);
	}
	assert_int_equal(recorder__close(r), 0);
	socket_list__clear(&l);
}

static struct got replay_of(const char *file, uint64_t *bad)
{
	struct got g = {0};
	const struct sink to = {
		.ctx = &g, .start = got_start, .status = got_status, .census = got_census};
	struct replay_stats stats;

	/* No process, stack, open or end is in it. */
	replay__run(file, &to, NULL, &stats);
	*bad = stats.bad_lines;
	return g;
}

static int by_cookie(const void *a, const void *b)
{
	const struct tcp_socket *x = a, *y = b;

	return x->cookie < y->cookie ? 1 : -(x->cookie > y->cookie);
}

static void test_the_same_again(void **state)
{
	struct socket_list wanted = {0};
	uint64_t bad, owned = 0;
	struct got g;

	(void)state;
	record(2);
	g = replay_of(path, &bad);
	assert_int_equal(bad, 0);
	assert_int_equal(g.nr, 3); /* the last one once more, with pools */
	assert_int_equal(g.whole, 1);
	assert_int_equal(g.taken_ns, 5000000007ULL);
	assert_true(g.partial);
	fill(&wanted);
	assert_int_equal(g.sockets.nr, wanted.nr);
	for (size_t i = 1; i < g.sockets.nr; i++)
		assert_true(g.sockets.at[i - 1].netns <= g.sockets.at[i].netns);
	qsort(g.sockets.at, g.sockets.nr, sizeof(*g.sockets.at), by_cookie);
	for (size_t i = 0; i < wanted.nr; i++) {
		struct tcp_socket *s = &wanted.at[i];

		owned += s->inode % 7 == 1;
		assert_int_equal(!g.sockets.at[i].inode, !s->inode);
		s->inode = g.sockets.at[i].inode = 0;
		assert_memory_equal(&g.sockets.at[i], s, sizeof(*s));
	}
	assert_int_equal(g.owners, owned);
	assert_int_equal(g.rules[1].low, 40001);
	assert_int_equal(g.rules[1].tw_reuse, 1);
	assert_false(g.rules[0].timestamps);
	assert_int_equal(g.rules[0].max_time_wait, 0);
	assert_int_equal(g.rules[1].max_time_wait, TIME_WAIT_NO_LIMIT);
	assert_int_equal(g.nr_limits, NS);
	assert_int_equal(g.limits[0].netns, 10);
	assert_int_equal(g.limits[0].max, 0);
	assert_true(g.limits[0].counted && g.limits[0].skipped == UINT64_MAX);
	assert_int_equal(g.limits[1].max, TIME_WAIT_NO_LIMIT);
	assert_false(g.limits[1].counted);
	for (uint32_t port = 0; port < 65536; port++)
		assert_int_equal(!!(g.rules[1].reserved[port / 64] & 1ULL << port % 64),
				 port == 1 || (port >= 5 && port <= 9) || port == 65535);
	socket_list__clear(&wanted);
	socket_list__clear(&g.sockets);
	unlink(path);
}

#define LINE(name, rest)                                                                           \
	"{\"schema\":\"tcpchurn/1\",\"event\":{\"name\":\"" name                                   \
	"\"},\"time\":\"2026-01-01T00:00:00.000000000Z\"," rest "}\n"
#define CENSUS                                                                                     \
	LINE("census", "\"tcpchurn\":{\"census\":{\"sockets\":1,\"port_rules\":1,\"netns\":[10,"   \
		       "11]}}")
#define RULES                                                                                      \
	LINE("port_rules", "\"tcpchurn\":{\"netns\":10,\"port_rules\":{\"low\":1,\"high\":9}}")
#define IN     "\"network\":{\"type\":\"ipv4\"},\"tcpchurn\":{\"netns\":10,\"sockets\":"
#define SOCKET LINE("sockets", IN "[40000,1,0,0,0,7,0,0]}")

#define LIMITS(numbers)                                                                            \
	LINE("census", "\"tcpchurn\":{\"census\":{\"sockets\":1,\"port_rules\":1,\"netns\":[10,"   \
		       "11],\"time_wait_limits\":" numbers "}}")

/* Each beside the one that is right, which comes first. */
static void test_not_whole(void **state)
{
	static const struct {
		const char *text;
		uint32_t nr, bad;
	} cases[] = {
		{CENSUS RULES SOCKET, 2, 0},
		{CENSUS SOCKET RULES, 2, 0},
		{LIMITS("[10,20,1,180]") RULES SOCKET, 2, 0},
		{LIMITS("[]") RULES SOCKET, 2, 0},
		{LIMITS("[10,20,1]") RULES SOCKET, 0, 3},
		{LIMITS("[10,20,2,180]") RULES SOCKET, 0, 3},
		{LIMITS("[10,4294967296,1,180]") RULES SOCKET, 0, 3},
		{LIMITS("[4294967296,20,1,180]") RULES SOCKET, 0, 3},
		{LIMITS("[10,20,1,-1]") RULES SOCKET, 0, 3},
		{LIMITS("{}") RULES SOCKET, 0, 3},
		{CENSUS RULES, 0, 0},
		{CENSUS SOCKET, 0, 0},
		{RULES SOCKET, 0, 2},
		{CENSUS CENSUS RULES SOCKET, 2, 0},
		{CENSUS RULES SOCKET SOCKET, 2, 1},
		{CENSUS RULES RULES SOCKET, 2, 1},
		{CENSUS RULES LINE("sockets", IN "[40000,1,0,0,0,7]}") SOCKET, 0, 2},
		{CENSUS RULES LINE("sockets", IN "[70000,1,0,0,0,7,0,0]}"), 0, 1},
		{CENSUS RULES LINE("sockets", IN "[40000,1,0,0,0,7,0,4294967296]}"), 0, 1},
		{CENSUS RULES LINE("sockets", IN "[40000,99,0,0,0,7,0,0]}"), 0, 1},
		{CENSUS RULES LINE("sockets", IN "[40000,1,128,0,0,7,0,0]}"), 0, 1},
		{CENSUS RULES LINE("sockets", IN "[40000,1,0,-1,0,7,0,0]}"), 0, 1},
		{CENSUS RULES LINE("sockets", IN "[\"x\",1,0,0,0,7,0,0]}"), 0, 1},
		{CENSUS RULES LINE("sockets", IN "{}}"), 0, 1},
		{CENSUS LINE("port_rules",
			     "\"tcpchurn\":{\"netns\":10,\"port_rules\":{\"low\":9,\"high\":1}}")
			 SOCKET,
		 0, 1},
		{LINE("census", "\"tcpchurn\":{\"census\":{\"sockets\":-1,\"port_rules\":1}}")
			 RULES SOCKET,
		 0, 3},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		FILE *f = fopen(path, "w");
		struct got g;
		uint64_t bad;

		fputs(cases[i].text, f);
		fclose(f);
		g = replay_of(path, &bad);
		assert_int_equal(g.nr, cases[i].nr);
		assert_int_equal(bad, cases[i].bad);
		socket_list__clear(&g.sockets);
	}
	unlink(path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_the_same_again),
		cmocka_unit_test(test_not_whole),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
