/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Invented copies of stacks, walked by invented rules. */
#include "user/callsite/unwind.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
/* After the four that it needs. */
#include <cmocka.h>

#define BASE   0x7ffc00001000ULL /* the stack pointer of each copy */
#define TEXT   0x400000ULL	 /* program counters: + 16 for each function */
#define AT(n)  (TEXT + (n)*16ULL)
#define ASKED  (CHURN_MAX_FRAMES + 8)
#define NR_PCS 16

struct script {
	struct churn_stack_copy copy;
	struct churn_stack out;
	struct churn_rule rules[NR_PCS]; /* of the function a pc lies in */
	struct churn_rule any;		 /* of all others */
	uint64_t asked[ASKED];
	bool as_return[ASKED];
	int nr_asked;
	uint64_t guess; /* the pc whose rule is one, */
	bool believed;
	int nr_confirmed;
	uint64_t caller; /* and where it led */
};

static bool answer(void *ctx, uint64_t pc, bool return_address, struct churn_rule *rule)
{
	struct script *s = ctx;
	uint64_t function = (pc - TEXT) / 16;

	assert_true(s->nr_asked < ASKED);
	s->asked[s->nr_asked] = pc;
	s->as_return[s->nr_asked++] = return_address;
	*rule = pc >= TEXT && function < NR_PCS ? s->rules[function] : s->any;
	return pc == s->guess;
}

static bool confirm(void *ctx, uint64_t pc, const struct churn_rule *rule, uint64_t caller)
{
	struct script *s = ctx;

	assert_int_equal(pc, s->guess);
	assert_int_equal(rule->kind, s->rules[(pc - TEXT) / 16].kind);
	s->nr_confirmed++;
	s->caller = caller;
	return s->believed;
}

/* `len` bytes of zeroes; the thread stands in the first function. */
static struct script *begin(uint32_t len)
{
	struct script *s = calloc(1, sizeof(*s));

	assert_non_null(s);
	s->copy.h.type = CHURN_STACK_COPY;
	s->copy.h.ts_ns = 12345;
	s->copy.id = 77;
	s->copy.process = (struct churn_id){.start_ns = 5, .tgid = 6, .exec_id = 7};
	s->copy.tid = 8;
	s->copy.len = len;
	s->copy.pc = AT(0);
	s->copy.sp = BASE;
	s->copy.fp = 0;
	return s;
}

static void put(struct script *s, uint32_t at, uint64_t value)
{
	assert_true(at + sizeof(value) <= CHURN_COPY_LEN);
	memcpy(s->copy.bytes + at, &value, sizeof(value));
}

static void walk(struct script *s)
{
	memset(&s->out, 0xaa, sizeof(s->out));
	s->nr_asked = 0;
	unwind_copy(&s->copy, &(struct unwind_rules){.ctx = s, .find = answer, .confirm = confirm},
		    &s->out);
	assert_int_equal(s->nr_asked, s->out.nr);
	for (int i = 0; i < s->nr_asked; i++)
		assert_int_equal(s->asked[i], s->out.pc[i]);
	assert_int_equal(s->out.h.type, CHURN_STACK);
	assert_int_equal(s->out.h.size, offsetof(struct churn_stack, pc) + 8 * s->out.nr);
}

/* The functions of the frames: "\0\1\2"; nr of them. */
static void expect(struct script *s, const uint8_t *functions, uint16_t nr, bool truncated)
{
	walk(s);
	assert_int_equal(s->out.nr, nr);
	for (uint16_t i = 0; i < nr; i++)
		assert_int_equal(s->out.pc[i], AT(functions[i]));
	assert_int_equal(s->out.truncated, truncated);
}

#define EXPECT(s, truncated, ...)                                                                  \
	expect(s, (const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__}), truncated)

static const struct churn_rule stop = {.kind = CHURN_RULE_STOP};

static struct churn_rule by_sp(int32_t cfa_off)
{
	return (struct churn_rule){.kind = CHURN_RULE_SP, .cfa_off = cfa_off};
}

/* Three frames of 16, 48 and 8 bytes. */
static struct script *three(void)
{
	struct script *s = begin(256);

	s->rules[0] = by_sp(16);
	s->rules[1] = by_sp(48);
	s->rules[2] = by_sp(8);
	s->rules[3] = stop;
	put(s, 8, AT(1));
	put(s, 16 + 40, AT(2));
	put(s, 64, AT(3));
	return s;
}

