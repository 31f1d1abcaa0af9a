/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Opening ELF files that somebody else made: what libelf would trust is checked first. */
#ifndef CHURN_CALLSITE_ELF_OPEN_H
#define CHURN_CALLSITE_ELF_OPEN_H

#include <libelf.h>

/*
 * For reading, without mapping the file. NULL: no ELF file, or one that cannot be whole: sections
 * beyond the end of the file (libelf leaks what it read of such a section) or that would grow
 * more when uncompressed than is possible. The descriptor stays the caller's.
 */
Elf *elf_open(int fd);
/* The same in memory, which stays the caller's and must outlive it. */
Elf *elf_open_memory(void *bytes, size_t size);

#endif /* CHURN_CALLSITE_ELF_OPEN_H */
