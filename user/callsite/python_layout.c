/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "user/callsite/python_layout.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "user/base/array.h"

#define NONE CHURN_PY_NONE

/* --- layouts ---------------------------------------------------------------------------------- */

struct layout {
	int minor, last_minor; /* of the versions that share it */
	struct churn_python python;
	struct python_code_layout code;
};

static const struct layout layouts[] = {
	{8,
	 9,
	 {.interpreters_head = 32,
	  .interpreter_next = 0,
	  .threads_head = 8,
	  .thread_next = 8,
	  .thread_id = 176,
	  .thread_frame = 24,
	  .cframe_frame = NONE,
	  .frame_previous = 24,
	  .frame_code = 32,
	  .frame_instr = 104,
	  .frame_owner = NONE,
	  .generation = NONE,
	  .instr_bytes = 4},
	 {.filename = 104,
	  .name = 112,
	  .first_line = 40,
	  .lines = 120,
	  .code = NONE,
	  .text_ascii = 48,
	  .text_compact = 72,
	  .line_format = PYTHON_LINES_LNOTAB}},
	{10,
	 10,
	 {.interpreters_head = 32,
	  .interpreter_next = 0,
	  .threads_head = 8,
	  .thread_next = 8,
	  .thread_id = 176,
	  .thread_frame = 24,
	  .cframe_frame = NONE,
	  .frame_previous = 24,
	  .frame_code = 32,
	  .frame_instr = 96,
	  .frame_owner = NONE,
	  .generation = NONE,
	  .instr_bytes = 4},
	 {.filename = 104,
	  .name = 112,
	  .first_line = 40,
	  .lines = 120,
	  .code = NONE,
	  .text_ascii = 48,
	  .text_compact = 72,
	  .line_format = PYTHON_LINES_RANGES}},
	{11,
	 11,
	 {.interpreters_head = 40,
	  .interpreter_next = 0,
	  .threads_head = 16,
	  .thread_next = 8,
	  .thread_id = 152,
	  .thread_frame = 56,
	  .cframe_frame = 8,
	  .frame_previous = 48,
	  .frame_code = 32,
	  .frame_instr = 56,
	  .frame_owner = NONE,
	  .generation = NONE,
	  .instr_bytes = 8},
	 {.filename = 112,
	  .name = 128,
	  .first_line = 72,
	  .lines = 136,
	  .code = 184,
	  .text_ascii = 48,
	  .text_compact = 72,
	  .line_format = PYTHON_LINES_LOCATIONS}},
	{12,
	 12,
	 {.interpreters_head = 40,
	  .interpreter_next = 0,
	  .threads_head = 72,
	  .thread_next = 8,
	  .thread_id = 136,
	  .thread_frame = 56,
	  .cframe_frame = 0,
	  .frame_previous = 8,
	  .frame_code = 0,
	  .frame_instr = 56,
	  .frame_owner = 70,
	  .generation = NONE,
	  .instr_bytes = 8},
	 {.filename = 112,
	  .name = 128,
	  .first_line = 68,
	  .lines = 136,
	  .code = 192,
	  .text_ascii = 40,
	  .text_compact = 56,
	  .line_format = PYTHON_LINES_LOCATIONS}},
};

/* Where the fields stand in _Py_DebugOffsets, counted in 64-bit words. */
struct debug_offsets {
	int minor;
	uint8_t runtime_size, interpreters_head, interpreter_size, interpreter_next, threads_head;
	uint8_t code_generation; /* 0: none */
	uint8_t thread_next, thread_interpreter, current_frame, thread_id;
	uint8_t frame_previous, executable, instr_ptr, owner;
	uint8_t filename, qualname, linetable, firstlineno, code_adaptive;
	uint8_t code_tag; /* 3.14: executable is a _PyStackRef, with two bits of its own */
};

