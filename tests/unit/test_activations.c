/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Sampled connections: each end gets the verdict on its own connection, and only once. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "user/source/activations.h"

#define MAX 4096

/* A call of f, which called connect(): where f had come to. */
static int calls(struct activations *a, uint64_t conn, bool closing, uint64_t instr)
{
	struct churn_py_stack *s = calloc(1, sizeof(*s));
	int err;

	s->tid = 7;
	s->closing = closing;
	s->conn = conn;
	s->frames[s->nr++] = (struct churn_py_frame){.frame = 4096, .instr = instr};
	err = activations__add(a, s);
	free(s);
	return err;
}

static void sampled(struct activations *a, uint64_t conn)
{
	assert_int_equal(calls(a, conn, false, 100), 0);
}

/* What its end says, CHURN_ACTIVATION__COUNT: nothing, it is the very record. */
static enum churn_activation settled(struct activations *a, uint64_t conn)
{
	const struct churn_end e = {.conn.id = conn, .bytes_sent = 11};
	struct churn_end judged;
	const struct churn_end *told = activations__settle(a, &e, &judged);

	assert_int_equal(told->conn.id, conn);
	assert_int_equal(told->bytes_sent, 11);
	return told == &e ? CHURN_ACTIVATION__COUNT : told->activation;
}

static void test_verdicts(void **state)
{
	struct activations *a = activations__new();

	(void)state;
	assert_int_equal(settled(a, 1), CHURN_ACTIVATION__COUNT);
	sampled(a, 1);
	sampled(a, 2);
	sampled(a, 3);
	assert_int_equal(calls(a, 1, true, 200), 0);
	assert_int_equal(calls(a, 2, true, 50), 0);
	assert_int_equal(calls(a, 4, true, 50), 0); /* its open was lost */
	assert_int_equal(settled(a, 2), CHURN_ACTIVATION_EARLIER);
	assert_int_equal(settled(a, 1), CHURN_ACTIVATION_LATER);
	assert_int_equal(settled(a, 3), CHURN_ACTIVATION_UNKNOWN); /* what it ended with was lost */
	for (uint64_t conn = 1; conn <= 4; conn++)
		assert_int_equal(settled(a, conn), CHURN_ACTIVATION__COUNT);
	activations__free(a);
}

static void test_the_same_socket_again(void **state)
{
	struct activations *a = activations__new();

	(void)state;
	sampled(a, 1);
	assert_int_equal(calls(a, 1, true, 200), 0);
	sampled(a, 1);
	assert_int_equal(settled(a, 1), CHURN_ACTIVATION_UNKNOWN);
	assert_int_equal(settled(a, 1), CHURN_ACTIVATION__COUNT);
	activations__free(a);
}

/* Cookies count up, by CPU; other identities have their highest bit set. */
static void test_the_oldest_is_forgotten(void **state)
{
	static const uint64_t from[] = {1, 1ULL << 63, 4096 * 4711};
	struct activations *a = activations__new();

	(void)state;
	for (size_t i = 0; i < sizeof(from) / sizeof(from[0]); i++) {
		for (uint64_t n = 0; n < MAX + 100; n++) {
			sampled(a, from[i] + n);
			assert_int_equal(calls(a, from[i] + n, true, 200), 0);
		}
		for (uint64_t n = 0; n < MAX + 100; n++)
			assert_int_equal(settled(a, from[i] + n), n < 100 ? CHURN_ACTIVATION__COUNT
									  : CHURN_ACTIVATION_LATER);
	}
	for (uint64_t n = 0; n < MAX + 100; n++)
		sampled(a, n);
	activations__free(a);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_verdicts),
		cmocka_unit_test(test_the_same_socket_again),
		cmocka_unit_test(test_the_oldest_is_forgotten),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
