/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Which call a connection belonged to. Frames are told by a letter of their own, as are codes. */
#include "user/model/activation.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
/* After the four that it needs. */
#include <cmocka.h>

#define TID 700

/* "m4 r9 c2": outermost first, as one reads a program: frame and code 'm' at instruction 4. */
static struct churn_py_stack calls(const char *text)
{
	struct churn_py_stack s = {.tid = TID};
	struct churn_py_frame outermost_first[CHURN_MAX_PY_FRAMES];
	char *end;

	while (*text) {
		assert_true(s.nr < CHURN_MAX_PY_FRAMES);
		outermost_first[s.nr++] = (struct churn_py_frame){
			.frame = 0x7f0000000000ULL + (uint64_t)*text * 256,
			.code = 0x560000000000ULL + (uint64_t)*text * 64,
			.instr = 0x560000001000ULL + strtoull(text + 1, &end, 10),
		};
		text = end + (*end == ' ');
	}
	for (uint16_t i = 0; i < s.nr; i++)
		s.frames[i] = outermost_first[s.nr - 1 - i];
	return s;
}

static enum churn_activation judge(const char *open, const char *end, uint8_t *frame)
{
	struct churn_py_stack a = calls(open), b = calls(end);

	*frame = 99;
	return activation_judge(&a, &b, frame);
}

static void expect(const char *open, const char *end, enum churn_activation verdict, uint8_t frame)
{
	uint8_t at;
	enum churn_activation got = judge(open, end, &at);

	if (got != verdict || at != frame)
		fail_msg("%s | %s: %d of frame %u, not %d of frame %u", open, end, got, at, verdict,
			 frame);
}

/* def check(): s = Session(); s.get() -- and main() still stands where it called check(). */
static void test_returned(void **state)
{
	(void)state;
	expect("m4 c9", "m4", CHURN_ACTIVATION_RETURNED, 0);
	expect("m4 c9 g2 s7", "m4", CHURN_ACTIVATION_RETURNED, 2);
	expect("m4 l5 c9 g2 s7", "m4 l5", CHURN_ACTIVATION_RETURNED, 2);
	/* Control: the caller has moved on, or back. */
	expect("m4 l5 c9 g2 s7", "m4 l6", CHURN_ACTIVATION_LATER, 3);
	expect("m4 l5 c9 g2 s7", "m4 l4", CHURN_ACTIVATION_EARLIER, 3);
}

/* with Session() as s: s.get() -- ended on the way out of the block, in the same call. */
static void test_later(void **state)
{
	(void)state;
	expect("m4 c9 g2 s7", "m4 c30 x1", CHURN_ACTIVATION_LATER, 2);
	expect("m4 c9 g2 s7", "m4 c30", CHURN_ACTIVATION_LATER, 2);
	/* s = socket(); s.connect(); s.close(), all in one. */
	expect("m4 c9", "m4 c10", CHURN_ACTIVATION_LATER, 0);
	/* In the outermost call. */
	expect("m4 c9 g2 s7", "m5", CHURN_ACTIVATION_LATER, 3);
	/* Control: another activation of the same function is entered from the same place. */
	expect("m4 c9 g2 s7", "m4 d30 x1", CHURN_ACTIVATION_EARLIER, 3);
}

/* client.reconnect(): closes the old one, then opens: the new one is ended at an earlier place. */
static void test_reconnect(void **state)
{
	(void)state;
	expect("m4 r9 o2", "m4 r5 e2", CHURN_ACTIVATION_EARLIER, 1);
	expect("m4 r9", "m4 r5", CHURN_ACTIVATION_EARLIER, 0);
	expect("m9 r9", "m4 r5", CHURN_ACTIVATION_EARLIER, 1);
}

/* while True: a loop comes to the same instruction again, and calls anew. */
static void test_loop(void **state)
{
	(void)state;
	/* The callee is another activation, even if it does the same. */
	expect("m4 c9 g2", "m4 d9 g2", CHURN_ACTIVATION_EARLIER, 2);
	/* Nothing was called at open: standing there again is no return. */
	expect("m4", "m4", CHURN_ACTIVATION_EARLIER, 0);
	expect("m4 c9", "m4 c9", CHURN_ACTIVATION_EARLIER, 0);
	/* What stood at the same instruction now calls something. */
	expect("m4 c9", "m4 c9 x1", CHURN_ACTIVATION_EARLIER, 0);
	/* Control: the other way round it has returned. */
	expect("m4 c9 x1", "m4 c9", CHURN_ACTIVATION_RETURNED, 0);
}

/* Frames are reused: the same address below a caller that moved on is another call. */
static void test_called_again_from_elsewhere(void **state)
{
	(void)state;
	expect("m4 c9 g2", "m6 c9 g2", CHURN_ACTIVATION_LATER, 2);
	expect("m4 c9 g2", "m6 c30", CHURN_ACTIVATION_LATER, 2);
	expect("m6 c9 g2", "m4 c9 g2", CHURN_ACTIVATION_EARLIER, 2);
	/* Control: from the same place it is the same call. */
	expect("m4 c9 g2", "m4 c30", CHURN_ACTIVATION_LATER, 1);
}

