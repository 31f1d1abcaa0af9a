/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* MiniDebugInfo, packed as distributions pack it, and packed badly. */
#include "user/callsite/mini_debug.h"

#include <fcntl.h>
#include <gelf.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
/* After the four that it needs. */
#include <cmocka.h>

#include "user/callsite/elf_open.h"
#include "user/callsite/symbols.h"

/* With a leak checker in the build: libelf 0.188 leaks sections of some broken files. */
const char *__lsan_default_suppressions(void);

const char *__lsan_default_suppressions(void)
{
	return "leak:libelf";
}

static char dir[] = "/tmp/test_mini_debug.XXXXXX";

static int run(const char *command)
{
	char line[1024];

	snprintf(line, sizeof(line), "cd %s && %s", dir, command);
	return system(line);
}

/* As find-debuginfo of rpm does: of all symbols of functions those that are not exported. */
static int make_program(void **state)
{
	(void)state;
	return !mkdtemp(dir) ||
	       run("echo 'int exported(int n) { return n + 1; }"
		   "__attribute__((noinline)) static int hidden(int n) { return exported(n) * 3; }"
		   "int main(int c, char **v) { return hidden(c) + !v; }' >p.c &&"
		   "cc -O2 -g -rdynamic -o p p.c &&"
		   "nm -D p --format=posix --defined-only | awk '{ print $1 }' | sort >dynsyms &&"
		   "nm p --format=posix --defined-only | awk '$2 ~ /[TtDd]/ { print $1 }' | sort "
		   ">funcsyms && comm -13 dynsyms funcsyms >keep &&"
		   "objcopy --only-keep-debug p p.debug &&"
		   "objcopy -S --remove-section .comment --keep-symbols=keep p.debug mini &&"
		   "strip -o stripped p");
}

static int remove_program(void **state)
{
	(void)state;
	return run("rm -rf \"$PWD\"");
}

/* The stripped program with that file as its section. */
static Elf *with_section(const char *file, int *fd)
{
	char path[128], command[256];

	snprintf(command, sizeof(command), "objcopy --add-section .gnu_debugdata=%s stripped out",
		 file);
	assert_int_equal(run(command), 0);
	snprintf(path, sizeof(path), "%s/out", dir);
	*fd = open(path, O_RDONLY | O_CLOEXEC);
	return elf_open(*fd);
}

static const struct symbol *named(const struct symbols *s, const char *name)
{
	for (size_t i = 0; i < s->nr; i++)
		if (!strcmp(s->at[i].name, name))
			return &s->at[i];
	return NULL;
}

static void test_names(void **state)
{
	struct symbols s, plain;
	const struct symbol *hidden;
	int fd, plain_fd;
	Elf *elf, *stripped;

	(void)state;
	assert_int_equal(run("xz -k -f mini && : >empty"), 0);
	elf = with_section("mini.xz", &fd);
	assert_int_equal(symbols__read(&s, elf, NULL), 0);
	hidden = named(&s, "hidden");
	assert_non_null(hidden);
	assert_non_null(named(&s, "exported"));
	assert_non_null(named(&s, "main"));
	assert_ptr_equal(symbols__find(&s, hidden->start + 1), hidden);
	/* Control: without the section the exported ones are all there is. */
	stripped = with_section("empty", &plain_fd);
	assert_int_equal(symbols__read(&plain, stripped, NULL), 0);
	assert_null(named(&plain, "hidden"));
	assert_non_null(named(&plain, "exported"));
	assert_null(symbols__find(&plain, hidden->start + 1));
	symbols__clear(&s);
	symbols__clear(&plain);
	elf_end(elf);
	elf_end(stripped);
	close(fd);
	close(plain_fd);
}

/* What is no such file is as good as none. */
static void expect_none(const char *make)
{
	struct symbols s;
	int fd;
	Elf *elf;

	assert_int_equal(run(make), 0);
	elf = with_section("bad", &fd);
	assert_int_equal(symbols__read(&s, elf, NULL), 0);
	assert_null(named(&s, "hidden"));
	assert_non_null(named(&s, "exported"));
	symbols__clear(&s);
	elf_end(elf);
	close(fd);
}

static void test_bad(void **state)
{
	(void)state;
	expect_none("cp mini bad");
	expect_none("echo hello | xz >bad");
	expect_none("xz <mini >bad && truncate -s -40 bad");
	expect_none("xz <mini >bad && printf X | dd of=bad bs=1 seek=100 conv=notrunc 2>dd");
	expect_none("head -c 200 mini | xz >bad");
	/* 30 KB that unpack to 200 MB, otherwise good. */
	expect_none("(cat mini && head -c 200M /dev/zero) | xz -1 >bad");
	expect_none("head -c 100K /dev/urandom >bad");
}

/* Flipped bits in what is packed: whatever comes of it, it ends. */
static void test_flipped(void **state)
{
	(void)state;
	for (unsigned int i = 0; i < 60; i++) {
		char command[256];
		struct symbols s;
		int fd;
		Elf *elf;

		snprintf(command, sizeof(command),
			 "cp mini bad && printf '\\%03o' | dd of=bad bs=1 seek=%u conv=notrunc "
			 "2>dd && xz -0 -f bad",
			 i * 7 % 256, i * 977 % 6000);
		assert_int_equal(run(command), 0);
		elf = with_section("bad.xz", &fd);
		if (!symbols__read(&s, elf, NULL))
			symbols__find(&s, 0x1139);
		symbols__clear(&s);
		elf_end(elf);
		close(fd);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_bad),
		cmocka_unit_test(test_flipped),
	};

	return cmocka_run_group_tests(tests, make_program, remove_program);
}