static const struct debug_offsets debug_offsets[] = {
	{13, 3, 5, 6, 8, 9, 0, 21, 22, 23, 24, 29, 30, 31, 33, 35, 37, 38, 39, 43, 0},
	{14, 3, 5, 6, 8, 9, 20, 24, 25, 26, 27, 32, 33, 34, 36, 40, 42, 43, 44, 48, 3},
};

#define COOKIE	      "xdebugpy"
#define FREE_THREADED 2

static uint16_t word(const uint8_t *head, unsigned int index)
{
	uint64_t value;

	memcpy(&value, head + 8 * index, sizeof(value));
	/* NONE is out of every bound that the walk checks. */
	return value < NONE ? value : NONE;
}

/*
 * What tells that no code object has come in place of another one. 3.14 counts those that are
 * freed, for debuggers (code_dealloc() in Objects/codeobject.c). 3.13 numbers those that are made
 * (init_code()), in a place that it does not tell; so it is looked up only in interpreters of a
 * size that was seen: 3.13.0 and 3.13.5.
 */
static void find_generation(struct churn_python *p, const struct debug_offsets *d,
			    const uint8_t *head)
{
	uint64_t size;

	memcpy(&size, head + 8 * d->runtime_size, sizeof(size));
	p->runtime_len = size < UINT32_MAX ? (uint32_t)size : 0;
	memcpy(&size, head + 8 * d->interpreter_size, sizeof(size));
	p->generation = NONE;
	if (d->code_generation) {
		p->generation = word(head, d->code_generation);
		p->generation_len = 8;
	} else if (size == 194968 || size == 194976) {
		p->generation = 17000; /* func_state.next_version */
		p->generation_len = 4;
	}
}

static int from_debug_offsets(struct churn_python *p, struct python_code_layout *c,
			      const struct debug_offsets *d, const uint8_t *head)
{
	if (memcmp(head, COOKIE, 8) != 0 || word(head, FREE_THREADED))
		return -ENOTSUP;
	*p = (struct churn_python){
		.interpreters_head = word(head, d->interpreters_head),
		.interpreter_next = word(head, d->interpreter_next),
		.threads_head = word(head, d->threads_head),
		.thread_next = word(head, d->thread_next),
		.thread_id = word(head, d->thread_id),
		.thread_interpreter = word(head, d->thread_interpreter),
		.thread_frame = word(head, d->current_frame),
		.cframe_frame = NONE,
		.frame_previous = word(head, d->frame_previous),
		.frame_code = word(head, d->executable),
		.frame_instr = word(head, d->instr_ptr),
		.frame_owner = word(head, d->owner),
		.instr_bytes = 8,
		.code_tag = d->code_tag,
	};
	find_generation(p, d, head);
	*c = (struct python_code_layout){
		.filename = word(head, d->filename),
		.name = word(head, d->qualname),
		.lines = word(head, d->linetable),
		.first_line = word(head, d->firstlineno),
		.code = word(head, d->code_adaptive),
		.text_ascii = 40,
		.text_compact = 56,
		.line_format = PYTHON_LINES_LOCATIONS,
	};
	return 0;
}

static int find_layout(struct churn_python *python, struct python_code_layout *code, int minor,
		       const uint8_t *head)
{
	for (size_t i = 0; i < ARRAY_SIZE(layouts); i++) {
		if (minor < layouts[i].minor || minor > layouts[i].last_minor)
			continue;
		*python = layouts[i].python;
		*code = layouts[i].code;
		return 0;
	}
	for (size_t i = 0; i < ARRAY_SIZE(debug_offsets); i++) {
		if (debug_offsets[i].minor == minor)
			return from_debug_offsets(python, code, &debug_offsets[i], head);
	}
	return -ENOTSUP;
}

/* The first line, addresses of strings and tables, the number of the code object: side by side, and
 * what stands between them does not change either. What follows changes while the code runs. */
