/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Identity of a traced process: what the kernel captured at its first open, completed from /proc
 * while the process was still there. Plain data; strings are owned by the struct, NULL = unknown.
 * Foreign text is kept as it came: views clean it (base/text.h) before a terminal sees it.
 */
#ifndef CHURN_MODEL_PROCESS_H
#define CHURN_MODEL_PROCESS_H

#include <stdbool.h>
#include <stdint.h>

#include "bpf/event.h"

struct process_identity {
	struct churn_id id;
	uint32_t parent_tgid;
	uint32_t uid;
	uint64_t cgroup;
	bool kernel; /* a kernel thread */
	char comm[CHURN_COMM_LEN + 1];
	char parent_comm[CHURN_COMM_LEN + 1];
	char *exe;	    /* absolute path where known, else as given to execve() */
	char **argv;	    /* NULL-terminated */
	char *cgroup_path;  /* below the cgroup v2 root, "/" first */
	char *container_id; /* 64 hex digits */
};

/* Releases what the identity owns, not the struct itself. */
void process_identity__clear(struct process_identity *p);

/* Deep copy into *dst (uninitialised before). 0 or -ENOMEM, then *dst holds nothing. */
int process_identity__copy(struct process_identity *dst, const struct process_identity *src);

/*
 * What a person calls the program: the script for an interpreter ("check.py"), else the base name
 * of the executable, else comm. Written to buf, always terminated; returns buf.
 */
char *process_identity__program(const struct process_identity *p, char *buf, unsigned int size);

/* What an interpreter was told to run: a script's path or, with python -m, a module's name, as it
 * stands in argv. NULL: not an interpreter, or a program given as text or on stdin. */
const char *process_identity__script(const struct process_identity *p);

/* Fills in what dst does not know and src does. 0 or -ENOMEM (dst is then still whole). */
int process_identity__complete(struct process_identity *dst, const struct process_identity *src);

#endif /* CHURN_MODEL_PROCESS_H */
