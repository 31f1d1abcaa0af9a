/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "user/source/leak_owners.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "user/model/hash.h"
#include "user/source/owners.h"
#include "user/source/procfs.h"

struct person {
	uint32_t pid;
	bool known;
	struct process_identity identity;
	uint32_t fd_count, fd_limit;
	UT_hash_handle hh;
};

struct leak_owners {
	struct owners owners;
	struct procfs *procfs;
	struct person *by_pid;
};

struct leak_owners *leak_owners__new(void)
{
	struct leak_owners *o = calloc(1, sizeof(*o));
	int err;

	if (!o)
		return NULL;
	o->procfs = procfs__new();
	err = o->procfs ? owners__scan(&o->owners) : -errno;
	if (!err)
		return o;
	leak_owners__free(o);
	errno = -err;
	return NULL;
}

void leak_owners__free(struct leak_owners *o)
{
	struct person *p, *next;

	if (!o)
		return;
	HASH_ITER (hh, o->by_pid, p, next) {
		HASH_DEL(o->by_pid, p);
		process_identity__clear(&p->identity);
		free(p);
	}
	procfs__free(o->procfs);
	owners__clear(&o->owners);
	free(o);
}

uint32_t leak_owners__hidden(const struct leak_owners *o)
{
	return o->owners.hidden;
}

static uint32_t count_files(uint32_t pid)
{
	char path[32];
	struct dirent *e;
	uint32_t nr = 0;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%u/fd", pid);
	dir = opendir(path);
	while (dir && (e = readdir(dir)))
		nr += isdigit((unsigned char)e->d_name[0]) != 0;
	if (dir)
		closedir(dir);
	return nr;
}

/* 0: unknown, or unlimited. */
static uint32_t file_limit(uint32_t pid)
{
	struct rlimit limit;

	if (prlimit((pid_t)pid, RLIMIT_NOFILE, NULL, &limit) || limit.rlim_cur > UINT32_MAX)
		return 0;
	return (uint32_t)limit.rlim_cur;
}

static struct person *find_person(struct leak_owners *o, uint32_t pid)
{
	struct person *p;

	HASH_FIND(hh, o->by_pid, &pid, sizeof(pid), p);
	if (p)
		return p;
	p = calloc(1, sizeof(*p));
	if (!p)
		return NULL;
	p->pid = pid;
	p->known = !procfs__identify_pid(o->procfs, pid, &p->identity);
	p->fd_limit = file_limit(pid);
	p->fd_count = p->fd_limit ? count_files(pid) : 0;
	HASH_ADD(hh, o->by_pid, pid, sizeof(p->pid), p);
	if (!p->hh.tbl) {
		process_identity__clear(&p->identity);
		free(p);
		return NULL;
	}
	return p;
}

void leak_owners__find(void *ctx, const struct tcp_socket *s, struct leak_owner *who)
{
	struct leak_owners *o = ctx;
	const struct owner *owner = owners__find(&o->owners, s->inode);
	const struct person *p = owner ? find_person(o, owner->pid) : NULL;

	if (!p || !p->known)
		return;
	who->process = &p->identity;
	who->fd_count = p->fd_count;
	who->fd_limit = p->fd_limit;
}
