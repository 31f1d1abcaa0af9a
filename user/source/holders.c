/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "user/source/holders.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

#include "user/base/hash.h"
#include "user/source/owners.h"
#include "user/source/procfs.h"

struct person {
	uint32_t pid;
	bool known;
	bool counted; /* its files */
	struct process_identity identity;
	uint32_t fd_count, fd_limit;
	UT_hash_handle hh;
};

struct holders {
	struct owners owners;
	struct procfs *procfs;
	struct person *by_pid;
};

static bool any_file(const struct socket_list *sockets)
{
	for (size_t i = 0; i < sockets->nr; i++) {
		if (sockets->at[i].inode)
			return true;
	}
	return false;
}

struct holders *holders__new(const struct socket_list *sockets)
{
	struct holders *h = calloc(1, sizeof(*h));
	int err;

	if (!h)
		return NULL;
	h->procfs = procfs__new();
	err = h->procfs ? 0 : -errno;
	if (!err && any_file(sockets))
		err = owners__scan(&h->owners);
	if (!err)
		return h;
	holders__free(h);
	errno = -err;
	return NULL;
}

static void person_free(struct person *p)
{
	process_identity__clear(&p->identity);
	free(p);
}

void holders__free(struct holders *h)
{
	struct person *p, *next;

	if (!h)
		return;
	HASH_ITER (hh, h->by_pid, p, next) {
		HASH_DEL(h->by_pid, p);
		person_free(p);
	}
	procfs__free(h->procfs);
	owners__clear(&h->owners);
	free(h);
}

uint32_t holders__hidden(const struct holders *h)
{
	return h->owners.hidden;
}

/* NULL: nobody's, or not known. */
static struct person *find_person(struct holders *h, const struct tcp_socket *s)
{
	const struct owner *o = owners__find(&h->owners, s->inode);
	struct person *p;

	if (!o)
		return NULL;
	HASH_FIND(hh, h->by_pid, &o->pid, sizeof(o->pid), p);
	if (!p) {
		p = calloc(1, sizeof(*p));
		if (!p)
			return NULL;
		p->pid = o->pid;
		p->known = !procfs__identify_pid(h->procfs, o->pid, &p->identity);
		HASH_ADD(hh, h->by_pid, pid, sizeof(p->pid), p);
		if (!p->hh.tbl) {
			person_free(p);
			return NULL;
		}
	}
	return p->known ? p : NULL;
}

const struct process_identity *holders__process(struct holders *h, const struct tcp_socket *s)
{
	const struct person *p = find_person(h, s);

	return p ? &p->identity : NULL;
}

void holders__find(void *ctx, const struct tcp_socket *s, struct socket_holder *who)
{
	who->process = holders__process(ctx, s);
}

/* --- how many more files it may open ---------------------------------------------------------- */

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

void holders__find_leak(void *ctx, const struct tcp_socket *s, struct leak_owner *who)
{
	struct person *p = find_person(ctx, s);

	if (!p)
		return;
	if (!p->counted) {
		p->fd_limit = file_limit(p->pid);
		p->fd_count = p->fd_limit ? count_files(p->pid) : 0;
		p->counted = true;
	}
	who->process = &p->identity;
	who->fd_count = p->fd_count;
	who->fd_limit = p->fd_limit;
}
