/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "user/source/netns.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "user/base/log.h"
#include "user/source/mounts.h"

#ifndef SO_NETNS_COOKIE
#define SO_NETNS_COOKIE 71
#endif

#define OWN_NETNS "/proc/thread-self/ns/net"

/* Inode numbers that were visited: a few to a few thousand, and a lookup for each process. */
struct seen {
	uint32_t *at; /* sorted */
	size_t nr;
};

/* Where it stands, or belongs. */
static size_t position(const struct seen *s, uint32_t inum)
{
	size_t low = 0, high = s->nr;

	while (low < high) {
		size_t middle = (low + high) / 2;

		if (s->at[middle] < inum)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static bool is_seen(const struct seen *s, uint32_t inum)
{
	size_t i = position(s, inum);

	return i < s->nr && s->at[i] == inum;
}

static int see(struct seen *s, uint32_t inum)
{
	size_t i = position(s, inum);
	uint32_t *at = realloc(s->at, (s->nr + 1) * sizeof(*at));

	if (!at)
		return -ENOMEM;
	memmove(at + i + 1, at + i, (s->nr - i) * sizeof(*at));
	at[i] = inum;
	s->at = at;
	s->nr++;
	return 0;
}

uint32_t netns_own(void)
{
	struct stat st;

	return stat(OWN_NETNS, &st) ? 0 : st.st_ino;
}

/* What vanishes meanwhile is no error: it is not there. */
static int visit_path(struct netns_visit *v, struct seen *seen, const char *path, uint32_t pid)
{
	struct netns n = {.pid = pid, .path = path};
	struct stat st;
	int ret;

	if (stat(path, &st)) {
		v->hidden += errno == EACCES || errno == EPERM;
		return 0;
	}
	if (is_seen(seen, st.st_ino))
		return 0;
	n.fd = open(path, O_RDONLY | O_CLOEXEC);
	if (n.fd < 0) {
		v->hidden += errno == EACCES || errno == EPERM;
		return errno == EMFILE || errno == ENFILE || errno == ENOMEM ? -errno : 0;
	}
	/* Another process may have the pid by now. */
	ret = fstat(n.fd, &st) ? -errno : 0;
	n.inum = st.st_ino;
	if (!ret && !is_seen(seen, n.inum)) {
		ret = see(seen, n.inum);
		if (!ret)
			ret = v->visit(v->ctx, &n);
	}
	close(n.fd);
	return ret;
}

static int visit_processes(struct netns_visit *v, struct seen *seen)
{
	DIR *dir = opendir("/proc");
	struct dirent *e;
	char path[64];
	int err = 0;

	if (!dir)
		return -errno;
	while (!err && (e = readdir(dir))) {
		if (!isdigit((unsigned char)e->d_name[0]))
			continue;
		snprintf(path, sizeof(path), "/proc/%.16s/ns/net", e->d_name);
		err = visit_path(v, seen, path, strtoul(e->d_name, NULL, 10));
	}
	closedir(dir);
	return err;
}

/* "36 35 0:4 net:[4026532281] /run/netns/blue rw shared:3 - nsfs nsfs rw" */
static int visit_mounts(struct netns_visit *v, struct seen *seen)
{
	FILE *mounts = fopen("/proc/self/mountinfo", "re");
	char *line = NULL, *path = NULL;
	size_t size = 0;
	int err = 0;

	if (!mounts)
		return 0;
	while (!err && getline(&line, &size, mounts) > 0) {
		if (!strstr(line, " net:[") || !strstr(line, " - nsfs "))
			continue;
		if (sscanf(line, "%*s %*s %*s net:[%*[0-9]] %ms", &path) != 1)
			continue;
		mountinfo_unescape(path);
		err = visit_path(v, seen, path, 0);
		free(path);
		path = NULL;
	}
	free(line);
	fclose(mounts);
	return err;
}

int netns_for_each(struct netns_visit *v)
{
	struct seen seen = {};
	int err;

	v->hidden = 0;
	err = visit_path(v, &seen, OWN_NETNS, getpid());
	if (!err)
		err = visit_mounts(v, &seen);
	if (!err)
		err = visit_processes(v, &seen);
	free(seen.at);
	return err;
}

static int is_wanted(void *ctx, const struct netns *n)
{
	const uint32_t *inum = ctx;

	return n->inum == *inum;
}

bool netns_is_found(uint32_t inum)
{
	struct netns_visit visit = {.ctx = &inum, .visit = is_wanted};

	return netns_for_each(&visit);
}

int netns_enter(const struct netns *n, int *home)
{
	int err;

	*home = -1;
	if (n->inum == netns_own())
		return 0;
	*home = open(OWN_NETNS, O_RDONLY | O_CLOEXEC);
	if (*home < 0)
		return -errno;
	if (!setns(n->fd, CLONE_NEWNET))
		return 0;
	err = -errno;
	close(*home);
	*home = -1;
	return err;
}

struct cookie_search {
	uint32_t inum;
	uint64_t cookie;
};

static int read_cookie(void *ctx, const struct netns *n)
{
	struct cookie_search *search = ctx;
	socklen_t len = sizeof(search->cookie);
	int home, fd;

	if (n->inum != search->inum || netns_enter(n, &home))
		return n->inum == search->inum;
	fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || getsockopt(fd, SOL_SOCKET, SO_NETNS_COOKIE, &search->cookie, &len))
		search->cookie = 0;
	if (fd >= 0)
		close(fd);
	netns_leave(home);
	return 1;
}

uint64_t netns_cookie(uint32_t inum)
{
	struct cookie_search search = {.inum = inum};
	struct netns_visit visit = {.ctx = &search, .visit = read_cookie};

	netns_for_each(&visit);
	return search.cookie;
}

void netns_leave(int home)
{
	if (home < 0)
		return;
	if (setns(home, CLONE_NEWNET)) {
		log_error("cannot return to our network namespace: %s", strerror(errno));
		abort();
	}
	close(home);
}
