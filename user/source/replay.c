/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "user/source/replay.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

#include "user/source/replay_records.h"

#define RAW_SIZE    (256 * 1024)
#define LINE_SIZE   (1024 * 1024) /* longer lines are bad ones */
#define GZIP_WINDOW (15 + 16)	  /* zlib.h: + 16 wants a gzip header and trailer */

/* Where the text comes from: a file, through zlib if it is gzip'd. */
struct input {
	int fd;
	bool eof; /* of the file */
	bool gzip;
	bool resync;	/* damaged: skip to the next full flush */
	bool in_member; /* between a gzip header and its trailer */
	uint64_t damaged;
	z_stream z; /* next_in, avail_in: raw bytes not used yet, gzip'd or not */
	unsigned char raw[RAW_SIZE];
};

struct replay {
	struct input in;
	struct replay_records *records;
	struct replay_stats *stats;
	const volatile sig_atomic_t *stop;
	bool skipping; /* the rest of a line that is too long */
	size_t len;    /* of the text in buf that has no newline yet */
	char buf[LINE_SIZE];
};

static bool stopped(const struct replay *r)
{
	return r->stop && *r->stop;
}

static bool has_magic(const struct input *in)
{
	return in->z.avail_in >= 2 && in->z.next_in[0] == 0x1f && in->z.next_in[1] == 0x8b;
}

/* More raw bytes behind those not used yet. 0, also at the end of the file, or -errno. */
static int fill(struct replay *r, size_t at_least)
{
	struct input *in = &r->in;

	memmove(in->raw, in->z.next_in, in->z.avail_in);
	in->z.next_in = in->raw;
	while (!in->eof && in->z.avail_in < at_least) {
		ssize_t n = read(in->fd, in->raw + in->z.avail_in, RAW_SIZE - in->z.avail_in);

		if (n < 0 && errno == EINTR && !stopped(r))
			continue;
		if (n < 0 && errno != EINTR)
			return -errno;
		in->eof = n <= 0;
		in->z.avail_in += n > 0 ? (uInt)n : 0;
	}
	return 0;
}

static int open_input(struct replay *r, const char *path)
{
	struct input *in = &r->in;
	int err;

	in->fd = strcmp(path, "-") ? open(path, O_RDONLY | O_CLOEXEC)
				   : fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3);
	if (in->fd < 0)
		return -errno;
	in->z.next_in = in->raw;
	err = fill(r, 2);
	if (err)
		return err;
	if (!has_magic(in))
		return 0;
	if (inflateInit2(&in->z, GZIP_WINDOW) != Z_OK)
		return -ENOMEM;
	in->gzip = true;
	in->in_member = true;
	return 0;
}

static void close_input(struct input *in)
{
	if (in->gzip)
		inflateEnd(&in->z);
	if (in->fd >= 0)
		close(in->fd);
}

/* Behind a gzip member: another one, the end, or bytes that do not belong there. */
static void next_member(struct input *in)
{
	if (in->eof && !in->z.avail_in)
		return;
	if (has_magic(in) && inflateReset(&in->z) == Z_OK) {
		in->in_member = true;
		return;
	}
	in->damaged++;
	in->eof = true;
	in->z.avail_in = 0;
}

/* One step: something into out, or some raw bytes used up. Returns the length of the former. */
static size_t inflate_some(struct input *in, char *out, size_t size)
{
	int ret;

	if (in->resync) {
		if (inflateSync(&in->z) != Z_OK)
			return 0;
		in->resync = false;
		*out = '\n'; /* what the damage cut off ends here */
		return 1;
	}
	in->z.next_out = (unsigned char *)out;
	in->z.avail_out = (uInt)size;
	ret = inflate(&in->z, Z_NO_FLUSH);
	size -= in->z.avail_out;
	if (ret == Z_STREAM_END) {
		in->in_member = false;
	} else if (ret != Z_OK && ret != Z_BUF_ERROR) {
		in->damaged++;
		in->resync = true;
	}
	return size;
}

