/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The monitor's verdict. */
#include "tests/unit/world.h"

#include "user/model/check.h"

static void test_check(void **state)
{
	static const struct {
		uint16_t used;
		uint32_t close_wait;
		bool incomplete;
		enum check_status status;
		struct check_failures failures;
	} cases[] = {
		{0, 0, false, CHECK_OK, {0}},
		{4, 0, false, CHECK_OK, {0}},
		{5, 0, false, CHECK_WARNING, {0}},
		{7, 0, true, CHECK_WARNING, {0}},
		{8, 0, false, CHECK_CRITICAL, {0}},
		{10, 0, true, CHECK_CRITICAL, {0}},
		{0, 2, false, CHECK_OK, {0}},
		{0, 3, false, CHECK_WARNING, {0}},
		{0, 4, false, CHECK_CRITICAL, {0}},
		{5, 4, false, CHECK_CRITICAL, {0}},
		{0, 0, true, CHECK_UNKNOWN, {0}},
		{0, 0, false, CHECK_OK, {.traced = true}},
		{0, 0, false, CHECK_CRITICAL, {.traced = true, .connects = 1}},
		{5, 0, true, CHECK_CRITICAL, {.traced = true, .binds = 1}},
	};
	const struct check_limits limits = {
		.warning = 0.5, .critical = 0.8, .leak_warning = 3, .leak_critical = 4};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct check_result r;
		struct world w;

		world_begin(&w, 40000, 40009);
		for (uint16_t k = 0; k < cases[i].used; k++)
			world_add(&w, 40000 + k, SOCKET_ESTABLISHED);
		for (uint32_t k = 0; k < cases[i].close_wait; k++)
			world_add(&w, 80, SOCKET_CLOSE_WAIT);
		world_make(&w);
		check__judge(&r, &limits, &w.pools, &w.sockets, &cases[i].failures,
			     cases[i].incomplete);
		assert_int_equal(r.status, cases[i].status);
		world_end(&w);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_check),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
