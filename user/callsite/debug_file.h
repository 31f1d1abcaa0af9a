/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Finds the separate debug file of a stripped ELF file: by build-id below /usr/lib/debug of the
 * process's root and of our own, then by .gnu_debuglink. Never over the network: a debuginfod
 * server would make the tracer wait.
 */
#ifndef CHURN_CALLSITE_DEBUG_FILE_H
#define CHURN_CALLSITE_DEBUG_FILE_H

#include <libelf.h>

/*
 * `root` is a descriptor of the process's root directory or -1, `path` that of the ELF file in it
 * or NULL. A descriptor of a file that belongs to `elf` (same build-id, else same CRC), or -errno.
 */
int debug_file__open(Elf *elf, int root, const char *path);

/* The same for the file that debug files share (.gnu_debugaltlink): by its build-id alone. */
int debug_file__open_shared(const void *build_id, size_t len);

#endif /* CHURN_CALLSITE_DEBUG_FILE_H */
