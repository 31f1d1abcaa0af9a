/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The functions of an ELF file by address, from its symbol table. */
#ifndef CHURN_CALLSITE_SYMBOLS_H
#define CHURN_CALLSITE_SYMBOLS_H

#include <libelf.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "user/callsite/mini_debug.h"

struct symbol {
	uint64_t start, end; /* ELF addresses, [start, end) */
	uint64_t reach;	     /* the highest end of this one and of all before it */
	const char *name;    /* in the Elf's own data */
	bool sized;	     /* false: end is that of the section */
};

struct symbols {
	struct symbol *at; /* sorted by start, the better name last */
	size_t nr;
	struct mini_debug mini;
};

/*
 * Reads .symtab of `debug` or of `main`, else .dynsym of `main` with what its MiniDebugInfo adds;
 * `debug` may be NULL. Both must
 * outlive *s. 0 (also without any symbol) or -ENOMEM.
 */
int symbols__read(struct symbols *s, Elf *main, Elf *debug);
void symbols__clear(struct symbols *s);

/* The function that holds the address, NULL: none. Never merely the nearest one. */
const struct symbol *symbols__find(const struct symbols *s, uint64_t addr);

#endif /* CHURN_CALLSITE_SYMBOLS_H */
