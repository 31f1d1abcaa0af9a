/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "user/callsite/mini_debug.h"

#include <gelf.h>
#include <lzma.h>
#include <stdlib.h>
#include <string.h>

#include "user/callsite/elf_open.h"

/* Bounds for what a hostile file can make us do: 10 KB of xz may unpack to 100 MB. */
#define MAX_PACKED	(16U << 20)
#define MAX_BYTES	(64U << 20)
#define MAX_LZMA_MEMORY (64U << 20)

static Elf_Data *find_section(Elf *elf)
{
	Elf_Scn *scn = NULL;
	size_t names;

	if (elf_getshdrstrndx(elf, &names))
		return NULL;
	while ((scn = elf_nextscn(elf, scn))) {
		const char *name;
		GElf_Shdr shdr;

		if (!gelf_getshdr(scn, &shdr) || shdr.sh_type != SHT_PROGBITS)
			continue;
		name = elf_strptr(elf, names, shdr.sh_name);
		if (name && !strcmp(name, ".gnu_debugdata"))
			return elf_rawdata(scn, NULL);
	}
	return NULL;
}

/* NULL: not xz, cut short, or too large. The caller frees it. */
static void *unpack(const Elf_Data *packed, size_t *size)
{
	lzma_stream stream = LZMA_STREAM_INIT;
	size_t cap = packed->d_size * 4;
	uint8_t *bytes = NULL;
	lzma_ret ret;

	if (lzma_stream_decoder(&stream, MAX_LZMA_MEMORY, 0) != LZMA_OK)
		return NULL;
	stream.next_in = packed->d_buf;
	stream.avail_in = packed->d_size;
	do {
		uint8_t *more = cap <= MAX_BYTES ? realloc(bytes, cap) : NULL;

		ret = LZMA_MEM_ERROR;
		if (!more)
			break;
		bytes = more;
		stream.next_out = bytes + stream.total_out;
		stream.avail_out = cap - stream.total_out;
		ret = lzma_code(&stream, LZMA_FINISH);
		cap *= 2;
	} while (ret == LZMA_OK && !stream.avail_out);
	*size = stream.total_out;
	lzma_end(&stream);
	if (ret == LZMA_STREAM_END)
		return bytes;
	free(bytes);
	return NULL;
}

void mini_debug__open(struct mini_debug *m, Elf *elf)
{
	const Elf_Data *packed = find_section(elf);
	size_t size;

	*m = (struct mini_debug){};
	if (!packed || !packed->d_buf || !packed->d_size || packed->d_size > MAX_PACKED)
		return;
	m->memory = unpack(packed, &size);
	if (m->memory)
		m->elf = elf_open_memory(m->memory, size);
	if (!m->elf)
		mini_debug__close(m);
}

void mini_debug__close(struct mini_debug *m)
{
	elf_end(m->elf);
	free(m->memory);
	*m = (struct mini_debug){};
}