static void test_sp(void **state)
{
	struct script *s = three();

	(void)state;
	EXPECT(s, false, 0, 1, 2, 3);
	assert_int_equal(s->out.id, 77);
	assert_int_equal(s->out.tid, 8);
	assert_int_equal(s->out.h.ts_ns, 12345);
	assert_memory_equal(&s->out.process, &s->copy.process, sizeof(s->copy.process));
	/* Control: an offset that is wrong by a word meets an empty one. */
	s->rules[1].cfa_off = 40;
	EXPECT(s, false, 0, 1);
	free(s);
}

/* Only the first pc is exact. */
static void test_return_addresses(void **state)
{
	struct script *s = three();

	(void)state;
	walk(s);
	for (int i = 0; i < 4; i++)
		assert_int_equal(s->as_return[i], i > 0);
	free(s);
}

/* The innermost frame saves the caller's frame pointer, the next one stands on it. */
static void test_fp(void **state)
{
	struct script *s = begin(256);

	(void)state;
	s->rules[0] = (struct churn_rule){.kind = CHURN_RULE_FP, .cfa_off = 16, .fp_slot = -16};
	s->rules[1] = s->rules[0];
	s->rules[2] = stop;
	s->copy.fp = BASE + 64;
	put(s, 64, BASE + 128);
	put(s, 72, AT(1));
	put(s, 136, AT(2));
	EXPECT(s, false, 0, 1, 2);
	/* Control: not restored, the same frame would be seen again: it does not grow. */
	s->rules[0].fp_slot = CHURN_FP_SAME;
	EXPECT(s, false, 0, 1);
	/* Control: a frame pointer that is lost leads nowhere. */
	s->rules[0].fp_slot = CHURN_FP_LOST;
	EXPECT(s, false, 0, 1);
	free(s);
}

/* A frame that does not use the frame pointer hands it on. */
static void test_fp_kept(void **state)
{
	struct script *s = begin(256);

	(void)state;
	s->rules[0] = by_sp(16);
	s->rules[1] = (struct churn_rule){.kind = CHURN_RULE_FP, .cfa_off = 16, .fp_slot = -16};
	s->rules[2] = stop;
	s->copy.fp = BASE + 64;
	put(s, 8, AT(1));
	put(s, 72, AT(2));
	EXPECT(s, false, 0, 1, 2);
	/* Saved and restored from where it was saved. */
	s->copy.fp = 0;
	s->rules[0].fp_slot = -16;
	put(s, 0, BASE + 64);
	EXPECT(s, false, 0, 1, 2);
	/* Lost: what is left in the register is not the caller's. */
	s->copy.fp = BASE + 64;
	s->rules[0].fp_slot = CHURN_FP_LOST;
	EXPECT(s, false, 0, 1);
	/* Control. */
	s->rules[0].fp_slot = -16;
	put(s, 0, BASE + 80);
	EXPECT(s, false, 0, 1);
	free(s);
}

/* lea 8(%rsp),%r10; and $-64,%rsp: the CFA itself is saved below the frame pointer. */
static void test_fp_deref(void **state)
{
	struct script *s = begin(512);

	(void)state;
	s->rules[0] = (struct churn_rule){.kind = CHURN_RULE_FP_DEREF, .cfa_off = -8, .fp_slot = 0};
	s->rules[1] = (struct churn_rule){.kind = CHURN_RULE_FP, .cfa_off = 16, .fp_slot = -16};
	s->rules[2] = stop;
	s->copy.fp = BASE + 64;
	put(s, 56, BASE + 128);
	put(s, 64, BASE + 256); /* the caller's frame pointer: a slot of 0 is a place */
	put(s, 120, AT(1));
	put(s, 264, AT(2));
	EXPECT(s, false, 0, 1, 2);
	/* Control: not followed, the word at the frame pointer is no place for a CFA. */
	s->rules[0].kind = CHURN_RULE_FP;
	EXPECT(s, false, 0);
	s->rules[0].kind = CHURN_RULE_FP_DEREF;
	s->rules[0].fp_slot = 8;
	EXPECT(s, false, 0, 1);
	assert_int_equal(s->out.nr, 2);
	free(s);
}

/* push; jmp: a word more from some byte of the 16-byte entry on. */
static void test_plt(void **state)
{
	struct script *s = begin(256);

	(void)state;
	s->rules[0] = (struct churn_rule){.kind = CHURN_RULE_PLT, .cfa_off = 11};
	s->rules[1] = s->rules[2] = stop;
	put(s, 0, AT(1));
	put(s, 8, AT(2));
	for (unsigned int at = 0; at < 16; at++) {
		s->copy.pc = AT(0) + at;
		walk(s);
		assert_int_equal(s->out.nr, 2);
		assert_int_equal(s->out.pc[1], at >= 11 ? AT(2) : AT(1));
	}
	free(s);
}

