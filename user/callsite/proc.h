/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Access to one process through a descriptor of its /proc/PID directory. The descriptor is bound
 * to the process, not to the number: once it has gone everything fails with ESRCH, also when the
 * number is in use again.
 */
#ifndef CHURN_CALLSITE_PROC_H
#define CHURN_CALLSITE_PROC_H

#include <stdint.h>
#include <stddef.h>
#include <sys/stat.h>

#include "bpf/event.h"
#include "user/callsite/maps.h"

/* A descriptor, or -errno: -ESRCH also when the number belongs to another process by now, told by
 * its start time (not checked when start_ns is 0). */
int proc__open(const struct churn_id *id);

/* A whole file below /proc/PID, terminated by a NUL; the caller frees *text. At most `max` bytes,
 * the rest is not read. 0 or -errno. */
int proc__read(int proc, const char *name, size_t max, char **text, size_t *size);

/* A number that changes with every execve(), from the auxiliary vector. 0 or -errno. */
int proc__exec_identity(int proc, uint64_t *identity);

struct proc_credentials {
	uint32_t ns_pid; /* in its innermost PID namespace */
	uint32_t uid;
	uint32_t effective_uid;
};

int proc__credentials(int proc, struct proc_credentials *cred);

/* Root directory of the process, an O_PATH descriptor or -errno. */
int proc__root(int proc);

/*
 * Opens a regular file for reading, or returns -errno. Links are followed as if `root` were "/",
 * so that they cannot lead out of it; nothing but a regular file is ever opened, a FIFO or a
 * device would block or act. *st may be NULL.
 */
int proc__open_in_root(int root, const char *path, struct stat *st);

/* A handle (O_PATH) of the very file behind a mapping, deleted or replaced or not, or -errno. */
int proc__find_mapping(int proc, const struct mapping *m, struct stat *st);

/* Opens for reading what such a handle stands for, if it is a regular file. Consumes the handle. */
int proc__open_handle(int handle);

#endif /* CHURN_CALLSITE_PROC_H */
