/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "user/callsite/proc.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "user/base/clock.h"

int proc__read(int proc, const char *name, size_t max, char **text, size_t *size)
{
	size_t cap = 4096, len = 0;
	char *buf = NULL;
	int fd, err = 0;

	*text = NULL;
	*size = 0;
	fd = openat(proc, name, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? -ESRCH : -errno;
	while (len < max) {
		ssize_t n;

		if (!buf || len + 1 == cap) {
			char *more = realloc(buf, buf ? cap *= 2 : cap);

			if (!more) {
				err = -ENOMEM;
				break;
			}
			buf = more;
		}
		n = read(fd, buf + len, cap - len - 1);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			err = -errno;
		if (n <= 0)
			break;
		len += (size_t)n;
	}
	close(fd);
	if (err) {
		free(buf);
		return err;
	}
	buf[len] = '\0';
	*text = buf;
	*size = len;
	return 0;
}

/* Field 22 of proc_pid_stat(5), in clock ticks since boot. */
static int read_start_ticks(int proc, uint64_t *ticks)
{
	char *text, *at;
	size_t size;
	int err;

	err = proc__read(proc, "stat", 4096, &text, &size);
	if (err)
		return err;
	/* comm, the second field, may hold blanks and parentheses: count from its end. */
	at = strrchr(text, ')');
	for (int field = 2; at && field < 22; field++) {
		at = strchr(at, ' ');
		if (at)
			at++;
	}
	if (!at || sscanf(at, "%" SCNu64, ticks) != 1)
		err = -EPROTO;
	free(text);
	return err;
}

static int check_start(int proc, uint64_t start_ns)
{
	uint64_t per_second = (uint64_t)sysconf(_SC_CLK_TCK);
	uint64_t expected = start_ns / NS_PER_SEC * per_second +
			    start_ns % NS_PER_SEC * per_second / NS_PER_SEC;
	uint64_t ticks = 0;
	int err;

	err = read_start_ticks(proc, &ticks);
	if (err)
		return err;
	return ticks + 1 < expected || ticks > expected + 1 ? -ESRCH : 0;
}

int proc__open(const struct churn_id *id)
{
	char path[32];
	int proc, err;

	if (!id->tgid)
		return -ESRCH;
	snprintf(path, sizeof(path), "/proc/%u", id->tgid);
	proc = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (proc < 0)
		return errno == ENOENT ? -ESRCH : -errno;
	err = id->start_ns ? check_start(proc, id->start_ns) : 0;
	if (err) {
		close(proc);
		return err;
	}
	return proc;
}

int proc__exec_identity(int proc, uint64_t *identity)
{
	uint64_t hash = 0xcbf29ce484222325ULL;
	size_t size;
	char *text;
	int err;

	/* Addresses of the stack, the vdso, the loader and the program: drawn anew by execve(). */
	err = proc__read(proc, "auxv", 4096, &text, &size);
	if (err)
		return err;
	for (size_t i = 0; i < size; i++)
		hash = (hash ^ (uint8_t)text[i]) * 0x100000001b3ULL;
	free(text);
	*identity = hash;
	return size ? 0 : -ESRCH;
}

int proc__credentials(int proc, struct proc_credentials *cred)
{
	char *text, *at;
	size_t size;
	int err;

	*cred = (struct proc_credentials){};
	err = proc__read(proc, "status", 65536, &text, &size);
	if (err)
		return err;
	at = strstr(text, "\nUid:");
	if (!at || sscanf(at, "\nUid: %" SCNu32 " %" SCNu32, &cred->uid, &cred->effective_uid) != 2)
		err = -EPROTO;
	at = strstr(text, "\nNSpid:");
	if (at) {
		at += strlen("\nNSpid:");
		at[strcspn(at, "\n")] = '\0';
		at = strrchr(at, '\t');
	}
	/* Kernels without PID namespaces do not have the line. */
	if (!at)
		at = strstr(text, "\nPid:");
	if (!at || sscanf(at + strcspn(at, "0123456789"), "%" SCNu32, &cred->ns_pid) != 1)
		err = -EPROTO;
	free(text);
	return err;
}

int proc__root(int proc)
{
	int root = openat(proc, "root", O_PATH | O_DIRECTORY | O_CLOEXEC);

	return root < 0 ? -errno : root;
}

int proc__open_handle(int handle)
{
	struct stat st;
	char path[64];
	int fd = -1, err = 0;

	if (fstat(handle, &st))
		err = -errno;
	else if (!S_ISREG(st.st_mode))
		err = -EACCES;
	if (!err) {
		snprintf(path, sizeof(path), "/proc/self/fd/%d", handle);
		fd = open(path, O_RDONLY | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
		if (fd < 0)
			err = -errno;
	}
	close(handle);
	return err ? err : fd;
}

/* An O_PATH descriptor, which opens nothing yet, and what it is. */
static int find_in_root(int root, const char *path, struct stat *st)
{
	struct open_how how = {
		.flags = O_PATH | O_CLOEXEC,
		.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS,
	};
	int handle, err;

	handle = (int)syscall(SYS_openat2, root, path, &how, sizeof(how));
	if (handle < 0 || !fstat(handle, st))
		return handle < 0 ? -errno : handle;
	err = -errno;
	close(handle);
	return err;
}

int proc__open_in_root(int root, const char *path, struct stat *st)
{
	struct stat unused;
	int handle;

	handle = find_in_root(root, path, st ? st : &unused);
	return handle < 0 ? handle : proc__open_handle(handle);
}

int proc__find_mapping(int proc, const struct mapping *m, struct stat *st)
{
	char name[64];
	int handle, root;

	/* Needs CAP_SYS_ADMIN or CAP_CHECKPOINT_RESTORE (since 5.9). */
	snprintf(name, sizeof(name), "map_files/%" PRIx64 "-%" PRIx64, m->start, m->end);
	handle = openat(proc, name, O_PATH | O_CLOEXEC);
	if (handle >= 0 && !fstat(handle, st))
		return handle;
	if (handle >= 0)
		close(handle);
	else if (errno == ENOENT)
		return -ESRCH;
	if (!m->path || m->path[0] != '/')
		return -ENOENT;

	root = proc__root(proc);
	/* Without the right to follow it: often it is our own. What is found there is checked. */
	if (root == -EACCES || root == -EPERM)
		root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (root < 0)
		return root;
	handle = find_in_root(root, m->path, st);
	close(root);
	if (handle < 0)
		return handle;
	/* The path may lead to another file by now. */
	if (st->st_ino != m->inode || major(st->st_dev) != m->major ||
	    minor(st->st_dev) != m->minor) {
		close(handle);
		return -ESTALE;
	}
	return handle;
}
