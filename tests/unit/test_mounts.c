/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "user/source/mounts.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <cmocka.h>

#include "user/base/array.h"

#define DEV(major, minor) ((uint32_t)(major) << 20 | (minor))

static void test_lines(void **state)
{
	static const struct {
		const char *line;
		uint32_t dev;
		const char *in_fs, *path;
	} cases[] = {
		{"36 35 98:0 / / rw - ext4 /dev/a rw", DEV(98, 0), "/usr/bin/curl",
		 "/usr/bin/curl"},
		{"36 35 98:0 / /tmp rw - tmpfs a rw", DEV(98, 0), "/job", "/tmp/job"},
		{"36 35 98:0 /sub /opt rw - ext4 a rw", DEV(98, 0), "/sub/bin/job", "/opt/bin/job"},
		{"36 35 98:0 / /my\\040disk rw - ext4 a rw", DEV(98, 0), "/a", "/my disk/a"},
		/* another file system; what is not below the root that is mounted */
		{"36 35 98:1 / /tmp rw - tmpfs a rw", DEV(98, 0), "/job", NULL},
		{"36 35 98:0 /sub /opt rw - ext4 a rw", DEV(98, 0), "/subway/job", NULL},
		{"36 35 98:0 /sub /opt rw - ext4 a rw", DEV(98, 0), "/job", NULL},
		{"36 35 0:4 net:[4026532281] /run/netns/a rw - nsfs nsfs rw", DEV(0, 4), "/job",
		 NULL},
		{"36 35 98", DEV(98, 0), "/job", NULL},
		{"", DEV(98, 0), "/job", NULL},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		uint64_t id = 0;
		char *path = mountinfo_path(cases[i].line, cases[i].dev, cases[i].in_fs, &id);

		if (cases[i].path) {
			assert_non_null(path);
			assert_string_equal(path, cases[i].path);
			assert_int_equal(id, 36);
		} else {
			assert_null(path);
		}
		free(path);
	}
}

/* What cannot be found as it is said to be is not made up. */
static void test_other_file(void **state)
{
	struct stat st;
	uint32_t dev;

	(void)state;
	assert_int_equal(stat("/proc/self/stat", &st), 0);
	dev = DEV(major(st.st_dev), minor(st.st_dev));
	assert_null(mounted_path(dev, st.st_ino + 1, "/self/stat"));
	assert_null(mounted_path(dev, st.st_ino, "/no such file"));
	assert_null(mounted_path(DEV(4000, 1), st.st_ino, "/self/stat"));
}

static void test_found(void **state)
{
	struct stat st;
	char *path;

	(void)state;
	assert_int_equal(stat("/proc/version", &st), 0);
	path = mounted_path(DEV(major(st.st_dev), minor(st.st_dev)), st.st_ino, "/version");
	assert_non_null(path);
	assert_string_equal(path, "/proc/version");
	free(path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lines),
		cmocka_unit_test(test_other_file),
		cmocka_unit_test(test_found),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
