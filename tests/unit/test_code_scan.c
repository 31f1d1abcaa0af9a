/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Pieces of machine code, and the whole of libc beside its own call frame information. */
#include "user/callsite/code_scan.h"

#include <errno.h>
#include <fcntl.h>
#include <gnu/lib-names.h>
#include <link.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
/* After the four that it needs. */
#include <cmocka.h>

#include "user/base/array.h"
#include "user/callsite/cfi.h"
#include "user/callsite/symbols.h"
#include "user/callsite/x86.h"

#define BASE 0x1000

/* --- lengths and registers -------------------------------------------------------------------- */

#define RSP (1U << X86_RSP)
#define RBP (1U << X86_RBP)

static void test_instructions(void **state)
{
	static const struct {
		const char *bytes;
		uint8_t len; /* 0: refused */
		uint32_t written;
	} cases[] = {
		{"\xc3", 1, 0},
		{"\x0f\x05", 2, 0},
		{"\x48\x83\xec\x10", 4, RSP},			  /* sub $16,%rsp */
		{"\x48\x81\xec\x00\x01\x00\x00", 7, RSP},	  /* sub $256,%rsp */
		{"\x48\x83\xfc\x10", 4, 0},			  /* cmp $16,%rsp */
		{"\x48\x89\xe7", 3, 1U << 7},			  /* mov %rsp,%rdi */
		{"\x48\x89\xe5", 3, RBP},			  /* mov %rsp,%rbp */
		{"\x48\x8b\xe5", 3, RSP},			  /* mov %rbp,%rsp, the other way */
		{"\x49\x89\xe4", 3, 1U << 12},			  /* mov %rsp,%r12 */
		{"\x48\x8d\x6c\x24\x08", 5, RBP},		  /* lea 8(%rsp),%rbp */
		{"\x48\x8b\x04\x25\x01\x02\x03\x04", 8, 1U << 0}, /* mov 0x4030201,%rax */
		{"\x8b\x05\x01\x02\x03\x04", 6, 1U << 0},	  /* mov x(%rip),%eax */
		{"\x66\xb8\x01\x02", 4, 1U << 0},		  /* mov $0x201,%ax */
		{"\x48\xb8\x01\x02\x03\x04\x05\x06\x07\x08", 10, 1U << 0},
		{"\xbc\x01\x02\x03\x04", 5, RSP},		     /* mov $x,%esp */
		{"\x41\xbc\x01\x02\x03\x04", 6, 1U << 12},	     /* mov $x,%r12d */
		{"\xb4\x01", 2, 0},				     /* mov $1,%ah */
		{"\x48\x94", 2, RSP},				     /* xchg %rax,%rsp */
		{"\x87\xec", 2, RSP | RBP},			     /* xchg %ebp,%esp */
		{"\xf6\xc4\x01", 3, 0},				     /* test $1,%ah */
		{"\xf7\xc4\x01\x02\x03\x04", 6, 0},		     /* test $x,%esp */
		{"\xf7\xdd", 2, RBP},				     /* neg %ebp */
		{"\x48\x0f\x44\xec", 4, RBP},			     /* cmove %rsp,%rbp */
		{"\x0f\x94\xc5", 3, 0},				     /* sete %ch */
		{"\x40\x0f\x94\xc5", 4, RBP},			     /* sete %bpl */
		{"\x0f\x29\x64\x24\x10", 5, 0},			     /* movaps %xmm4,16(%rsp) */
		{"\x0f\x28\xec", 3, 0},				     /* movaps %xmm4,%xmm5 */
		{"\xf2\x48\x0f\x2d\xe8", 5, RBP},		     /* cvtsd2si %xmm0,%rbp */
		{"\xc5\xf8\x77", 3, 0},				     /* vzeroupper */
		{"\xc5\xfe\x6f\x65\x20", 5, 0},			     /* vmovdqu 32(%rbp),%ymm4 */
		{"\xc4\xe2\xd8\xf2\xe9", 5, 0x32},		     /* andn: rather one too many */
		{"\x62\xf1\xfe\x48\x6f\x07", 6, 0},		     /* vmovdqu64 (%rdi),%zmm0 */
		{"\x66\x66\x48\xe8\x01\x02\x03\x04", 8, 0},	     /* call __tls_get_addr@plt */
		{"\x67\x8d\x51\xff", 4, 1U << 2},		     /* lea -1(%ecx),%edx */
		{"\x66\x2e\x0f\x1f\x84\x00\x00\x00\x00\x00", 10, 0}, /* nopw %cs:0(%rax,%rax) */
		{"\xc8\x10\x00\x00", 4, 0},			     /* enter $16,$0 */
		{"\x66\xe8\x01\x02", 0, 0},			     /* call with 16 bits */
		{"\x06", 0, 0},					     /* push %es */
		{"\xea", 0, 0},
		{"\x8f\xe8\x78\x10\xc0", 0, 0}, /* XOP */
		{"\x0f\x0f\xc0\x9e", 0, 0},	/* 3DNow */
		{"\xc4\xe4\x78\x10\xc0", 0, 0}, /* VEX of no map that there is */
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const uint8_t *bytes = (const uint8_t *)cases[i].bytes;
		uint8_t len = cases[i].len;
		struct x86 x;

		if (x86_decode(&x, bytes, len ? len : 8) != (len > 0) || (len && x.len != len) ||
		    (len && x86_written(&x) != cases[i].written))
			fail_msg("case %zu: length %u, writes %x", i, x.len,
				 len ? x86_written(&x) : 0);
		/* Control: a byte less is not all of it. */
		if (len)
			assert_false(x86_decode(&x, bytes, len - 1U));
	}
}

