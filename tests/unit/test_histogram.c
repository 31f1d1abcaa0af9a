/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "user/model/histogram.h"

static void within(uint64_t value, uint64_t expected)
{
	uint64_t error = expected * 3 / 100;

	assert_in_range(value, expected - error, expected + error);
}

static void test_empty(void **state)
{
	struct histogram h = {0};

	(void)state;
	assert_int_equal(histogram__quantile(&h, 0.5), 0);
	histogram__clear(&h);
}

static void test_one_value_is_exact(void **state)
{
	static const uint64_t values[] = {0, 1, 31, 32, 33, 1000003, 1ULL << 40, UINT64_MAX};

	(void)state;
	for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
		struct histogram h = {0};

		assert_int_equal(histogram__add(&h, values[i]), 0);
		assert_true(histogram__quantile(&h, 0) == values[i]);
		assert_true(histogram__quantile(&h, 0.5) == values[i]);
		assert_true(histogram__quantile(&h, 1) == values[i]);
		assert_int_equal(h.nr, 1);
		assert_true(h.sum == values[i]);
		histogram__clear(&h);
	}
}

static void test_quantiles_within_3_percent(void **state)
{
	struct histogram h = {0};

	(void)state;
	for (uint64_t i = 1; i <= 100000; i++) /* not in order */
		assert_int_equal(histogram__add(&h, i * 7919 % 100003 * 1000), 0);
	within(histogram__quantile(&h, 0.01), 1000000);
	within(histogram__quantile(&h, 0.5), 50000000);
	within(histogram__quantile(&h, 0.9), 90000000);
	within(histogram__quantile(&h, 0.99), 99000000);
	assert_true(h.nr_buckets < 500);
	histogram__clear(&h);
}

static void test_small_values_are_exact(void **state)
{
	struct histogram h = {0};

	(void)state;
	for (uint64_t i = 1; i <= 20; i++)
		assert_int_equal(histogram__add(&h, i), 0);
	assert_int_equal(histogram__quantile(&h, 0.5), 10);
	assert_int_equal(histogram__quantile(&h, 0.95), 19);
	assert_int_equal(histogram__quantile(&h, 0.951), 20);
	histogram__clear(&h);
}

static void test_merge(void **state)
{
	struct histogram a = {0}, b = {0}, empty = {0};

	(void)state;
	for (uint64_t i = 1; i <= 10; i++) {
		histogram__add(&a, i);
		histogram__add(&b, i + 10);
	}
	assert_int_equal(histogram__merge(&a, &b), 0);
	assert_int_equal(histogram__merge(&a, &empty), 0);
	assert_int_equal(a.nr, 20);
	assert_int_equal(a.min, 1);
	assert_int_equal(a.max, 20);
	assert_int_equal(a.sum, 210);
	assert_int_equal(histogram__quantile(&a, 0.5), 10);
	assert_int_equal(histogram__merge(&empty, &b), 0);
	assert_int_equal(empty.min, 11);
	histogram__clear(&a);
	histogram__clear(&b);
	histogram__clear(&empty);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_empty),
		cmocka_unit_test(test_one_value_is_exact),
		cmocka_unit_test(test_quantiles_within_3_percent),
		cmocka_unit_test(test_small_values_are_exact),
		cmocka_unit_test(test_merge),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
