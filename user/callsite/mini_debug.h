/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * MiniDebugInfo: an ELF file with the symbols that .dynsym lacks, packed by xz into the section
 * .gnu_debugdata of a stripped one; Fedora and its kin ship all binaries so.
 * (https://sourceware.org/gdb/current/onlinedocs/gdb.html/MiniDebugInfo.html)
 */
#ifndef CHURN_CALLSITE_MINI_DEBUG_H
#define CHURN_CALLSITE_MINI_DEBUG_H

#include <libelf.h>

struct mini_debug {
	Elf *elf; /* NULL: there is none */
	void *memory;
};

/* From the ELF file's section, if it has one that is sound. */
void mini_debug__open(struct mini_debug *m, Elf *elf);
void mini_debug__close(struct mini_debug *m);

#endif /* CHURN_CALLSITE_MINI_DEBUG_H */