static void test_any_bytes(void **state)
{
	uint8_t bytes[X86_MAX_LEN];
	uint64_t random = 88172645463325252ULL;
	struct x86 x;

	(void)state;
	for (int i = 0; i < 2000000; i++) {
		for (size_t j = 0; j < sizeof(bytes); j++) {
			random ^= random << 13;
			random ^= random >> 7;
			random ^= random << 17;
			bytes[j] = (uint8_t)random;
		}
		if (!x86_decode(&x, bytes, sizeof(bytes)))
			continue;
		assert_in_range(x.len, 1, sizeof(bytes));
		assert_true(x86_written(&x) < 1U << 16);
	}
}

static void test_follows_call(void **state)
{
	static const struct {
		const char *bytes;
		size_t len;
		bool follows;
	} cases[] = {
		{"\x90\x90\xe8\x01\x02\x03\x04", 7, true},
		{"\xff\xd0", 2, true},
		{"\x00\x41\xff\xd4", 4, true},
		{"\xff\x15\x01\x02\x03\x04", 6, true},
		{"\x00\x42\xff\x94\xe3\x01\x02\x03\x04", 9, true},
		{"\xff\x55\x08", 3, true},
		{"\xe8\x01\x02\x03", 4, false},
		{"\xff\xe0", 2, false}, /* jmp *%rax */
		{"\xff\x25\x01\x02\x03\x04", 6, false},
		{"\x90\x90\x90\x90\x90\x90\xc3", 7, false},
		{"\xd0", 1, false},
		{"", 0, false},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		if (code_scan__follows_call((const uint8_t *)cases[i].bytes, cases[i].len) !=
		    cases[i].follows)
			fail_msg("case %zu", i);
	}
}

/* --- pieces ----------------------------------------------------------------------------------- */

struct piece {
	const char *bytes;
	size_t len;
	uint64_t function; /* one starts there, 0: not known */
};

static size_t read_piece(void *ctx, uint64_t addr, uint8_t *bytes, size_t len)
{
	const struct piece *p = ctx;
	size_t at = addr - BASE;

	if (addr < BASE || at >= p->len)
		return 0;
	len = len < p->len - at ? len : p->len - at;
	memcpy(bytes, p->bytes + at, len);
	return len;
}

