/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* From the kernel's record of a process to an identity, completed from /proc while it lives. */
#ifndef CHURN_SOURCE_PROCFS_H
#define CHURN_SOURCE_PROCFS_H

#include <stdint.h>

#include "bpf/event.h"
#include "user/model/process.h"

struct procfs;

/* NULL with errno set. */
struct procfs *procfs__new(void);
void procfs__free(struct procfs *p);

/* Fills *out (uninitialised before; the caller clears it). 0 or -ENOMEM. */
int procfs__identify(struct procfs *p, const struct churn_process *record,
		     struct process_identity *out);

/*
 * The same of a process of which only the pid is known, by /proc alone. Its id's start_ns is exact
 * to a clock tick (10 ms) only and its exec_id 0. 0, -ENOMEM, -ESRCH (it is gone) or -errno.
 */
int procfs__identify_pid(struct procfs *p, uint32_t pid, struct process_identity *out);

#endif /* CHURN_SOURCE_PROCFS_H */
