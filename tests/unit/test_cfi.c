/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Unwind rules against the compiler's own unwinder: a stack of this process is walked by rules
 * alone, through code without frame pointers, a realigned stack and a signal frame.
 */
#include "user/callsite/cfi.h"

#include <errno.h>
#include <fcntl.h>
#include <gelf.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>
#include <unistd.h>
#include <unwind.h>
/* After the four that it needs. */
#include <cmocka.h>

#define MAX_DEPTH 64
#define NOINLINE  __attribute__((noinline))

/* The build keeps frame pointers: here they are in the way. */
#if defined(__GNUC__) && !defined(__clang__)
#define NO_FRAME_POINTER NOINLINE __attribute__((optimize("omit-frame-pointer")))
#else
#define NO_FRAME_POINTER NOINLINE
#endif

static void test_no_such_place(void **state)
{
	const struct churn_id self = {.tgid = (uint32_t)getpid()}, nobody = {};
	struct symbolizer *s = symbolizer__new(NULL);
	struct churn_rule rule;

	(void)state;
	assert_non_null(s);
	assert_int_equal(symbolizer__cfi(s, &nobody, 4096, false, &rule), -ESRCH);
	assert_int_equal(symbolizer__cfi(s, &self, 1, false, &rule), -EFAULT);
	assert_int_equal(rule.kind, CHURN_RULE_NONE);
	symbolizer__free(s);
}

#ifdef __x86_64__

struct walk {
	struct symbolizer *symbolizer;
	struct churn_id self;
	uint64_t pc[MAX_DEPTH];
	int nr;
	uint32_t kinds; /* seen, a bit each */
};

struct registers {
	uint64_t pc, sp, fp;
	bool fp_known;
	bool return_address;
};

static struct walk walk_result;
static uint64_t expected[MAX_DEPTH];
static int nr_expected;

static uint64_t load(uint64_t addr)
{
	uint64_t value;

	memcpy(&value, (const void *)(uintptr_t)addr, sizeof(value));
	return value;
}

static void load_context(struct registers *r, const ucontext_t *uc)
{
	r->pc = (uint64_t)uc->uc_mcontext.gregs[REG_RIP];
	r->sp = (uint64_t)uc->uc_mcontext.gregs[REG_RSP];
	r->fp = (uint64_t)uc->uc_mcontext.gregs[REG_RBP];
	r->fp_known = true;
	r->return_address = false;
}

/* One frame up. False at the end of the stack. */
static bool step(struct walk *w, struct registers *r)
{
	struct churn_rule rule;
	uint64_t cfa;

	if (symbolizer__cfi(w->symbolizer, &w->self, r->pc, r->return_address, &rule))
		return false;
	w->kinds |= 1U << rule.kind;
	switch (rule.kind) {
	case CHURN_RULE_SP:
		cfa = r->sp + (uint64_t)(int64_t)rule.cfa_off;
		break;
	case CHURN_RULE_FP:
	case CHURN_RULE_FP_DEREF:
		assert_true(r->fp_known);
		cfa = r->fp + (uint64_t)(int64_t)rule.cfa_off;
		if (rule.kind == CHURN_RULE_FP_DEREF)
			cfa = load(cfa);
		break;
	case CHURN_RULE_PLT:
		cfa = r->sp + 8 + ((int32_t)(r->pc & 15) >= rule.cfa_off ? 8 : 0);
		break;
	case CHURN_RULE_SIGNAL:
		load_context(r, (const ucontext_t *)(uintptr_t)r->sp);
		return true;
	default:
		return false;
	}
	if (rule.fp_slot == CHURN_FP_LOST)
		r->fp_known = false;
	else if (rule.kind == CHURN_RULE_FP_DEREF)
		r->fp = load(r->fp + (uint64_t)(int64_t)rule.fp_slot);
	else if (rule.fp_slot != CHURN_FP_SAME)
		r->fp = load(cfa + (uint64_t)(int64_t)rule.fp_slot);
	r->pc = load(cfa - 8);
	r->sp = cfa;
	r->return_address = true;
	return true;
}

static _Unwind_Reason_Code add_expected(struct _Unwind_Context *context, void *arg)
{
	(void)arg;
	if (nr_expected == MAX_DEPTH)
		return _URC_END_OF_STACK;
	/* What would be outside of _start comes too, as 0. */
	if (_Unwind_GetIP(context))
		expected[nr_expected++] = _Unwind_GetIP(context);
	return _URC_NO_REASON;
}

/* Walks the stack it is on, and has libgcc walk it too. */
NOINLINE static void walk_here(void)
{
	struct walk *w = &walk_result;
	struct registers r;
	ucontext_t uc;

	w->nr = 0;
	w->kinds = 0;
	getcontext(&uc);
	load_context(&r, &uc);
	do
		w->pc[w->nr++] = r.pc;
	while (w->nr < MAX_DEPTH && step(w, &r));
	nr_expected = 0;
	_Unwind_Backtrace(add_expected, NULL);
}

