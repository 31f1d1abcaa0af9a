/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "user/callsite/python.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "user/base/hash.h"
#include "user/callsite/python_layout.h"

#define MAX_CODES	4096
#define MAX_TEXT	1024  /* characters of a name or a path */
#define MAX_LINES	65536 /* bytes of a line table */
#define MAX_CODE_BYTES	(1 << 24)
#define CODE_HEADER_LEN 256 /* as much of a code object as any field here needs */

/* Offsets that have not changed from 3.8 to 3.14 (GIL builds). */
#define OBJECT_TYPE   8
#define TEXT_LENGTH   16
#define TEXT_STATE    32
#define TEXT_HEADER   72
#define BYTES_LENGTH  16
#define BYTES_CONTENT 32

/* A code object as it was when it was read. */
struct code {
	uint64_t addr;
	uint8_t header[CODE_HEADER_LEN];
	char *function, *file;
	uint8_t *lines;
	size_t lines_len;
	int first_line;
	UT_hash_handle hh;
};

struct python {
	int mem;
	int minor;
	uint64_t code_type;
	struct churn_python walk;
	struct python_code_layout layout;
	struct code *codes; /* oldest first */
};

static bool read_memory(const struct python *p, uint64_t addr, void *buf, size_t len)
{
	/* Addresses beyond the user's half would be negative offsets. */
	return addr && addr < INT64_MAX - len &&
	       pread(p->mem, buf, len, (off_t)addr) == (ssize_t)len;
}

static uint64_t word_at(const uint8_t *from)
{
	uint64_t word;

	memcpy(&word, from, sizeof(word));
	return word;
}

/* --- finding the interpreter ------------------------------------------------------------------ */

/* "libpython3.9.so.1.0", "python3.10". */
static int minor_of_path(const char *path)
{
	const char *at = path ? strstr(path, "python3.") : NULL;
	const char *next;
	int minor = 0;

	while (at && (next = strstr(at + 1, "python3.")))
		at = next;
	if (!at || sscanf(at, "python3.%2d", &minor) != 1)
		return -1;
	return minor;
}

static int minor_of_image(const struct python *p, const struct python_image *image)
{
	uint64_t version;

	if (!image->version || !read_memory(p, image->bias + image->version, &version, 8))
		return minor_of_path(image->path);
	return version >> 24 == 3 ? (int)(version >> 16 & 0xff) : -1;
}

struct python *python__new(const struct python_image *image, int mem)
{
	uint8_t head[PYTHON_DEBUG_OFFSETS_LEN];
	struct python *p = calloc(1, sizeof(*p));
	int err = p ? 0 : -ENOMEM;

	if (p) {
		p->mem = mem;
		p->code_type = image->bias + image->code_type;
		p->minor = minor_of_image(p, image);
		err = -ENOTSUP;
		if (read_memory(p, image->bias + image->runtime, head, sizeof(head)))
			err = python_layout(&p->walk, &p->layout, p->minor, head);
	}
	if (err) {
		free(p);
		close(mem);
		errno = -err;
		return NULL;
	}
	p->walk.runtime = image->bias + image->runtime;
	return p;
}

static void code_free(struct code *c)
{
	free(c->function);
	free(c->file);
	free(c->lines);
	free(c);
}

static void code_drop(struct python *p, struct code *c)
{
	HASH_DEL(p->codes, c);
	code_free(c);
}

void python__free(struct python *p)
{
	struct code *c, *next;

	if (!p)
		return;
	HASH_ITER (hh, p->codes, c, next)
		code_drop(p, c);
	close(p->mem);
	free(p);
}

const struct churn_python *python__walk(const struct python *p)
{
	return &p->walk;
}

/* --- strings ---------------------------------------------------------------------------------- */

static size_t put_utf8(char *dst, uint32_t c)
{
	if (c < 0x80) {
		dst[0] = (char)c;
		return 1;
	}
	if (c < 0x800) {
		dst[0] = (char)(0xc0 | c >> 6);
		dst[1] = (char)(0x80 | (c & 63));
		return 2;
	}
	if (c < 0x10000) {
		dst[0] = (char)(0xe0 | c >> 12);
		dst[1] = (char)(0x80 | (c >> 6 & 63));
		dst[2] = (char)(0x80 | (c & 63));
		return 3;
	}
	dst[0] = (char)(0xf0 | (c >> 18 & 7));
	dst[1] = (char)(0x80 | (c >> 12 & 63));
	dst[2] = (char)(0x80 | (c >> 6 & 63));
	dst[3] = (char)(0x80 | (c & 63));
	return 4;
}

