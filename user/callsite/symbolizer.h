/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * From program counters to functions, files and lines (libdw): inlined functions included, in the
 * target's own mount namespace, for deleted and replaced binaries, and for JIT code through
 * /tmp/perf-PID.map. What is known of an ELF file is cached by build-id (else by device, inode,
 * mtime) across processes and bounded.
 *
 * One thread at a time: the resolver (resolver.h) owns a symbolizer and runs it apart from the
 * thread that drains the ring buffer.
 */
#ifndef CHURN_CALLSITE_SYMBOLIZER_H
#define CHURN_CALLSITE_SYMBOLIZER_H

#include <stdint.h>

#include "bpf/event.h"
#include "user/callsite/python.h"
#include "user/model/callsite.h"

struct symbolizer;

struct symbolizer_options {
	uint32_t max_files;	/* ELF files kept open, 0: default */
	uint32_t max_processes; /* processes whose mappings are kept, 0: default */
	/* The latest churn_stack.code of a process, 0: unknown; NULL: that is never known. */
	uint64_t (*code)(void *ctx, const struct churn_id *process);
	void *ctx;
};

/* NULL with errno set. */
struct symbolizer *symbolizer__new(const struct symbolizer_options *opts);
void symbolizer__free(struct symbolizer *s);

/*
 * Reads the mappings of a process now, while it lives, and keeps its files within reach, so that
 * stacks can be resolved after it has gone. Cheap when the process is known already. 0 or -errno
 * (-ESRCH: gone, -EACCES: not permitted).
 */
int symbolizer__prepare(struct symbolizer *s, const struct churn_id *process);

/*
 * Tells that a stack was taken with this churn_stack.code: with another one than before, what the
 * mappings say is no longer true, and they are read again. symbolizer__resolve() does so itself.
 */
void symbolizer__see_code(struct symbolizer *s, const struct churn_id *process, uint64_t code);

/*
 * Resolves a stack into *out (uninitialised before); the caller clears it with
 * stack_trace__clear(). pc[0] is an exact address, the others are return addresses: looked up at
 * pc - 1. A frame that cannot be resolved keeps its pc (and module and offset when they are
 * known), never somebody else's name. Returns 0, or -ENOMEM.
 */
int symbolizer__resolve(struct symbolizer *s, const struct churn_stack *stack,
			struct stack_trace *out);

/* The same for a stack of Python calls. */
int symbolizer__resolve_python(struct symbolizer *s, const struct churn_py_stack *stack,
			       struct stack_trace *out);

/* Where the interpreter of such a stack frees code objects, valid until the next call. False:
 * unknown, or it counts them itself. */
bool symbolizer__freeing(struct symbolizer *s, const struct churn_id *process,
			 struct python_freeing *out);

/*
 * Whether a CPython interpreter is mapped in the process (so far): 0 with *out filled, -ENOENT,
 * -EAGAIN (it is one that starts, its library is still to come), or as symbolizer__prepare().
 * Mappings older than `max_age_ns` are read again, for libraries loaded since.
 */
int symbolizer__find_python(struct symbolizer *s, const struct churn_id *process,
			    uint64_t max_age_ns, struct churn_python *out);

#endif /* CHURN_CALLSITE_SYMBOLIZER_H */