static void assert_same(uint32_t kinds)
{
	const struct walk *w = &walk_result;

	assert_true(nr_expected > 4);
	assert_int_equal(w->nr, nr_expected);
	/* The first is where each of the two was called. */
	for (int i = 1; i < w->nr; i++)
		assert_int_equal(w->pc[i], expected[i]);
	assert_int_equal(w->kinds & kinds, kinds);
}

NO_FRAME_POINTER static int compare(const void *a, const void *b)
{
	if (!walk_result.nr)
		walk_here();
	return *(const int *)a - *(const int *)b;
}

/* Through a callback of libc. */
NO_FRAME_POINTER static int sort(int last)
{
	int values[4] = {3, 1, 2, last};

	walk_result.nr = 0;
	qsort(values, 4, sizeof(values[0]), compare);
	return values[0];
}

/* A stack pointer that only the frame pointer can undo. */
NO_FRAME_POINTER static int with_alloca(int size)
{
	volatile char *p = __builtin_alloca((size_t)size);
	int sum;

	p[0] = 1;
	sum = sort(size) + p[0];
	return sum;
}

NO_FRAME_POINTER static int realigned(int size)
{
	volatile char aligned[64] __attribute__((aligned(128)));
	volatile char *p = __builtin_alloca((size_t)size);
	int sum;

	aligned[0] = 1;
	p[0] = 1;
	sum = with_alloca(size) + aligned[0] + p[0];
	return sum;
}

static int begin(void **state)
{
	(void)state;
	walk_result = (struct walk){
		.symbolizer = symbolizer__new(NULL),
		.self.tgid = (uint32_t)getpid(),
	};
	return walk_result.symbolizer ? 0 : -1;
}

static int end(void **state)
{
	(void)state;
	symbolizer__free(walk_result.symbolizer);
	return 0;
}

static void test_stack(void **state)
{
	(void)state;
	assert_int_equal(sort(9), 1);
	assert_same(1U << CHURN_RULE_SP | 1U << CHURN_RULE_STOP);
}

static void test_frame_pointer(void **state)
{
	(void)state;
	assert_int_equal(with_alloca(100), 2);
	assert_same(1U << CHURN_RULE_SP | 1U << CHURN_RULE_FP | 1U << CHURN_RULE_STOP);
}

static void test_realigned(void **state)
{
	(void)state;
	assert_int_equal(realigned(100), 4);
	/* clang undoes the alignment by the frame pointer alone. */
#ifdef __clang__
	assert_same(1U << CHURN_RULE_SP | 1U << CHURN_RULE_FP | 1U << CHURN_RULE_STOP);
#else
	assert_same(1U << CHURN_RULE_SP | 1U << CHURN_RULE_FP_DEREF | 1U << CHURN_RULE_STOP);
#endif
}

static void on_signal(int number)
{
	(void)number;
	sort(9);
}

static void test_signal(void **state)
{
	const struct sigaction action = {.sa_handler = on_signal};
	struct sigaction old;

	(void)state;
	assert_int_equal(sigaction(SIGUSR1, &action, &old), 0);
	raise(SIGUSR1);
	sigaction(SIGUSR1, &old, NULL);
	assert_same(1U << CHURN_RULE_SP | 1U << CHURN_RULE_SIGNAL | 1U << CHURN_RULE_STOP);
}

/* File offset of .plt in this program, 0: it was linked without lazy binding. */
static uint64_t find_plt(int fd)
{
	Elf *elf = elf_begin(fd, ELF_C_READ, NULL);
	uint64_t offset = 0;
	Elf_Scn *scn = NULL;
	GElf_Shdr shdr;
	size_t names;

	assert_int_equal(elf_getshdrstrndx(elf, &names), 0);
	while ((scn = elf_nextscn(elf, scn)))
		if (gelf_getshdr(scn, &shdr) && shdr.sh_size > 32 &&
		    !strcmp(elf_strptr(elf, names, shdr.sh_name), ".plt"))
			offset = shdr.sh_offset;
	elf_end(elf);
	return offset;
}

static void test_plt(void **state)
{
	int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	struct elf_file *f;
	struct churn_rule rule;
	uint64_t plt;

	(void)state;
	assert_true(fd >= 0);
	elf_version(EV_CURRENT);
	plt = find_plt(fd);
	if (!plt) {
		close(fd);
		print_message("skipped: this program has no lazy .plt\n");
		skip();
	}
	f = elf_file__new(fd, -1, NULL);
	assert_non_null(f);
	assert_int_equal(cfi__find(f, plt + 16, &rule), 0);
	assert_int_equal(rule.kind, CHURN_RULE_PLT);
	assert_in_range(rule.cfa_off, 1, 15);
	assert_int_equal(rule.fp_slot, CHURN_FP_SAME);
	elf_file__free(f);
}

#define stack_test(name) cmocka_unit_test_setup_teardown(name, begin, end)

#endif /* __x86_64__ */

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_no_such_place),
#ifdef __x86_64__
		stack_test(test_stack),
		stack_test(test_frame_pointer),
		stack_test(test_realigned),
		stack_test(test_signal),
		cmocka_unit_test(test_plt),
#endif
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
