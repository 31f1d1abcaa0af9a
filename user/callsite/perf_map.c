/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "user/callsite/perf_map.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "user/callsite/proc.h"

#define MAX_TEXT    (64U << 20) /* of a longer file the end is read: the newest code */
#define MAX_ENTRIES (2U << 20)
#define MAX_LINE    2048
#define MAX_BACK    256 /* entries that overlap */

/* Hexadecimal digits up to a blank, with or without 0x. NULL: not a number. */
static char *parse_hex(char *at, uint64_t *value)
{
	char *end;

	if (strspn(at, "0123456789abcdefABCDEF") == 0)
		return NULL;
	errno = 0;
	*value = strtoull(at, &end, 16);
	if (errno || end == at || *end != ' ')
		return NULL;
	return end + strspn(end, " ");
}

static bool parse_line(const char *text, char *line, struct perf_map_entry *out)
{
	uint64_t start, size;
	char *at;

	at = parse_hex(line, &start);
	at = at ? parse_hex(at, &size) : NULL;
	if (!at || !*at || !size || size > UINT32_MAX || start + size < start)
		return false;
	*out = (struct perf_map_entry){
		.start = start,
		.size = (uint32_t)size,
		.name = (uint32_t)(at - text),
	};
	return true;
}

static int compare(const void *a, const void *b)
{
	const struct perf_map_entry *x = a, *y = b;

	if (x->start != y->start)
		return x->start < y->start ? -1 : 1;
	return x->name < y->name ? -1 : x->name > y->name;
}

static int add_entry(struct perf_map *m, const struct perf_map_entry *e)
{
	if (m->nr == m->cap) {
		size_t more = m->cap ? m->cap * 2 : 256;
		struct perf_map_entry *at = realloc(m->at, more * sizeof(*at));

		if (!at)
			return -ENOMEM;
		m->at = at;
		m->cap = more;
	}
	m->at[m->nr++] = *e;
	return 0;
}

/* The lines from there on; m->text_size is where the last whole one ends. */
static int add_lines(struct perf_map *m, size_t from, size_t size)
{
	char *line = m->text + from, *end = line + size;
	int err = 0;

	while (!err && line < end) {
		char *stop = memchr(line, '\n', (size_t)(end - line));
		struct perf_map_entry e;

		/* A last line without its end is still being written. */
		if (!stop)
			break;
		*stop = '\0';
		if (stop - line <= MAX_LINE && m->nr < MAX_ENTRIES && parse_line(m->text, line, &e))
			err = add_entry(m, &e);
		line = stop + 1;
	}
	m->text_size = (size_t)(line - m->text);
	return err;
}

/* The first `old` entries are sorted, and so are those that came now; together they are not. */
static int merge(struct perf_map *m, size_t old)
{
	struct perf_map_entry *at, *to;
	size_t left = 0, right = old;

	if (m->nr > old)
		qsort(m->at + old, m->nr - old, sizeof(*m->at), compare);
	if (!old || m->nr == old || compare(&m->at[old - 1], &m->at[old]) < 0)
		return 0;
	at = malloc(m->nr * sizeof(*at));
	if (!at)
		return -ENOMEM;
	for (to = at; left < old || right < m->nr; to++)
		*to = right == m->nr || (left < old && compare(&m->at[left], &m->at[right]) < 0)
			      ? m->at[left++]
			      : m->at[right++];
	free(m->at);
	m->at = at;
	m->cap = m->nr;
	return 0;
}

int perf_map__add(struct perf_map *m, const char *bytes, size_t size)
{
	size_t from = m->text_size, old = m->nr;
	char *text = realloc(m->text, from + size + 1);
	int err = text ? 0 : -ENOMEM;

	if (!err) {
		m->text = text;
		memcpy(text + from, bytes, size);
		text[from + size] = '\0';
		err = add_lines(m, from, size);
	}
	if (!err)
		err = merge(m, old);
	if (err)
		perf_map__clear(m);
	return err;
}

