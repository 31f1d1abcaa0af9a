/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "user/source/replay_records.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "user/base/array.h"
#include "user/source/filter.h"
#include "user/source/recording.h"
#include "user/source/replay_census.h"
#include "user/source/replay_fields.h"
#include "user/model/names.h"

#define MAX_FRAMES 16384 /* inlined ones included */
#define MAX_ERRNO  4095

struct context {
	uint64_t number;
	struct churn_end common; /* h.size is 0: not known (yet) */
};

struct replay_records {
	const struct sink *sink;
	struct replay_stats *stats;
	struct line *line;
	struct source_start start;
	uint32_t pids[FILTER_MAX_PIDS];
	bool started;
	struct source_status status; /* the last one that was recorded */
	struct context *contexts;
	struct replay_census *census;
	char **args;
	struct frame *frames;
};

struct replay_records *replay_records__new(const struct sink *sink, struct replay_stats *stats)
{
	struct replay_records *r = calloc(1, sizeof(*r));

	if (!r)
		return NULL;
	r->sink = sink;
	r->stats = stats;
	r->line = line__new();
	r->contexts = calloc(RECORDING_CONTEXTS, sizeof(*r->contexts));
	r->census = replay_census__new();
	r->args = calloc(REPLAY_MAX_ARGS + 1, sizeof(*r->args));
	r->frames = calloc(MAX_FRAMES, sizeof(*r->frames));
	if (!r->line || !r->contexts || !r->census || !r->args || !r->frames) {
		replay_records__free(r);
		errno = ENOMEM;
		return NULL;
	}
	return r;
}

void replay_records__free(struct replay_records *r)
{
	if (!r)
		return;
	line__free(r->line);
	replay_census__free(r->census);
	free(r->contexts);
	free(r->args);
	free(r->frames);
	free(r);
}

/* CLOCK_MONOTONIC time of the line. */
static bool take_ts(struct replay_records *r, __u64 *out)
{
	uint64_t wall;

	if (!line__has(r->line, F_TIME) || !line__time(r->line, F_TIME, &wall))
		return false;
	if (wall < r->start.start_wall_ns && r->start.start_wall_ns - wall > r->start.start_mono_ns)
		return false;
	*out = r->start.start_mono_ns + (wall - r->start.start_wall_ns);
	return true;
}

static bool take_context(struct line *l, struct churn_end *e)
{
	struct churn_conn *c = &e->conn;

	return take_id(l, &c->owner) && take_u32(l, F_TID, &c->tid) &&
	       take_text(l, F_THREAD_NAME, c->comm, CHURN_COMM_LEN, CHURN_COMM_LEN) &&
	       line__name(l, F_FAMILY, family_from_name, &c->family) &&
	       take_addr(l, F_LOCAL_ADDR, c->local_addr) &&
	       take_addr(l, F_PEER_ADDR, c->peer_addr) &&
	       take_u16(l, F_LOCAL_PORT, UINT16_MAX, &c->local_port) &&
	       take_u16(l, F_PEER_PORT, UINT16_MAX, &c->peer_port) &&
	       take_u32(l, F_NETNS, &c->netns) && line__name(l, F_ROLE, role_from_name, &c->role) &&
	       line__name(l, F_ATTRIBUTION, attribution_from_name, &c->attribution) &&
	       take_hex(l, F_STACK, &c->stack) &&
	       line__name(l, F_INITIATOR, initiator_from_name, &c->initiator) &&
	       take_hex(l, F_CLOSE_STACK, &e->close_stack) &&
	       line__name(l, F_TIME_WAIT, time_wait_from_name, &e->time_wait) &&
	       take_u16(l, F_ERRNO, MAX_ERRNO, &e->error) &&
	       line__name(l, F_CAUSE, cause_from_name, &e->cause);
}

/* *out becomes base less the field, where that is there. */
static bool take_span(struct line *l, enum field f, uint64_t base, __u64 *out)
{
	uint64_t span;

	if (!line__has(l, f))
		return true;
	if (!line__uint(l, f, base, &span))
		return false;
	*out = base - span;
	return true;
}

