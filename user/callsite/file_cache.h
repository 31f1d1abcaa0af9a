/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The ELF files that are kept open, shared by all processes: copies of one build, say in the
 * images of many containers, are one file here. Bounded: the least recently used one goes first.
 */
#ifndef CHURN_CALLSITE_FILE_CACHE_H
#define CHURN_CALLSITE_FILE_CACHE_H

#include <stdint.h>

#include "user/callsite/elf_file.h"
#include "user/callsite/maps.h"

struct file_cache;

/* NULL: no memory. */
struct file_cache *file_cache__new(uint32_t max_files);
void file_cache__free(struct file_cache *c);

/* Opens the file behind a mapping of a process (a descriptor of /proc/PID) unless it is known, and
 * sets m->file. 0 or -errno, then m->file is zero. */
int file_cache__add(struct file_cache *c, int proc, struct mapping *m);

/* NULL: not known, or given up for others. Valid until the next add. */
struct elf_file *file_cache__find(struct file_cache *c, const struct file_key *key);

/* Unloads what was not used lately until the memory for symbols and DWARF is within bounds. To be
 * called between stacks, when no elf_file's answer is in use. */
void file_cache__trim(struct file_cache *c);

#endif /* CHURN_CALLSITE_FILE_CACHE_H */
