/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What makes a CPython code object this one: an address is given to another one as soon as it is
 * freed, often with names and tables in the same places as before. Since 3.12 each has a number of
 * its own (co_version). Before that it is the addresses of all that belongs to it, with what is
 * told of it: the contents of its name, its file's name and its table of lines, and its first line.
 * Equal ones are one as far as anybody can see.
 *
 * A stack that is sent carries a hash of these contents, and user space takes what it reads for
 * those of the open only if it has the same (python.c): the code object may have gone meanwhile,
 * and its memory be as it was, or half of it.
 */
#ifndef CHURN_PYTHON_IDENTITY_H
#define CHURN_PYTHON_IDENTITY_H

#include "bpf/maps.h"

#define PY_CHUNK       512 /* bytes that are read at once, */
#define PY_CHUNK_FIRST 128 /* and with what stands at the head of an object */
#define PY_CHUNK_WORDS (PY_CHUNK / 8)
#define PY_PAGE	       4096

/* What is told of a code object, in the order in which it is mixed. */
enum py_told { PY_NAME, PY_LINES, PY_FILE, PY_TOLD__COUNT };

struct py_identity {
	struct churn_python python;
	u64 code, identity;	      /* of the last frame */
	u64 told[PY_TOLD__COUNT + 1]; /* addresses; and one for a mask instead of a comparison */
	u64 file, file_hash;
	u64 sum;	/* of all, */
	u64 hash;	/* and of the object at hand, */
	u64 rest, left; /* of which so many bytes at that address were not read yet */
	u32 first_line, version;
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

/*
 * A stack of calls may have 512 bytes, of which those of the caller leave little: so there are two
 * levels of functions here, with their state in the scratch.
 */

/* Mixes `len` of the bytes that were read, from p->words[first] on. */
static __always_inline void py_mix(struct py_identity *p, u32 first, u32 len, const u32 max)
{
	u64 hash = p->hash, word;

	/* Unrolled, it would keep the words on the stack. */
#pragma clang loop unroll(disable)
	for (u32 k = 0; k < max / 8 && 8 * k < len; k++) {
		word = p->words[(first + k) & (PY_CHUNK_WORDS - 1)];
		if (len - 8 * k < 8)
			word &= (1ULL << (8 * (len & 7))) - 1;
		hash = churn_mix(hash, word);
	}
	p->hash = hash;
}

/* A field of the code object that was read. */
static __always_inline u64 py_field(const struct py_identity *p, u32 at)
{
	at -= p->python.identity;
	return at <= CHURN_PY_IDENTITY_MAX - 8 ? *(u64 *)((u8 *)p->words + at) : 0;
}

__noinline int py_read_code(u64 code)
{
	struct py_identity *p = py_identity_scratch();
	u32 len;

	if (!p)
		return -1;
	/* The mask is for verifiers that do not see through what compilers make of a comparison. */
	len = p->python.identity_len & (2 * CHURN_PY_IDENTITY_MAX - 1);
	if (len > CHURN_PY_IDENTITY_MAX ||
	    bpf_probe_read_user(p->words, len, (const void *)(code + p->python.identity)))
		return -1;
	p->hash = 0;
	py_mix(p, 0, len, CHURN_PY_IDENTITY_MAX);
	p->version = py_field(p, p->python.code_version);
	p->first_line = py_field(p, p->python.code_first_line);
	p->told[PY_NAME] = py_field(p, p->python.code_name);
	p->told[PY_LINES] = py_field(p, p->python.code_lines);
	p->told[PY_FILE] = py_field(p, p->python.code_filename);
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

/* Begins with what a str or bytes object says; `hashed`: by its own hash, if it has one, as most
 * names and some tables have. */
__noinline int py_mix_head(u32 which, u32 hashed)
{
	struct py_identity *p = py_identity_scratch();
	u32 at = CHURN_PY_BYTES, max = CHURN_PY_MAX_BYTES, width = 1, len;
	u64 addr, length, got;

	if (!p)
		return -1;
	addr = p->told[which & PY_TOLD__COUNT];
	p->hash = 0;
	p->left = 0;
	/* Mostly that of the caller. */
	if (which == PY_FILE && addr == p->file) {
		p->hash = p->file_hash;
		return 0;
	}
	addr += CHURN_PY_CONTENT_LENGTH;
	len = py_read_head(p, addr);
	length = p->words[0];
	p->hash = churn_mix(p->hash, length);
	if (len && hashed && which != PY_FILE && p->words[1] != CHURN_PY_NO_HASH) {
		p->hash = churn_mix(p->hash, p->words[1]);
		return 0;
	}
	if (which != PY_LINES) {
		width = p->words[2] >> 2 & 7;
		max = CHURN_PY_MAX_TEXT;
		at = p->words[2] >> 6 & 1 ? p->python.text_ascii : p->python.text_compact;
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
	py_mix(p, at / 8, got, PY_CHUNK_FIRST);
	p->rest = addr + at + got;
	p->left = length - got;
	return 0;
}

/* The next piece of a long content. */
__noinline int py_mix_next(void)
{
	struct py_identity *p = py_identity_scratch();
	u64 addr;
	u32 len;

	if (!p || !p->left || p->unknown)
		return 1;
	addr = p->rest;
	len = p->left < PY_CHUNK ? p->left : PY_CHUNK;
	p->rest += len;
	p->left -= len;
	len &= 2 * PY_CHUNK - 1;
	if (len > PY_CHUNK || bpf_probe_read_user(p->words, len, (const void *)addr)) {
		p->unknown = true;
		return 1;
	}
	py_mix(p, 0, len, PY_CHUNK);
	return 0;
}

/* What tells the code object at that address from others, into p->identity; `content`: what is told
 * of it, instead: churn_py_frame.content. 0: unknown. */
__noinline int py_identify(u64 code, u32 content)
{
	struct py_identity *p = py_identity_scratch();

	if (!p)
		return -1;
	p->code = code;
	p->identity = 0;
	p->unknown = false;
	if (py_read_code(code))
		return -1;
	p->sum = content ? churn_mix(0, p->first_line) : p->hash;
	for (u32 which = 0; which < PY_TOLD__COUNT && (content || !p->version); which++) {
		py_mix_head(which, !content);
		for (u32 i = 0; i < CHURN_PY_MAX_BYTES / PY_CHUNK; i++) {
			if (py_mix_next())
				break;
		}
		p->sum = churn_mix(p->sum, p->hash);
	}
	if (!p->version || content) {
		p->file = p->unknown ? 0 : p->told[PY_FILE];
		p->file_hash = p->hash;
	}
	p->identity = p->unknown ? 0 : p->sum;
	return 0;
}

#endif /* CHURN_PYTHON_IDENTITY_H */
