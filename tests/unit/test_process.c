/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What a process is called, and told from others by. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "user/model/process.h"

static void test_program_names(void **state)
{
	static const struct {
		const char *exe;
		const char *argv[6];
		const char *program;
	} cases[] = {
		{"/usr/bin/python3.11", {"python3", "-u", "/srv/check.py", "-c"}, "check.py"},
		{"/usr/bin/python3", {"python3", "-um", "http.server"}, "http.server"},
		{"/usr/bin/python3", {"python3", "-W", "ignore", "-X", "dev", "a.py"}, "a.py"},
		{"/usr/bin/python3", {"python3", "-Wignore", "a.py"}, "a.py"},
		{"/usr/bin/python3", {"python3", "-c", "import x"}, "python3"},
		{"/usr/bin/python3", {"python3", "-", "x"}, "python3"},
		{"/usr/bin/python3", {"python3"}, "python3"},
		{"/usr/bin/node", {"node", "--inspect", "-r", "dd-trace", "srv.js"}, "srv.js"},
		{"/usr/bin/node", {"node", "-e", "1"}, "node"},
		{"/usr/bin/node", {"node", "--eval=1", "x"}, "node"},
		{"/bin/bash", {"bash", "-x", "-o", "pipefail", "run.sh"}, "run.sh"},
		{"/bin/bash", {"-bash", "-lc", "true"}, "bash"},
		{"/bin/sh", {"sh", "+e", "--", "run.sh"}, "run.sh"},
		{"/usr/bin/perl", {"perl", "-w", "-Ilib", "-MIO::Socket", "p.pl"}, "p.pl"},
		{"/usr/bin/perl", {"perl", "-ne", "print"}, "perl"},
		{"/usr/bin/ruby", {"ruby", "-I", "lib", "r.rb"}, "r.rb"},
		{"/usr/bin/php8.2", {"php", "-d", "a=b", "-f", "q.php"}, "q.php"},
		{"/usr/sbin/php-fpm8.2", {"php-fpm: pool www"}, "php-fpm8.2"},
		{"/usr/bin/curl", {"curl", "http://x/"}, "curl"},
		{NULL, {"python3", "b.py"}, "b.py"},
		{NULL, {NULL}, "thecomm"},
	};
	char program[64], tiny[4];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct process_identity p = {.comm = "thecomm"};
		char *argv[7] = {NULL};

		for (int k = 0; k < 6 && cases[i].argv[k]; k++)
			argv[k] = (char *)cases[i].argv[k];
		p.exe = (char *)cases[i].exe;
		p.argv = argv;
		process_identity__program(&p, program, sizeof(program));
		assert_string_equal(program, cases[i].program);
		process_identity__program(&p, tiny, sizeof(tiny));
		assert_true(strlen(tiny) <= 3);
	}
	struct process_identity kernel = {.comm = "kworker/0:1", .kernel = true};

	assert_string_equal(process_identity__program(&kernel, program, sizeof(program)),
			    "[kworker/0:1]");
}

/* What is known of the code of a process is kept under its key: the next process with that PID, and
 * the next program of the process, have another. */
static void test_keys(void **state)
{
	const struct churn_id ids[] = {
		{.start_ns = 5000000000, .tgid = 4000, .exec_id = 7},
		{.start_ns = 5000000001, .tgid = 4000, .exec_id = 7},
		{.start_ns = 5000000000, .tgid = 4001, .exec_id = 7},
		{.start_ns = 5000000000, .tgid = 4000, .exec_id = 8},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(ids) / sizeof(ids[0]); i++) {
		for (size_t k = 0; k < i; k++)
			assert_true(churn_process_key(&ids[i]) != churn_process_key(&ids[k]));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_program_names),
		cmocka_unit_test(test_keys),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
