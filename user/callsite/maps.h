/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The executable mappings of a process, from /proc/PID/maps, sorted by address. */
#ifndef CHURN_CALLSITE_MAPS_H
#define CHURN_CALLSITE_MAPS_H

#include <stdbool.h>
#include <stdint.h>

/* One version of one file, as fstat(2) shows it. inode 0: none. No padding: hashed as bytes. */
struct file_key {
	uint64_t dev;
	uint64_t inode;
	uint64_t size;
	uint64_t mtime_ns;
};

struct stat;

struct file_key file_key_of(const struct stat *st);
bool file_key_same(const struct file_key *a, const struct file_key *b);

struct mapping {
	uint64_t start, end; /* [start, end) */
	uint64_t offset;     /* of start in the file */
	uint64_t inode;	     /* 0: no file behind it */
	uint32_t major, minor;
	char *path;	      /* in the process's mount namespace, or "[vdso]"; NULL: anonymous */
	struct file_key file; /* set by whoever opened the file, else zero */
};

struct maps {
	struct mapping *at;
	uint32_t nr;
	bool truncated; /* there were more */
};

/* `proc` is a descriptor of /proc/PID. 0 or -errno (-ESRCH: gone), then *m holds nothing. */
int maps__read(struct maps *m, int proc);
void maps__clear(struct maps *m);

/* The mapping that holds an address, NULL: none. */
struct mapping *maps__find(const struct maps *m, uint64_t addr);

/* Reads lines of /proc/PID/maps from memory into *m (uninitialised before). 0 or -ENOMEM. */
int maps__parse(struct maps *m, char *text);

#endif /* CHURN_CALLSITE_MAPS_H */
