/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "bpf/event.h"
#include "user/base/json.h"
#include "user/model/names.h"

static void assert_line(struct json *j, const char *want)
{
	assert_int_equal(json__finish(j), 0);
	assert_int_equal(j->len, strlen(want));
	assert_memory_equal(j->buf, want, j->len);
	json__free(j);
}

static void writes_nested_documents(void **state)
{
	struct json j = {0};

	(void)state;
	json__begin(&j);
	json__string(&j, "a", "x");
	json__string(&j, "unknown", NULL);
	json__object(&j, "o");
	json__uint(&j, "max", UINT64_MAX);
	json__hex(&j, "cookie", 0x1f00);
	json__close(&j);
	json__array(&j, "l");
	json__uint(&j, NULL, 0);
	json__object(&j, NULL);
	json__close(&j);
	json__array(&j, NULL);
	json__close(&j);
	json__close(&j);
	json__double(&j, "rate", 41.25);
	json__double(&j, "nan", NAN);
	json__bool(&j, "yes", true);
	assert_line(&j, "{\"a\":\"x\",\"o\":{\"max\":18446744073709551615,\"cookie\":\"1f00\"},"
			"\"l\":[0,{},[]],\"rate\":41.25,\"yes\":true}\n");
}

static void escapes_foreign_text(void **state)
{
	struct json j = {0};

	(void)state;
	json__begin(&j);
	json__string(&j, "s", "a\"b\\c\n\r\t\b\f\x01\x1b\x7f gr\xc3\xbc\xc3\x9f \xf0\x9f\x90\x8d");
	json__string(&j, "bad", "x\xffy\xc3");
	json__string(&j, "turned",
		     "\xe2\x80\xae"
		     "c.exe\xc2\x9b");
	assert_line(&j,
		    "{\"s\":\"a\\\"b\\\\c\\n\\r\\t\\b\\f\\u0001\\u001b\\u007f gr\xc3\xbc\xc3\x9f "
		    "\xf0\x9f\x90\x8d\",\"bad\":\"x\\ufffdy\\ufffd\",\"turned\":\"\\u202ec."
		    "exe\\u009b\"}\n");
}

static void keeps_bytes_when_asked(void **state)
{
	struct json j = {.keep_bytes = true};

	(void)state;
	json__begin(&j);
	json__string(&j, "bad", "x\xffy\xc3\xed\xb2\x80");
	assert_line(&j, "{\"bad\":\"x\\udcffy\\udcc3\\udced\\udcb2\\udc80\"}\n");
}

static void closes_what_is_open(void **state)
{
	struct json j = {0};

	(void)state;
	json__begin(&j);
	json__array(&j, "a");
	json__object(&j, NULL);
	json__uint(&j, "n", 1);
	assert_line(&j, "{\"a\":[{\"n\":1}]}\n");
}

static void refuses_to_nest_too_deep(void **state)
{
	struct json j = {0};
	int i;

	(void)state;
	json__begin(&j);
	for (i = 0; i < JSON_MAX_DEPTH + 3; i++)
		json__object(&j, "o");
	for (i = 0; i < JSON_MAX_DEPTH + 3; i++)
		json__close(&j);
	assert_int_equal(json__finish(&j), -E2BIG);
	json__begin(&j);
	assert_line(&j, "{}\n");
}

static void grows(void **state)
{
	struct json j = {0};
	char text[10001];
	int i;

	(void)state;
	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	json__begin(&j);
	for (i = 0; i < 100; i++)
		json__string(&j, "s", text);
	assert_int_equal(json__finish(&j), 0);
	assert_int_equal(j.len, 2 + 100 * (10000 + 6) + 99 + 1);
	json__free(&j);
}

static void writes_times(void **state)
{
	char buf[TIME_TEXT_LEN];

	(void)state;
	assert_string_equal(time_rfc3339(buf, 0), "1970-01-01T00:00:00.000000000Z");
	assert_string_equal(time_rfc3339(buf, 1709210096000000001ULL),
			    "2024-02-29T12:34:56.000000001Z");
	assert_string_equal(time_rfc3339(buf, 1709210096999999999ULL),
			    "2024-02-29T12:34:56.999999999Z");
	assert_string_equal(time_rfc3339(buf, 1), "1970-01-01T00:00:00.000000001Z");
}

static void names_go_there_and_back(void **state)
{
	unsigned int i;

	(void)state;
	for (i = 0; i < 64; i++) {
		if (name_cause(i))
			assert_int_equal(cause_from_name(name_cause(i)), i);
		if (name_initiator(i))
			assert_int_equal(initiator_from_name(name_initiator(i)), i);
		if (name_role(i))
			assert_int_equal(role_from_name(name_role(i)), i);
		if (name_attribution(i))
			assert_int_equal(attribution_from_name(name_attribution(i)), i);
		if (name_time_wait(i))
			assert_int_equal(time_wait_from_name(name_time_wait(i)), i);
		if (name_lost(i))
			assert_int_equal(lost_from_name(name_lost(i)), i);
		assert_non_null(words_cause(i));
		assert_non_null(words_lost(i));
	}
	/* None is forgotten: an array with a hole still has the right size. */
	for (i = 0; i < CHURN_LOST__COUNT; i++)
		assert_non_null(name_lost(i));
	for (i = 1; i < CHURN_CAUSE__COUNT; i++)
		assert_non_null(name_cause(i));
	for (i = 1; i < CHURN_END__COUNT; i++)
		assert_non_null(name_initiator(i));
	assert_null(name_cause(0));
	assert_int_equal(cause_from_name("nonsense"), -1);
	assert_int_equal(cause_from_name(""), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(writes_nested_documents),
		cmocka_unit_test(escapes_foreign_text),
		cmocka_unit_test(keeps_bytes_when_asked),
		cmocka_unit_test(closes_what_is_open),
		cmocka_unit_test(refuses_to_nest_too_deep),
		cmocka_unit_test(grows),
		cmocka_unit_test(writes_times),
		cmocka_unit_test(names_go_there_and_back),
	};

	return cmocka_run_group_tests_name("json", tests, NULL, NULL);
}
