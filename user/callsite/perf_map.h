/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Names of generated code from /tmp/perf-PID.map, as node, java and others write it when asked:
 * lines of "start size name", hexadecimal, the later line wins. Written by the traced program:
 * trusted only as far as it concerns itself, and anything may be in it.
 */
#ifndef CHURN_CALLSITE_PERF_MAP_H
#define CHURN_CALLSITE_PERF_MAP_H

#include <stddef.h>
#include <stdint.h>

struct perf_map_entry {
	uint64_t start;
	uint32_t size;
	uint32_t name; /* offset in text: later in the file is greater */
};

#define PERF_MAP_TAIL 64

struct perf_map {
	char *text; /* whole lines */
	size_t text_size;
	struct perf_map_entry *at; /* sorted by start, then by place in the file */
	size_t nr, cap;
	/* The file, where in it the next line begins, and what stood before that. */
	uint64_t dev, inode, end;
	char tail[PERF_MAP_TAIL];
	size_t tail_len;
};

/*
 * Reads the map of a process (a descriptor of /proc/PID), from the process's own root, into *m, a
 * zeroed one at first: what was written since the last time, or all of it when that is no longer
 * the same. 0 or -errno (-ENOENT: it writes none, -EACCES: somebody else wrote it), then *m is as
 * it was.
 */
int perf_map__update(struct perf_map *m, int proc);

/* Adds `size` bytes, of which the last line may not be whole. 0 or -ENOMEM, then *m holds
 * nothing. */
int perf_map__add(struct perf_map *m, const char *bytes, size_t size);

/* A zeroed one is an empty one. */
void perf_map__clear(struct perf_map *m);

/* The name of the code at an address, NULL: none. Valid as long as the map. */
const char *perf_map__find(const struct perf_map *m, uint64_t addr);

size_t perf_map__bytes(const struct perf_map *m);

#endif /* CHURN_CALLSITE_PERF_MAP_H */
