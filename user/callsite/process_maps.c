/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "user/callsite/process_maps.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "user/base/clock.h"
#include "user/base/text.h"
#include "user/callsite/java.h"
#include "user/callsite/proc.h"

/* A perf map is looked at again for what was written since. Code is moved, and other code takes its
 * place: an address that has a name may have a new one. */
#define NO_PERF_MAP_AGE_NS 100000000ULL
#define HIT_AGE_NS	   20000000ULL
#define MISS_AGE_NS	   1000000ULL

/* The mappings and the program they belong to, seen between two looks that agree: execve() may
 * come at any time. 0 or -errno. */
static int read_maps(int proc, struct maps *maps, uint64_t *identity)
{
	uint64_t after = 0;
	int err;

	*maps = (struct maps){};
	err = proc__exec_identity(proc, identity);
	if (!err)
		err = maps__read(maps, proc);
	if (!err)
		err = proc__exec_identity(proc, &after);
	if (!err && *identity != after)
		err = -ESRCH;
	if (err)
		maps__clear(maps);
	return err;
}

static bool same_file(const struct mapping *a, const struct mapping *b)
{
	return a->inode == b->inode && a->major == b->major && a->minor == b->minor;
}

/* False: it is there, and may not be read. */
static bool open_files(struct maps *maps, int proc, struct file_cache *files)
{
	bool allowed = true;
	int err;

	for (uint32_t i = 0; i < maps->nr; i++) {
		struct mapping *m = &maps->at[i];

		if (!m->inode)
			continue;
		if (i && same_file(m, m - 1)) {
			m->file = (m - 1)->file;
			continue;
		}
		err = file_cache__add(files, proc, m); /* unknown stays unknown */
		allowed &= err != -EACCES && err != -EPERM;
	}
	return allowed;
}

struct process_maps *process_maps__new(const struct churn_id *id, struct file_cache *files)
{
	struct process_maps *p = calloc(1, sizeof(*p));
	int proc, err;

	if (!p)
		return NULL;
	p->id = *id;
	p->read_ns = clock_ns(CLOCK_MONOTONIC);
	proc = proc__open(id);
	err = proc < 0 ? proc : read_maps(proc, &p->maps, &p->exec_identity);
	if (!err)
		p->denied = !open_files(&p->maps, proc, files);
	if (proc >= 0)
		close(proc);
	if (err) {
		free(p);
		errno = -err;
		return NULL;
	}
	return p;
}

void process_maps__free(struct process_maps *p)
{
	if (!p)
		return;
	maps__clear(&p->maps);
	perf_map__clear(&p->perf_map);
	python__free(p->python);
	free(p);
}

/* A descriptor of /proc/PID if it is still the same program, else -ESRCH. */
static int open_same(struct process_maps *p)
{
	uint64_t identity = 0;
	int proc, err;

	if (p->gone)
		return -ESRCH;
	proc = proc__open(&p->id);
	err = proc < 0 ? proc : proc__exec_identity(proc, &identity);
	if (!err && identity == p->exec_identity)
		return proc;
	p->gone = true;
	if (proc >= 0)
		close(proc);
	return -ESRCH;
}

void process_maps__refresh(struct process_maps *p, struct file_cache *files, uint64_t age_ns)
{
	uint64_t identity, now = clock_ns(CLOCK_MONOTONIC);
	struct maps maps;
	int proc;

	if (p->gone || now - p->read_ns < age_ns)
		return;
	p->read_ns = now;
	proc = proc__open(&p->id);
	if (proc < 0) {
		p->gone = true;
		return;
	}
	if (!read_maps(proc, &maps, &identity)) {
		if (identity == p->exec_identity) {
			p->denied |= !open_files(&maps, proc, files);
			maps__clear(&p->maps);
			p->maps = maps;
		} else {
			maps__clear(&maps);
			p->gone = true;
		}
	}
	close(proc);
}

struct elf_file *process_maps__file(struct process_maps *p, struct file_cache *files,
				    struct mapping *m)
{
	struct elf_file *file;
	int proc;

