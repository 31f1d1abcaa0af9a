/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "user/source/record.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>
#include <zlib.h>

#include "user/base/clock.h"
#include "user/base/log.h"
#include "user/base/text.h"
#include "user/source/record_lines.h"
#include "user/source/recording.h"
#include "user/base/json.h"
#include "user/model/names.h"

#define IN_SIZE	       65536
#define OUT_SIZE       65536
#define GZIP_WINDOW    (15 + 16) /* zlib.h: + 16 writes a gzip header and trailer */
#define GZIP_LEVEL     3
#define FLUSH_AFTER_NS 1000000000ULL

struct context {
	uint64_t number; /* never used again, so that a damaged line cannot change what it means */
	struct churn_end common;
};

struct recorder {
	int fd;
	int error;	       /* the first one, -errno */
	char *path, *new_path; /* until it takes its name, NULL: it has it */
	char *version, *options;
	bool some_processes;
	z_stream z;
	bool deflating;
	unsigned char in[IN_SIZE], out[OUT_SIZE];
	size_t in_len;
	bool pending; /* something is not in the file yet */
	uint64_t flushed_ns;
	struct json json;
	struct source_start start;
	uint64_t last_ns; /* time of the last record, for lines that have none of their own */
	struct context *contexts;
	struct owner_set *owners;
};

static int fail(struct recorder *r, int err)
{
	if (r->error)
		return r->error;
	r->error = err;
	log_error("recording: cannot write %s: %s; it ends here, what is in it stays readable",
		  r->path, strerror(-err));
	return err;
}