static bool starts_piece(void *ctx, uint64_t addr)
{
	return addr == ((const struct piece *)ctx)->function;
}

static int scan(struct piece *p, bool return_address, struct churn_rule *rule)
{
	const struct code_source code = {
		.ctx = p, .read = read_piece, .starts_function = starts_piece};

	return code_scan__rule(&code, BASE, return_address, rule);
}

#define PIECE(text)                                                                                \
	&(struct piece)                                                                            \
	{                                                                                          \
		.bytes = (text), .len = sizeof(text) - 1                                           \
	}

static void expect(struct piece *p, bool return_address, uint8_t kind, int32_t cfa, int16_t fp)
{
	struct churn_rule rule;

	assert_int_equal(scan(p, return_address, &rule), 0);
	assert_int_equal(rule.kind, kind);
	assert_int_equal(rule.cfa_off, cfa);
	assert_int_equal(rule.fp_slot, fp);
}

static void expect_none(struct piece *p, bool return_address)
{
	struct churn_rule rule;

	assert_int_equal(scan(p, return_address, &rule), -ENODATA);
	assert_int_equal(rule.kind, CHURN_RULE_NONE);
}

static void test_straight(void **state)
{
	(void)state;
	/* After a system call: nothing is on the stack but the return address. */
	expect(PIECE("\xc3"), false, CHURN_RULE_SP, 8, CHURN_FP_SAME);
	expect(PIECE("\x48\x83\xc4\x18\xc3"), false, CHURN_RULE_SP, 32, CHURN_FP_SAME);
}

static void test_aligned(void **state)
{
	(void)state;
	/* add $8,%rsp; pop %rbx; pop %rbp; pop %r12; ret. The frame pointer was at CFA - 24; but a
	 * frame of 40 bytes is none in which a call is made, one of 48 is. */
	expect(PIECE("\x48\x83\xc4\x08\x5b\x5d\x41\x5c\xc3"), false, CHURN_RULE_SP, 40, -24);
	expect_none(PIECE("\x48\x83\xc4\x08\x5b\x5d\x41\x5c\xc3"), true);
	expect(PIECE("\x48\x83\xc4\x10\x5b\x5d\x41\x5c\xc3"), true, CHURN_RULE_SP, 48, -24);
}

static void test_frame_pointer(void **state)
{
	(void)state;
	expect(PIECE("\xc9\xc3"), true, CHURN_RULE_FP, 16, -16);
	/* lea -24(%rbp),%rsp; pop %rbx; pop %r12; pop %r13; pop %rbp; ret */
	expect(PIECE("\x48\x8d\x65\xe8\x5b\x41\x5c\x41\x5d\x5d\xc3"), true, CHURN_RULE_FP, 16, -16);
	expect(PIECE("\x48\x89\xec\x5d\xc3"), true, CHURN_RULE_FP, 16, -16);
	/* Control: it was overwritten before. */
	expect_none(PIECE("\x31\xed\xc9\xc3"), true);
	/* xor %ebp,%ebp; add $24,%rsp; ret: the caller's is lost, the caller is not. */
	expect(PIECE("\x31\xed\x48\x83\xc4\x18\xc3"), true, CHURN_RULE_SP, 32, CHURN_FP_LOST);
	/* push %rbp; xor %ebp,%ebp; pop %rbp; add $24,%rsp; ret: it is as it was. */
	expect(PIECE("\x55\x31\xed\x5d\x48\x83\xc4\x18\xc3"), true, CHURN_RULE_SP, 32,
	       CHURN_FP_SAME);
}

