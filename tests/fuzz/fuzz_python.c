/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The memory of a process that says it is a Python interpreter. Byte 0: its version, byte 1: how
 * many calls, of two bytes each; the rest is its memory, whose addresses begin with zero. Objects
 * of type CODE_TYPE are code objects.
 */
#include "tests/fuzz/fuzz.h"

#include "user/callsite/python.h"

#define CODE_TYPE 0x1234
#define RUNTIME	  16
#define MAX_CALLS 16

static void check(const struct frame *f)
{
	fuzz_require(!f->function || strlen(f->function) <= 4096, "a long name");
	fuzz_require(!f->file || strlen(f->file) <= 4096, "a long path");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input in = {data, size};
	unsigned int minor = 8 + fuzz_number(&in, 1) % 8, nr = fuzz_number(&in, 1) % MAX_CALLS;
	struct churn_py_frame calls[MAX_CALLS];
	char path[32];
	struct python_image image = {.runtime = RUNTIME, .code_type = CODE_TYPE, .path = path};
	struct python *p;

	for (unsigned int i = 0; i < nr; i++) {
		uint64_t code = fuzz_number(&in, 1) * 8;

		calls[i] = (struct churn_py_frame){.code = code};
		calls[i].instr = fuzz_number(&in, 1) + (minor < 11 ? 0 : code + 184);
	}
	snprintf(path, sizeof(path), "/usr/bin/python3.%u", minor);
	p = python__new(&image, fuzz_file(in.at, in.left));
	for (unsigned int i = 0; p && i < nr; i++) {
		struct frame f;

		calls[i].content = python__content(p, calls[i].code);
		python__resolve(p, &calls[i], &f);
		check(&f);
		free(f.function);
		free(f.file);
	}
	python__free(p);
	return 0;
}
