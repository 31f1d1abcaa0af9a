/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "user/source/procfs.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "user/base/hash.h"
#include "user/source/mounts.h"
#include "user/source/namespace.h"

#define CONTAINER_ID_LEN   64
#define MAX_CGROUPS	   4096
#define MAX_EXES	   4096
#define KERNFS_HANDLE_TYPE 0xfe /* FILEID_KERNFS, include/linux/exportfs.h */

struct cgroup_entry {
	uint64_t id;
	char *path; /* NULL: could not be found yet */
	UT_hash_handle hh;
};

/* Paths of executables, learnt from processes that lived long enough to be looked at. */
struct exe_entry {
	struct {
		uint64_t inode;
		uint64_t dev;
	} key;
	char *in_fs; /* as the kernel told it: the next file may be given the inode */
	char *path;
	UT_hash_handle hh;
};

struct procfs {
	struct exe_entry *exes;
	int cgroup_root; /* the cgroup v2 mount, -1: none */
	char *cgroup_mount;
	struct cgroup_entry *cgroups;
};

struct procfs *procfs__new(void)
{
	struct procfs *p = calloc(1, sizeof(*p));

	if (!p)
		return NULL;
	p->cgroup_mount = cgroup2_mount();
	p->cgroup_root = -1;
	if (p->cgroup_mount)
		p->cgroup_root = open(p->cgroup_mount, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return p;
}

static void cgroups_clear(struct procfs *p)
{
	struct cgroup_entry *e, *next;

	HASH_ITER (hh, p->cgroups, e, next) {
		HASH_DEL(p->cgroups, e);
		free(e->path);
		free(e);
	}
}

static void exes_clear(struct procfs *p)
{
	struct exe_entry *e, *next;

	HASH_ITER (hh, p->exes, e, next) {
		HASH_DEL(p->exes, e);
		free(e->in_fs);
		free(e->path);
		free(e);
	}
}

void procfs__free(struct procfs *p)
{
	if (!p)
		return;
	exes_clear(p);
	cgroups_clear(p);
	if (p->cgroup_root >= 0)
		close(p->cgroup_root);
	free(p->cgroup_mount);
	free(p);
}

static ssize_t proc_read(uint32_t tgid, const char *file, char *buf, size_t size)
{
	char path[64];
	ssize_t len;
	int fd;

	snprintf(path, sizeof(path), "/proc/%u/%s", tgid, file);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	len = read(fd, buf, size);
	close(fd);
	return len;
}

/* A cgroup's id is its kernfs file handle, so that a path can be had without its processes.
 * Needs CAP_DAC_READ_SEARCH. */
static char *cgroup_path_of_id(const struct procfs *p, uint64_t id)
{
	struct {
		struct file_handle h;
		uint64_t id;
	} handle = {.h = {.handle_bytes = sizeof(uint64_t), .handle_type = KERNFS_HANDLE_TYPE}};
	char link[64], path[PATH_MAX];
	size_t prefix;
	ssize_t len;
	int fd;

	if (p->cgroup_root < 0)
		return NULL;
	memcpy(handle.h.f_handle, &id, sizeof(id));
	fd = open_by_handle_at(p->cgroup_root, &handle.h, O_PATH | O_CLOEXEC);
	if (fd < 0)
		return NULL;
	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	len = readlink(link, path, sizeof(path) - 1);
	close(fd);
	if (len < 0)
		return NULL;
	path[len] = '\0';
	prefix = strlen(p->cgroup_mount);
	if (strncmp(path, p->cgroup_mount, prefix) != 0)
		return NULL;
	return strdup(path[prefix] ? path + prefix : "/");
}

/* The process may have moved since, which is rare; without privilege there is no better way. */
static char *cgroup_path_of_process(uint32_t tgid)
{
	char text[4096], *line;
	ssize_t len = proc_read(tgid, "cgroup", text, sizeof(text) - 1);

	if (len <= 0)
		return NULL;
	text[len] = '\0';
	line = strstr(text, "0::/");
	return line ? strndup(line + 3, strcspn(line + 3, "\n")) : NULL;
}

static const char *cgroup_path(struct procfs *p, uint64_t id, uint32_t tgid)
{
	struct cgroup_entry *e;

	if (!id)
		return NULL;
	HASH_FIND(hh, p->cgroups, &id, sizeof(id), e);
	if (!e) {
		if (HASH_COUNT(p->cgroups) >= MAX_CGROUPS)
			cgroups_clear(p);
		e = calloc(1, sizeof(*e));
		if (!e)
			return NULL;
		e->id = id;
		HASH_ADD(hh, p->cgroups, id, sizeof(e->id), e);
		if (!e->hh.tbl) {
			free(e);
			return NULL;
		}
		e->path = cgroup_path_of_id(p, id);
	}
	/* Where an earlier process of it was gone too soon, this one may do. */
	if (!e->path)
		e->path = cgroup_path_of_process(tgid);
	return e->path;
}

/* The 64 hex digits of a container in a cgroup path, NULL: none. The caller frees it. */
static char *container_id_of_cgroup(const char *path)
{
	size_t run = 0;

	/* Docker, containerd, CRI-O and podman all name the cgroup after the id. */
	for (const char *c = path; c && *c; c++) {
		run = isxdigit((unsigned char)*c) ? run + 1 : 0;
		if (run == CONTAINER_ID_LEN && !isxdigit((unsigned char)c[1]))
			return strndup(c - CONTAINER_ID_LEN + 1, CONTAINER_ID_LEN);
	}
	return NULL;
}

/* The link may by now be that of the next program (exec) or process: its comm would differ too. */
static char *proc_exe(const struct churn_process *record)
{
	static const char deleted[] = " (deleted)"; /* proc_pid_exe(5): after an update, say */
	char path[64], comm[CHURN_COMM_LEN + 1] = "", target[PATH_MAX];
	ssize_t len;

	len = proc_read(record->id.tgid, "comm", comm, sizeof(comm) - 1);
	if (len <= 0 || comm[len - 1] != '\n')
		return NULL;
	comm[len - 1] = '\0';
	if (strncmp(comm, record->comm, CHURN_COMM_LEN) != 0)
		return NULL;
	snprintf(path, sizeof(path), "/proc/%u/exe", record->id.tgid);
	len = readlink(path, target, sizeof(target) - 1);
	if (len <= 0)
		return NULL;
	target[len] = '\0';
	len -= sizeof(deleted) - 1;
	if (len > 0 && !strcmp(target + len, deleted))
		target[len] = '\0';
	return strdup(target);
}

#define IN_FS_LEN (CHURN_PATH_DEPTH * (CHURN_NAME_LEN + 1) + 1)

/* The kernel's path, from the root of the file system on. Empty: unknown. */
static void path_in_fs(char dst[IN_FS_LEN], const struct churn_process *record)
{
	size_t len = 0;

	*dst = '\0';
	for (uint32_t i = record->nr_path; i > 0; i--)
		len += snprintf(dst + len, IN_FS_LEN - len, "/%.*s", CHURN_NAME_LEN - 1,
				record->path[i - 1]);
}

static struct exe_entry *find_exe(const struct procfs *p, const struct churn_process *record)
{
	struct exe_entry *e, key = {.key = {record->exe_inode, record->exe_dev}};