static struct script *interrupted(void)
{
	struct script *s = begin(1024);

	s->rules[0] = by_sp(8);
	s->rules[1] = (struct churn_rule){.kind = CHURN_RULE_SIGNAL};
	s->rules[2] = (struct churn_rule){.kind = CHURN_RULE_FP, .cfa_off = 16, .fp_slot = -16};
	s->rules[3] = stop;
	put(s, 0, AT(1));
	put(s, 8 + 120, BASE + 640); /* rbp, rsp and rip of the ucontext */
	put(s, 8 + 160, BASE + 512);
	put(s, 8 + 168, AT(2));
	put(s, 648, AT(3));
	return s;
}

/* All registers come from the frame that the kernel made; what it interrupted is no call. */
static void test_signal(void **state)
{
	struct script *s = interrupted();

	(void)state;
	EXPECT(s, false, 0, 1, 2, 3);
	assert_false(s->as_return[0]);
	assert_true(s->as_return[1]);
	assert_false(s->as_return[2]);
	assert_true(s->as_return[3]);
	/* Control: as an ordinary frame it leads nowhere. */
	s->rules[1] = by_sp(8);
	EXPECT(s, false, 0, 1);
	free(s);
}

/* A handler on a stack of its own: the interrupted frames are not in the copy. */
static void test_signal_stack(void **state)
{
	struct script *s = interrupted();

	(void)state;
	put(s, 8 + 120, BASE - 512);
	put(s, 8 + 160, BASE - 640);
	EXPECT(s, true, 0, 1, 2);
	free(s);
}

static void test_stop(void **state)
{
	struct script *s = three();

	(void)state;
	s->rules[1] = stop;
	EXPECT(s, false, 0, 1);
	s->rules[0] = stop;
	EXPECT(s, false, 0);
	free(s);
}

static void test_none(void **state)
{
	struct script *s = three();

	(void)state;
	memset(&s->rules[2], 0, sizeof(s->rules[2]));
	EXPECT(s, false, 0, 1, 2);
	s->rules[2] = (struct churn_rule){.kind = 200, .cfa_off = 8};
	EXPECT(s, false, 0, 1, 2);
	s->rules[2] = by_sp(8);
	EXPECT(s, false, 0, 1, 2, 3);
	free(s);
}

/* A return address of 0 ends a stack, whatever the rule says. */
static void test_zero(void **state)
{
	struct script *s = three();

	(void)state;
	put(s, 56, 0);
	EXPECT(s, false, 0, 1);
	free(s);
}

/* Frames have to grow: rules that lead back, or to the same place, end the walk. */
static void test_loops(void **state)
{
	struct script *s = three();

	(void)state;
	s->rules[1] = by_sp(0);
	EXPECT(s, false, 0, 1);
	s->rules[1] = by_sp(-8);
	EXPECT(s, false, 0, 1);
	s->rules[1] = (struct churn_rule){.kind = CHURN_RULE_FP, .cfa_off = 0};
	s->copy.fp = BASE + 16;
	EXPECT(s, false, 0, 1);
	/* Control: one word up it is the caller. */
	s->rules[1].cfa_off = 48;
	EXPECT(s, false, 0, 1, 2, 3);
	free(s);
}

/* A signal frame may lead anywhere, also to itself: the number of frames is bounded. */
static void test_signal_loop(void **state)
{
	struct script *s = interrupted();

	(void)state;
	put(s, 8 + 160, BASE + 8);
	put(s, 8 + 168, AT(1));
	walk(s);
	assert_int_equal(s->out.nr, CHURN_MAX_FRAMES);
	assert_true(s->out.truncated);
	free(s);
}

/* The word at 64 is the last one: `truncated` says that the copy ended first. */
static void test_copy_ends_early(void **state)
{
	struct script *s = three();

	(void)state;
	s->copy.len = 72;
	EXPECT(s, false, 0, 1, 2, 3);
	for (uint32_t len = 71; len >= 64; len--) {
		s->copy.len = len;
		EXPECT(s, true, 0, 1, 2);
	}
	s->copy.len = 63;
	EXPECT(s, true, 0, 1);
	s->copy.len = 16;
	EXPECT(s, true, 0, 1);
	s->copy.len = 15;
	EXPECT(s, true, 0);
	s->copy.len = 0;
	EXPECT(s, true, 0);
	free(s);
}

