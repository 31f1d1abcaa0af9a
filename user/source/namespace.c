/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "user/source/namespace.h"

#include <errno.h>
#include <limits.h>
#include <mntent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "user/base/parse.h"

#define INITIAL_PID_NS 0xeffffffc /* PROC_PID_INIT_INO, include/linux/proc_ns.h */
#define PID_MAX	       4194304	  /* PID_MAX_LIMIT, include/linux/threads.h */

int netns_from_name(uint32_t *inum, const char *name)
{
	char path[PATH_MAX];
	struct stat st;
	uint64_t number;

	if (!parse_uint(&number, name, 1, UINT32_MAX)) {
		if (number > PID_MAX) {
			*inum = number;
			return 0;
		}
		snprintf(path, sizeof(path), "/proc/%llu/ns/net", (unsigned long long)number);
	} else {
		if (!name[0] || strchr(name, '/') || name[0] == '.')
			return -EINVAL;
		snprintf(path, sizeof(path), "/run/netns/%s", name);
	}
	if (stat(path, &st))
		return -EINVAL;
	*inum = st.st_ino;
	return 0;
}

bool pid_namespace_is_initial(void)
{
	struct stat st;

	return stat("/proc/self/ns/pid", &st) || st.st_ino == INITIAL_PID_NS;
}

char *cgroup2_mount(void)
{
	FILE *mounts = setmntent("/proc/self/mounts", "r");
	struct mntent *m;
	char *dir = NULL;

	if (!mounts)
		return NULL;
	while (!dir && (m = getmntent(mounts))) {
		if (strcmp(m->mnt_type, "cgroup2") == 0)
			dir = strdup(m->mnt_dir);
	}
	endmntent(mounts);
	return dir;
}

int cgroup_from_path(uint64_t *id, uint32_t *level, const char *path)
{
	char *root = cgroup2_mount(), full[PATH_MAX], *real = NULL;
	size_t len = root ? strlen(root) : 0;
	struct stat st;
	int err = -EINVAL;

	if (!root)
		return -EINVAL;
	snprintf(full, sizeof(full), "%s/%s", root, path);
	if (strncmp(path, root, len) == 0 && (path[len] == '/' || !path[len]))
		snprintf(full, sizeof(full), "%s", path);
	real = realpath(full, NULL);
	if (!real || strncmp(real, root, len) != 0 || (real[len] && real[len] != '/') ||
	    stat(real, &st) || !S_ISDIR(st.st_mode))
		goto out;
	/* A cgroup's id is its directory's inode number (kernfs, 64 bit). */
	*id = st.st_ino;
	*level = 0;
	for (const char *c = real + len; *c; c++)
		*level += *c == '/';
	err = 0;
out:
	free(real);
	free(root);
	return err;
}