	HASH_FIND(hh, p->exes, &key.key, sizeof(key.key), e);
	return e;
}

static struct exe_entry *make_exe(struct procfs *p, const struct churn_process *record)
{
	struct exe_entry *e;

	if (!record->exe_inode || HASH_COUNT(p->exes) >= MAX_EXES)
		return NULL;
	e = calloc(1, sizeof(*e));
	if (!e)
		return NULL;
	e->key.inode = record->exe_inode;
	e->key.dev = record->exe_dev;
	HASH_ADD(hh, p->exes, key, sizeof(e->key), e);
	if (e->hh.tbl)
		return e;
	free(e);
	return NULL;
}

static void remember_exe(struct exe_entry *e, const char *in_fs, const char *path)
{
	free(e->in_fs);
	free(e->path);
	e->in_fs = strdup(in_fs);
	e->path = strdup(path);
}

/*
 * The executable's path: as /proc has it, or had it for an earlier process of the same file; else
 * as the kernel tells it, as we see the file; else as it was given to execve(), which for a script
 * is the script.
 */
static char *exe_path(struct procfs *p, const struct churn_process *record, char *from_proc)
{
	struct exe_entry *e = find_exe(p, record);
	char in_fs[IN_FS_LEN], *path = from_proc;
	bool known;

	path_in_fs(in_fs, record);
	known = e && e->in_fs && e->path && !strcmp(e->in_fs, in_fs);
	if (!path && known)
		return strdup(e->path);
	if (!path && *in_fs)
		path = mounted_path(record->exe_dev, record->exe_inode, in_fs) ?: strdup(in_fs);
	if (path && !e)
		e = make_exe(p, record);
	if (path && e && !known)
		remember_exe(e, in_fs, path);
	if (path)
		return path;
	return record->exe[0] ? strndup(record->exe, CHURN_EXE_LEN) : NULL;
}

/* NUL-separated arguments as a vector of strings, all allocated. NULL: none, or no memory. */
static char **split_args(const char *args, size_t len)
{
	const char *end, *at = args;
	size_t nr = 0;
	char **argv;

	while (len && args[len - 1] == '\0')
		len--;
	if (!len)
		return NULL;
	end = args + len;
	for (size_t i = 0; i < len; i++)
		nr += args[i] == '\0';
	argv = calloc(nr + 2, sizeof(*argv));
	for (size_t i = 0; argv && i <= nr; i++) {
		size_t n = strnlen(at, end - at);

		argv[i] = strndup(at, n);
		if (!argv[i])
			break;
		at += n + 1;
	}
	return argv;
}

int procfs__identify(struct procfs *p, const struct churn_process *record,
		     struct process_identity *out)
{
	char args[CHURN_ARGS_LEN];
	ssize_t len = record->args_len;
	char *from_proc = NULL;
	const char *path;