static size_t copy_plain(struct input *in, char *out, size_t size)
{
	size_t n = in->z.avail_in < size ? in->z.avail_in : size;

	memcpy(out, in->z.next_in, n);
	in->z.next_in += n;
	in->z.avail_in -= (uInt)n;
	return n;
}

/* Up to `size` bytes of text. 0: no more, else the length or -errno. */
static ssize_t read_text(struct replay *r, char *out, size_t size)
{
	struct input *in = &r->in;

	while (!stopped(r)) {
		size_t n;
		int err;

		if (!in->z.avail_in || (in->gzip && !in->in_member)) {
			err = fill(r, 2);
			if (err)
				return err;
			if (in->gzip && !in->in_member)
				next_member(in);
		}
		if (!in->gzip) {
			n = copy_plain(in, out, size);
		} else {
			/* Even without input: zlib may hold back output. */
			n = in->in_member ? inflate_some(in, out, size) : 0;
		}
		if (n)
			return (ssize_t)n;
		if (in->eof && !in->z.avail_in)
			return 0;
	}
	return 0;
}

static int feed_line(struct replay *r, char *text, size_t len)
{
	int err;

	if (r->skipping) {
		r->skipping = false;
		return 0;
	}
	if (len && text[len - 1] == '\r')
		len--;
	if (!len)
		return 0;
	r->stats->lines++;
	err = replay_records__line(r->records, text, len);
	if (err == REPLAY_BAD_LINE)
		r->stats->bad_lines++;
	return err < 0 ? err : 0;
}

/* All whole lines in the buffer; what is left moves to its front. */
static int feed_lines(struct replay *r)
{
	char *p = r->buf, *end = r->buf + r->len, *newline;

	while (!stopped(r) && (newline = memchr(p, '\n', (size_t)(end - p)))) {
		int err = feed_line(r, p, (size_t)(newline - p));

		if (err)
			return err;
		p = newline + 1;
	}
	r->len = (size_t)(end - p);
	memmove(r->buf, p, r->len);
	if (r->len == LINE_SIZE) {
		if (!r->skipping) {
			r->stats->lines++;
			r->stats->bad_lines++;
		}
		r->skipping = true;
		r->len = 0;
	}
	return 0;
}

/* The last line may lack its newline; a gzip stream without its end has lost some. */
static int feed_rest(struct replay *r)
{
	uint64_t bad = r->stats->bad_lines;
	int err = 0;

	if (stopped(r))
		return 0;
	if (r->len)
		err = feed_line(r, r->buf, r->len);
	if (r->in.gzip && r->in.in_member && bad == r->stats->bad_lines)
		r->in.damaged++;
	r->stats->bad_lines += r->in.damaged;
	return err;
}

static int run(struct replay *r, const char *path)
{
	ssize_t n;
	int err = open_input(r, path);

	while (!err) {
		n = read_text(r, r->buf + r->len, LINE_SIZE - r->len);
		if (n < 0)
			return (int)n;
		if (!n)
			break;
		r->len += (size_t)n;
		err = feed_lines(r);
	}
	if (!err)
		err = feed_rest(r);
	if (err)
		return err;
	if (r->stats->lines <= r->stats->bad_lines && !stopped(r))
		return -EBADMSG;
	return replay_records__finish(r->records);
}

int replay__run(const char *path, const struct sink *sink, const volatile sig_atomic_t *stop,
		struct replay_stats *out)
{
	struct replay *r = calloc(1, sizeof(*r));
	int err;

	memset(out, 0, sizeof(*out));
	if (!r)
		return -ENOMEM;
	r->in.fd = -1;
	r->stats = out;
	r->stop = stop;
	r->records = replay_records__new(sink, out);
	err = r->records ? run(r, path) : -ENOMEM;
	replay_records__free(r->records);
	close_input(&r->in);
	free(r);
	return err;
}
