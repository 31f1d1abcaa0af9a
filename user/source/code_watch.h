/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Has the code objects counted that CPython frees, where it does not do so itself: sets a
 * breakpoint into each file that holds such an interpreter, and begins the count of each process
 * that runs it. In a thread of its own: the kernel takes tens of ms for a file.
 */
#ifndef CHURN_SOURCE_CODE_WATCH_H
#define CHURN_SOURCE_CODE_WATCH_H

#include "bpf/event.h"
#include "user/callsite/python.h"
#include "user/source/loader.h"

struct code_watch;

/* Of capabilities the thread keeps what it needs: begin before privilege_drop(). NULL with errno
 * set: ENOTSUP, where the kernel does not let us, or stacks are not wanted. */
struct code_watch *code_watch__new(const struct loader *l);
/* Ends the thread and takes the breakpoints away, 120 ms for a file. */
void code_watch__free(struct code_watch *w);

/* Has a process counted, some time, if that can be done; `w` may be NULL. `where` is copied. Any
 * thread. */
void code_watch__add(struct code_watch *w, const struct churn_id *process,
		     const struct python_freeing *where);

#endif /* CHURN_SOURCE_CODE_WATCH_H */
