/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Function, file and line of an address from DWARF, inlined calls included. Reads no file but the
 * ones it is given: split DWARF (.dwo), whose path anybody can write into a binary, is not
 * followed, and its units have lines but no inlined functions.
 */
#ifndef CHURN_CALLSITE_DEBUG_INFO_H
#define CHURN_CALLSITE_DEBUG_INFO_H

#include <libelf.h>
#include <stdbool.h>
#include <stdint.h>

/* A place in the source; strings are owned, NULL and 0 mean unknown. */
struct location {
	char *function;
	char *file;
	uint32_t line;
	bool inlined; /* into the next location of the array */
};

#define MAX_LOCATIONS 32 /* functions inlined into each other at one address */

struct debug_info;

/* From an ELF file with .debug_info, which must outlive it. NULL with errno set: ENODATA when
 * there is none (or it cannot be used), ENOMEM. */
struct debug_info *debug_info__new(Elf *elf);
void debug_info__free(struct debug_info *d);

/*
 * Innermost first; the last one is the function that was called, its name unknown when DWARF has
 * a line only. Returns the number of locations, 0: nothing known.
 */
uint32_t debug_info__find(struct debug_info *d, uint64_t addr, struct location out[MAX_LOCATIONS]);

void location__clear(struct location *l);

#endif /* CHURN_CALLSITE_DEBUG_INFO_H */
