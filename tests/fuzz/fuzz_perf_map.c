/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* /tmp/perf-PID.map, and the names that JIT compilers write into it. */
#include "tests/fuzz/fuzz.h"

#include "user/callsite/jit_name.h"
#include "user/callsite/perf_map.h"

#define MAX_LOOKUPS 64

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	size_t first = size ? data[0] % size : 0;
	struct perf_map m = {};

	/* As it comes: a piece, which need not end with a line, and what was written later. */
	fuzz_require(!perf_map__add(&m, (const char *)data, first), "no memory");
	fuzz_require(!perf_map__add(&m, (const char *)data + first, size - first), "no memory");
	for (size_t i = 0; i < m.nr && i < MAX_LOOKUPS; i++) {
		const char *name = perf_map__find(&m, m.at[i].start);
		struct location at;

		fuzz_require(name && name >= m.text && name < m.text + m.text_size, "a name");
		fuzz_require(!jit_name__parse(name, &at), "no memory");
		fuzz_require(at.function != NULL, "a function");
		location__clear(&at);
	}
	perf_map__find(&m, UINT64_MAX);
	perf_map__clear(&m);
	return 0;
}
