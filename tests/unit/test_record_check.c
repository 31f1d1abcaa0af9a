/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Records that say more than they hold, each by one byte or one element. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "user/base/array.h"
#include "user/source/record_check.h"

static union {
	struct churn_header h;
	struct churn_process process;
	struct churn_stack stack;
	struct churn_stack_copy copy;
	struct churn_py_stack py;
} r;

static void sound_from(uint32_t type, size_t least)
{
	r.h.type = type;
	r.h.size = (uint32_t)least;
	assert_true(record_is_sound(&r.h, least));
	assert_false(record_is_sound(&r.h, least - 1));
	r.h.size = (uint32_t)least - 1;
	assert_false(record_is_sound(&r.h, least - 1));
	r.h.size = (uint32_t)least + 1;
	assert_false(record_is_sound(&r.h, least));
}

static void test_sizes(void **state)
{
	static const struct {
		uint32_t type;
		size_t least;
	} cases[] = {
		{CHURN_WAKE, sizeof(struct churn_header)},
		{CHURN_PROCESS, sizeof(struct churn_process)},
		{CHURN_EXEC, sizeof(struct churn_exec)},
		{CHURN_CONNECT, sizeof(struct churn_open)},
		{CHURN_ACCEPT, sizeof(struct churn_open)},
		{CHURN_FAILED, sizeof(struct churn_end)},
		{CHURN_CLOSE, sizeof(struct churn_end)},
		{CHURN_BIND_FAILED, sizeof(struct churn_end)},
	};

	(void)state;
	memset(&r, 0, sizeof(r));
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		sound_from(cases[i].type, cases[i].least);
	r.h = (struct churn_header){.type = CHURN_BIND_FAILED + 1, .size = sizeof(r)};
	assert_false(record_is_sound(&r.h, sizeof(r)));
}

static void test_counts(void **state)
{
	(void)state;
	memset(&r, 0, sizeof(r));
	r.stack.nr = 3;
	sound_from(CHURN_STACK, offsetof(struct churn_stack, pc) + 3 * sizeof(r.stack.pc[0]));
	memset(&r, 0, sizeof(r));
	r.copy.len = 5;
	sound_from(CHURN_STACK_COPY, offsetof(struct churn_stack_copy, bytes) + 5);
	memset(&r, 0, sizeof(r));
	r.py.nr = 2;
	sound_from(CHURN_PY_STACK,
		   offsetof(struct churn_py_stack, frames) + 2 * sizeof(r.py.frames[0]));
	sound_from(CHURN_CALLS,
		   offsetof(struct churn_py_stack, frames) + 2 * sizeof(r.py.frames[0]));
}

/* More than what receives it can take, however long the record. */
static void test_bounds(void **state)
{
	const size_t huge = 1 << 20;

	(void)state;
	memset(&r, 0, sizeof(r));
	r.h = (struct churn_header){.type = CHURN_PROCESS, .size = sizeof(r)};
	r.process.args_len = CHURN_ARGS_LEN;
	assert_true(record_is_sound(&r.h, huge));
	r.process.args_len++;
	assert_false(record_is_sound(&r.h, huge));
	r.h.type = CHURN_STACK;
	r.stack.nr = CHURN_MAX_FRAMES;
	assert_true(record_is_sound(&r.h, huge));
	r.stack.nr++;
	assert_false(record_is_sound(&r.h, huge));
	r.h.type = CHURN_STACK_COPY;
	r.copy.len = CHURN_COPY_LEN;
	assert_true(record_is_sound(&r.h, huge));
	r.copy.len++;
	assert_false(record_is_sound(&r.h, huge));
	r.h.type = CHURN_CALLS;
	r.py.nr = CHURN_MAX_PY_FRAMES;
	assert_true(record_is_sound(&r.h, huge));
	r.py.nr++;
	assert_false(record_is_sound(&r.h, huge));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sizes),
		cmocka_unit_test(test_counts),
		cmocka_unit_test(test_bounds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
