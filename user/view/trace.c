/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "user/view/trace.h"

#include <stdlib.h>

#include "user/model/names.h"
#include "user/view/report.h"
#include "user/view/trace_lines.h"

static uint64_t wall_of(const struct trace_view *v, uint64_t ts_ns)
{
	return v->start.start_wall_ns + (ts_ns - v->start.start_mono_ns);
}

static int on_start(void *ctx, const struct source_start *s)
{
	struct trace_view *v = ctx;

	v->start = *s;
	return 0;
}

static int on_process(void *ctx, const struct process_identity *p)
{
	struct trace_view *v = ctx;

	return model__process(v->model, p);
}

static int on_stack(void *ctx, const struct stack_trace *s)
{
	struct trace_view *v = ctx;

	return model__stack(v->model, s);
}

static int show(struct trace_view *v, const struct trace_event *e)
{
	switch (v->opts.format) {
	case VIEW_JSON:
		return trace_json__event(v, e);
	case VIEW_TABLE:
		return trace_table__event(v, e);
	case VIEW_CSV:
		return trace_csv__event(v, e);
	case VIEW_FOLDED:
		break;
	}
	return 0;
}

static int on_open(void *ctx, const struct churn_open *o)
{
	struct trace_view *v = ctx;
	struct trace_event e = {.h = &o->h, .conn = &o->conn};
	int err = model__open(v->model, o, &e.known);

	if (err)
		return err;
	e.wall_ns = wall_of(v, o->h.ts_ns);
	if (o->h.type == CHURN_CONNECT && o->conn.open_ns &&
	    o->conn.established_ns >= o->conn.open_ns) {
		e.has_span = true;
		e.span_ns = o->conn.established_ns - o->conn.open_ns;
	}
	return show(v, &e);
}

static int on_end(void *ctx, const struct churn_end *end)
{
	struct trace_view *v = ctx;
	struct trace_event e = {.h = &end->h, .conn = &end->conn, .end = end};
	uint64_t from = end->h.type == CHURN_CLOSE ? end->conn.established_ns : end->conn.open_ns;
	/* The record of a close may come long after the first FIN. */
	uint64_t to =
		end->ending_ns && end->ending_ns < end->h.ts_ns ? end->ending_ns : end->h.ts_ns;
	int err = model__end(v->model, end, &e.known);

	if (err)
		return err;
	e.wall_ns = wall_of(v, end->h.ts_ns);
	if (from && to >= from && end->h.type != CHURN_BIND_FAILED) {
		e.has_span = true;
		e.span_ns = to - from;
	}
	return show(v, &e);
}

static int tell_lost(struct trace_view *v, const struct source_status *s)
{
	uint64_t wall_ns = wall_of(v, s->now_ns);
	unsigned int i;
	int err = 0;

	for (i = 0; i < CHURN_LOST__COUNT && !err; i++) {
		if (s->lost[i] > v->lost[i])
			err = trace_json__lost(v, wall_ns, name_lost(i), s->lost[i] - v->lost[i]);
		v->lost[i] = s->lost[i];
	}
	if (!err && s->lost_user > v->lost_user)
		err = trace_json__lost(v, wall_ns, "user", s->lost_user - v->lost_user);
	v->lost_user = s->lost_user;
	return err;
}

static int finish(struct trace_view *v, const struct source_status *s)
{
	const struct report_options none = {0};
	int err = 0;

	if (v->opts.format == VIEW_JSON)
		return trace_json__summary(v, wall_of(v, s->now_ns), s);
	if (v->opts.format == VIEW_FOLDED) {
		err = model__seal(v->model);
		if (!err)
			err = report_folded__print(v->out, v->model, &none);
	}
	return err;
}

static int on_status(void *ctx, const struct source_status *s)
{
	struct trace_view *v = ctx;
	int err = 0;

	model__set_lost(v->model, s->lost, s->lost_user);
	model__set_in_progress(v->model, s->in_progress);
	model__set_older_closes(v->model, s->older);
	if (v->opts.format == VIEW_JSON)
		err = tell_lost(v, s);
	if (!err && s->stopped)
		err = finish(v, s);
	return err ? err : view_flush(v->out);
}

struct trace_view *trace_view__new(FILE *out, const struct trace_view_options *opts)
{
	struct trace_view *v = calloc(1, sizeof(*v));

	if (!v)
		return NULL;
	v->out = out;
	v->opts = *opts;
	v->opts.model = NULL; /* the caller's; only needed here */
	v->width = view_columns(out);
	v->columns = (struct trace_columns){8, 15, 15};
	v->model = model__new(opts->model ? opts->model : &model_default_options);
	if (!v->model) {
		free(v);
		return NULL;
	}
	return v;
}

void trace_view__free(struct trace_view *v)
{
	if (!v)
		return;
	model__free(v->model);
	json__free(&v->json);
	free(v);
}

struct sink trace_view__sink(struct trace_view *v)
{
	return (struct sink){.ctx = v,
			     .start = on_start,
			     .process = on_process,
			     .stack = on_stack,
			     .open = on_open,
			     .end = on_end,
			     .status = on_status};
}

struct model *trace_view__model(struct trace_view *v)
{
	return v->model;
}