/* The same frame address with other code in it is another call. */
static void test_other_code_or_frame(void **state)
{
	struct churn_py_stack open = calls("m4 c9 g2"), end = calls("m4 c30");
	uint8_t frame = 99;

	(void)state;
	assert_int_equal(activation_judge(&open, &end, &frame), CHURN_ACTIVATION_LATER);
	assert_int_equal(frame, 1);
	end.frames[0].code += 64;
	assert_int_equal(activation_judge(&open, &end, &frame), CHURN_ACTIVATION_EARLIER);
	assert_int_equal(frame, 2);
	/* And so is the same code in another frame: recursion. */
	end = calls("m4 c30");
	end.frames[0].frame += 256;
	assert_int_equal(activation_judge(&open, &end, &frame), CHURN_ACTIVATION_EARLIER);
	assert_int_equal(frame, 2);
	end = calls("m4 c30");
	end.frames[1].code += 64;
	assert_int_equal(activation_judge(&open, &end, &frame), CHURN_ACTIVATION_ELSEWHERE);
}

static void test_other_thread(void **state)
{
	struct churn_py_stack open = calls("m4 c9 g2"), end = calls("m4");
	uint8_t frame = 99;

	(void)state;
	assert_int_equal(activation_judge(&open, &end, &frame), CHURN_ACTIVATION_RETURNED);
	end.tid++;
	frame = 99;
	assert_int_equal(activation_judge(&open, &end, &frame), CHURN_ACTIVATION_ELSEWHERE);
	assert_int_equal(frame, 0);
}

static void test_nothing_shared(void **state)
{
	(void)state;
	expect("m4 c9", "t4 c9", CHURN_ACTIVATION_ELSEWHERE, 0);
	expect("m4 c9 g2", "g2", CHURN_ACTIVATION_ELSEWHERE, 0);
	/* Control: the outermost one alone is enough. */
	expect("m4 c9", "m5 t9", CHURN_ACTIVATION_LATER, 1);
}

static void test_empty(void **state)
{
	(void)state;
	expect("", "", CHURN_ACTIVATION_ELSEWHERE, 0);
	expect("m4", "", CHURN_ACTIVATION_ELSEWHERE, 0);
	expect("", "m4", CHURN_ACTIVATION_ELSEWHERE, 0);
	/* Control. */
	expect("m4", "m5", CHURN_ACTIVATION_LATER, 0);
}

/* As deep as a record can be: the index is that of the call, counted from the innermost one. */
static void test_depths(void **state)
{
	struct churn_py_stack open = {.tid = TID, .nr = CHURN_MAX_PY_FRAMES}, end;
	uint8_t frame;

	(void)state;
	for (uint16_t i = 0; i < CHURN_MAX_PY_FRAMES; i++)
		open.frames[i] =
			(struct churn_py_frame){.frame = 1000 + i, .code = 2000 + i, .instr = 3000};
	for (uint16_t left = 1; left <= CHURN_MAX_PY_FRAMES; left++) {
		uint8_t last = (uint8_t)(CHURN_MAX_PY_FRAMES - left);

		memset(&end, 0, sizeof(end));
		end.tid = TID;
		end.nr = left;
		memcpy(end.frames, open.frames + last, left * sizeof(end.frames[0]));
		assert_int_equal(activation_judge(&open, &end, &frame),
				 last ? CHURN_ACTIVATION_RETURNED : CHURN_ACTIVATION_EARLIER);
		assert_int_equal(frame, last ? last - 1 : 0);
		end.frames[0].instr++;
		assert_int_equal(activation_judge(&open, &end, &frame), CHURN_ACTIVATION_LATER);
		assert_int_equal(frame, last);
		end.frames[0].instr -= 2;
		assert_int_equal(activation_judge(&open, &end, &frame), CHURN_ACTIVATION_EARLIER);
		assert_int_equal(frame, last);
	}
}

#define MS 1000000ULL

static void test_one_call(void **state)
{
	static const struct {
		uint64_t life, silence, interval; /* ms */
		bool believed;
	} cases[] = {
		/* In use until the end, however often. */
		{100, 0, 200, true},
		{100, 40, 200, true},
		{100, 0, 0, true},
		/* Silent since the exchange at the open: closed by the next call. */
		{100, 41, 200, false},
		{100, 100, 200, false},
		{100, 100, 0, false},
		/* Short against the interval. */
		{100, 100, 400, true},
		{100, 100, 399, false},
		{2, 0, 8, true},
		{0, 0, 8, true},
		/* Too short to know whether it was in use. */
		{19, 0, 38, false},
		{20, 0, 40, true},
		{2, 0, 4, false},
		{2, 0, 0, false},
		/* One after the other. */
		{15, 0, 20, true},
		{14, 0, 20, false},
		{20, 20, 20, false},
		/* In turn, but in bursts. */
		{15, 0, 12, true},
		{15, 0, 11, false},
		{15, 0, 1, false},
		/* Nonsense, of a recording. */
		{100, UINT64_MAX / MS, 200, false},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_int_equal(activation_one_call(cases[i].life * MS, cases[i].silence * MS,
						     cases[i].interval * MS),
				 cases[i].believed);
	assert_false(activation_one_call(100 * MS, UINT64_MAX, 200 * MS));
	assert_false(activation_one_call(UINT64_MAX, UINT64_MAX, UINT64_MAX));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_returned),
		cmocka_unit_test(test_later),
		cmocka_unit_test(test_reconnect),
		cmocka_unit_test(test_loop),
		cmocka_unit_test(test_called_again_from_elsewhere),
		cmocka_unit_test(test_other_code_or_frame),
		cmocka_unit_test(test_other_thread),
		cmocka_unit_test(test_nothing_shared),
		cmocka_unit_test(test_empty),
		cmocka_unit_test(test_depths),
		cmocka_unit_test(test_one_call),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