/* The line's times are relative to its own, see put_times() in record.c. */
static bool take_times(struct line *l, struct churn_end *e)
{
	struct churn_conn *c = &e->conn;
	uint64_t ts = e->h.ts_ns, end;

	if (!take_u64(l, F_OPEN_NS, &c->open_ns) ||
	    !take_u64(l, F_ESTABLISHED_NS, &c->established_ns) ||
	    !take_u64(l, F_ENDING_NS, &e->ending_ns) ||
	    !take_span(l, F_ENDING_LAG_NS, ts, &e->ending_ns))
		return false;
	end = e->ending_ns && e->ending_ns <= ts ? e->ending_ns : ts;
	return take_span(l, F_LIFETIME_NS, end, &c->established_ns) &&
	       take_span(l, F_CONNECT_NS, c->established_ns ? c->established_ns : ts, &c->open_ns);
}

static bool take_own(struct line *l, struct churn_end *e)
{
	return take_u16(l, F_LOCAL_PORT, UINT16_MAX, &e->conn.local_port) &&
	       take_u16(l, F_PEER_PORT, UINT16_MAX, &e->conn.peer_port) &&
	       take_hex(l, F_COOKIE, &e->conn.id) && take_times(l, e) &&
	       take_u32(l, F_SEARCH_NS, &e->conn.search_ns) &&
	       take_u64(l, F_BYTES_SENT, &e->bytes_sent) &&
	       take_u64(l, F_BYTES_RECEIVED, &e->bytes_received) &&
	       take_u64(l, F_IDLE_NS, &e->idle_ns) && take_u32(l, F_SEGS_OUT, &e->segs_out) &&
	       take_u32(l, F_SEGS_IN, &e->segs_in) &&
	       take_u32(l, F_DATA_SEGS_OUT, &e->data_segs_out) &&
	       take_u32(l, F_DATA_SEGS_IN, &e->data_segs_in) &&
	       line__name(l, F_ACTIVATION, activation_from_name, &e->activation) &&
	       take_u8(l, F_ACTIVATION_FRAME, &e->activation_frame);
}

static int on_context(struct replay_records *r, unsigned int type)
{
	struct context c = {.common.h.size = sizeof(c.common)};

	(void)type;
	if (!line__has(r->line, F_CONTEXT) ||
	    !line__uint(r->line, F_CONTEXT, UINT64_MAX, &c.number) ||
	    !take_context(r->line, &c.common))
		return REPLAY_BAD_LINE;
	r->contexts[c.number % RECORDING_CONTEXTS] = c;
	return 0;
}

/* NULL when the line that tells it is damaged: then nothing is assumed. */
static const struct churn_end *find_context(struct replay_records *r)
{
	const struct context *c;
	uint64_t number;

	if (!line__has(r->line, F_CONTEXT) || !line__uint(r->line, F_CONTEXT, UINT64_MAX, &number))
		return NULL;
	c = &r->contexts[number % RECORDING_CONTEXTS];
	return c->number == number && c->common.h.size ? &c->common : NULL;
}

static int on_event(struct replay_records *r, unsigned int type)
{
	const struct churn_end *common = find_context(r);
	struct churn_end e;
	struct churn_open open;

	if (!common)
		return REPLAY_BAD_LINE;
	e = *common;
	e.h.type = type;
	if (!take_ts(r, &e.h.ts_ns) || !take_own(r->line, &e))
		return REPLAY_BAD_LINE;
	if (e.h.ts_ns > r->status.now_ns)
		r->status.now_ns = e.h.ts_ns;
	r->stats->events++;
	if (type == CHURN_FAILED || type == CHURN_CLOSE || type == CHURN_BIND_FAILED)
		return r->sink->end(r->sink->ctx, &e);
	open.h = e.h;
	open.h.size = sizeof(open);
	open.conn = e.conn;
	return r->sink->open(r->sink->ctx, &open);
}

static bool take_pids(struct replay_records *r)
{
	struct source_start *s = &r->start;
	uint64_t pid;
	bool bad = false;
	int it = 0;

	s->pids = r->pids;
	s->nr_pids = 0;
	while (s->nr_pids < FILTER_MAX_PIDS && line__next_number(r->line, F_PIDS, &it, &pid, &bad))
		r->pids[s->nr_pids++] = (uint32_t)pid;
	return !bad;
}