static void test_branches(void **state)
{
	(void)state;
	/* test; jne 1f; add $24,%rsp; ret; 1: add $24,%rsp; ret */
	expect(PIECE("\x85\xc0\x75\x05\x48\x83\xc4\x18\xc3\x48\x83\xc4\x18\xc3"), true,
	       CHURN_RULE_SP, 32, CHURN_FP_SAME);
	/* Control: the two ways do not agree. */
	expect_none(PIECE("\x85\xc0\x75\x05\x48\x83\xc4\x18\xc3\x48\x83\xc4\x28\xc3"), true);
	/* A loop for ever; a jump to who knows where; one that a way round it makes up for. */
	expect_none(PIECE("\xeb\xfe"), true);
	expect_none(PIECE("\xff\xe0\xc3"), false);
	expect(PIECE("\x85\xc0\x75\x02\xff\xe0\x48\x83\xc4\x18\xc3"), true, CHURN_RULE_SP, 32,
	       CHURN_FP_SAME);
	/* jmp 1f; int3; 1: ret */
	expect(PIECE("\xeb\x01\xcc\xc3"), false, CHURN_RULE_SP, 8, CHURN_FP_SAME);
}

static void test_calls(void **state)
{
	struct piece fallen = {.bytes = "\x48\x83\xec\x18\x48\x83\xc4\x20\xc3", .len = 9};

	(void)state;
	/* mov; call x; add $24,%rsp; ret */
	expect(PIECE("\x48\x89\xc7\xe8\x01\x02\x03\x04\x48\x83\xc4\x18\xc3"), true, CHURN_RULE_SP,
	       32, CHURN_FP_SAME);
	/* test; jne 1f; call x (it does not return; what follows is another's);
	 * sub $40,%rsp; add $88,%rsp; ret; 1: add $24,%rsp; ret: the way without a call is right */
	expect(PIECE("\x85\xc0\x75\x0e\xe8\x01\x02\x03\x04\x48\x83\xec\x28\x48\x83\xc4\x58\xc3"
		     "\x48\x83\xc4\x18\xc3"),
	       true, CHURN_RULE_SP, 32, CHURN_FP_SAME);
	/* Padding after a call, and a function that is merely fallen into. */
	expect_none(PIECE("\x90\x48\x83\xc4\x18\xc3"), true);
	expect_none(PIECE("\xe8\x01\x02\x03\x04\x0f\x1f\x00\x48\x83\xc4\x18\xc3"), true);
	expect_none(PIECE("\x48\x83\xec\x18\x48\x83\xc4\x18\xc3"), true);
	expect(&fallen, true, CHURN_RULE_SP, 16, CHURN_FP_SAME);
	fallen.function = BASE;
	expect_none(&fallen, true);
	expect(&fallen, false, CHURN_RULE_SP, 16, CHURN_FP_SAME);
}

static void test_unusual(void **state)
{
	static const char *const pieces[] = {
		"\x48\x83\xe4\xf0\xc3", /* and $-16,%rsp */
		"\x48\x89\xc4\xc3",	/* mov %rax,%rsp */
		"\x5c\xc3",		/* pop %rsp */
		"\x48\x01\xc4\xc3",	/* add %rax,%rsp */
		"\x48\x8d\x24\x04\xc3", /* lea (%rsp,%rax),%rsp */
		"\x83\xc4\x18\xc3",	/* add $24,%esp */
		"\x48\x94\xc3",		/* xchg %rax,%rsp */
		"\x66\x58\xc3",		/* pop %ax */
		"\x9d\xc3",		/* popf */
		"\xcc\xc3",		/* int3 */
		"\xf4\xc3",		/* hlt */
		"\x0f\x0b\xc3",		/* ud2 */
		"\xcb",			/* lret */
		"\x48\x83\xec\x18\xc3", /* below where it began */
		"\x06\xc3",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(pieces); i++) {
		struct piece p = {.bytes = pieces[i], .len = strlen(pieces[i])};

		expect_none(&p, false);
	}
	expect_none(&(struct piece){.bytes = "", .len = 0}, false);
}

