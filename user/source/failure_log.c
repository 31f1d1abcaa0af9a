/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "user/source/failure_log.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAGIC	     0x6c66686372756863ULL /* also says which layout */
#define PREFIX	     "failures-"
#define SLOT_NS	     1000000000ULL
#define NR_SLOTS     4096 /* an hour of one namespace that fails without a pause */
#define NR_LOOK_BACK 8	  /* slots that a failure may still belong to: namespaces of one second */

/* Of one namespace, SLOT_NS from from_ns on. */
struct slot {
	uint64_t from_ns; /* 0: not used yet */
	uint32_t netns;
	uint32_t connects, binds;
	uint32_t pad;
};

/* Written by one thread, read by other processes at any time: word by word. */
struct page {
	uint64_t magic;
	uint64_t start_ns; /* 0: not started yet */
	uint64_t lost;
	uint64_t next; /* slots that were begun so far */
	uint32_t netns;
	uint32_t pad;
	struct slot slots[NR_SLOTS];
};

struct failure_log {
	int fd;
	char *path;
	struct page *page;
};

/* --- whether its trace lives ------------------------------------------------------------------ */

/*
 * Whose the file is holds a lock for writing on it, which takes a descriptor that may write: only
 * root has one. Everybody may ask whether there is such a lock, and may lock for reading, which is
 * seen by nobody here. (flock() would let anybody who may read keep a dead trace alive.)
 */
static int write_lock(int fd)
{
	struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};

	return fcntl(fd, F_OFD_SETLK, &whole) ? -errno : 0;
}

static bool is_write_locked(int fd)
{
	struct flock whole = {.l_type = F_RDLCK, .l_whence = SEEK_SET};

	return !fcntl(fd, F_OFD_GETLK, &whole) && whole.l_type == F_WRLCK;
}

/* --- writing ---------------------------------------------------------------------------------- */

/* One trace at a time begins or looks for what others left: what has no lock yet is not taken for
 * left over. Until the descriptor is closed. */
static int enter_alone(const char *dir)
{
	int fd, err;
	char *path;

	if (asprintf(&path, "%s/lock", dir) < 0)
		return -ENOMEM;
	fd = open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	err = errno;
	free(path);
	if (fd < 0)
		return -err;
	while (flock(fd, LOCK_EX)) {
		err = errno;
		if (err == EINTR)
			continue;
		close(fd);
		return -err;
	}
	return fd;
}

static void remove_left_over(const char *path)
{
	DIR *d = opendir(path);
	struct dirent *e;

	while (d && (e = readdir(d))) {
		int fd = strncmp(e->d_name, PREFIX, strlen(PREFIX))
				 ? -1
				 : openat(dirfd(d), e->d_name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);

		if (fd < 0)
			continue;
		if (!is_write_locked(fd))
			unlinkat(dirfd(d), e->d_name, 0);
		close(fd);
	}
	if (d)
		closedir(d);
}

