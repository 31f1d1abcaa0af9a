/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "user/model/recorded_owners.h"

static void put(struct recorded_owners *o, uint32_t pid, const char *exe)
{
	struct process_identity p = {.id.tgid = pid};
	char path[32];

	strcpy(path, exe);
	p.exe = path;
	assert_int_equal(recorded_owners__put(o, &p), 0);
	memset(path, 'x', strlen(exe)); /* it is a copy */
}

static void test_by_pid(void **state)
{
	struct recorded_owners o = {0};

	(void)state;
	assert_null(recorded_owners__find(&o, 7));
	put(&o, 7, "/bin/seven");
	put(&o, 8, "/bin/eight");
	assert_string_equal(recorded_owners__find(&o, 7)->exe, "/bin/seven");
	assert_string_equal(recorded_owners__find(&o, 8)->exe, "/bin/eight");
	assert_null(recorded_owners__find(&o, 0));
	recorded_owners__clear(&o);
	assert_null(recorded_owners__find(&o, 7));
}

static void test_the_last_one_has_the_pid(void **state)
{
	struct recorded_owners o = {0};

	(void)state;
	put(&o, 7, "/bin/seven");
	put(&o, 8, "/bin/eight");
	put(&o, 7, "/bin/other");
	assert_string_equal(recorded_owners__find(&o, 7)->exe, "/bin/other");
	assert_string_equal(recorded_owners__find(&o, 8)->exe, "/bin/eight");
	recorded_owners__clear(&o);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_by_pid),
		cmocka_unit_test(test_the_last_one_has_the_pid),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
