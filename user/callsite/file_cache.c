/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "user/callsite/file_cache.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "user/base/hash.h"
#include "user/callsite/proc.h"

#define MAX_LOADED_BYTES (384ULL << 20)
#define MAX_COPIES	 8 /* of one build that are remembered */

/* A build: the size and the owner belong to it because anybody can put the build-id of libc into
 * a file of his own, and its names must not show up in other people's stacks. No padding. */
struct build_key {
	uint8_t id[MAX_BUILD_ID];
	uint64_t id_len;
	uint64_t size;
	uint64_t uid;
};

struct copy {
	struct file_key key;
	struct entry *entry;
	UT_hash_handle hh;
};

struct entry {
	struct elf_file *file;
	struct build_key build;
	struct copy *copies[MAX_COPIES];
	uint32_t nr_copies;
	uint32_t next_copy; /* replaced next when all are in use */
	UT_hash_handle hh;  /* by build, if it has an id */
	struct entry *older, *newer;
};

struct file_cache {
	uint32_t max_files, nr_files;
	struct copy *copies;
	struct entry *builds; /* those with a build-id */
	struct entry *oldest, *newest;
};

struct file_cache *file_cache__new(uint32_t max_files)
{
	struct file_cache *c = calloc(1, sizeof(*c));

	if (c)
		c->max_files = max_files;
	return c;
}

static void unlink_entry(struct file_cache *c, struct entry *e)
{
	*(e->older ? &e->older->newer : &c->oldest) = e->newer;
	*(e->newer ? &e->newer->older : &c->newest) = e->older;
	e->older = NULL;
	e->newer = NULL;
}

static void append_entry(struct file_cache *c, struct entry *e)
{
	e->older = c->newest;
	*(c->newest ? &c->newest->newer : &c->oldest) = e;
	c->newest = e;
}

static void touch(struct file_cache *c, struct entry *e)
{
	if (c->newest == e)
		return;
	unlink_entry(c, e);
	append_entry(c, e);
}

static void drop_copy(struct file_cache *c, struct copy *copy)
{
	HASH_DEL(c->copies, copy);
	free(copy);
}

static void drop_entry(struct file_cache *c, struct entry *e)
{
	for (uint32_t i = 0; i < e->nr_copies; i++)
		drop_copy(c, e->copies[i]);
	if (e->build.id_len)
		HASH_DEL(c->builds, e);
	unlink_entry(c, e);
	elf_file__free(e->file);
	free(e);
	c->nr_files--;
}

void file_cache__free(struct file_cache *c)
{
	if (!c)
		return;
	while (c->oldest)
		drop_entry(c, c->oldest);
	free(c);
}

/* Makes the file known by one more key. 0 or -ENOMEM. */
static int add_copy(struct file_cache *c, struct entry *e, const struct file_key *key)
{
	struct copy *copy = calloc(1, sizeof(*copy));

	if (!copy)
		return -ENOMEM;
	copy->key = *key;
	copy->entry = e;
	HASH_ADD(hh, c->copies, key, sizeof(copy->key), copy);
	if (!copy->hh.tbl) {
		free(copy);
		return -ENOMEM;
	}
	if (e->nr_copies < MAX_COPIES) {
		e->copies[e->nr_copies++] = copy;
		return 0;
	}
	drop_copy(c, e->copies[e->next_copy]);
	e->copies[e->next_copy] = copy;
	e->next_copy = (e->next_copy + 1) % MAX_COPIES;
	return 0;
}

/* Takes over the file. */
static struct entry *add_entry(struct file_cache *c, struct elf_file *file,
			       const struct build_key *build)
{
	struct entry *e = calloc(1, sizeof(*e));

	if (e) {
		e->file = file;
		e->build = *build;
		if (build->id_len)
			HASH_ADD(hh, c->builds, build, sizeof(e->build), e);
	}
	if (!e || (build->id_len && !e->hh.tbl)) {
		elf_file__free(file);
		free(e);
		return NULL;
	}
	append_entry(c, e);
	c->nr_files++;
	while (c->nr_files > c->max_files && c->oldest != e)
		drop_entry(c, c->oldest);
	return e;
}

/* Consumes the handle. */
static int open_file(struct file_cache *c, int proc, int handle, const char *path,
		     const struct stat *st, struct entry **out)
{
	struct build_key build = {.size = (uint64_t)st->st_size, .uid = st->st_uid};
	int fd = proc__open_handle(handle), root;
	struct elf_file *file;
	const uint8_t *id;

	if (fd < 0)
		return fd;
	root = proc__root(proc);
	file = elf_file__new(fd, root, path);
	if (root >= 0)
		close(root);
	if (!file)
		return -ENOMEM;
	build.id_len = elf_file__build_id(file, &id);
	memcpy(build.id, id, build.id_len);
	*out = NULL;
	if (build.id_len)
		HASH_FIND(hh, c->builds, &build, sizeof(build), *out);
	if (*out) {
		elf_file__free(file);
		touch(c, *out);
		return 0;
	}
	*out = add_entry(c, file, &build);
	return *out ? 0 : -ENOMEM;
}

int file_cache__add(struct file_cache *c, int proc, struct mapping *m)
{
	struct file_key key;
	struct entry *entry;
	struct stat st;
	int handle, err;

	m->file = (struct file_key){};
	handle = proc__find_mapping(proc, m, &st);
	if (handle < 0)
		return handle;
	if (!S_ISREG(st.st_mode)) { /* a device's memory */
		close(handle);
		return -EINVAL;
	}
	key = file_key_of(&st);
	if (file_cache__find(c, &key)) {
		close(handle);
	} else {
		err = open_file(c, proc, handle, m->path, &st, &entry);
		if (!err)
			err = add_copy(c, entry, &key);
		if (err)
			return err;
	}
	m->file = key;
	return 0;
}

struct elf_file *file_cache__find(struct file_cache *c, const struct file_key *key)
{
	struct copy *copy;

	HASH_FIND(hh, c->copies, key, sizeof(*key), copy);
	if (!copy)
		return NULL;
	touch(c, copy->entry);
	return copy->entry->file;
}

void file_cache__trim(struct file_cache *c)
{
	uint64_t sum = 0;

	for (const struct entry *e = c->newest; e; e = e->older) {
		sum += elf_file__loaded_bytes(e->file);
		/* The latest one stays, whatever its size: it is in use. */
		if (sum > MAX_LOADED_BYTES && e != c->newest)
			elf_file__unload(e->file);
	}
}