/* A str object (PEP 393) as UTF-8, cut if it is very long. NULL: not one, or no memory. */
static char *read_text(const struct python *p, uint64_t addr)
{
	uint8_t header[TEXT_HEADER], raw[4 * MAX_TEXT];
	uint32_t state, width, c;
	uint64_t length, at;
	size_t used = 0;
	char *text;

	if (!read_memory(p, addr, header, sizeof(header)))
		return NULL;
	length = word_at(header + TEXT_LENGTH);
	memcpy(&state, header + TEXT_STATE, sizeof(state));
	width = state >> 2 & 7;
	at = addr + (state >> 6 & 1 ? p->layout.text_ascii : p->layout.text_compact);
	if (length > MAX_TEXT)
		length = MAX_TEXT;
	if ((width != 1 && width != 2 && width != 4) || !read_memory(p, at, raw, length * width))
		return NULL;
	text = malloc(4 * length + 1);
	if (!text)
		return NULL;
	for (uint64_t i = 0; i < length; i++) {
		c = 0;
		memcpy(&c, raw + i * width, width);
		used += put_utf8(text + used, c);
	}
	text[used] = '\0';
	return text;
}

/* --- code objects ----------------------------------------------------------------------------- */

static uint64_t field(const uint8_t header[CODE_HEADER_LEN], uint16_t at)
{
	return at <= CODE_HEADER_LEN - 8 ? word_at(header + at) : 0;
}

/* A bytes object. NULL: not one, or no memory. */
static uint8_t *read_bytes(const struct python *p, uint64_t addr, size_t *len)
{
	uint8_t *bytes, length[8];

	*len = 0;
	if (!read_memory(p, addr + BYTES_LENGTH, length, sizeof(length)))
		return NULL;
	if (word_at(length) > MAX_LINES)
		return NULL;
	bytes = malloc(word_at(length) + 1);
	if (!bytes || !read_memory(p, addr + BYTES_CONTENT, bytes, word_at(length))) {
		free(bytes);
		return NULL;
	}
	*len = word_at(length);
	return bytes;
}

/* NULL: what is there is no code object. */
static struct code *read_code(struct python *p, uint64_t addr, const uint8_t *header)
{
	const struct python_code_layout *l = &p->layout;
	uint16_t name = l->qualname == CHURN_PY_NONE ? l->name : l->qualname;
	struct code *c;

	c = calloc(1, sizeof(*c));
	if (!c)
		return NULL;
	c->addr = addr;
	memcpy(c->header, header, CODE_HEADER_LEN);
	memcpy(&c->first_line, header + l->first_line, sizeof(c->first_line));
	c->function = read_text(p, field(header, name));
	c->file = read_text(p, field(header, l->filename));
	c->lines = read_bytes(p, field(header, l->lines), &c->lines_len);
	if (!c->function || !c->file) {
		code_free(c);
		return NULL;
	}
	HASH_ADD(hh, p->codes, addr, sizeof(c->addr), c);
	if (!c->hh.tbl) {
		code_free(c);
		return NULL;
	}
	if (HASH_COUNT(p->codes) > MAX_CODES)
		code_drop(p, p->codes);
	return c;
}

/* The fields that make a code object this one. Others change while it runs (specialisation). */
static bool same_code(const struct python *p, const uint8_t *a, const uint8_t *b)
{
	const struct python_code_layout *l = &p->layout;

	return field(a, l->name) == field(b, l->name) &&
	       field(a, l->filename) == field(b, l->filename) &&
	       field(a, l->lines) == field(b, l->lines) &&
	       memcmp(a + l->first_line, b + l->first_line, sizeof(int)) == 0;
}

/* What is at the address now, read anew unless it is what it was. */
static const struct code *find_code(struct python *p, uint64_t addr)
{
	uint8_t header[CODE_HEADER_LEN];
	struct code *c;

	if (p->layout.first_line > CODE_HEADER_LEN - 4 ||
	    !read_memory(p, addr, header, sizeof(header)) ||
	    word_at(header + OBJECT_TYPE) != p->code_type)
		return NULL;
	HASH_FIND(hh, p->codes, &addr, sizeof(addr), c);
	if (c && same_code(p, c->header, header))
		return c;
	if (c)
		code_drop(p, c);
	return read_code(p, addr, header);
}

/* Bytes from the first instruction of the code, as the line tables count; UINT64_MAX: nowhere. */
static uint64_t instruction(const struct python *p, const struct churn_py_frame *call)
{
	uint64_t at;

	if (p->layout.code == CHURN_PY_NONE)
		return p->minor == 10 ? call->instr * 2 : call->instr;
	at = call->instr - (call->code + p->layout.code);
	return at < MAX_CODE_BYTES ? at : UINT64_MAX;
}

void python__resolve(struct python *p, const struct churn_py_frame *call, struct frame *out)
{
	const struct code *c = find_code(p, call->code);
	uint64_t at = instruction(p, call);

	memset(out, 0, sizeof(*out));
	out->pc = call->instr;
	if (!c || at == UINT64_MAX)
		return;
	out->function = strdup(c->function);
	out->file = strdup(c->file);
	if (c->lines)
		out->line = python_line(p->layout.line_format, c->lines, c->lines_len,
					c->first_line, at);
}
