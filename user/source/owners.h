/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Whose file is a socket: from its inode number to the processes that hold it, by /proc/PID/fd.
 * Who they are: procfs__identify_pid(). */
#ifndef CHURN_SOURCE_OWNERS_H
#define CHURN_SOURCE_OWNERS_H

#include <stddef.h>
#include <stdint.h>

struct owner {
	uint64_t inode;
	uint32_t pid;
	int fd;
};

struct owners {
	struct owner *at; /* by inode, then pid, then fd: after fork() a socket has several */
	size_t nr;
	uint32_t hidden; /* processes whose files we may not see */
};

/*
 * Looks through the files of all processes for sockets (not only TCP ones). 0 or -errno; *o is to
 * be cleared in any case. Costs about a microsecond a file.
 */
int owners__scan(struct owners *o);
void owners__clear(struct owners *o);

/* The first owner of a socket, those of the same inode follow; NULL: none (found). */
const struct owner *owners__find(const struct owners *o, uint64_t inode);

#endif /* CHURN_SOURCE_OWNERS_H */
