/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* One ELF file: our own, and copies of it that are cut short or have flipped bits. */
#include "user/callsite/elf_file.h"

#include <elf.h>
#include <fcntl.h>
#include <link.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
/* After the four that it needs. */
#include <cmocka.h>

#include "user/base/array.h"
#include "user/callsite/cfi.h"
#include "user/callsite/demangle.h"

#define NR_BROKEN  400
#define NR_OFFSETS 24

/* With a leak checker in the build: libelf 0.188 leaks sections of some broken files. */
const char *__lsan_default_suppressions(void);

const char *__lsan_default_suppressions(void)
{
	return "leak:libelf";
}

struct image {
	uint8_t *data;
	size_t size;
};

static int read_image(void **state)
{
	static struct image image;
	struct stat st;
	int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);

	if (fd < 0 || fstat(fd, &st))
		return -1;
	image.size = (size_t)st.st_size;
	image.data = malloc(image.size);
	if (!image.data || read(fd, image.data, image.size) != st.st_size)
		return -1;
	close(fd);
	*state = &image;
	return 0;
}

static int free_image(void **state)
{
	const struct image *image = *state;

	free(image->data);
	return 0;
}

static struct elf_file *open_bytes(const uint8_t *data, size_t size)
{
	int fd = memfd_create("elf", MFD_CLOEXEC);
	struct elf_file *f;

	assert_true(fd >= 0);
	assert_true(write(fd, data, size) == (ssize_t)size);
	f = elf_file__new(fd, -1, NULL);
	assert_non_null(f);
	return f;
}

static int find_load_address(struct dl_phdr_info *info, size_t size, void *out)
{
	(void)size;
	*(uint64_t *)out = info->dlpi_addr;
	return 1; /* the first one is the program itself */
}

/* File offset of a function of this program. */
static uint64_t offset_of(const struct image *image, const void *code)
{
	uint64_t base = 0, addr;
	const ElfW(Ehdr) *ehdr = (const void *)image->data;
	const ElfW(Phdr) *phdr = (const void *)(image->data + ehdr->e_phoff);

	dl_iterate_phdr(find_load_address, &base);
	addr = (uint64_t)(uintptr_t)code - base;
	for (int i = 0; i < ehdr->e_phnum; i++)
		if (phdr[i].p_type == PT_LOAD && addr >= phdr[i].p_vaddr &&
		    addr - phdr[i].p_vaddr < phdr[i].p_filesz)
			return addr - phdr[i].p_vaddr + phdr[i].p_offset;
	fail_msg("the function is in no segment");
	return 0;
}

static void test_whole(void **state)
{
	const struct image *image = *state;
	struct elf_file *f = open_bytes(image->data, image->size);
	const struct location *at;
	uint32_t nr;

	assert_true(elf_file__valid(f));
	assert_false(elf_file__loaded_bytes(f));
	/* The second time the answer is known still, and nothing is loaded for it. */
	for (int i = 0; i < 2; i++) {
		at = elf_file__resolve(f, offset_of(image, (const void *)free_image), &nr);
		assert_int_equal(nr, 1);
		assert_string_equal(at->function, "free_image");
		assert_non_null(strstr(at->file, "test_elf_file.c"));
		assert_true(at->line);
		assert_int_equal(elf_file__loaded_bytes(f) ? 0 : 1, i);
		elf_file__unload(f);
		assert_false(elf_file__loaded_bytes(f));
	}
	at = elf_file__resolve(f, offset_of(image, (const void *)read_image), &nr);
	assert_int_equal(nr, 1);
	assert_string_equal(at->function, "read_image");
	assert_null(elf_file__resolve(f, 0, &nr));
	assert_null(elf_file__resolve(f, UINT64_MAX, &nr));
	elf_file__free(f);
}

/* More places than answers are kept. */
static void test_many_offsets(void **state)
{
	const struct image *image = *state;
	struct elf_file *f = open_bytes(image->data, image->size);
	uint64_t start = offset_of(image, (const void *)free_image);
	uint32_t nr;

	for (uint64_t i = 0; i < 3000; i++)
		elf_file__resolve(f, start + i, &nr);
	assert_string_equal(elf_file__resolve(f, start, &nr)->function, "free_image");
	elf_file__free(f);
}

static void use(struct elf_file *f, const struct image *image, unsigned int *seed)
{
	uint64_t start = offset_of(image, (const void *)read_image);
	struct churn_rule rule;
	uint32_t nr;

	for (int i = 0; i < NR_OFFSETS; i++) {
		uint64_t offset = i ? (uint64_t)rand_r(seed) % image->size : start;

		elf_file__resolve(f, offset, &nr);
		cfi__find(f, offset, &rule);
	}
	elf_file__free(f);
}

static void test_cut_short(void **state)
{
	const struct image *image = *state;
	unsigned int seed = 1;

	for (size_t i = 0; i < 64; i++)
		use(open_bytes(image->data, image->size * i / 64), image, &seed);
	for (size_t i = 0; i < 128; i++)
		use(open_bytes(image->data, i), image, &seed);
}

/* A file that is cut after it was opened: an error, not SIGBUS. */
static void test_cut_while_open(void **state)
{
	const struct image *image = *state;
	int fd = memfd_create("elf", MFD_CLOEXEC), other;
	unsigned int seed = 1;
	struct elf_file *f;

	assert_true(write(fd, image->data, image->size) == (ssize_t)image->size);
	other = dup(fd);
	f = elf_file__new(fd, -1, NULL);
	assert_non_null(f);
	assert_int_equal(ftruncate(other, 5000), 0);
	close(other);
	use(f, image, &seed);
}

