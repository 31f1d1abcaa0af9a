/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What makes a CPython code object this one: an address is given to another one as soon as it is
 * freed, often with names and tables in the same places as before. Since 3.12 each has a number of
 * its own (co_version). Before that it is the addresses of all that belongs to it, with what is told
 * of it: the contents of its name, its file's name and its table of lines, and its first line. Equal
 * ones are one as far as anybody can see.
 *
 * A stack that is sent carries a hash of these contents, and user space takes what it reads for
 * those of the open only if it has the same (python.c): the code object may have gone meanwhile, and
 * its memory be as it was, or half of it.
 */
#ifndef CHURN_PYTHON_IDENTITY_H
#define CHURN_PYTHON_IDENTITY_H

#include "bpf/maps.h"

#define PY_CHUNK       512 /* bytes that are read at once, */
#define PY_CHUNK_FIRST 128 /* and with what stands at the head of an object */
#define PY_CHUNK_WORDS (PY_CHUNK / 8)
#define PY_PAGE	       4096

/* What a str or bytes object says. Most names and some tables know a hash of it. */
enum py_content {
	PY_BYTES = 0,
	PY_TEXT = 1,
	PY_HASHED = 2, /* a flag */
};

struct py_identity {
	struct churn_python python;
	u64 code, identity; /* of the last frame */
	u64 file, file_hash;
	u64 hash;	/* of what was read */
	u64 rest, left; /* address and bytes of what was not yet */
	bool unknown;
	u64 words[PY_CHUNK_WORDS];
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct py_identity);
} py_identities SEC(".maps");

static __always_inline struct py_identity *py_identity_scratch(void)
{
	u32 zero = 0;

	return bpf_map_lookup_elem(&py_identities, &zero);
}

/* Nothing of an earlier stack is used: what is at an address is known for the time of one. */
static __always_inline struct py_identity *py_identity_begin(const struct churn_python *python)
{
	struct py_identity *p = py_identity_scratch();

	if (!p)
		return NULL;
	p->python = *python;
	p->code = 0;
	p->identity = 0;
	p->file = 0;
	return p;
}

/* Mixes `len` of the bytes that were read, from p->words[first] on. */
__noinline int py_mix(u32 first, u32 len)
{
	struct py_identity *p = py_identity_scratch();
	u64 hash, word;

	if (!p)
		return -1;
	hash = p->hash;
	for (u32 k = 0; k < PY_CHUNK_WORDS && 8 * k < len; k++) {
		word = p->words[(first + k) & (PY_CHUNK_WORDS - 1)];
		if (len - 8 * k < 8)
			word &= (1ULL << (8 * (len & 7))) - 1;
		hash = churn_mix(hash, word);
	}
	p->hash = hash;
	return 0;
}

/* Mixes memory of the process, at most PY_CHUNK bytes. 0 or -1. */
__noinline int py_mix_memory(u64 addr, u32 len)
{
	struct py_identity *p = py_identity_scratch();

	/* The mask is for verifiers that do not see through what compilers make of a comparison. */
	len &= 2 * PY_CHUNK - 1;
	if (!p || len > PY_CHUNK)
		return -1;
	if (bpf_probe_read_user(p->words, len, (const void *)addr)) {
		p->unknown = true;
		return -1;
	}
	return py_mix(0, len);
}

/* The next piece of a long content. By itself, for the verifier follows each turn of a loop. */
__noinline int py_mix_next(void)
{
	struct py_identity *p = py_identity_scratch();
	u64 addr, len;

	if (!p || !p->left || p->unknown)
		return 1;
	addr = p->rest;
	len = p->left < PY_CHUNK ? p->left : PY_CHUNK;
	p->rest += len;
	p->left -= len;
	py_mix_memory(addr, len);
	return 0;
}

/* Reads the head of a str or bytes, from its length on, and what fits in behind it: not beyond the
 * page, the next one may not be there. How many bytes, 0: unreadable. */
