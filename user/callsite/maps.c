/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "user/callsite/maps.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "user/base/clock.h"
#include "user/callsite/proc.h"

#define MAX_MAPPINGS  16384
#define MAX_MAPS_TEXT (16U << 20)

static const char deleted_suffix[] = " (deleted)";

struct file_key file_key_of(const struct stat *st)
{
	return (struct file_key){
		.dev = st->st_dev,
		.inode = st->st_ino,
		.size = (uint64_t)st->st_size,
		.mtime_ns = timespec_ns(&st->st_mtim),
	};
}

bool file_key_same(const struct file_key *a, const struct file_key *b)
{
	return a->dev == b->dev && a->inode == b->inode && a->size == b->size &&
	       a->mtime_ns == b->mtime_ns;
}

/* Appends one line. 0, also for a line of no interest, or -ENOMEM. */
static int add_line(struct maps *m, uint32_t *cap, char *line)
{
	struct mapping map = {};
	char perms[5];
	int path_at = -1;
	size_t len;

	/* address perms offset dev inode path: proc_pid_maps(5) */
	if (sscanf(line,
		   "%" SCNx64 "-%" SCNx64 " %4s %" SCNx64 " %" SCNx32 ":%" SCNx32 " %" SCNu64 " %n",
		   &map.start, &map.end, perms, &map.offset, &map.major, &map.minor, &map.inode,
		   &path_at) != 7 ||
	    path_at < 0 || !strchr(perms, 'x') || map.end <= map.start)
		return 0;
	if (m->nr == MAX_MAPPINGS) {
		m->truncated = true;
		return 0;
	}
	if (m->nr == *cap) {
		uint32_t more = *cap ? *cap * 2 : 32;
		struct mapping *at = realloc(m->at, more * sizeof(*at));

		if (!at)
			return -ENOMEM;
		m->at = at;
		*cap = more;
	}
	line += path_at;
	len = strlen(line);
	if (len > sizeof(deleted_suffix) - 1 &&
	    !strcmp(line + len - (sizeof(deleted_suffix) - 1), deleted_suffix))
		line[len - (sizeof(deleted_suffix) - 1)] = '\0';
	if (*line) {
		map.path = strdup(line);
		if (!map.path)
			return -ENOMEM;
	}
	m->at[m->nr++] = map;
	return 0;
}

int maps__parse(struct maps *m, char *text)
{
	char *save = NULL, *line;
	uint32_t cap = 0;

	*m = (struct maps){};
	for (line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		int err = add_line(m, &cap, line);

		if (err) {
			maps__clear(m);
			return err;
		}
	}
	return 0;
}

int maps__read(struct maps *m, int proc)
{
	char *text;
	size_t size;
	int err;

	*m = (struct maps){};
	err = proc__read(proc, "maps", MAX_MAPS_TEXT, &text, &size);
	if (err)
		return err;
	/* A process that is exiting has given up its memory already: an empty file. */
	err = size ? maps__parse(m, text) : -ESRCH;
	free(text);
	return err;
}

void maps__clear(struct maps *m)
{
	for (uint32_t i = 0; i < m->nr; i++)
		free(m->at[i].path);
	free(m->at);
	*m = (struct maps){};
}

struct mapping *maps__find(const struct maps *m, uint64_t addr)
{
	uint32_t low = 0, high = m->nr;

	while (low < high) {
		uint32_t mid = low + (high - low) / 2;

		if (m->at[mid].end <= addr)
			low = mid + 1;
		else
			high = mid;
	}
	return low < m->nr && m->at[low].start <= addr ? &m->at[low] : NULL;
}