static int describe_identity(struct churn_python *python, const struct python_code_layout *code)
{
	python->identity = code->first_line & ~7;
	python->identity_len = code->lines + 8 - python->identity;
	if (code->lines < code->first_line || code->lines > PYTHON_CODE_LEN - 8 ||
	    python->identity_len > CHURN_PY_IDENTITY_MAX)
		return -ENOTSUP;
	python->code_first_line = code->first_line;
	python->code_filename = code->filename;
	python->code_name = code->name;
	python->code_lines = code->lines;
	/* What precedes the names has been the same since 3.12. */
	python->code_version = code->first_line == 68 && code->filename == 112 ? 92 : NONE;
	python->text_ascii = code->text_ascii;
	python->text_compact = code->text_compact;
	return 0;
}

int python_layout(struct churn_python *python, struct python_code_layout *code, int minor,
		  const uint8_t head[PYTHON_DEBUG_OFFSETS_LEN])
{
	int err = find_layout(python, code, minor, head);

	return err ? err : describe_identity(python, code);
}

/* --- lines ------------------------------------------------------------------------------------ */

/* Objects/lnotab_notes.txt: pairs of (address increment, signed line increment). */
static uint32_t line_lnotab(const uint8_t *table, size_t len, int64_t line, uint64_t instr)
{
	uint64_t addr = 0;

	for (size_t i = 0; i + 1 < len; i += 2) {
		addr += table[i];
		if (addr > instr)
			break;
		line += (int8_t)table[i + 1];
	}
	return line > 0 ? line : 0;
}

/* PEP 626: pairs of (length of the range, signed line increment, -128: no line). */
static uint32_t line_ranges(const uint8_t *table, size_t len, int64_t line, uint64_t instr)
{
	uint64_t start, end = 0;

	for (size_t i = 0; i + 1 < len; i += 2) {
		int8_t delta = (int8_t)table[i + 1];

		start = end;
		end += table[i];
		if (delta != -128)
			line += delta;
		if (start <= instr && instr < end)
			return delta == -128 || line < 0 ? 0 : line;
	}
	return 0;
}

struct table_reader {
	const uint8_t *at, *end;
};

static uint64_t read_varint(struct table_reader *r)
{
	uint64_t value = 0;
	unsigned int shift = 0;

	while (r->at < r->end && shift < 42) {
		uint8_t byte = *r->at++;

		value |= (uint64_t)(byte & 63) << shift;
		shift += 6;
		if (!(byte & 64))
			break;
	}
	return value;
}

static int64_t read_svarint(struct table_reader *r)
{
	uint64_t value = read_varint(r);

	return value & 1 ? -(int64_t)(value >> 1) : (int64_t)(value >> 1);
}

/* Objects/locations.md: entries of one to eight instructions each, their kind in the first byte. */
static uint32_t line_locations(const uint8_t *table, size_t len, int64_t line, uint64_t instr)
{
	struct table_reader r = {table, table + len};
	uint64_t unit = instr / 2, at = 0;

	while (r.at < r.end) {
		uint8_t first = *r.at++, kind = (first >> 3) & 15;
		bool none = kind == 15;

		if (!(first & 0x80))
			return 0;
		if (kind == 14 || kind == 13)
			line += read_svarint(&r);
		else if (kind >= 10 && kind <= 12)
			line += kind - 10;
		at += (first & 7) + 1;
		if (unit < at)
			return none || line < 0 ? 0 : line;
		/* The columns: up to the next entry, whose first byte alone has the top bit. */
		while (r.at < r.end && !(*r.at & 0x80))
			r.at++;
	}
	return 0;
}

uint32_t python_line(enum python_lines format, const uint8_t *table, size_t len, int first_line,
		     uint64_t instr)
{
	switch (format) {
	case PYTHON_LINES_LNOTAB:
		return line_lnotab(table, len, first_line, instr);
	case PYTHON_LINES_RANGES:
		return line_ranges(table, len, first_line, instr);
	default:
		return line_locations(table, len, first_line, instr);
	}
}
