/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Call frame information in a sound ELF file. First byte: which machine, and which section. */
#include "tests/fuzz/fuzz.h"

#include "user/callsite/cfi.h"
#include "user/callsite/elf_file.h"

#define STEP 16

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input in = {data, size};
	uint64_t how = fuzz_number(&in, 1);
	struct fuzz_section section = {.name = how & 1 ? ".debug_frame" : ".eh_frame",
				       .data = in.at,
				       .size = in.left,
				       .addr = how & 1 ? 0 : FUZZ_TEXT + FUZZ_TEXT_SIZE,
				       .flags = how & 1 ? 0 : SHF_ALLOC};
	struct elf_file *f;

	f = elf_file__new(fuzz_elf(how & 2 ? EM_AARCH64 : EM_X86_64, &section, 1), -1, NULL);
	fuzz_require(f && elf_file__valid(f), "the file around it");
	for (uint64_t at = 0; at < FUZZ_TEXT_SIZE; at += STEP) {
		struct churn_rule rule;
		int err = cfi__find(f, at, &rule);

		fuzz_require(!err == (rule.kind != CHURN_RULE_NONE), "a rule and an error");
	}
	elf_file__free(f);
	return 0;
}
