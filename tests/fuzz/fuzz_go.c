/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Go's tables in a sound ELF file: the length of .gopclntab, two bytes, it, and the program's
 * data. */
#include "tests/fuzz/fuzz.h"

#include "user/callsite/cfi.h"
#include "user/callsite/elf_file.h"

#define TABLE 0x500000
#define DATA  0x600000
#define STEP  16

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input in = {data, size};
	size_t table = fuzz_number(&in, 2);
	struct fuzz_section sections[] = {
		{.name = ".gopclntab", .addr = TABLE, .flags = SHF_ALLOC},
		{.name = ".noptrdata", .addr = DATA, .flags = SHF_ALLOC | SHF_WRITE},
	};
	struct elf_file *f;

	if (table > in.left)
		table = in.left;
	sections[0].data = in.at;
	sections[0].size = table;
	sections[1].data = in.at + table;
	sections[1].size = in.left - table;
	f = elf_file__new(fuzz_elf(EM_X86_64, sections, 2), -1, NULL);
	fuzz_require(f && elf_file__valid(f), "the file around it");
	for (uint64_t at = 0; at < FUZZ_TEXT_SIZE; at += STEP) {
		struct churn_rule rule;
		uint32_t nr;

		elf_file__resolve(f, at, &nr);
		fuzz_require(nr <= MAX_LOCATIONS, "locations");
		cfi__find(f, at, &rule);
	}
	elf_file__free(f);
	return 0;
}
