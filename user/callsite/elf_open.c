/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "user/callsite/elf_open.h"

#include <gelf.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

/* The best that zlib can do is 1032. */
#define MAX_COMPRESSION 1100

static bool is_sound(Elf *elf, uint64_t size)
{
	Elf_Scn *scn = NULL;
	GElf_Shdr shdr;

	while ((scn = elf_nextscn(elf, scn))) {
		GElf_Chdr chdr;

		if (!gelf_getshdr(scn, &shdr))
			return false;
		if (shdr.sh_type == SHT_NOBITS)
			continue;
		if (shdr.sh_offset > size || shdr.sh_size > size - shdr.sh_offset)
			return false;
		if (shdr.sh_flags & SHF_COMPRESSED &&
		    (!gelf_getchdr(scn, &chdr) || chdr.ch_size / MAX_COMPRESSION > shdr.sh_size))
			return false;
	}
	return true;
}

/* Takes it over. */
static Elf *if_sound(Elf *elf, uint64_t size)
{
	if (elf && elf_kind(elf) == ELF_K_ELF && is_sound(elf, size))
		return elf;
	elf_end(elf);
	return NULL;
}

Elf *elf_open(int fd)
{
	struct stat st;

	elf_version(EV_CURRENT);
	if (fstat(fd, &st))
		return NULL;
	return if_sound(elf_begin(fd, ELF_C_READ, NULL), (uint64_t)st.st_size);
}

Elf *elf_open_memory(void *bytes, size_t size)
{
	elf_version(EV_CURRENT);
	return if_sound(elf_memory(bytes, size), size);
}