static int make_page(struct failure_log *l)
{
	int err;

	l->fd = open(l->path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (l->fd < 0)
		return -errno;
	err = write_lock(l->fd);
	if (err)
		return err;
	if (ftruncate(l->fd, sizeof(*l->page)) || fchmod(l->fd, 0644))
		return -errno;
	l->page = mmap(NULL, sizeof(*l->page), PROT_READ | PROT_WRITE, MAP_SHARED, l->fd, 0);
	if (l->page != MAP_FAILED)
		return 0;
	l->page = NULL;
	return -errno;
}

static int make_alone(struct failure_log *l, const char *dir)
{
	int alone, err;

	if (mkdir(dir, 0755) && errno != EEXIST)
		return -errno;
	alone = enter_alone(dir);
	if (alone < 0)
		return alone;
	remove_left_over(dir);
	err = make_page(l);
	close(alone);
	return err;
}

struct failure_log *failure_log__open(const char *dir, uint32_t netns)
{
	struct failure_log *l = calloc(1, sizeof(*l));
	int err;

	if (!l)
		return NULL;
	l->fd = -1;
	if (asprintf(&l->path, "%s/%s%d", dir, PREFIX, (int)getpid()) < 0) {
		l->path = NULL;
		err = -ENOMEM;
	} else {
		err = make_alone(l, dir);
	}
	if (!err) {
		l->page->netns = netns;
		__atomic_store_n(&l->page->magic, MAGIC, __ATOMIC_RELEASE);
		return l;
	}
	failure_log__free(l);
	errno = -err;
	return NULL;
}

void failure_log__free(struct failure_log *l)
{
	if (!l)
		return;
	if (l->page)
		munmap(l->page, sizeof(*l->page));
	if (l->fd >= 0) {
		unlink(l->path);
		close(l->fd);
	}
	free(l->path);
	free(l);
}

void failure_log__start(struct failure_log *l, uint64_t start_ns)
{
	if (l)
		__atomic_store_n(&l->page->start_ns, start_ns, __ATOMIC_RELEASE);
}

void failure_log__set_lost(struct failure_log *l, uint64_t lost)
{
	if (l)
		__atomic_store_n(&l->page->lost, lost, __ATOMIC_RELAXED);
}

/* The slot for it, begun if need be. A reader that comes by while one is begun again may miss or
 * mix one of the oldest, an hour old. */
static struct slot *slot_for(struct page *p, uint32_t netns, uint64_t from_ns)
{
	struct slot *s;

	for (uint64_t i = 1; i <= NR_LOOK_BACK && i <= p->next; i++) {
		s = &p->slots[(p->next - i) % NR_SLOTS];
		if (s->netns == netns && s->from_ns == from_ns)
			return s;
	}
	s = &p->slots[p->next % NR_SLOTS];
	__atomic_store_n(&s->from_ns, 0, __ATOMIC_RELEASE);
	__atomic_store_n(&s->connects, 0, __ATOMIC_RELAXED);
	__atomic_store_n(&s->binds, 0, __ATOMIC_RELAXED);
	__atomic_store_n(&s->netns, netns, __ATOMIC_RELAXED);
	__atomic_store_n(&s->from_ns, from_ns, __ATOMIC_RELEASE);
	__atomic_store_n(&p->next, p->next + 1, __ATOMIC_RELEASE);
	return s;
}

void failure_log__connect(struct failure_log *l, uint32_t netns, uint64_t ts_ns)
{
	if (l)
		__atomic_fetch_add(&slot_for(l->page, netns, ts_ns - ts_ns % SLOT_NS)->connects, 1,
				   __ATOMIC_RELAXED);
}

void failure_log__bind(struct failure_log *l, uint32_t netns, uint64_t ts_ns)
{
	if (l)
		__atomic_fetch_add(&slot_for(l->page, netns, ts_ns - ts_ns % SLOT_NS)->binds, 1,
				   __ATOMIC_RELAXED);
}

/* --- reading ---------------------------------------------------------------------------------- */

/* Others must not have written what is believed. */
static bool is_trusted(const struct stat *st)
{
	return S_ISREG(st->st_mode) && st->st_size == sizeof(struct page) &&
	       (!st->st_uid || st->st_uid == geteuid()) && !(st->st_mode & (S_IWGRP | S_IWOTH));
}

/* Mapped, of a trace that lives and sees the namespace; NULL: it is none of these. */
static const struct page *open_page(int dir, const char *name, uint32_t netns)
{
	int fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	const struct page *p = MAP_FAILED;
	struct stat st;

	if (fd < 0)
		return NULL;
	if (!fstat(fd, &st) && is_trusted(&st) && is_write_locked(fd))
		p = mmap(NULL, sizeof(*p), PROT_READ, MAP_SHARED, fd, 0);
	close(fd);
	if (p == MAP_FAILED)
		return NULL;
	if (__atomic_load_n(&p->magic, __ATOMIC_ACQUIRE) == MAGIC &&
	    __atomic_load_n(&p->start_ns, __ATOMIC_ACQUIRE) && (!p->netns || p->netns == netns))
		return p;
	munmap((void *)p, sizeof(*p));
	return NULL;
}

static void sum_up(struct failure_sum *out, const struct page *p, uint32_t netns, uint64_t since_ns,
		   uint64_t now_ns)
{
	uint64_t next = __atomic_load_n(&p->next, __ATOMIC_ACQUIRE);
	uint64_t begin = p->start_ns > since_ns ? p->start_ns : since_ns;

	*out = (struct failure_sum){.traced = true,
				    .lost = __atomic_load_n(&p->lost, __ATOMIC_RELAXED)};
	for (uint64_t i = next > NR_SLOTS ? next - NR_SLOTS : 0; i < next; i++) {
		const struct slot *s = &p->slots[i % NR_SLOTS];
		uint64_t from = __atomic_load_n(&s->from_ns, __ATOMIC_ACQUIRE);

		/* What was overwritten ended before the oldest that is left began. */
		if (next > NR_SLOTS && i == next - NR_SLOTS && from > begin)
			begin = from;
		if (from + SLOT_NS <= since_ns || (netns && s->netns != netns))
			continue;
		out->connects += __atomic_load_n(&s->connects, __ATOMIC_RELAXED);
		out->binds += __atomic_load_n(&s->binds, __ATOMIC_RELAXED);
	}
	out->covered_ns = now_ns > begin ? now_ns - begin : 0;
}

int failure_log_read(struct failure_sum *out, const char *dir, uint32_t netns, uint64_t since_ns,
		     uint64_t now_ns)
{
	uint64_t oldest = UINT64_MAX;
	DIR *d = opendir(dir);
	struct dirent *e;

	*out = (struct failure_sum){0};
	if (!d)
		return errno == ENOENT ? 0 : -errno;
	while ((e = readdir(d))) {
		const struct page *p;

		if (strncmp(e->d_name, PREFIX, strlen(PREFIX)))
			continue;
		p = open_page(dirfd(d), e->d_name, netns);
		if (!p)
			continue;
		if (p->start_ns < oldest) {
			oldest = p->start_ns;
			sum_up(out, p, netns, since_ns, now_ns);
		}
		munmap((void *)p, sizeof(*p));
	}
	closedir(d);
	return 0;
}
