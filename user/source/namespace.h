/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* From what people type to what the kernel compares: namespaces and cgroups. */
#ifndef CHURN_SOURCE_NAMESPACE_H
#define CHURN_SOURCE_NAMESPACE_H

#include <stdbool.h>
#include <stdint.h>

/* Inode number of a network namespace given as a name of ip-netns(8), a living PID, or the number
 * itself (those begin far above the largest PID). 0 or -EINVAL. */
int netns_from_name(uint32_t *inum, const char *name);

/* Whether our PIDs are the kernel's own. In a container they usually are not: the traced PIDs then
 * name other processes here, or none. */
bool pid_namespace_is_initial(void);

/* Id and depth of a cgroup v2, given by its path, absolute or below the cgroup v2 root. 0 or
 * -EINVAL. */
int cgroup_from_path(uint64_t *id, uint32_t *level, const char *path);

/* The mount point of the cgroup v2 tree, NULL: none. The caller frees it. */
char *cgroup2_mount(void);

#endif /* CHURN_SOURCE_NAMESPACE_H */
