/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* DWARF in a sound ELF file: the lengths of its sections, two bytes each, then their content. */
#include "tests/fuzz/fuzz.h"

#include "user/callsite/elf_file.h"

#define STEP 32

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const names[] = {".debug_info", ".debug_abbrev",   ".debug_line",
					    ".debug_str",  ".debug_line_str", ".debug_rnglists"};
	enum { NR = sizeof(names) / sizeof(names[0]) };
	struct fuzz_input in = {data, size};
	struct fuzz_section sections[NR] = {};
	struct elf_file *f;

	for (int i = 0; i < NR; i++)
		sections[i].size = fuzz_number(&in, 2);
	for (int i = 0; i < NR; i++) {
		sections[i].name = names[i];
		sections[i].data = in.at;
		if (sections[i].size > in.left)
			sections[i].size = in.left;
		in.at += sections[i].size;
		in.left -= sections[i].size;
	}
	f = elf_file__new(fuzz_elf(EM_X86_64, sections, NR), -1, NULL);
	fuzz_require(f && elf_file__valid(f), "the file around it");
	for (uint64_t at = 0; at < FUZZ_TEXT_SIZE; at += STEP) {
		uint32_t nr;

		elf_file__resolve(f, at, &nr);
		fuzz_require(nr <= MAX_LOCATIONS, "locations");
	}
	elf_file__free(f);
	return 0;
}