/* The return address is there, the caller's frame pointer is not: no frame is made up. */
static void test_frame_pointer_outside(void **state)
{
	struct script *s = three();

	(void)state;
	s->rules[1].fp_slot = 512;
	EXPECT(s, true, 0, 1);
	s->rules[1].fp_slot = -100;
	EXPECT(s, true, 0, 1);
	s->rules[1].fp_slot = -48;
	EXPECT(s, false, 0, 1, 2, 3);
	free(s);
}

static void test_far_addresses(void **state)
{
	static const uint64_t fps[] = {
		0, 8, BASE - 1, BASE + CHURN_COPY_LEN, UINT64_MAX - 15, UINT64_MAX};
	struct script *s = begin(CHURN_COPY_LEN);

	(void)state;
	s->rules[1] = stop;
	for (size_t i = 0; i < sizeof(fps) / sizeof(fps[0]); i++) {
		s->copy.fp = fps[i];
		s->rules[0] = (struct churn_rule){.kind = CHURN_RULE_FP_DEREF};
		EXPECT(s, true, 0);
		s->rules[0] = (struct churn_rule){.kind = CHURN_RULE_FP, .cfa_off = 16};
		walk(s);
		assert_int_equal(s->out.nr, 1);
	}
	/* Control: the last word of a full copy is a place. */
	s->rules[0] = by_sp(CHURN_COPY_LEN);
	put(s, CHURN_COPY_LEN - 8, AT(1));
	EXPECT(s, false, 0, 1);
	s->rules[0] = by_sp(CHURN_COPY_LEN + 8);
	EXPECT(s, true, 0);
	free(s);
}

/* `depth` calls of a function of one word each, below the outermost one. */
static struct script *deep(uint32_t depth)
{
	struct script *s = begin(CHURN_COPY_LEN);

	s->rules[0] = by_sp(8);
	s->rules[1] = stop;
	for (uint32_t i = 0; i < depth; i++)
		put(s, 8 * i, i + 1 < depth ? AT(0) : AT(1));
	return s;
}

static void test_deepest(void **state)
{
	struct script *s;

	(void)state;
	for (uint32_t depth = CHURN_MAX_FRAMES - 3; depth <= CHURN_MAX_FRAMES + 3; depth++) {
		uint16_t frames = depth + 1 <= CHURN_MAX_FRAMES ? depth + 1 : CHURN_MAX_FRAMES;

		s = deep(depth);
		walk(s);
		assert_int_equal(s->out.nr, frames);
		assert_int_equal(s->out.truncated, depth + 1 > CHURN_MAX_FRAMES);
		assert_int_equal(s->out.pc[frames - 1],
				 depth + 1 > CHURN_MAX_FRAMES ? AT(0) : AT(1));
		free(s);
	}
}

/* A guess that is not confirmed ends the stack; it is judged by where it led. */
static void test_guess(void **state)
{
	struct script *s = three();

	(void)state;
	s->guess = AT(1);
	s->believed = true;
	EXPECT(s, false, 0, 1, 2, 3);
	assert_int_equal(s->nr_confirmed, 1);
	assert_int_equal(s->caller, AT(2));
	s->believed = false;
	EXPECT(s, false, 0, 1);
	assert_int_equal(s->caller, AT(2));
	/* It leads nowhere, or past what was copied: that is not believed whatever is said. */
	s->believed = true;
	put(s, 16 + 40, 0);
	EXPECT(s, false, 0, 1);
	assert_int_equal(s->caller, 0);
	s->rules[1].cfa_off = 4096;
	EXPECT(s, true, 0, 1);
	assert_true(s->caller == UNWIND_PAST_COPY);
	assert_int_equal(s->nr_confirmed, 4);
	free(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_guess),
		cmocka_unit_test(test_sp),
		cmocka_unit_test(test_return_addresses),
		cmocka_unit_test(test_fp),
		cmocka_unit_test(test_fp_kept),
		cmocka_unit_test(test_fp_deref),
		cmocka_unit_test(test_plt),
		cmocka_unit_test(test_signal),
		cmocka_unit_test(test_signal_stack),
		cmocka_unit_test(test_stop),
		cmocka_unit_test(test_none),
		cmocka_unit_test(test_zero),
		cmocka_unit_test(test_loops),
		cmocka_unit_test(test_signal_loop),
		cmocka_unit_test(test_copy_ends_early),
		cmocka_unit_test(test_frame_pointer_outside),
		cmocka_unit_test(test_far_addresses),
		cmocka_unit_test(test_deepest),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
