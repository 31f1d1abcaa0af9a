/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "user/source/code_watch.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "user/base/clock.h"
#include "user/base/log.h"
#include "user/callsite/proc.h"
#include "user/source/privilege.h"

#define MAX_FILES   4	 /* each takes the kernel 120 ms at the end */
#define MAX_WAITING 1024 /* processes */
#define BREAKPOINT  0xcc /* int3 */

struct request {
	struct request *next;
	struct churn_id process;
	uint64_t addr, offset;
	struct mapping mapping;
};

struct watched_file {
	struct file_key file;
	uint64_t offset;
	struct bpf_link *link; /* NULL: it cannot be attached to */
};

struct code_watch {
	struct loader_freed kernel;
	struct watched_file files[MAX_FILES]; /* the thread's own */
	uint32_t nr_files;
	bool said_full;
	pthread_t thread;
	pthread_mutex_t lock; /* of what is below */
	pthread_cond_t more;
	struct request *requests, **last;
	uint32_t nr_waiting;
	bool ending;
};

static void request_free(struct request *r)
{
	free(r->mapping.path);
	free(r);
}

/* --- files ------------------------------------------------------------------------------------ */

/* A descriptor of the file that was looked into, and not of what has come in its place. */
static int open_file(int proc, const struct mapping *m)
{
	struct file_key key;
	struct stat st;
	int handle = proc__find_mapping(proc, m, &st);

	if (handle < 0)
		return handle;
	key = file_key_of(&st);
	if (file_key_same(&key, &m->file))
		return handle;
	close(handle);
	return -ESTALE;
}

static struct bpf_link *attach(const struct code_watch *w, int proc, const struct request *r)
{
	int handle = open_file(proc, &r->mapping), err;
	struct bpf_link *link;
	char path[32];

	if (handle < 0) {
		errno = -handle;
		return NULL;
	}
	snprintf(path, sizeof(path), "/proc/self/fd/%d", handle);
	link = bpf_program__attach_uprobe(w->kernel.program, false, -1, path, r->offset);
	err = errno;
	close(handle);
	errno = err;
	return link;
}

/* Whether there is a breakpoint in that file, or can be. */
static bool watch_file(struct code_watch *w, int proc, const struct request *r)
{
	struct watched_file *f;
	int err;

	for (uint32_t i = 0; i < w->nr_files; i++) {
		f = &w->files[i];
		if (file_key_same(&f->file, &r->mapping.file) && f->offset == r->offset)
			return f->link;
	}
	if (w->nr_files == MAX_FILES) {
		if (!w->said_full)
			log_debug("code_dealloc: in %d files already", MAX_FILES);
		w->said_full = true;
		return false;
	}
	f = &w->files[w->nr_files];
	f->link = attach(w, proc, r);
	if (!f->link) {
		err = errno;
		log_debug("%s: cannot attach to code_dealloc: %s", r->mapping.path, strerror(err));
		/* The process may have gone, or its file, but the next one's may be there. */
		if (err == ESRCH || err == ENOENT || err == ESTALE)
			return false;
	}
	f->file = r->mapping.file;
	f->offset = r->offset;
	w->nr_files++;
	return f->link;
}

/* --- processes -------------------------------------------------------------------------------- */

/* The kernel sets the breakpoint in each process that has mapped the file, or maps it later; and
 * where it cannot, tells nobody. */
static bool has_breakpoint(int proc, uint64_t addr)
{
	int mem = openat(proc, "mem", O_RDONLY | O_CLOEXEC);
	uint8_t byte = 0;
	bool has;

	if (mem < 0)
		return false;
	has = pread(mem, &byte, 1, (off_t)addr) == 1 && byte == BREAKPOINT;
	close(mem);
	return has;
}

static bool is_counted(const struct code_watch *w, const struct churn_id *process)
{
	uint64_t key = churn_process_key(process), count;

	return !bpf_map_lookup_elem(w->kernel.counts, &key, &count);
}

