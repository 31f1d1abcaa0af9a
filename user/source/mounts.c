/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "user/source/mounts.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define MINOR_BITS 20 /* of the kernel's dev_t: linux/kdev_t.h */

void mountinfo_unescape(char *path)
{
	char *to = path;

	for (const char *from = path; *from; to++) {
		unsigned int c;

		if (from[0] == '\\' && sscanf(from + 1, "%3o", &c) == 1) {
			*to = (char)c;
			from += 4;
		} else {
			*to = *from++;
		}
	}
	*to = '\0';
}

/* What is left of a path below a directory, with its slash; NULL: it is not below it. */
static const char *below(const char *path, const char *directory)
{
	size_t len = strcmp(directory, "/") ? strlen(directory) : 0;

	return !strncmp(path, directory, len) && path[len] == '/' ? path + len : NULL;
}

/* "36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw": root and mount point */
char *mountinfo_path(const char *line, uint32_t dev, const char *in_fs, uint64_t *mount_id)
{
	char *root = NULL, *point = NULL, *path = NULL;
	unsigned int major, minor;
	const char *rest;

	if (sscanf(line, "%" SCNu64 " %*s %u:%u %ms %ms", mount_id, &major, &minor, &root,
		   &point) == 5 &&
	    (major << MINOR_BITS | minor) == dev) {
		mountinfo_unescape(root);
		mountinfo_unescape(point);
		rest = below(in_fs, root);
		if (rest && asprintf(&path, "%s%s", strcmp(point, "/") ? point : "", rest) < 0)
			path = NULL;
	}
	free(root);
	free(point);
	return path;
}

/* Something else may be mounted over it by now. */
static bool is_file(const char *path, uint64_t mount_id, uint64_t inode)
{
	struct statx st;

	return !statx(AT_FDCWD, path, AT_SYMLINK_NOFOLLOW, STATX_INO | STATX_MNT_ID, &st) &&
	       (st.stx_mask & STATX_MNT_ID) && st.stx_mnt_id == mount_id && st.stx_ino == inode;
}

char *mounted_path(uint32_t dev, uint64_t inode, const char *in_fs)
{
	FILE *mounts = fopen("/proc/self/mountinfo", "re");
	char *line = NULL, *path = NULL;
	uint64_t mount_id;
	size_t size = 0;

	if (!mounts)
		return NULL;
	while (!path && getline(&line, &size, mounts) > 0) {
		path = mountinfo_path(line, dev, in_fs, &mount_id);
		if (path && !is_file(path, mount_id, inode)) {
			free(path);
			path = NULL;
		}
	}
	free(line);
	fclose(mounts);
	return path;
}
