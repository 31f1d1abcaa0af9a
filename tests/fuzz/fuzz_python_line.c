/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* CPython's tables of lines. Byte 0: the format; four bytes: the first line; then the table. */
#include "tests/fuzz/fuzz.h"

#include "user/callsite/python_layout.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input in = {data, size};
	enum python_lines format = (enum python_lines)(fuzz_number(&in, 1) % 3);
	int first = (int)fuzz_number(&in, 4);

	for (uint64_t instr = 0; instr < 4 * in.left + 64; instr += 1 + in.left / 16)
		python_line(format, in.at, in.left, first, instr);
	python_line(format, in.at, in.left, first, UINT64_MAX);
	return 0;
}