static int begin(struct replay_records *r, uint64_t wall_ns, uint64_t mono_ns)
{
	r->started = true;
	r->start.start_wall_ns = wall_ns;
	r->start.start_mono_ns = mono_ns;
	r->status.now_ns = mono_ns;
	return r->sink->start(r->sink->ctx, &r->start);
}

static int on_start(struct replay_records *r, unsigned int type)
{
	uint64_t wall, mono = 0;

	(void)type;
	if (r->started || !line__has(r->line, F_TIME) || !line__time(r->line, F_TIME, &wall) ||
	    !line__uint(r->line, F_TRACE_START_NS, UINT64_MAX, &mono) ||
	    !line__bool(r->line, F_SOME_PROCESSES, &r->start.some_processes) || !take_pids(r))
		return REPLAY_BAD_LINE;
	return begin(r, wall, mono);
}

static int on_process(struct replay_records *r, unsigned int type)
{
	struct process_identity p;

	(void)type;
	if (!take_process(r->line, r->args, &p))
		return REPLAY_BAD_LINE;
	return r->sink->process(r->sink->ctx, &p);
}

/* A constant, as the struct demands; one that we do not know is unknown. */
static const char *known_language(const char *name)
{
	static const char *const languages[] = {"native", "python", "jit",  "nodejs", "java",
						"ruby",	  "php",    "perl", "go",     "mixed"};
	size_t i;

	for (i = 0; name && i < ARRAY_SIZE(languages); i++) {
		if (!strcmp(name, languages[i]))
			return languages[i];
	}
	return NULL;
}

static bool take_frame(struct line *l, struct frame *f)
{
	memset(f, 0, sizeof(*f));
	return line__string(l, F_FUNCTION, &f->function) && line__string(l, F_FILE, &f->file) &&
	       line__string(l, F_MODULE, &f->module) && take_u32(l, F_LINE, &f->line) &&
	       line__uint(l, F_PC, UINT64_MAX, &f->pc) &&
	       line__uint(l, F_OFFSET, UINT64_MAX, &f->offset) &&
	       line__bool(l, F_INLINED, &f->inlined);
}

static int on_stack(struct replay_records *r, unsigned int type)
{
	struct stack_trace s = {.frames = r->frames};
	struct line *l = r->line;
	char *language = NULL;
	bool bad = false;
	int it = 0;

	(void)type;
	if (!line__has(l, F_STACK) || !line__hex(l, F_STACK, &s.id) || !take_id(l, &s.process) ||
	    !line__string(l, F_LANGUAGE, &language) || !line__bool(l, F_TRUNCATED, &s.truncated))
		return REPLAY_BAD_LINE;
	s.language = known_language(language);
	while (s.nr < MAX_FRAMES && line__next_frame(l, F_FRAMES, &it, &bad)) {
		if (!take_frame(l, &s.frames[s.nr++]))
			return REPLAY_BAD_LINE;
	}
	return bad ? REPLAY_BAD_LINE : r->sink->stack(r->sink->ctx, &s);
}

static bool take_status(struct replay_records *r, struct source_status *s)
{
	uint64_t nr;
	__u64 now;
	bool bad = false;
	char *reason;
	int it = 0;

	if (!take_ts(r, &now) || !line__uint(r->line, F_IN_PROGRESS, UINT64_MAX, &s->in_progress) ||
	    !line__uint(r->line, F_OLDER, UINT64_MAX, &s->older))
		return false;
	s->now_ns = now;
	while (line__next_uint(r->line, F_LOST, &it, &reason, &nr, &bad)) {
		int index = lost_from_name(reason);

		if (index >= 0)
			s->lost[index] = nr;
		else /* "user", and what a later version may have counted */
			s->lost_user += nr;
	}
	return !bad;
}

static int on_status(struct replay_records *r, unsigned int type)
{
	struct source_status s = {0};

	(void)type;
	if (!take_status(r, &s))
		return REPLAY_BAD_LINE;
	r->status = s;
	s.lost_user += r->stats->bad_lines;
	return r->sink->status(r->sink->ctx, &s);
}