	if (!m->file.inode)
		return NULL;
	file = file_cache__find(files, &m->file);
	if (!file) {
		proc = open_same(p);
		if (proc < 0)
			return NULL;
		if (!file_cache__add(files, proc, m))
			file = file_cache__find(files, &m->file);
		close(proc);
	}
	return file && elf_file__valid(file) ? file : NULL;
}

const char *process_maps__jit_name(struct process_maps *p, uint64_t addr)
{
	const char *name = perf_map__find(&p->perf_map, addr);
	uint64_t now = clock_ns(CLOCK_MONOTONIC);
	uint64_t age = !p->perf_map.nr ? NO_PERF_MAP_AGE_NS : name ? HIT_AGE_NS : MISS_AGE_NS;
	int proc;

	if (p->gone || (p->perf_map_ns && now - p->perf_map_ns < age))
		return name;
	p->perf_map_ns = now;
	proc = open_same(p);
	if (proc < 0)
		return name;
	perf_map__update(&p->perf_map, proc);
	close(proc);
	return perf_map__find(&p->perf_map, addr);
}

static struct python *open_python(struct process_maps *p, const struct mapping *m,
				  struct elf_file *file)
{
	struct python_symbols symbols;
	struct python_image image;
	uint64_t addr;
	int proc, mem;

	if (!elf_file__python(file, &symbols) || !elf_file__address(file, m->offset, &addr))
		return NULL;
	image = (struct python_image){
		.bias = m->start - addr,
		.runtime = symbols.runtime,
		.version = symbols.version,
		.code_type = symbols.code_type,
		.code_dealloc = symbols.code_dealloc,
		.path = m->path,
	};
	proc = open_same(p);
	if (proc < 0)
		return NULL;
	mem = openat(proc, "mem", O_RDONLY | O_CLOEXEC);
	p->denied |= mem < 0 && (errno == EACCES || errno == EPERM);
	close(proc);
	return mem < 0 ? NULL : python__new(&image, mem);
}

struct python *process_maps__python(struct process_maps *p, struct file_cache *files)
{
	if (p->python || p->python_ns == p->read_ns)
		return p->python;
	p->python_ns = p->read_ns;
	for (uint32_t i = 0; i < p->maps.nr && !p->python; i++) {
		struct elf_file *file = process_maps__file(p, files, &p->maps.at[i]);

		if (file)
			p->python = open_python(p, &p->maps.at[i], file);
	}
	return p->python;
}

bool process_maps__freeing(struct process_maps *p, struct python_freeing *out)
{
	uint64_t addr = p->python ? python__code_dealloc(p->python) : 0;
	struct mapping *m = addr ? maps__find(&p->maps, addr) : NULL;

	if (!m || !m->file.inode)
		return false;
	*out = (struct python_freeing){
		.addr = addr, .offset = addr - m->start + m->offset, .mapping = m};
	return true;
}

static enum generator look_at_java(struct process_maps *p, const struct mapping *m,
				   struct elf_file *jvm)
{
	bool keeps = false;
	uint64_t addr;
	int proc, mem;

	proc = elf_file__address(jvm, m->offset, &addr) ? open_same(p) : -1;
	if (proc < 0)
		return GENERATOR_JAVA;
	mem = openat(proc, "mem", O_RDONLY | O_CLOEXEC);
	p->denied |= mem < 0 && (errno == EACCES || errno == EPERM);
	close(proc);
	if (mem < 0)
		return GENERATOR_JAVA;
	java_keeps_frame_pointers(jvm, m->start - addr, mem, &keeps);
	close(mem);
	return keeps ? GENERATOR_JAVA_FP : GENERATOR_JAVA;
}

enum generator process_maps__generator(struct process_maps *p, struct file_cache *files)
{
	if (p->generator || p->generator_ns == p->read_ns)
		return p->generator;
	p->generator_ns = p->read_ns;
	for (uint32_t i = 0; i < p->maps.nr && !p->generator; i++) {
		struct mapping *m = &p->maps.at[i];
		struct elf_file *file;

		if (!m->path || strcmp(text_base_name(m->path), "libjvm.so"))
			continue;
		file = process_maps__file(p, files, m);
		p->generator = file ? look_at_java(p, m, file) : GENERATOR_JAVA;
	}
	return p->generator;
}
