/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A symbolised user stack and its reduction to a call site: the innermost frame that belongs to
 * the application, neither libc nor a runtime nor a known client library. Plain data, no ELF.
 */
#ifndef CHURN_MODEL_CALLSITE_H
#define CHURN_MODEL_CALLSITE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bpf/event.h"

/* Strings are owned by the trace; NULL and 0 mean unknown. */
struct frame {
	char *function;
	char *file;
	/* Path of the ELF file, "[jit]", or "[java]"; see frame__is_reason() for others. */
	char *module;
	uint32_t line;
	uint64_t pc;	 /* in the process's address space; inlined frames repeat it */
	uint64_t offset; /* of pc in the module's file */
	bool inlined;	 /* inlined into the next frame of the array */
};

/* Innermost frame first. */
struct stack_trace {
	uint64_t id; /* churn_stack.id */
	struct churn_id process;
	uint32_t nr;
	bool truncated; /* there were more frames */
	/* "native", "go", "python", "java", "nodejs", "jit": a constant, not owned. */
	const char *language;
	struct frame *frames;
};

/* Releases the frames and their strings, not the struct itself. */
void stack_trace__clear(struct stack_trace *s);

/* Deep copy into *dst (uninitialised before). 0 or -ENOMEM, then *dst holds nothing. */
int stack_trace__copy(struct stack_trace *dst, const struct stack_trace *src);

/*
 * Index of the call site's frame: the innermost that is outside libc, the runtime, the dynamic
 * loader, system library directories and installed packages; `skip` are globs (fnmatch(3)) over
 * function, file and module that count as library too. When only libraries are there, the innermost
 * frame that is not libc or an interpreter. -1: nothing that could be anybody's in particular.
 */
int stack_trace__application_frame(const struct stack_trace *s, const char *const *skip,
				   size_t nr_skip);

/* Whether it stands for what is missing in its stack: "[java: ...]", "[node: ...]". */
bool frame__is_reason(const struct frame *f);

/* Identity of a frame as a call site, the same over runs of the same binary: a hash of module
 * base name, function, file and line (offset where there is no function). Never 0. */
uint64_t frame__callsite_id(const struct frame *f);

/* The same for all that print alike, frame by frame and line by line: of 40 processes that run one
 * program each has stacks of its own, at addresses of its own. */
uint64_t stack_trace__path_id(const struct stack_trace *s);

#endif /* CHURN_MODEL_CALLSITE_H */