	memset(out, 0, sizeof(*out));
	out->id = record->id;
	out->parent_tgid = record->parent_tgid;
	out->uid = record->uid;
	out->cgroup = record->cgroup;
	out->kernel = record->kernel;
	memcpy(out->comm, record->comm, CHURN_COMM_LEN);
	memcpy(out->parent_comm, record->parent_comm, CHURN_COMM_LEN);
	if (!record->kernel)
		from_proc = proc_exe(record);
	if (len > 0) {
		out->argv = split_args(record->args, len);
	} else if (from_proc) { /* still the same program: see proc_exe() */
		len = proc_read(record->id.tgid, "cmdline", args, sizeof(args));
		out->argv = len > 0 ? split_args(args, len) : NULL;
	}
	out->exe = exe_path(p, record, from_proc);
	path = cgroup_path(p, record->cgroup, record->id.tgid);
	if (path) {
		out->cgroup_path = strdup(path);
		out->container_id = container_id_of_cgroup(path);
	}
	return 0;
}

/* Of a process whose comm may hold blanks and parentheses: "pid (comm) state ppid ..." */
static int read_stat(uint32_t pid, struct churn_process *record)
{
	unsigned long long start;
	char text[1024], *comm, *end;
	ssize_t len = proc_read(pid, "stat", text, sizeof(text) - 1);
	struct stat st;

	if (len < 0)
		return len == -ENOENT ? -ESRCH : (int)len;
	text[len] = '\0';
	comm = strchr(text, '(');
	end = strrchr(text, ')');
	if (!comm || !end ||
	    sscanf(end,
		   ") %*c %u %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d "
		   "%*d %*d %*d %*d %llu",
		   &record->parent_tgid, &start) != 2)
		return len ? -EBADMSG : -ESRCH;
	*end = '\0';
	record->id.tgid = pid;
	record->id.start_ns = start * (1000000000ULL / sysconf(_SC_CLK_TCK));
	snprintf(record->comm, sizeof(record->comm), "%.15s", comm + 1);
	snprintf(text, sizeof(text), "/proc/%u", pid);
	if (stat(text, &st))
		return -ESRCH;
	record->uid = st.st_uid;
	return 0;
}

int procfs__identify_pid(struct procfs *p, uint32_t pid, struct process_identity *out)
{
	struct churn_process record = {};
	char comm[CHURN_COMM_LEN + 1];
	ssize_t len;
	int err = read_stat(pid, &record);

	memset(out, 0, sizeof(*out));
	if (err)
		return err;
	len = record.parent_tgid
		      ? proc_read(record.parent_tgid, "comm", comm, sizeof(record.parent_comm))
		      : 0;
	if (len > 0 && comm[len - 1] == '\n')
		memcpy(record.parent_comm, comm, len - 1);
	err = procfs__identify(p, &record, out);
	if (!err && !out->cgroup_path) {
		out->cgroup_path = cgroup_path_of_process(pid);
		out->container_id = container_id_of_cgroup(out->cgroup_path);
	}
	return err;
}