static __always_inline u32 py_read_head(struct py_identity *p, u64 addr)
{
	u32 room = PY_PAGE - (addr & (PY_PAGE - 1)), len = PY_CHUNK_FIRST;

	if (room < len)
		len = room < 24 ? 24 : room;
	len &= 2 * PY_CHUNK_FIRST - 1;
	if (len > PY_CHUNK_FIRST || bpf_probe_read_user(p->words, len, (const void *)addr))
		return 0;
	return len;
}

/* Mixes what a str or bytes object says; `kind` is an enum py_content. */
__noinline int py_mix_content(u64 addr, u32 kind)
{
	struct py_identity *p = py_identity_scratch();
	u32 at = CHURN_PY_BYTES, max = CHURN_PY_MAX_BYTES, width = 1, state, len, got;
	u64 length;

	addr += CHURN_PY_CONTENT_LENGTH;
	if (!p)
		return -1;
	len = py_read_head(p, addr);
	length = p->words[0];
	p->hash = churn_mix(p->hash, length);
	if (len && (kind & PY_HASHED) && p->words[1] != CHURN_PY_NO_HASH) {
		p->hash = churn_mix(p->hash, p->words[1]);
		return 0;
	}
	if (kind & PY_TEXT) {
		state = p->words[2];
		width = state >> 2 & 7;
		max = CHURN_PY_MAX_TEXT;
		at = state >> 6 & 1 ? p->python.text_ascii : p->python.text_compact;
	}
	at -= CHURN_PY_CONTENT_LENGTH;
	if (!len || length > max) {
		p->unknown = true;
		return -1;
	}
	length *= width;
	got = at < len ? len - at : 0;
	if (got > length)
		got = length;
	py_mix(at / 8, got);
	p->rest = addr + at + got;
	p->left = length - got;
	for (u32 i = 0; i < CHURN_PY_MAX_BYTES / PY_CHUNK; i++) {
		if (py_mix_next())
			break;
	}
	return 0;
}

/* A field of the code object that was read. */
static __always_inline u64 py_field(const struct py_identity *p, u32 at)
{
	at -= p->python.identity;
	return at <= CHURN_PY_IDENTITY_MAX - 8 ? *(u64 *)((u8 *)p->words + at) : 0;
}

/* The content of an object by itself. */
static __always_inline u64 py_content_hash(struct py_identity *p, u64 addr, u32 kind)
{
	p->hash = 0;
	py_mix_content(addr, kind);
	return p->hash;
}

/* Mostly that of the caller. */
static __always_inline u64 py_file_hash(struct py_identity *p, u64 file)
{
	if (file != p->file) {
		p->file_hash = py_content_hash(p, file, PY_TEXT);
		p->file = p->unknown ? 0 : file;
	}
	return p->file_hash;
}

/* What tells the code object at that address from others, into p->identity; `content`: what is told
 * of it, instead: churn_py_frame.content. 0: unknown. */
__noinline int py_identify(u64 code, u32 content)
{
	struct py_identity *p = py_identity_scratch();
	u64 identity, name, file, lines;
	u32 first_line, version, hashed = content ? 0 : PY_HASHED;

	if (!p)
		return -1;
	p->code = code;
	p->identity = 0;
	p->unknown = false;
	p->hash = 0;
	if (py_mix_memory(code + p->python.identity, p->python.identity_len))
		return -1;
	identity = p->hash;
	version = py_field(p, p->python.code_version);
	first_line = py_field(p, p->python.code_first_line);
	name = py_field(p, p->python.code_name);
	file = py_field(p, p->python.code_filename);
	lines = py_field(p, p->python.code_lines);
	if (content)
		identity = churn_mix(0, first_line);
	if (content || !version) {
		identity = churn_mix(identity, py_content_hash(p, name, PY_TEXT | hashed));
		identity = churn_mix(identity, py_content_hash(p, lines, PY_BYTES | hashed));
		identity = churn_mix(identity, py_file_hash(p, file));
	}
	p->identity = p->unknown ? 0 : identity;
	return 0;
}

#endif /* CHURN_PYTHON_IDENTITY_H */
