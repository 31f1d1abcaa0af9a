/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Go's tables: a small one made by hand, and all that a flipped bit can make of it. */
#include "user/callsite/go_table.h"

#include <elf.h>
#include <errno.h>
#include <gelf.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
/* After the four that it needs. */
#include <cmocka.h>

#define TEXT	  0x401000
#define TABLE	  0x500000 /* address of .gopclntab, */
#define TABLE_AT  0x100	   /* and its place in the file */
#define MODULE	  0x600000
#define GOFUNC	  0x700000
#define NR_BROKEN 20000

/* Places in the table: header, names, units, files, pc tables, functions. */
enum { NAMES = 72, UNITS = 128, FILES = 144, PCS = 192, FUNCS = 256, TABLE_LEN = 512 };
enum { SHAPE = 1, INNER = 23, OUTER = 34 }; /* names */

struct image {
	uint8_t bytes[0x1000];
};

static void put(uint8_t *at, uint64_t value, size_t size)
{
	memcpy(at, &value, size);
}

static void put_section(struct image *i, int index, uint32_t name, uint64_t addr, uint64_t at,
			uint64_t size, uint64_t flags)
{
	Elf64_Shdr *s = (Elf64_Shdr *)(i->bytes + 0xe00) + index;

	*s = (Elf64_Shdr){.sh_name = name,
			  .sh_type = addr ? SHT_PROGBITS : SHT_STRTAB,
			  .sh_flags = flags,
			  .sh_addr = addr,
			  .sh_offset = at,
			  .sh_size = size,
			  .sh_addralign = 1};
}

/* The fields of a struct _func. */
static void put_function(uint8_t *f, uint32_t start, uint32_t name, uint32_t pcsp, uint8_t flag)
{
	put(f, start, 4);
	put(f + 4, name, 4);
	put(f + 16, pcsp, 4);
	put(f + 20, 16, 4); /* pcfile */
	put(f + 24, 24, 4); /* pcln */
	put(f + 28, 3, 4);  /* pcdata: three tables, of which the last one is of inlined calls */
	f[41] = flag;
	f[43] = 4; /* funcdata: four, of which the last one is of inlined calls */
	put(f + 52, name == OUTER ? 40 : 0, 4);
	put(f + 68, name == OUTER ? 0 : 0xffffffff, 4);
}

static void put_table(uint8_t *t)
{
	static const char names[] = "\0main.(*c[go.shape]).f\0main.inner\0main.outer";
	/* Zigzag differences from -1, and lengths. */
	static const uint8_t pcs[] = {
		[1] = 2,   [2] = 4,   [3] = 64,	 [4] = 60,  /* frame: 0 for 4 bytes, then 32 */
		[16] = 2,  [17] = 64,			    /* file 0 */
		[24] = 22, [25] = 16, [26] = 20, [27] = 48, /* line 10 for 16 bytes, then 20 */
		[40] = 0,  [41] = 16, [42] = 2,	 [43] = 16,
		[44] = 1,  [45] = 32, /* -1, call 0, -1 */
	};

	put(t, 0xfffffff1, 4);
	t[6] = 1;
	t[7] = 8;
	put(t + 8, 3, 8);
	put(t + 24, TEXT, 8);
	put(t + 32, NAMES, 8);
	put(t + 40, UNITS, 8);
	put(t + 48, FILES, 8);
	put(t + 56, PCS, 8);
	put(t + 64, FUNCS, 8);
	memcpy(t + NAMES, names, sizeof(names));
	put(t + UNITS, 3, 4);
	memcpy(t + FILES + 3, "/src/main.go", 13);
	memcpy(t + PCS, pcs, sizeof(pcs));
	for (uint32_t i = 0; i < 4; i++) {
		put(t + FUNCS + 8 * i, 0x40 * i, 4);
		put(t + FUNCS + 8 * i + 4, 32 + 72 * i, 4);
	}
	put_function(t + FUNCS + 32, 0, SHAPE, 1, 0);
	put_function(t + FUNCS + 32 + 72, 0x40, OUTER, 1, 0);
	put_function(t + FUNCS + 32 + 144, 0x80, SHAPE, 1, 1);
}

static void make_image(struct image *i)
{
	static const char strings[] = "\0.gopclntab\0.noptrdata\0.rodata\0.shstrtab";
	Elf64_Ehdr *e = (Elf64_Ehdr *)i->bytes;

	memset(i, 0, sizeof(*i));
	memcpy(e->e_ident, ELFMAG "\2\1\1", 7);
	e->e_type = ET_EXEC;
	e->e_machine = EM_X86_64;
	e->e_version = 1;
	e->e_ehsize = sizeof(*e);
	e->e_shentsize = sizeof(Elf64_Shdr);
	e->e_shoff = 0xe00;
	e->e_shnum = 5;
	e->e_shstrndx = 4;
	put_section(i, 1, 1, TABLE, TABLE_AT, TABLE_LEN, SHF_ALLOC);
	put_section(i, 2, 12, MODULE, 0x800, 0x200, SHF_ALLOC | SHF_WRITE);
	put_section(i, 3, 23, GOFUNC, 0xa00, 0x40, SHF_ALLOC);
	put_section(i, 4, 31, 0, 0xb00, sizeof(strings), 0);
	memcpy(i->bytes + 0xb00, strings, sizeof(strings));
	put_table(i->bytes + TABLE_AT);
	put(i->bytes + 0x800 + 8, TABLE, 8);
	put(i->bytes + 0x800 + 8 * 23, TEXT, 8);
	put(i->bytes + 0x800 + 8 * 41, GOFUNC, 8);
	/* The inlined call: its name, and where it was called. */
	put(i->bytes + 0xa00 + 4, INNER, 4);
	put(i->bytes + 0xa00 + 8, 4, 4);
}

