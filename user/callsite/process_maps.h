/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What is known of the address space of one process between two execve(): its executable mappings
 * with the files behind them, and the names of its generated code.
 */
#ifndef CHURN_CALLSITE_PROCESS_MAPS_H
#define CHURN_CALLSITE_PROCESS_MAPS_H

#include <stdbool.h>
#include <stdint.h>

#include "bpf/event.h"
#include "user/base/hash.h"
#include "user/callsite/file_cache.h"
#include "user/callsite/maps.h"
#include "user/callsite/perf_map.h"
#include "user/callsite/python.h"

/* What generated code in the process comes from. */
enum generator {
	GENERATOR_ANY,	   /* unknown, or something that keeps frame pointers */
	GENERATOR_JAVA,	   /* a HotSpot JVM that keeps none, or may keep none, */
	GENERATOR_JAVA_FP, /* and one that does */
};

struct process_maps {
	struct churn_id id;
	uint64_t exec_identity; /* tells that the process runs another program by now */
	uint64_t read_ns;	/* when the mappings were read, CLOCK_MONOTONIC */
	uint64_t code;		/* churn_stack.code that they were read for, 0: none yet */
	bool gone;		/* there is nothing more to read */
	bool denied;		/* some of what was wanted may not be read */
	struct maps maps;
	struct perf_map perf_map;
	uint64_t perf_map_ns;  /* when it was last tried, 0: never */
	struct python *python; /* NULL: none was found in the mappings */
	uint64_t python_ns;    /* read_ns of the mappings that were searched for it */
	enum generator generator;
	uint64_t generator_ns; /* the same */
	UT_hash_handle hh;     /* by id, in the order of use */
};

/* Reads the mappings and opens their files. NULL with errno set (ESRCH: gone). */
struct process_maps *process_maps__new(const struct churn_id *id, struct file_cache *files);
void process_maps__free(struct process_maps *p);

/* Reads the mappings again unless they are younger than `age_ns`: a library may have been loaded,
 * or unloaded. Those of a process that has gone stay as they were. */
void process_maps__refresh(struct process_maps *p, struct file_cache *files, uint64_t age_ns);

/* The ELF file behind a mapping, NULL: none or unknown. Opens it again, while the process lives,
 * if the cache had to give it up. */
struct elf_file *process_maps__file(struct process_maps *p, struct file_cache *files,
				    struct mapping *m);

/* The name of generated code, NULL: none. Reads what the perf map has got since the last time. */
const char *process_maps__jit_name(struct process_maps *p, uint64_t addr);

/* The CPython interpreter in the process, NULL: none so far. Looks for one when the mappings have
 * been read anew. */
struct python *process_maps__python(struct process_maps *p, struct file_cache *files);

/* Where that interpreter frees code objects, valid until the mappings are read again. False:
 * unknown, or it counts them itself. */
bool process_maps__freeing(struct process_maps *p, struct python_freeing *out);

enum generator process_maps__generator(struct process_maps *p, struct file_cache *files);

#endif /* CHURN_CALLSITE_PROCESS_MAPS_H */
