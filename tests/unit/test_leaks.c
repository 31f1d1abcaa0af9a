/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Who leaks: invented censuses. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/sockets.h"

#include "user/model/leaks.h"

#define SECOND 1000u

static const struct process_identity inventory = {.id = {.tgid = 7}, .comm = "inventory"};
static const struct process_identity shop = {.id = {.tgid = 8}, .comm = "shop"};

/* By inode: 7xxx is the inventory's, 8xxx the shop's. */
static void find(void *ctx, const struct tcp_socket *s, struct leak_owner *who)
{
	(void)ctx;
	if (s->inode / 1000 == 7)
		*who = (struct leak_owner){.process = &inventory, .fd_count = 24, .fd_limit = 1024};
	else if (s->inode / 1000 == 8)
		*who = (struct leak_owner){.process = &shop};
}

static struct tcp_socket *add(struct socket_list *l, enum socket_state state, uint64_t inode,
			      uint16_t local_port, uint16_t peer_port, uint32_t idle_ms)
{
	struct tcp_socket *s = loopback_socket(l, state, local_port, peer_port, idle_ms);

	s->inode = inode;
	return s;
}

static void make(struct leaks *l, struct socket_list *sockets)
{
	assert_int_equal(leaks__make(l, sockets, SECOND, find, NULL), 0);
	socket_list__clear(sockets);
}

/* Accepted and opened ones of one process are two rows; how old, how fast, how long it lasts. */
static void test_rows(void **state)
{
	struct socket_list sockets = {0};
	struct leaks l;

	(void)state;
	add(&sockets, SOCKET_LISTEN, 7000, 80, 0, 0);
	for (uint32_t i = 0; i < 50; i++)
		add(&sockets, SOCKET_CLOSE_WAIT, 7001 + i, 80, (uint16_t)(40000 + i),
		    2 * SECOND + i * 2 * SECOND);
	add(&sockets, SOCKET_CLOSE_WAIT, 7100, 50000, 443, 3600 * SECOND)->rqueue = 12;
	add(&sockets, SOCKET_ESTABLISHED, 7101, 80, 1, 3600 * SECOND);
	add(&sockets, SOCKET_CLOSE_WAIT, 7102, 80, 39999, SECOND - 1);
	make(&l, &sockets);
	assert_int_equal(l.nr, 2);
	assert_int_equal(l.young, 1);
	assert_ptr_equal(l.at[0].owner.process, &inventory);
	assert_true(l.at[0].accepted);
	assert_int_equal(l.at[0].port, 80);
	assert_int_equal(l.at[0].nr, 50);
	assert_int_equal(l.at[0].oldest_ms, 100 * SECOND);
	assert_int_equal(l.at[0].recent, 30); /* 2 to 60 s old */
	assert_true(l.at[0].per_second == 0.5);
	assert_true(l.at[0].seconds_left == 2000);
	assert_false(l.at[1].accepted);
	assert_int_equal(l.at[1].port, 443);
	assert_int_equal(l.at[1].unread, 1);
	assert_true(l.at[1].seconds_left < 0); /* one socket tells no growth */
	leaks__clear(&l);
}

/* 25 a minute to each of two peers: both take of the same 1,000 files. */
static void test_files_are_shared(void **state)
{
	struct socket_list sockets = {0};
	struct leaks l;

	(void)state;
	for (uint32_t i = 0; i < 50; i++)
		add(&sockets, SOCKET_CLOSE_WAIT, 7001 + i, 50000, i % 2 ? 443 : 444,
		    2 * SECOND + i * 2 * SECOND);
	for (uint32_t i = 0; i < 50; i++)
		add(&sockets, SOCKET_CLOSE_WAIT, 8001 + i, 50000, 445, 2 * SECOND + i * 2 * SECOND);
	make(&l, &sockets);
	assert_int_equal(l.nr, 3);
	for (uint32_t i = 0; i < 3; i++) {
		if (l.at[i].port == 445) {
			assert_true(l.at[i].seconds_left < 0); /* its limit is not known */
			continue;
		}
		assert_true(l.at[i].per_second < 0.3);
		assert_true(l.at[i].process_per_second == 0.5);
		assert_true(l.at[i].seconds_left == 2000);
	}
	leaks__clear(&l);
}

/* What nobody accepted is the listener's; the ends that wait for it name who holds them up. */
static void test_both_ends(void **state)
{
	struct socket_list sockets = {0};
	struct leaks l;

	(void)state;
	add(&sockets, SOCKET_FIN_WAIT2, 0, 40000, 80, UINT32_MAX)->time_wait = true;
	add(&sockets, SOCKET_FIN_WAIT2, 8001, 40001, 80, 9 * SECOND);
	add(&sockets, SOCKET_CLOSE_WAIT, 0, 80, 40000, 9 * SECOND);
	add(&sockets, SOCKET_CLOSE_WAIT, 7001, 80, 40001, 9 * SECOND);
	add(&sockets, SOCKET_LISTEN, 7000, 80, 0, 0);
	make(&l, &sockets);
	assert_int_equal(l.nr, 3);
	assert_int_equal(l.at[0].state, SOCKET_CLOSE_WAIT);
	assert_int_equal(l.at[0].nr, 2);
	assert_int_equal(l.at[0].unaccepted, 1);
	for (uint32_t i = 1; i < 3; i++) {
		assert_int_equal(l.at[i].state, SOCKET_FIN_WAIT2);
		assert_int_equal(l.at[i].nr, 1);
		assert_false(l.at[i].accepted);
		assert_ptr_equal(l.at[i].far, &l.at[0]);
	}
	leaks__clear(&l);
}

