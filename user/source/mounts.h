/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Where file systems are mounted: /proc/self/mountinfo, proc_pid_mountinfo(5). */
#ifndef CHURN_SOURCE_MOUNTS_H
#define CHURN_SOURCE_MOUNTS_H

#include <stdint.h>

/* Blanks and the like stand as \040 there. In place. */
void mountinfo_unescape(char *path);

/*
 * If the line's mount shows the file at `in_fs`, a path from the root of the file system `dev` (the
 * kernel's dev_t): the file's path there, to be freed, and the mount's id. NULL: it does not.
 */
char *mountinfo_path(const char *line, uint32_t dev, const char *in_fs, uint64_t *mount_id);

/* The path by which we see the file `inode` of `dev`, to be freed; NULL: it is gone, or under no
 * mount of our namespace. */
char *mounted_path(uint32_t dev, uint64_t inode, const char *in_fs);

#endif /* CHURN_SOURCE_MOUNTS_H */
