/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Which ports connect() may take, by the sysctls of a namespace. */
#include "tests/unit/world.h"

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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_range),
		cmocka_unit_test(test_reserved),
		cmocka_unit_test(test_odd_numbers_lose_one),
		cmocka_unit_test(test_reusable),
		cmocka_unit_test(test_reusable_ipv6),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