/* Jumps all over the place end by themselves. */
static void test_hostile(void **state)
{
	static char maze[65536];
	struct churn_rule rule;

	(void)state;
	for (size_t i = 0; i + 2 <= sizeof(maze); i += 2) {
		maze[i] = (char)(i % 6 ? 0x75 : 0xe8);
		maze[i + 1] = (char)(i * 37 % 251);
	}
	scan(&(struct piece){.bytes = maze, .len = sizeof(maze)}, true, &rule);
}

/* --- libc ------------------------------------------------------------------------------------- */

struct tally {
	int calls, agree, differ, unknown;
};

/* The rule at one return address, from the code and from the call frame information. */
static void compare(struct elf_file *f, uint64_t offset, struct tally *t)
{
	struct churn_rule told, guessed;

	t->calls++;
	if (cfi__find(f, offset - 1, &told) || cfi__guess(f, offset, true, &guessed)) {
		t->unknown++;
		return;
	}
	/* By the frame pointer or by the stack pointer: both may be right. */
	if (told.kind != guessed.kind)
		t->unknown++;
	else if (told.cfa_off != guessed.cfa_off ||
		 (guessed.fp_slot != CHURN_FP_LOST && guessed.fp_slot != told.fp_slot))
		t->differ++;
	else
		t->agree++;
}

static void scan_function(struct elf_file *f, uint64_t start, uint64_t end, struct tally *t)
{
	uint8_t bytes[X86_MAX_LEN];
	uint64_t addr;
	struct x86 x;

	for (uint64_t at = start; at < end; at += x.len) {
		size_t len = elf_file__read_code(f, at, bytes, sizeof(bytes));

		if (!x86_decode(&x, bytes, len))
			return;
		/* In libc.so code stands at its own offset. */
		if (!x.map && x.op == 0xe8 && elf_file__address(f, at, &addr) && addr == at)
			compare(f, at + x.len, t);
	}
}

static int find_libc(struct dl_phdr_info *info, size_t size, void *out)
{
	(void)size;
	if (!strstr(info->dlpi_name, "/" LIBC_SO))
		return 0;
	snprintf(out, 256, "%s", info->dlpi_name);
	return 1;
}

static void test_libc(void **state)
{
	struct symbols symbols = {};
	struct tally t = {};
	struct elf_file *f;
	char path[256] = "";
	Elf *elf;
	int fd;

	(void)state;
	if (!dl_iterate_phdr(find_libc, path))
		skip();
	fd = open(path, O_RDONLY);
	f = elf_file__new(open(path, O_RDONLY), -1, NULL);
	assert_non_null(f);
	elf = elf_begin(fd, ELF_C_READ, NULL);
	assert_int_equal(symbols__read(&symbols, elf, NULL), 0);
	for (size_t i = 0; i < symbols.nr; i++) {
		if (!i || symbols.at[i].start != symbols.at[i - 1].start)
			scan_function(f, symbols.at[i].start, symbols.at[i].end, &t);
	}
	print_message("%s: %d calls, %d as its CFI has it, %d not known, %d otherwise\n", path,
		      t.calls, t.agree, t.unknown, t.differ);
	assert_true(t.calls > 1000);
	assert_int_equal(t.differ, 0);
	assert_true(t.agree > t.calls / 4 * 3);
	symbols__clear(&symbols);
	elf_end(elf);
	elf_file__free(f);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_instructions), cmocka_unit_test(test_any_bytes),
		cmocka_unit_test(test_follows_call), cmocka_unit_test(test_straight),
		cmocka_unit_test(test_aligned),	     cmocka_unit_test(test_frame_pointer),
		cmocka_unit_test(test_branches),     cmocka_unit_test(test_calls),
		cmocka_unit_test(test_unusual),	     cmocka_unit_test(test_hostile),
		cmocka_unit_test(test_libc),
	};

	elf_version(EV_CURRENT);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