/* --- the file --------------------------------------------------------------------------------- */

static size_t read_at(int fd, uint64_t at, char *bytes, size_t want)
{
	size_t len = 0;

	while (len < want) {
		ssize_t n = pread(fd, bytes + len, want - len, (off_t)(at + len));

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		len += (size_t)n;
	}
	return len;
}

/* From there to the end of the file. */
static int add_file(struct perf_map *m, int fd, uint64_t at, const struct stat *st)
{
	size_t want = (size_t)((uint64_t)st->st_size - at), before = m->text_size, len;
	char *bytes = malloc(want ? want : 1);
	int err;

	if (!bytes)
		return -ENOMEM;
	len = read_at(fd, at, bytes, want);
	err = perf_map__add(m, bytes, len);
	len = err ? 0 : m->text_size - before;
	if (len) {
		m->tail_len = len < sizeof(m->tail) ? len : sizeof(m->tail);
		memcpy(m->tail, bytes + len - m->tail_len, m->tail_len);
	}
	m->dev = st->st_dev;
	m->inode = st->st_ino;
	m->end = at + len;
	free(bytes);
	return err;
}

/* What was read is still there. Some append, others write it all anew. */
static bool is_continued(const struct perf_map *m, int fd, const struct stat *st)
{
	char tail[PERF_MAP_TAIL];

	return m->tail_len && m->dev == st->st_dev && m->inode == st->st_ino &&
	       m->end <= (uint64_t)st->st_size &&
	       (uint64_t)st->st_size - m->end <= MAX_TEXT - m->text_size &&
	       read_at(fd, m->end - m->tail_len, tail, m->tail_len) == m->tail_len &&
	       !memcmp(tail, m->tail, m->tail_len);
}

static int update_from(struct perf_map *m, int fd, const struct stat *st)
{
	uint64_t size = (uint64_t)st->st_size;
	struct perf_map fresh = {};
	int err;

	if (is_continued(m, fd, st))
		return size == m->end ? 0 : add_file(m, fd, m->end, st);
	err = add_file(&fresh, fd, size > MAX_TEXT ? size - MAX_TEXT : 0, st);
	if (err)
		return err;
	perf_map__clear(m);
	*m = fresh;
	return 0;
}

int perf_map__update(struct perf_map *m, int proc)
{
	struct proc_credentials cred;
	struct stat st;
	char path[64];
	int root, fd, err;

	err = proc__credentials(proc, &cred);
	if (err)
		return err;
	root = proc__root(proc);
	if (root < 0)
		return root;
	snprintf(path, sizeof(path), "/tmp/perf-%" PRIu32 ".map", cred.ns_pid);
	fd = proc__open_in_root(root, path, &st);
	close(root);
	if (fd < 0)
		return fd;
	/* /tmp is everybody's: another user could have put names there for this process. */
	if (st.st_uid && st.st_uid != cred.uid && st.st_uid != cred.effective_uid)
		err = -EACCES;
	else
		err = update_from(m, fd, &st);
	close(fd);
	return err;
}

void perf_map__clear(struct perf_map *m)
{
	free(m->text);
	free(m->at);
	*m = (struct perf_map){};
}

const char *perf_map__find(const struct perf_map *m, uint64_t addr)
{
	const struct perf_map_entry *best = NULL;
	size_t low = 0, high = m->nr;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (m->at[mid].start <= addr)
			low = mid + 1;
		else
			high = mid;
	}
	for (size_t i = low; i-- && low - i <= MAX_BACK;) {
		const struct perf_map_entry *e = &m->at[i];

		if (addr - e->start < e->size && (!best || e->name > best->name))
			best = e;
	}
	return best ? m->text + best->name : NULL;
}

size_t perf_map__bytes(const struct perf_map *m)
{
	return m->text_size + m->nr * sizeof(*m->at);
}
