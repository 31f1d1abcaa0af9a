/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "user/base/text.h"

static void cleans_what_a_terminal_would_obey(void **state)
{
	static const struct {
		const char *in, *out;
	} cases[] = {
		{"check.py", "check.py"},
		{"", ""},
		{"\x1b[31mred\x1b[0m", "?[31mred?[0m"},
		{"a\nb\tc\x7f", "a?b?c?"},
		{"gr\xc3\xbc\xc3\x9f", "gr\xc3\xbc\xc3\x9f"},
		{"\xe6\x97\xa5\xf0\x9f\x90\x8d", "\xe6\x97\xa5\xf0\x9f\x90\x8d"},
		{"\xc2\x9b"
		 "31m",
		 "?31m"}, /* C1: CSI in one character */
		{"\xe2\x80\xae"
		 "evil",
		 "?evil"}, /* right-to-left override */
		{"\xff\xfe", "??"},
		{"\xc3", "?"},		      /* cut short */
		{"\xc0\xaf", "??"},	      /* overlong */
		{"\xed\xa0\x80", "???"},      /* a surrogate */
		{"\xf4\x90\x80\x80", "????"}, /* beyond U+10FFFF */
	};
	char buf[64];
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_string_equal(text_clean(buf, sizeof(buf), cases[i].in), cases[i].out);
	assert_string_equal(text_clean(buf, sizeof(buf), NULL), "");
}

static void cuts_at_a_character(void **state)
{
	char buf[8];

	(void)state;
	assert_string_equal(text_clean(buf, 4, "ab\xc3\xbc"), "ab");
	assert_string_equal(text_clean(buf, 5, "ab\xc3\xbc"), "ab\xc3\xbc");
	assert_string_equal(text_clean(buf, 1, "abc"), "");
}

static void writes_addresses(void **state)
{
	static const uint8_t v4[16] = {[10] = 0xff, 0xff, 127, 0, 0, 1};
	static const uint8_t v6[16] = {0x20, 0x01, 0x0d, 0xb8, [15] = 1};
	static const uint8_t full[16] = {0xfe, 0xdc, 0xba, 0x98, 0x76, 0x54, 0x32, 0x10,
					 0xfe, 0xdc, 0xba, 0x98, 0x76, 0x54, 0x32, 0x10};
	char buf[ADDR_LEN];

	(void)state;
	assert_string_equal(text_addr(buf, v4), "127.0.0.1");
	assert_string_equal(text_addr(buf, v6), "2001:db8::1");
	assert_string_equal(text_addr(buf, full), "fedc:ba98:7654:3210:fedc:ba98:7654:3210");
}

static void names_errors(void **state)
{
	(void)state;
	assert_string_equal(text_errno(EADDRNOTAVAIL), "EADDRNOTAVAIL");
	assert_string_equal(text_errno(999), "errno 999");
	assert_string_equal(text_errno(-1), "errno -1");
	assert_string_equal(text_errno(0), "errno 0");
	assert_int_equal(text_errno_from_name("EADDRNOTAVAIL"), EADDRNOTAVAIL);
	assert_int_equal(text_errno_from_name("EWOULDBLOCK"), EAGAIN);
	assert_int_equal(text_errno_from_name("99"), 99);
	assert_int_equal(text_errno_from_name("99x"), 0);
	assert_int_equal(text_errno_from_name("5000"), 0);
	assert_int_equal(text_errno_from_name("ENOSUCH"), 0);
	assert_int_equal(text_errno_from_name(""), 0);
}

static void groups_thousands(void **state)
{
	char buf[32];

	(void)state;
	assert_string_equal(text_count(buf, sizeof(buf), 0), "0");
	assert_string_equal(text_count(buf, sizeof(buf), 999), "999");
	assert_string_equal(text_count(buf, sizeof(buf), 1000), "1,000");
	assert_string_equal(text_count(buf, sizeof(buf), 1234567), "1,234,567");
	assert_string_equal(text_count(buf, sizeof(buf), UINT64_MAX), "18,446,744,073,709,551,615");
}

static void writes_durations(void **state)
{
	static const struct {
		uint64_t ns;
		const char *text;
	} cases[] = {
		{0, "0 ns"},
		{830, "830 ns"},
		{14000, "14 us"},
		{14040, "14 us"},
		{1720000, "1.72 ms"},
		{1700000, "1.7 ms"},
		{999499, "999 us"},
		{999500, "1 ms"},
		{2500000000, "2.5 s"},
		{59949000000, "59.9 s"},
		{59960000000, "1 m"},
		{200000000000, "3 m 20 s"},
		{3599600000000, "1 h"},
		{7500000000000, "2 h 5 m"},
		{93600000000000, "1 d 2 h"},
	};
	char buf[32];
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_string_equal(text_duration(buf, sizeof(buf), cases[i].ns), cases[i].text);
}

static void takes_base_names(void **state)
{
	(void)state;
	assert_string_equal(text_base_name("/srv/app/check.py"), "check.py");
	assert_string_equal(text_base_name("check.py"), "check.py");
	assert_string_equal(text_base_name("/"), "/");
	assert_string_equal(text_base_name(""), "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(cleans_what_a_terminal_would_obey),
		cmocka_unit_test(cuts_at_a_character),
		cmocka_unit_test(writes_addresses),
		cmocka_unit_test(names_errors),
		cmocka_unit_test(groups_thousands),
		cmocka_unit_test(writes_durations),
		cmocka_unit_test(takes_base_names),
	};

	return cmocka_run_group_tests_name("text", tests, NULL, NULL);
}