static void expect(const struct location *at, const char *function, uint32_t line, bool inlined)
{
	assert_string_equal(at->function, function);
	assert_int_equal(at->line, line);
	if (line)
		assert_string_equal(at->file, "/src/main.go");
	else
		assert_null(at->file);
	assert_int_equal(at->inlined, inlined);
}

static void clear(struct location at[MAX_LOCATIONS], uint32_t nr)
{
	for (uint32_t i = 0; i < nr; i++)
		location__clear(&at[i]);
}

struct opened {
	Elf *elf;
	struct go_table *table;
};

static struct opened open_image(struct image *i)
{
	struct opened o = {.elf = elf_memory((char *)i->bytes, sizeof(i->bytes))};

	o.table = o.elf ? go_table__new(o.elf) : NULL;
	return o;
}

static void close_image(const struct opened *o)
{
	go_table__free(o->table);
	elf_end(o->elf);
}

static void test_names(void **state)
{
	struct location at[MAX_LOCATIONS];
	struct opened o;
	struct image i;

	(void)state;
	make_image(&i);
	o = open_image(&i);
	assert_non_null(o.table);
	assert_int_equal(go_table__find(o.table, TEXT + 2, at), 1);
	expect(&at[0], "main.(*c[...]).f", 10, false);
	clear(at, 1);
	assert_int_equal(go_table__find(o.table, TEXT + 0x40 + 20, at), 2);
	expect(&at[0], "main.inner", 20, true);
	expect(&at[1], "main.outer", 10, false);
	clear(at, 2);
	assert_int_equal(go_table__find(o.table, TEXT + 0x40 + 2, at), 1);
	expect(&at[0], "main.outer", 10, false);
	clear(at, 1);
	assert_int_equal(go_table__find(o.table, TEXT - 1, at), 0);
	assert_int_equal(go_table__find(o.table, TEXT + 0xc0, at), 0);
	close_image(&o);
}

/* The line belongs to an inlined function whose name is not to be had. */
static void test_without_module(void **state)
{
	struct location at[MAX_LOCATIONS];
	struct opened o;
	struct image i;

	(void)state;
	make_image(&i);
	put(i.bytes + 0x800 + 8, 0, 8);
	o = open_image(&i);
	assert_non_null(o.table);
	assert_int_equal(go_table__find(o.table, TEXT + 0x40 + 20, at), 1);
	expect(&at[0], "main.outer", 0, false);
	clear(at, 1);
	close_image(&o);
}

static void test_rules(void **state)
{
	struct churn_rule rule;
	struct opened o;
	struct image i;

	(void)state;
	make_image(&i);
	o = open_image(&i);
	assert_non_null(o.table);
	assert_int_equal(go_table__rule(o.table, TEXT + 2, &rule), 0);
	assert_int_equal(rule.kind, CHURN_RULE_SP);
	assert_int_equal(rule.cfa_off, 8);
	assert_int_equal(rule.fp_slot, CHURN_FP_SAME);
	assert_int_equal(go_table__rule(o.table, TEXT + 5, &rule), 0);
	assert_int_equal(rule.cfa_off, 40);
	assert_int_equal(rule.fp_slot, -16);
	assert_int_equal(go_table__rule(o.table, TEXT + 0x80 + 5, &rule), 0);
	assert_int_equal(rule.kind, CHURN_RULE_STOP);
	assert_int_equal(go_table__rule(o.table, TEXT + 0x100, &rule), -ENODATA);
	close_image(&o);
}

/* A frame of 2 GiB: what comes after it does not fit a number. */
static void test_huge_frame(void **state)
{
	static const uint8_t huge[] = {0xfe, 0xff, 0xff, 0xff, 0x0f, 4, 0};
	struct churn_rule rule;
	struct go_table *t;
	struct image i;
	Elf *elf;

	(void)state;
	make_image(&i);
	memcpy(i.bytes + TABLE_AT + PCS + 1, huge, sizeof(huge));
	elf = elf_memory((char *)i.bytes, sizeof(i.bytes));
	t = go_table__new(elf);
	assert_int_equal(go_table__rule(t, TEXT + 2, &rule), -ENOTSUP);
	go_table__free(t);
	elf_end(elf);
}

/* Nothing to assert but that it ends, and that the sanitisers are silent. */
static void test_broken(void **state)
{
	struct image good, broken;

	(void)state;
	make_image(&good);
	srand(1);
	for (int n = 0; n < NR_BROKEN; n++) {
		struct location at[MAX_LOCATIONS];
		struct churn_rule rule;
		struct opened o;

		broken = good;
		for (int k = 0; k < 1 + n % 3; k++)
			broken.bytes[TABLE_AT + rand() % (0xa40 - TABLE_AT)] = (uint8_t)rand();
		o = open_image(&broken);
		for (uint64_t addr = TEXT - 4; o.table && addr < TEXT + 0xc4; addr += 4) {
			go_table__rule(o.table, addr, &rule);
			clear(at, go_table__find(o.table, addr, at));
		}
		close_image(&o);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names),  cmocka_unit_test(test_without_module),
		cmocka_unit_test(test_rules),  cmocka_unit_test(test_huge_frame),
		cmocka_unit_test(test_broken),
	};

	elf_version(EV_CURRENT);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
