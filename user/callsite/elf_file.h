/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * One ELF file behind executable mappings: program headers at once, symbols, DWARF and unwind
 * tables when first asked for. Files are read, never mapped: one that is cut short under us gives
 * an error and not SIGBUS.
 */
#ifndef CHURN_CALLSITE_ELF_FILE_H
#define CHURN_CALLSITE_ELF_FILE_H

#include <elfutils/libdw.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "user/callsite/debug_info.h"

#define MAX_BUILD_ID 64

struct elf_file;

/*
 * Takes over `fd`. `root` (a descriptor or -1) and `path` (may be NULL) tell where to look for a
 * debug file, which is opened now, while the process lives. A file that is not ELF, or broken, is
 * an elf_file too, about which nothing is known. NULL: no memory.
 */
struct elf_file *elf_file__new(int fd, int root, const char *path);
void elf_file__free(struct elf_file *f);

/* NT_GNU_BUILD_ID; its length, 0: none. */
size_t elf_file__build_id(const struct elf_file *f, const uint8_t **id);

bool elf_file__valid(const struct elf_file *f);

/* Address of executable code in the ELF file's own terms, as its symbols have it. */
bool elf_file__address(const struct elf_file *f, uint64_t offset, uint64_t *addr);

/* At most `len` bytes of executable code at an address as above; how many there are. */
size_t elf_file__read_code(struct elf_file *f, uint64_t addr, uint8_t *bytes, size_t len);
/* Whether the symbol table has a function that begins there. */
bool elf_file__starts_function(struct elf_file *f, uint64_t addr);

/*
 * What is at a file offset, innermost inlined function first; NULL and *nr 0: nothing known.
 * Owned by the file, valid until the next call.
 */
const struct location *elf_file__resolve(struct elf_file *f, uint64_t offset, uint32_t *nr);

/* Address of a symbol that the file exports (.dynsym), in its own terms. 0: there is none. */
uint64_t elf_file__exported(struct elf_file *f, const char *name);

/* What the file exports of a CPython interpreter; asked once. False: it holds none. */
struct python_symbols {
	uint64_t runtime, version, code_type; /* version 0: not exported before 3.11 */
	uint64_t code_dealloc;		      /* begins to free a code object; 0: unknown */
};
bool elf_file__python(struct elf_file *f, struct python_symbols *out);

/* The tables of a Go program, NULL: it is none. Valid until the file is unloaded. */
struct go_table;
const struct go_table *elf_file__go(struct elf_file *f);

/* Unwind tables: .eh_frame and .debug_frame; NULL: none. Valid until elf_file__unload(). */
Dwarf_CFI *elf_file__eh_cfi(struct elf_file *f);
Dwarf_CFI *elf_file__debug_cfi(struct elf_file *f);
/* e_machine, 0: unknown. */
uint16_t elf_file__machine(const struct elf_file *f);

/* Memory held by symbols and DWARF, estimated from the size of the sections. */
uint64_t elf_file__loaded_bytes(const struct elf_file *f);
/* Gives it back; answers that are known already stay known. */
void elf_file__unload(struct elf_file *f);

#endif /* CHURN_CALLSITE_ELF_FILE_H */