static int write_all(struct recorder *r, const unsigned char *p, size_t len)
{
	while (len) {
		ssize_t n = write(r->fd, p, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return fail(r, n ? -errno : -EIO);
		p += n;
		len -= (size_t)n;
	}
	return 0;
}

/* Hands the collected lines to zlib, and what zlib makes of them to the file. */
static int deflate_lines(struct recorder *r, int flush)
{
	int err = 0;

	r->z.next_in = r->in;
	r->z.avail_in = (uInt)r->in_len;
	do {
		r->z.next_out = r->out;
		r->z.avail_out = OUT_SIZE;
		if (deflate(&r->z, flush) == Z_STREAM_ERROR)
			return fail(r, -EIO);
		err = write_all(r, r->out, OUT_SIZE - r->z.avail_out);
	} while (!err && !r->z.avail_out);
	r->in_len = 0;
	return err;
}

int recorder__flush(struct recorder *r)
{
	uint64_t now = clock_ns(CLOCK_MONOTONIC_COARSE);

	if (r->error)
		return r->error;
	if (!r->pending || now - r->flushed_ns < FLUSH_AFTER_NS)
		return 0;
	r->flushed_ns = now;
	r->pending = false;
	/* A full flush: what follows can be read even if what comes before is damaged. */
	return deflate_lines(r, Z_FULL_FLUSH);
}

static void begin_line(struct recorder *r, const char *name, uint64_t ts_ns)
{
	char time[TIME_TEXT_LEN];

	json__begin(&r->json);
	json__string(&r->json, "schema", RECORDING_SCHEMA);
	json__object(&r->json, "event");
	json__string(&r->json, "name", name);
	json__close(&r->json);
	json__string(&r->json, "time",
		     time_rfc3339(time, r->start.start_wall_ns + (ts_ns - r->start.start_mono_ns)));
}

static int end_line(struct recorder *r)
{
	const char *p;
	size_t left;
	int err;

	if (r->error)
		return r->error;
	err = json__finish(&r->json);
	if (err)
		return fail(r, err);
	p = r->json.buf;
	for (left = r->json.len; left;) {
		size_t n = IN_SIZE - r->in_len < left ? IN_SIZE - r->in_len : left;

		memcpy(r->in + r->in_len, p, n);
		r->in_len += n;
		p += n;
		left -= n;
		if (r->in_len == IN_SIZE && (err = deflate_lines(r, Z_NO_FLUSH)))
			return err;
	}
	r->pending = true;
	return recorder__flush(r);
}

struct json *recorder__begin(struct recorder *r, const char *name, uint64_t ts_ns)
{
	begin_line(r, name, ts_ns);
	return &r->json;
}

struct owner_set **recorder__owners(struct recorder *r)
{
	return &r->owners;
}

int recorder__end(struct recorder *r)
{
	return end_line(r);
}

/*
 * Never through a link, and never into a file that somebody else keeps open or may read. Under a
 * name of its own until something is recorded: what is there stays if nothing is.
 */
static int create_file(struct recorder *r)
{
	struct stat st;

	if (!strcmp(r->path, "-"))
		return fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
	if (!lstat(r->path, &st)) {
		if (S_ISLNK(st.st_mode)) {
			errno = ELOOP;
			return -1;
		}
		if (!S_ISREG(st.st_mode))
			return open(r->path, O_WRONLY | O_NOFOLLOW | O_CLOEXEC);
	}
	if (asprintf(&r->new_path, "%s.new", r->path) < 0) {
		r->new_path = NULL;
		errno = ENOMEM;
		return -1;
	}
	if (unlink(r->new_path) && errno != ENOENT)
		return -1;
	return open(r->new_path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
}

static int take_name(struct recorder *r)
{
	if (!r->new_path)
		return 0;
	if (rename(r->new_path, r->path))
		return -errno;
	free(r->new_path);
	r->new_path = NULL;
	return 0;
}

static int on_start(void *ctx, const struct source_start *s)
{
	struct recorder *r = ctx;
	struct json *j = &r->json;
	struct utsname host;
	int err = take_name(r);

	if (err)
		return fail(r, err);
	r->start = *s;
	r->last_ns = s->start_mono_ns;
	begin_line(r, "start", s->start_mono_ns);
	if (!uname(&host)) {
		json__object(j, "host");
		json__string(j, "name", host.nodename);
		json__string(j, "arch", host.machine);
		json__close(j);
		json__object(j, "os");
		json__string(j, "type", "linux");
		json__string(j, "version", host.release);
		json__close(j);
	}
	json__object(j, "tcpchurn");
	json__string(j, "version", r->version);
	json__string(j, "options", r->options);
	json__uint(j, "start_ns", s->start_mono_ns);
	if (r->some_processes)
		json__bool(j, "some_processes", true);
	if (s->nr_pids)
		json__array(j, "pids");
	for (uint32_t i = 0; i < s->nr_pids; i++)
		json__uint(j, NULL, s->pids[i]);
	return end_line(r);
}

static int on_process(void *ctx, const struct process_identity *p)
{
	struct recorder *r = ctx;

	begin_line(r, "process", r->last_ns);
	record_process(&r->json, p);
	return end_line(r);
}

static void put_frame(struct json *j, const struct frame *f)
{
	json__object(j, NULL);
	json__string(j, "function", f->function);
	json__string(j, "file", f->file);
	record_nonzero(j, "line", f->line);
	json__string(j, "module", f->module);
	json__uint(j, "pc", f->pc);
	json__uint(j, "offset", f->offset);
	if (f->inlined)
		json__bool(j, "inlined", true);
	json__close(j);
}

static int on_stack(void *ctx, const struct stack_trace *s)
{
	struct recorder *r = ctx;
	struct json *j = &r->json;
	uint32_t i;

	begin_line(r, "stack", r->last_ns);
	json__object(j, "process");
	record_id(j, &s->process);
	json__close(j);
	json__object(j, "tcpchurn");
	json__object(j, "stack");
	json__hex(j, "id", s->id);
	json__string(j, "language", s->language);
	if (s->truncated)
		json__bool(j, "truncated", true);
	json__array(j, "frames");
	for (i = 0; i < s->nr; i++)
		put_frame(j, &s->frames[i]);
	return end_line(r);
}

/* What successive connections of the same kind have in common: everything but their own. */
static void make_context(struct churn_end *c, const struct churn_end *e)
{
	*c = *e;
	memset(&c->h, 0, sizeof(c->h));
	c->conn.id = 0;
	c->conn.open_ns = 0;
	c->conn.established_ns = 0;
	c->conn.search_ns = 0;
	if (e->conn.role == CHURN_SERVER)
		c->conn.peer_port = 0;
	else
		c->conn.local_port = 0;
	c->bytes_sent = c->bytes_received = c->idle_ns = c->ending_ns = 0;
	c->segs_out = c->segs_in = 0;
	c->data_segs_out = c->data_segs_in = 0;
}

static uint32_t context_slot(const struct churn_end *c)
{
	uint64_t words[sizeof(*c) / sizeof(uint64_t)], hash = 0;
	size_t i;

	memcpy(words, c, sizeof(words));
	for (i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		hash = (hash ^ words[i]) * 0x9e3779b97f4a7c15ULL;
		hash ^= hash >> 32;
	}
	return (uint32_t)(hash % RECORDING_CONTEXTS);
}

static void put_context_close(struct json *j, const struct churn_end *c)
{
	if (c->conn.initiator || c->close_stack) {
		json__object(j, "close");
		json__string(j, "initiator", name_initiator(c->conn.initiator));
		if (c->close_stack)
			json__hex(j, "stack", c->close_stack);
		json__close(j);
	}
	record_nested(j, "time_wait", "owner", name_time_wait(c->time_wait));
	record_nonzero(j, "errno", c->error);
	record_nested(j, "failure", "cause", name_cause(c->cause));
}

static int write_context(struct recorder *r, uint64_t number, const struct churn_end *c)
{
	const struct churn_conn *conn = &c->conn;
	char comm[CHURN_COMM_LEN + 1] = "";
	struct json *j = &r->json;

	begin_line(r, "context", r->last_ns);
	json__object(j, "process");
	record_id(j, &conn->owner);
	json__close(j);
	json__object(j, "thread");
	record_nonzero(j, "id", conn->tid);
	memcpy(comm, conn->comm, CHURN_COMM_LEN);
	if (*comm)
		json__string(j, "name", comm);
	json__close(j);
	json__object(j, "network");
	json__string(j, "type", conn->family == 6 ? "ipv6" : conn->family == 4 ? "ipv4" : NULL);
	record_address(j, "local", conn->local_addr, conn->local_port);
	record_address(j, "peer", conn->peer_addr, conn->peer_port);
	json__close(j);
	json__object(j, "tcpchurn");
	json__uint(j, "context", number);
	json__uint(j, "netns", conn->netns);
	json__string(j, "role", name_role(conn->role));
	json__string(j, "attribution", name_attribution(conn->attribution));
	if (conn->stack) {
		json__object(j, "stack");
		json__hex(j, "id", conn->stack);
		json__close(j);
	}
	put_context_close(j, c);
	return end_line(r);
}

/* A connection lives until its first FIN; the record of its close may come seconds later. */
static uint64_t end_of(const struct churn_end *e)
{
	return e->ending_ns && e->ending_ns <= e->h.ts_ns ? e->ending_ns : e->h.ts_ns;
}

/* Relative to the line's time where that is possible, which is shorter and what readers expect. */
static void put_times(struct json *j, const struct churn_end *e)
{
	uint64_t established = e->conn.established_ns, open = e->conn.open_ns;
	uint64_t base = established ? established : e->h.ts_ns;

	json__object(j, "connect");
	if (open && open <= base)
		json__uint(j, "duration_ns", base - open);
	record_nonzero(j, "port_search_ns", e->conn.search_ns);
	json__close(j);
	if (open > base)
		json__uint(j, "open_ns", open);
	if (established > end_of(e))
		json__uint(j, "established_ns", established);
	if (e->ending_ns > e->h.ts_ns)
		json__uint(j, "ending_ns", e->ending_ns);
}

static void put_own(struct json *j, const struct churn_end *e)
{
	static const uint8_t in_context[16];
	const struct churn_conn *conn = &e->conn;

	json__object(j, "network");
	if (conn->role == CHURN_SERVER)
		record_address(j, "peer", in_context, conn->peer_port);
	else
		record_address(j, "local", in_context, conn->local_port);
	json__close(j);
	json__object(j, "tcpchurn");
	if (churn_cookie(conn)) {
		json__object(j, "socket");
		json__hex(j, "cookie", churn_cookie(conn));
		json__close(j);
	}
	put_times(j, e);
	json__object(j, "connection");
	if (conn->established_ns && conn->established_ns <= end_of(e))
		json__uint(j, "lifetime_ns", end_of(e) - conn->established_ns);
	if (e->ending_ns && e->ending_ns <= e->h.ts_ns)
		json__uint(j, "ending_lag_ns", e->h.ts_ns - e->ending_ns);
	record_nonzero(j, "bytes_sent", e->bytes_sent);
	record_nonzero(j, "bytes_received", e->bytes_received);
	record_nonzero(j, "segments_out", e->segs_out);
	record_nonzero(j, "segments_in", e->segs_in);
	record_nonzero(j, "data_segments_out", e->data_segs_out);
	record_nonzero(j, "data_segments_in", e->data_segs_in);
	record_nonzero(j, "idle_ns", e->idle_ns);
	json__close(j);
	json__string(j, "activation", name_activation(e->activation));
	record_nonzero(j, "activation_frame", e->activation_frame);
}

static int record_event(struct recorder *r, const char *name, const struct churn_end *e)
{
	struct churn_end common;
	struct context *c;
	int err;

	r->last_ns = e->h.ts_ns;
	make_context(&common, e);
	c = &r->contexts[context_slot(&common)];
	if (memcmp(&c->common, &common, sizeof(common))) {
		c->number += RECORDING_CONTEXTS;
		c->common = common;
		err = write_context(r, c->number, &common);
		if (err)
			return err;
	}
	begin_line(r, name, e->h.ts_ns);
	put_own(&r->json, e);
	json__uint(&r->json, "context", c->number);
	return end_line(r);
}

static int on_open(void *ctx, const struct churn_open *e)
{
	struct churn_end end = {.h = e->h, .conn = e->conn};

	return record_event(ctx, e->h.type == CHURN_ACCEPT ? "accept" : "connect", &end);
}

static int on_end(void *ctx, const struct churn_end *e)
{
	return record_event(ctx,
			    e->h.type == CHURN_FAILED	     ? "connect_failed"
			    : e->h.type == CHURN_BIND_FAILED ? "bind_failed"
							     : "close",
			    e);
}

static int on_status(void *ctx, const struct source_status *s)
{
	struct recorder *r = ctx;
	struct json *j = &r->json;
	unsigned int i;

	r->last_ns = s->now_ns;
	begin_line(r, s->stopped ? "summary" : "lost", s->now_ns);
	json__object(j, "tcpchurn");
	json__uint(j, "in_progress", s->in_progress);
	record_nonzero(j, "older_closes", s->older);
	json__object(j, "lost");
	json__object(j, "by_reason");
	for (i = 0; i < CHURN_LOST__COUNT; i++)
		record_nonzero(j, name_lost(i), s->lost[i]);
	record_nonzero(j, "user", s->lost_user);
	return end_line(r);
}

static void free_recorder(struct recorder *r)
{
	if (r->deflating)
		deflateEnd(&r->z);
	if (r->fd >= 0)
		close(r->fd);
	if (r->new_path)
		unlink(r->new_path);
	free(r->new_path);
	json__free(&r->json);
	owner_set__clear(&r->owners);
	free(r->contexts);
	free(r->path);
	free(r->version);
	free(r->options);
	free(r);
}

struct recorder *recorder__open(const char *path, const struct recorder_options *opts)
{
	struct recorder *r = calloc(1, sizeof(*r));
	int err = ENOMEM;
	uint32_t i;

	if (!r)
		return NULL;
	r->fd = -1;
	r->json.keep_bytes = true;
	r->flushed_ns = clock_ns(CLOCK_MONOTONIC_COARSE);
	r->path = strdup(path);
	r->some_processes = opts->some_processes;
	r->version = opts->version ? strdup(opts->version) : NULL;
	r->options = opts->options ? strdup(opts->options) : NULL;
	r->contexts = calloc(RECORDING_CONTEXTS, sizeof(*r->contexts));
	if (!r->path || !r->contexts || (opts->version && !r->version) ||
	    (opts->options && !r->options))
		goto out;
	for (i = 0; i < RECORDING_CONTEXTS; i++) {
		r->contexts[i].number = i;
		r->contexts[i].common.h.type = UINT32_MAX; /* unlike any real one */
	}
	if (deflateInit2(&r->z, GZIP_LEVEL, Z_DEFLATED, GZIP_WINDOW, 8, Z_DEFAULT_STRATEGY) != Z_OK)
		goto out;
	r->deflating = true;
	r->fd = create_file(r);
	if (r->fd >= 0)
		return r;
	err = errno;
out:
	free_recorder(r);
	errno = err;
	return NULL;
}

struct sink recorder__sink(struct recorder *r)
{
	return (struct sink){.ctx = r,
			     .start = on_start,
			     .process = on_process,
			     .stack = on_stack,
			     .open = on_open,
			     .end = on_end,
			     .status = on_status,
			     .census = record_census};
}

int recorder__close(struct recorder *r)
{
	int err;

	if (!r->error)
		deflate_lines(r, Z_FINISH);
	/* Some file systems report a full disk only here. */
	if (close(r->fd) && errno != EINTR)
		fail(r, -errno);
	r->fd = -1;
	err = r->error;
	free_recorder(r);
	return err;
}