static void begin_count(const struct code_watch *w, const struct churn_id *process)
{
	uint64_t key = churn_process_key(process), now = clock_ns(CLOCK_MONOTONIC);

	if (!bpf_map_update_elem(w->kernel.counts, &key, &now, BPF_NOEXIST))
		log_debug("pid %u: the code objects that it frees are counted", process->tgid);
}

static void watch(struct code_watch *w, const struct request *r)
{
	int proc = is_counted(w, &r->process) ? -1 : proc__open(&r->process);

	if (proc < 0)
		return;
	if (watch_file(w, proc, r) && has_breakpoint(proc, r->addr))
		begin_count(w, &r->process);
	close(proc);
}

/* --- life ------------------------------------------------------------------------------------- */

static struct request *pop(struct code_watch *w)
{
	struct request *r = w->requests;

	if (!r)
		return NULL;
	w->requests = r->next;
	if (!w->requests)
		w->last = &w->requests;
	w->nr_waiting--;
	return r;
}

static void *watch_thread(void *arg)
{
	struct code_watch *w = arg;
	int err = privilege_drop(PRIVILEGE_FOR_UPROBES);
	struct request *r;

	setpriority(PRIO_PROCESS, 0, 0); /* as the resolver's thread: this may wait */
	if (err)
		log_debug("cannot give up capabilities: %s", strerror(-err));
	pthread_mutex_lock(&w->lock);
	while (!w->ending) {
		r = pop(w);
		if (!r) {
			pthread_cond_wait(&w->more, &w->lock);
			continue;
		}
		pthread_mutex_unlock(&w->lock);
		watch(w, r);
		request_free(r);
		pthread_mutex_lock(&w->lock);
	}
	pthread_mutex_unlock(&w->lock);
	return NULL;
}

struct code_watch *code_watch__new(const struct loader *l)
{
	struct loader_freed kernel;
	struct code_watch *w;
	int err;

	if (!loader__freed(l, &kernel)) {
		errno = ENOTSUP;
		return NULL;
	}
	w = calloc(1, sizeof(*w));
	if (!w)
		return NULL;
	w->kernel = kernel;
	w->last = &w->requests;
	pthread_mutex_init(&w->lock, NULL);
	pthread_cond_init(&w->more, NULL);
	err = pthread_create(&w->thread, NULL, watch_thread, w);
	if (err) {
		free(w);
		errno = err;
		return NULL;
	}
	return w;
}

void code_watch__free(struct code_watch *w)
{
	struct request *r;

	if (!w)
		return;
	pthread_mutex_lock(&w->lock);
	w->ending = true;
	pthread_cond_signal(&w->more);
	pthread_mutex_unlock(&w->lock);
	pthread_join(w->thread, NULL);
	while ((r = pop(w)))
		request_free(r);
	/* Not left to our exit: there kernels up to 6.1 at least may leave a breakpoint behind. */
	for (uint32_t i = 0; i < w->nr_files; i++)
		bpf_link__destroy(w->files[i].link);
	pthread_cond_destroy(&w->more);
	pthread_mutex_destroy(&w->lock);
	free(w);
}

void code_watch__add(struct code_watch *w, const struct churn_id *process,
		     const struct python_freeing *where)
{
	struct request *r;

	if (!w || is_counted(w, process))
		return;
	r = calloc(1, sizeof(*r));
	if (!r)
		return;
	r->process = *process;
	r->addr = where->addr;
	r->offset = where->offset;
	r->mapping = *where->mapping;
	r->mapping.path = strdup(where->mapping->path ?: "");
	pthread_mutex_lock(&w->lock);
	if (w->nr_waiting < MAX_WAITING) {
		*w->last = r;
		w->last = &r->next;
		w->nr_waiting++;
		r = NULL;
		pthread_cond_signal(&w->more);
	}
	pthread_mutex_unlock(&w->lock);
	if (r)
		request_free(r);
}
