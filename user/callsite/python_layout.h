/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Where CPython 3.8 to 3.14 keep frames and code objects, in builds with the GIL on 64-bit
 * machines. Before 3.13 from a table (the layout of a minor version never changes), from then on
 * from _Py_DebugOffsets at the head of _PyRuntime (Include/internal/pycore_debug_offsets.h).
 */
#ifndef CHURN_CALLSITE_PYTHON_LAYOUT_H
#define CHURN_CALLSITE_PYTHON_LAYOUT_H

#include <stddef.h>
#include <stdint.h>

#include "bpf/event.h"

/* How a code object's table of lines is encoded. */
enum python_lines {
	PYTHON_LINES_LNOTAB,	/* co_lnotab: 3.8, 3.9 */
	PYTHON_LINES_RANGES,	/* co_linetable: 3.10 */
	PYTHON_LINES_LOCATIONS, /* co_linetable: since 3.11 */
};

/* Byte offsets in a code object and in strings. */
struct python_code_layout {
	uint16_t filename, name, first_line, lines; /* name: the qualified one, since 3.11 */
	uint16_t code; /* of the instructions, CHURN_PY_NONE before 3.11 */
	uint16_t text_ascii, text_compact;
	uint8_t line_format; /* enum python_lines */
};

#define PYTHON_CODE_LEN		 256 /* as much of a code object as any field needs */
#define PYTHON_DEBUG_OFFSETS_LEN 512 /* as much of _PyRuntime as is looked at */

/*
 * `minor` of 3.minor; `head` is the beginning of _PyRuntime, read from the process. Fills all but
 * the addresses in *python. 0, -ENOTSUP: a version that is not known, or a free-threaded build.
 */
int python_layout(struct churn_python *python, struct python_code_layout *code, int minor,
		  const uint8_t head[PYTHON_DEBUG_OFFSETS_LEN]);

/*
 * The line of an instruction: `instr` is an offset in bytes from the first one. `table` is the
 * code object's, of `len` bytes. 0: it has none (or the table is broken).
 */
uint32_t python_line(enum python_lines format, const uint8_t *table, size_t len, int first_line,
		     uint64_t instr);

#endif /* CHURN_CALLSITE_PYTHON_LAYOUT_H */