/* Each netns has a loopback of its own: who waits there waits for somebody else. */
static void test_ends_elsewhere(void **state)
{
	for (int loopback = 0; loopback < 2; loopback++) {
		struct socket_list sockets = {0};
		struct leaks l;

		(void)state;
		add(&sockets, SOCKET_FIN_WAIT2, 8001, 40001, 80, 9 * SECOND);
		add(&sockets, SOCKET_CLOSE_WAIT, 7001, 80, 40001, 9 * SECOND)->netns = 2;
		for (int i = 0; i < 2 && !loopback; i++)
			sockets.at[i].local_addr[12] = sockets.at[i].peer_addr[12] = 10;
		make(&l, &sockets);
		assert_int_equal(l.nr, 2);
		assert_int_equal(!l.at[1].far, loopback);
		leaks__clear(&l);
	}
}

/* A leak knows its sockets, and no other ones. */
static void test_sockets_of_a_leak(void **state)
{
	struct socket_list sockets = {0};
	struct leaks l;

	(void)state;
	add(&sockets, SOCKET_LISTEN, 7000, 80, 0, 0);
	for (uint32_t i = 0; i < 1000; i++)
		add(&sockets, SOCKET_CLOSE_WAIT, 7001 + i % 2000, i % 3 ? 80 : 50000,
		    (uint16_t)(i % 3 ? i : 443 + i % 5), i % 7 ? 2 * SECOND : 0);
	assert_int_equal(leaks__make(&l, &sockets, SECOND, find, NULL), 0);
	assert_true(l.nr > 5);
	for (uint32_t i = 0; i < l.nr; i++) {
		uint32_t nr = 0;

		for (uint32_t k = l.at[i].first_socket; k != LEAK_NO_SOCKET; k = l.next_socket[k]) {
			const struct tcp_socket *s = &sockets.at[k];

			assert_int_equal(s->idle_ms, 2 * SECOND);
			assert_int_equal(l.at[i].port,
					 l.at[i].accepted ? s->local_port : s->peer_port);
			nr++;
		}
		assert_int_equal(nr, l.at[i].nr);
	}
	leaks__clear(&l);
	socket_list__clear(&sockets);
}

/* The controls: connections on their way, and ends that wait for another host. */
static void test_no_leaks(void **state)
{
	struct socket_list sockets = {0};
	struct leaks l;

	(void)state;
	add(&sockets, SOCKET_LISTEN, 7000, 80, 0, 0);
	add(&sockets, SOCKET_ESTABLISHED, 7001, 80, 40000, 3600 * SECOND);
	add(&sockets, SOCKET_CLOSE_WAIT, 7002, 80, 40001, 3);
	add(&sockets, SOCKET_FIN_WAIT2, 0, 40000, 443, UINT32_MAX)->time_wait = true;
	add(&sockets, SOCKET_TIME_WAIT, 0, 40000, 443, UINT32_MAX)->time_wait = true;
	make(&l, &sockets);
	assert_int_equal(l.nr, 0);
	assert_int_equal(l.young, 1);
	leaks__clear(&l);
}

/* Not known is not young: netlink may have been too old to tell. */
static void test_unknown_age(void **state)
{
	struct socket_list sockets = {0};
	struct leaks l;

	(void)state;
	add(&sockets, SOCKET_CLOSE_WAIT, 9000, 80, 40001, UINT32_MAX);
	make(&l, &sockets);
	assert_int_equal(l.nr, 1);
	assert_null(l.at[0].owner.process);
	assert_int_equal(l.at[0].nr_aged, 0);
	assert_int_equal(l.at[0].recent_ms, 0);
	leaks__clear(&l);
}

/* As a recording knows them: what its first census finds may have come at any time before. */
static void test_growth_between_censuses(void **state)
{
	struct socket_list sockets = {0};
	struct leaks l;

	(void)state;
	for (uint32_t i = 0; i < 50; i++)
		add(&sockets, SOCKET_CLOSE_WAIT, 7001 + i, 50000, 443, 10 * SECOND);
	for (uint32_t i = 0; i < 20; i++)
		add(&sockets, SOCKET_CLOSE_WAIT, 7101 + i, 50000, 443, 5 * SECOND);
	for (uint32_t i = 0; i < 50; i++)
		add(&sockets, SOCKET_CLOSE_WAIT, 8001 + i, 50000, 443, 10 * SECOND);
	make(&l, &sockets);
	assert_int_equal(l.nr, 2);
	assert_int_equal(l.at[0].nr, 70);
	assert_int_equal(l.at[0].recent, 20);
	assert_int_equal(l.at[0].recent_ms, 10 * SECOND);
	assert_true(l.at[0].per_second == 2);
	assert_int_equal(l.at[1].nr, 50);
	assert_int_equal(l.at[1].recent, 0);
	assert_int_equal(l.at[1].recent_ms, 0);
	leaks__clear(&l);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),
		cmocka_unit_test(test_files_are_shared),
		cmocka_unit_test(test_both_ends),
		cmocka_unit_test(test_ends_elsewhere),
		cmocka_unit_test(test_sockets_of_a_leak),
		cmocka_unit_test(test_no_leaks),
		cmocka_unit_test(test_unknown_age),
		cmocka_unit_test(test_growth_between_censuses),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
