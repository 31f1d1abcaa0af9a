/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The CPython interpreter of one process: where the kernel side finds its frames, and the names and
 * lines behind code objects. Everything read from the process may be hostile or half gone: each
 * length is bounded, each code object is checked to be one, and what cannot be read is unknown.
 */
#ifndef CHURN_CALLSITE_PYTHON_H
#define CHURN_CALLSITE_PYTHON_H

#include <stdint.h>

#include "bpf/event.h"
#include "user/callsite/elf_file.h"
#include "user/callsite/maps.h"
#include "user/model/callsite.h"

struct python;

/* Where an ELF file that holds an interpreter is mapped, and what it exports. */
struct python_image {
	uint64_t bias;	       /* to be added to its symbols */
	uint64_t runtime;      /* _PyRuntime */
	uint64_t version;      /* Py_Version, 0: not exported (before 3.11) */
	uint64_t code_type;    /* PyCode_Type */
	uint64_t code_dealloc; /* what begins to free a code object, 0: unknown */
	const char *path;
};

/* Where an interpreter that does not count them frees its code objects. */
struct python_freeing {
	uint64_t addr;		 /* in the process, */
	uint64_t offset;	 /* and in the file */
	struct mapping *mapping; /* that it is in */
};

/* `mem` is a descriptor of /proc/PID/mem, taken over: it stays bound to this run of the program.
 * NULL with errno set (ENOTSUP: a version or a build that is not known). */
struct python *python__new(const struct python_image *image, int mem);
void python__free(struct python *p);

/* What the kernel side needs. Valid as long as `p`. */
const struct churn_python *python__walk(const struct python *p);

/* python_freeing.addr; 0: unknown, or the interpreter counts by itself. */
uint64_t python__code_dealloc(const struct python *p);

/* churn_py_frame.content of what stands at that address now. 0: unknown. */
uint64_t python__content(const struct python *p, uint64_t code);

/*
 * The function, file and line of a call; the strings are the caller's to free. A frame whose code
 * object is not (any more) what it was at the open stays without them.
 */
void python__resolve(struct python *p, const struct churn_py_frame *call, struct frame *out);

#endif /* CHURN_CALLSITE_PYTHON_H */
