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

/* Reads at most MAX_TEXT bytes from the end of the file. */
static int read_tail(int fd, off_t size, char **text, size_t *len)
{
	off_t at = size > (off_t)MAX_TEXT ? size - (off_t)MAX_TEXT : 0;
	size_t want = (size_t)(size - at);
	char *buf = malloc(want + 1);

	if (!buf)
		return -ENOMEM;
	*len = 0;
	while (*len < want) {
		ssize_t n = pread(fd, buf + *len, want - *len, at + (off_t)*len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		*len += (size_t)n;
	}
	buf[*len] = '\0';
	*text = buf;
	return 0;
}

int perf_map__read(struct perf_map *m, int proc)
{
	struct proc_credentials cred;
	char path[64], *text;
	struct stat st;
	int root, fd, err;
	size_t len;

	*m = (struct perf_map){};
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
		err = read_tail(fd, st.st_size, &text, &len);
	close(fd);
	return err ? err : perf_map__parse(m, text, len);
}

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

static int add_entry(struct perf_map *m, size_t *cap, const struct perf_map_entry *e)
{
	if (m->nr == *cap) {
		size_t more = *cap ? *cap * 2 : 256;
		struct perf_map_entry *at = realloc(m->at, more * sizeof(*at));

		if (!at)
			return -ENOMEM;
		m->at = at;
		*cap = more;
	}
	m->at[m->nr++] = *e;
	return 0;
}

int perf_map__parse(struct perf_map *m, char *text, size_t size)
{
	char *line = text, *end = text + size;
	size_t cap = 0;
	int err = 0;

	*m = (struct perf_map){.text = text, .text_size = size};
	while (!err && line < end && m->nr < MAX_ENTRIES) {
		char *stop = memchr(line, '\n', (size_t)(end - line));
		struct perf_map_entry e;

		/* A last line without its end is still being written. */
		if (!stop)
			break;
		*stop = '\0';
		if (stop - line <= MAX_LINE && parse_line(text, line, &e))
			err = add_entry(m, &cap, &e);
		line = stop + 1;
	}
	if (err) {
		perf_map__clear(m);
		return err;
	}
	if (m->nr)
		qsort(m->at, m->nr, sizeof(*m->at), compare);
	return 0;
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
