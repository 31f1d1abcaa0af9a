/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* A whole ELF file: what its headers, symbols, DWARF and unwind tables say of places in its
 * code. */
#include "tests/fuzz/fuzz.h"

#include "user/callsite/cfi.h"
#include "user/callsite/elf_file.h"

#define NR_PLACES 16

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct elf_file *f = elf_file__new(fuzz_file(data, size), -1, "/srv/app");
	struct python_symbols python;
	struct churn_rule rule;
	const uint8_t *id;
	uint32_t nr;

	fuzz_require(f, "no memory");
	fuzz_require(elf_file__build_id(f, &id) <= MAX_BUILD_ID, "a build id");
	elf_file__python(f, &python);
	for (size_t i = 0; i < NR_PLACES; i++) {
		const struct location *at = elf_file__resolve(f, i * size / NR_PLACES, &nr);

		fuzz_require(nr <= MAX_LOCATIONS && !at == !nr, "locations");
		cfi__find(f, i * size / NR_PLACES, &rule);
		if (i == NR_PLACES / 2)
			elf_file__unload(f);
	}
	elf_file__free(f);
	return 0;
}
