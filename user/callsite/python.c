/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "user/callsite/python.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "user/callsite/python_layout.h"

#define MAX_TEXT       1024 /* characters of a name or a path */
#define MAX_CODE_BYTES (1 << 24)

#define OBJECT_TYPE 8 /* from 3.8 to 3.14, GIL builds */

/* A code object as it was when it was read. */
struct code {
	char *function, *file;
	uint8_t *lines;
	size_t lines_len;
	int first_line;
	uint64_t content; /* as churn_py_frame.content */
};

struct python {
	int mem;
	int minor;
	uint64_t code_type, code_dealloc; /* 0: unknown */
	struct churn_python walk;
	struct python_code_layout layout;
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
		p->code_dealloc = image->code_dealloc ? image->bias + image->code_dealloc : 0;
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

void python__free(struct python *p)
{
	if (!p)
		return;
	close(p->mem);
	free(p);
}

const struct churn_python *python__walk(const struct python *p)
{
	return &p->walk;
}

uint64_t python__code_dealloc(const struct python *p)
{
	return p->walk.generation == CHURN_PY_NONE ? p->code_dealloc : 0;
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

static uint64_t mix_bytes(uint64_t hash, const uint8_t *bytes, size_t len)
{
	uint64_t word;

	for (size_t at = 0; at < len; at += sizeof(word)) {
		word = 0;
		memcpy(&word, bytes + at, len - at < sizeof(word) ? len - at : sizeof(word));
		hash = churn_mix(hash, word);
	}
	return hash;
}

/* A str object (PEP 393) as UTF-8, cut if it is very long, and the hash of all of it. NULL: not
 * one, or no memory. */
static char *read_text(const struct python *p, uint64_t addr, uint64_t *hash)
{
	uint8_t header[CHURN_PY_TEXT_STATE + 4], raw[4 * CHURN_PY_MAX_TEXT];
	uint32_t state, width, c;
	uint64_t length, at;
	size_t used = 0;
	char *text;

	if (!read_memory(p, addr, header, sizeof(header)))
		return NULL;
	length = word_at(header + CHURN_PY_CONTENT_LENGTH);
	memcpy(&state, header + CHURN_PY_TEXT_STATE, sizeof(state));
	width = state >> 2 & 7;
	at = addr + (state >> 6 & 1 ? p->layout.text_ascii : p->layout.text_compact);
	if ((width != 1 && width != 2 && width != 4) || length > CHURN_PY_MAX_TEXT ||
	    !read_memory(p, at, raw, length * width))
		return NULL;
	*hash = mix_bytes(churn_mix(0, length), raw, length * width);
	if (length > MAX_TEXT)
		length = MAX_TEXT;
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

static uint64_t field(const uint8_t header[PYTHON_CODE_LEN], uint16_t at)
{
	return at <= PYTHON_CODE_LEN - 8 ? word_at(header + at) : 0;
}

/* A bytes object and the hash of it. NULL: not one, or no memory. */
static uint8_t *read_bytes(const struct python *p, uint64_t addr, size_t *len, uint64_t *hash)
{
	uint8_t *bytes, length[8];

	if (!read_memory(p, addr + CHURN_PY_CONTENT_LENGTH, length, sizeof(length)))
		return NULL;
	*len = word_at(length);
	if (*len > CHURN_PY_MAX_BYTES)
		return NULL;
	bytes = malloc(*len + 1);
	if (!bytes || !read_memory(p, addr + CHURN_PY_BYTES, bytes, *len)) {
		free(bytes);
		return NULL;
	}
	*hash = mix_bytes(churn_mix(0, *len), bytes, *len);
	return bytes;
}

static void code_clear(struct code *c)
{
	free(c->function);
	free(c->file);
	free(c->lines);
}

/* False: what is there is no code object. The caller clears *c in any case. */
static bool read_code(const struct python *p, uint64_t addr, struct code *c)
{
	const struct python_code_layout *l = &p->layout;
	uint64_t name = 0, file = 0, lines = 0;
	uint8_t header[PYTHON_CODE_LEN];

	if (!read_memory(p, addr, header, sizeof(header)) ||
	    word_at(header + OBJECT_TYPE) != p->code_type)
		return false;
	memcpy(&c->first_line, header + l->first_line, sizeof(c->first_line));
	c->function = read_text(p, field(header, l->name), &name);
	c->file = read_text(p, field(header, l->filename), &file);
	c->lines = read_bytes(p, field(header, l->lines), &c->lines_len, &lines);
	c->content = churn_mix(0, (uint32_t)c->first_line);
	c->content = churn_mix(c->content, name);
	c->content = churn_mix(c->content, lines);
	c->content = churn_mix(c->content, file);
	return c->function && c->file && c->lines && c->content;
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
	uint64_t at = instruction(p, call);
	struct code c = {};

	memset(out, 0, sizeof(*out));
	out->pc = call->instr;
	/* What stands there may be another one by now, or nothing but memory. */
	if (at != UINT64_MAX && read_code(p, call->code, &c) && c.content == call->content) {
		out->function = c.function;
		out->file = c.file;
		out->line =
			python_line(p->layout.line_format, c.lines, c.lines_len, c.first_line, at);
		c.function = c.file = NULL;
	}
	code_clear(&c);
}

uint64_t python__content(const struct python *p, uint64_t code)
{
	struct code c = {};
	uint64_t content = read_code(p, code, &c) ? c.content : 0;

	code_clear(&c);
	return content;
}
