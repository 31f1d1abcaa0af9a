// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* What sysctls mean together. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "user/model/settings.h"

static struct settings usual(void)
{
	struct settings s;

	memset(&s, 0, sizeof(s));
	port_rules__init(&s.rules);
	assert_int_equal(port_rules__set_range(&s.rules, "32768\t60999"), 0);
	s.rules.timestamps = true;
	s.has_reuse_delay = true;
	for (int i = 0; i < SETTING__COUNT; i++)
		s.at[i].known = true;
	s.at[SETTING_MAX_TW_BUCKETS].value = 131072;
	s.at[SETTING_SOMAXCONN].value = 4096;
	s.at[SETTING_FIN_TIMEOUT].value = 60;
	return s;
}

static const struct settings_line *line_of(const struct settings *s, const char *name)
{
	static struct settings_line lines[SETTINGS_MAX_LINES];
	size_t nr = settings__explain(s, lines);

	for (size_t i = 0; i < nr; i++) {
		if (strcmp(strrchr(lines[i].name, '.') + 1, name) == 0)
			return &lines[i];
	}
	return NULL;
}

static void expect(const struct settings *s, const char *name, const char *value,
		   const char *meaning)
{
	const struct settings_line *l = line_of(s, name);

	assert_non_null(l);
	assert_string_equal(l->value, value);
	if (!strstr(l->meaning, meaning))
		fail_msg("%s: \"%s\" lacks \"%s\"", name, l->meaning, meaning);
}

static void test_usual(void **state)
{
	struct settings s = usual();
	struct settings_line lines[SETTINGS_MAX_LINES];

	(void)state;
	assert_int_equal(settings__explain(&s, lines), SETTINGS_MAX_LINES);
	expect(&s, "ip_local_port_range", "32768 60999", "28,232 ports");
	expect(&s, "ip_local_port_range", "32768 60999", "470.5/s");
	expect(&s, "ip_local_port_range", "32768 60999", "(14,116)");
	expect(&s, "ip_local_reserved_ports", "0 ports", "nothing");
	expect(&s, "tcp_tw_reuse", "2", "on loopback");
	expect(&s, "tcp_max_tw_buckets", "131072", "end without it");
	expect(&s, "somaxconn", "4096", "4,096");
	expect(&s, "tcp_fin_timeout", "60", "up to 60 s");
}

/* An odd number of ports loses one; reserved ports are missing; outside they are no loss. */
static void test_capacity(void **state)
{
	struct settings s = usual();

	(void)state;
	assert_int_equal(port_rules__set_range(&s.rules, "48000\t48002"), 0);
	expect(&s, "ip_local_port_range", "48000 48002", "2 ports");
	assert_int_equal(port_rules__set_range(&s.rules, "48000\t48009"), 0);
	assert_int_equal(port_rules__set_reserved(&s.rules, "8080,48000-48003"), 0);
	expect(&s, "ip_local_port_range", "48000 48009", "6 ports");
	expect(&s, "ip_local_reserved_ports", "5 ports", "4 ports of the range");
	assert_int_equal(port_rules__set_range(&s.rules, "1\t65535"), 0);
	assert_int_equal(port_rules__set_reserved(&s.rules, ""), 0);
	expect(&s, "ip_local_port_range", "1 65535", "65,534 ports");
}

/* What one says depends on another. */
static void test_together(void **state)
{
	struct settings s = usual();

	(void)state;
	s.rules.tw_reuse = TW_REUSE_ALL;
	expect(&s, "tcp_tw_reuse", "1", "every destination");
	assert_null(strstr(line_of(&s, "tcp_tw_reuse")->meaning, "timestamps"));
	s.rules.timestamps = false;
	expect(&s, "tcp_tw_reuse", "1", "timestamps, which are off");
	expect(&s, "tcp_timestamps", "off", "ever taken over");
	s.rules.tw_reuse = TW_REUSE_OFF;
	expect(&s, "tcp_tw_reuse", "0", "for 60 s");
	expect(&s, "tcp_tw_reuse_delay", "1000", "no matter");
	s.at[SETTING_MAX_TW_BUCKETS].value = 1000;
	expect(&s, "tcp_max_tw_buckets", "1000", "fewer than there are ports");
}

static void test_unknown(void **state)
{
	struct settings s = usual();

	(void)state;
	s.has_reuse_delay = false;
	assert_null(line_of(&s, "tcp_tw_reuse_delay"));
	s.at[SETTING_SOMAXCONN].known = false;
	assert_null(line_of(&s, "somaxconn"));
	s.rules.low = s.rules.high = 0;
	assert_null(line_of(&s, "ip_local_port_range"));
	assert_null(line_of(&s, "tcp_tw_reuse"));
	assert_non_null(line_of(&s, "tcp_fin_timeout"));
}

static void test_equal(void **state)
{
	struct settings a = usual(), b = usual();

	(void)state;
	b.rules.netns = 7; /* whose they are makes no difference */
	assert_true(settings__equal(&a, &b));
	assert_int_equal(port_rules__set_reserved(&b.rules, "9"), 0);
	assert_false(settings__equal(&a, &b));
	b = usual();
	b.at[SETTING_FIN_TIMEOUT].value = 15;
	assert_false(settings__equal(&a, &b));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_usual),	 cmocka_unit_test(test_capacity),
		cmocka_unit_test(test_together), cmocka_unit_test(test_unknown),
		cmocka_unit_test(test_equal),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