/* Bits anywhere, and mostly in what the parsers read: headers, section headers, DWARF. */
static void test_flipped_bits(void **state)
{
	const struct image *image = *state;
	uint8_t *copy = malloc(image->size);
	unsigned int seed = 4711;

	assert_non_null(copy);
	for (int i = 0; i < NR_BROKEN; i++) {
		size_t from = i % 4 == 0 ? 0 : image->size / 3 * (size_t)(i % 3);
		size_t width = i % 4 == 0 ? 1024 : image->size - from;

		memcpy(copy, image->data, image->size);
		for (int k = 0; k < 1 + i % 200; k++)
			copy[from + (size_t)rand_r(&seed) % width] ^=
				(uint8_t)(1U << rand_r(&seed) % 8);
		if (i % 4)
			memcpy(copy, image->data, sizeof(ElfW(Ehdr)));
		use(open_bytes(copy, image->size), image, &seed);
	}
	free(copy);
}

static void test_no_elf(void **state)
{
	static const uint8_t text[] = "#!/bin/sh\n", archive[] = "!<arch>\n";
	uint32_t nr;
	struct elf_file *f;

	(void)state;
	f = open_bytes(text, sizeof(text) - 1);
	assert_false(elf_file__valid(f));
	assert_null(elf_file__resolve(f, 0, &nr));
	elf_file__free(f);
	f = open_bytes(archive, sizeof(archive) - 1);
	assert_false(elf_file__valid(f));
	elf_file__free(f);
}

#ifdef __x86_64__
/* What of CPython is looked for. `TP_DEALLOC` is 48 bytes into the type. */
static const char interpreter[] = "int _PyRuntime = 1;\n"
				  "int code;\n"
				  "static void code_dealloc(void *o) { *(volatile char *)o = 0; }\n"
				  "void at(void *) __attribute__((alias(\"code_dealloc\")));\n"
				  "struct type { long head[6]; void *dealloc; };\n"
				  "struct type PyCode_Type = {{1}, TP_DEALLOC};\n"
				  "int main(void) { return 0; }\n";

static struct elf_file *build_interpreter(const char *options, const char *tp_dealloc)
{
	char directory[] = "/tmp/test_elf_file.XXXXXX", line[512], path[64];
	struct elf_file *f;
	FILE *source;

	assert_non_null(mkdtemp(directory));
	snprintf(line, sizeof(line), "cd %s && gcc -x c - -o python -w -DTP_DEALLOC='%s' %s",
		 directory, tp_dealloc, options);
	source = popen(line, "w");
	assert_non_null(source);
	fputs(interpreter, source);
	assert_int_equal(pclose(source), 0);
	snprintf(path, sizeof(path), "%s/python", directory);
	f = elf_file__new(open(path, O_RDONLY | O_CLOEXEC), -1, path);
	assert_non_null(f);
	unlink(path);
	rmdir(directory);
	return f;
}

/* The pointer is in the data, in a relocation, or where a packed one finds it; and what the kernel
 * would have to step over is passed by. */
static void test_code_dealloc(void **state)
{
	static const struct {
		const char *options;
		uint64_t past;
	} builds[] = {
		{"-O1 -no-pie -rdynamic -fcf-protection=none", 0},
		{"-O1 -shared -fPIC -fcf-protection=none", 0},
		{"-O1 -pie -fPIE -rdynamic -fcf-protection=none", 0},
		{"-O1 -pie -fPIE -rdynamic -fcf-protection=branch", 4},
		{"-O1 -pie -fPIE -rdynamic -fcf-protection=none -Wl,-z,pack-relative-relocs", 0},
	};
	static const char *const wrong[] = {"0", "&code", "(void *)-8L"};
	struct python_symbols symbols;
	struct elf_file *f;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(builds); i++) {
		f = build_interpreter(builds[i].options, "code_dealloc");
		assert_true(elf_file__python(f, &symbols));
		assert_true(symbols.code_dealloc);
		assert_int_equal(symbols.code_dealloc,
				 elf_file__exported(f, "at") + builds[i].past);
		elf_file__free(f);
	}
	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
		f = build_interpreter("-pie -fPIE -rdynamic", wrong[i]);
		assert_true(elf_file__python(f, &symbols));
		assert_int_equal(symbols.code_dealloc, 0);
		elf_file__free(f);
	}
}
#endif

static void test_demangle(void **state)
{
	static const char *const names[][2] = {
		{"main", "main"},
		{"_ZN3app4dialEi", "app::dial"},
		{"_ZN3app4dial17h0123456789abcdefE", "app::dial"},
		{"_RNvC3app4dial", "app::dial"},
		{"_Z", "_Z"},
		{"_ZN3app", "_ZN3app"},
		{"_Zebra", "_Zebra"},
	};
	char *name, *hostile = malloc(100000);

	(void)state;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		name = demangle(names[i][0]);
		assert_string_equal(name, names[i][1]);
		free(name);
	}
	memset(hostile, 'P', 99999);
	memcpy(hostile, "_Z1f", 4);
	for (size_t len = 99999; len; len /= 2) {
		hostile[len] = '\0';
		name = demangle(hostile);
		assert_non_null(name);
		free(name);
	}
	free(hostile);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_whole),	     cmocka_unit_test(test_many_offsets),
		cmocka_unit_test(test_cut_short),    cmocka_unit_test(test_cut_while_open),
		cmocka_unit_test(test_flipped_bits), cmocka_unit_test(test_no_elf),
		cmocka_unit_test(test_demangle),
#ifdef __x86_64__
		cmocka_unit_test(test_code_dealloc),
#endif
	};

	return cmocka_run_group_tests(tests, read_image, free_image);
}