/* Kept back: lines that turn out bad may still come. */
static int on_summary(struct replay_records *r, unsigned int type)
{
	struct source_status s = {0};

	(void)type;
	if (!take_status(r, &s))
		return REPLAY_BAD_LINE;
	r->status = s;
	r->stats->complete = true;
	return 0;
}

enum census_line { CENSUS_BEGIN, CENSUS_RULES, CENSUS_SOCKETS };

static int on_census(struct replay_records *r, unsigned int type)
{
	const struct model_census *whole;
	__u64 taken_ns;
	int err;

	if (!r->sink->census)
		return 0;
	if (type == CENSUS_BEGIN)
		err = take_ts(r, &taken_ns) ? replay_census__begin(r->census, r->line, taken_ns)
					    : REPLAY_BAD_LINE;
	else if (type == CENSUS_RULES)
		err = replay_census__rules(r->census, r->line);
	else
		err = replay_census__sockets(r->census, r->line);
	whole = err ? NULL : replay_census__whole(r->census);
	return whole ? r->sink->census(r->sink->ctx, whole) : err;
}

static int on_owner(struct replay_records *r, unsigned int type)
{
	struct process_identity p;

	(void)type;
	if (!take_process(r->line, r->args, &p))
		return REPLAY_BAD_LINE;
	return replay_census__owner(r->census, &p);
}

int replay_records__line(struct replay_records *r, char *text, size_t len)
{
	static const struct {
		const char *name;
		unsigned int type;
		int (*handle)(struct replay_records *r, unsigned int type);
	} events[] = {
		{"connect", CHURN_CONNECT, on_event},
		{"close", CHURN_CLOSE, on_event},
		{"accept", CHURN_ACCEPT, on_event},
		{"connect_failed", CHURN_FAILED, on_event},
		{"bind_failed", CHURN_BIND_FAILED, on_event},
		{"context", 0, on_context},
		{"process", 0, on_process},
		{"stack", 0, on_stack},
		{"lost", 0, on_status},
		{"summary", 0, on_summary},
		{"start", 0, on_start},
		{"census", CENSUS_BEGIN, on_census},
		{"port_rules", CENSUS_RULES, on_census},
		{"sockets", CENSUS_SOCKETS, on_census},
		{"owner", 0, on_owner},
	};
	char *schema = NULL, *event = NULL;
	uint64_t wall;
	size_t i;
	int err = line__parse(r->line, text, len);

	if (err)
		return err == -EBADMSG ? REPLAY_BAD_LINE : err;
	if (!line__string(r->line, F_SCHEMA, &schema) || !line__string(r->line, F_EVENT, &event) ||
	    !schema || !event || strcmp(schema, RECORDING_SCHEMA))
		return REPLAY_BAD_LINE;
	for (i = 0; i < ARRAY_SIZE(events) && strcmp(event, events[i].name); i++)
		;
	if (i == ARRAY_SIZE(events))
		return REPLAY_BAD_LINE;
	if (!r->started && events[i].handle != on_start) {
		/* The first line is lost: the first time that we see must do as the start. */
		if (!line__has(r->line, F_TIME) || !line__time(r->line, F_TIME, &wall))
			return REPLAY_BAD_LINE;
		err = begin(r, wall, wall);
		if (err)
			return err;
	}
	return events[i].handle(r, events[i].type);
}

int replay_records__finish(struct replay_records *r)
{
	const struct model_census *last = NULL;
	struct source_status s = r->status;
	int err;

	if (r->sink->census)
		last = replay_census__last(r->census);
	if (last) {
		err = r->sink->census(r->sink->ctx, last);
		if (err)
			return err;
	}
	r->stats->start_wall_ns = r->start.start_wall_ns;
	if (s.now_ns > r->start.start_mono_ns)
		r->stats->duration_ns = s.now_ns - r->start.start_mono_ns;
	s.lost_user += r->stats->bad_lines;
	s.stopped = true;
	return r->sink->status(r->sink->ctx, &s);
}
