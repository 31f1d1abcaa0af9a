/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "user/source/owners.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SOCKET_LINK "socket:["

struct scan {
	struct owners *out;
	size_t cap;
};

static int add_owner(struct scan *s, uint64_t inode, uint32_t pid, int fd)
{
	struct owners *o = s->out;

	if (o->nr == s->cap) {
		size_t cap = s->cap ? 2 * s->cap : 256;
		struct owner *at = realloc(o->at, cap * sizeof(*at));

		if (!at)
			return -ENOMEM;
		o->at = at;
		s->cap = cap;
	}
	o->at[o->nr++] = (struct owner){.inode = inode, .pid = pid, .fd = fd};
	return 0;
}

/* Processes end and files are closed while we read: what is gone is not there. */
static int scan_process(struct scan *s, uint32_t pid)
{
	char path[32], target[64];
	struct dirent *e;
	int err = 0;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%u/fd", pid);
	dir = opendir(path);
	if (!dir) {
		s->out->hidden += errno == EACCES || errno == EPERM;
		return errno == EMFILE || errno == ENFILE || errno == ENOMEM ? -errno : 0;
	}
	while (!err && (e = readdir(dir))) {
		ssize_t len;

		if (!isdigit((unsigned char)e->d_name[0]))
			continue;
		len = readlinkat(dirfd(dir), e->d_name, target, sizeof(target) - 1);
		if (len < (ssize_t)strlen(SOCKET_LINK))
			continue;
		target[len] = '\0';
		if (strncmp(target, SOCKET_LINK, strlen(SOCKET_LINK)) == 0)
			err = add_owner(s, strtoull(target + strlen(SOCKET_LINK), NULL, 10), pid,
					(int)strtoul(e->d_name, NULL, 10));
	}
	closedir(dir);
	return err;
}

static int compare(const void *a, const void *b)
{
	const struct owner *x = a, *y = b;

	if (x->inode != y->inode)
		return x->inode < y->inode ? -1 : 1;
	if (x->pid != y->pid)
		return x->pid < y->pid ? -1 : 1;
	return x->fd - y->fd;
}

int owners__scan(struct owners *o)
{
	struct scan s = {.out = o};
	struct dirent *e;
	int err = 0;
	DIR *dir;

	memset(o, 0, sizeof(*o));
	dir = opendir("/proc");
	if (!dir)
		return -errno;
	while (!err && (e = readdir(dir))) {
		if (isdigit((unsigned char)e->d_name[0]))
			err = scan_process(&s, strtoul(e->d_name, NULL, 10));
	}
	closedir(dir);
	if (o->nr)
		qsort(o->at, o->nr, sizeof(*o->at), compare);
	return err;
}

void owners__clear(struct owners *o)
{
	free(o->at);
	memset(o, 0, sizeof(*o));
}

const struct owner *owners__find(const struct owners *o, uint64_t inode)
{
	size_t low = 0, high = o->nr;

	if (!inode)
		return NULL;
	while (low < high) {
		size_t middle = (low + high) / 2;

		if (o->at[middle].inode < inode)
			low = middle + 1;
		else
			high = middle;
	}
	return low < o->nr && o->at[low].inode == inode ? &o->at[low] : NULL;
}
