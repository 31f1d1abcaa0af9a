/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A line for each open, failure and close, as they happen. Owns a model of its own, which tells
 * what an event alone does not: program, peer, call site, avoidable.
 */
#ifndef CHURN_VIEW_TRACE_H
#define CHURN_VIEW_TRACE_H

#include <stdbool.h>
#include <stdio.h>

#include "user/model/model.h"
#include "user/model/sink.h"
#include "user/view/format.h"

struct trace_view_options {
	enum view_format format;
	bool seconds;	/* -t: a column with seconds since the start */
	bool clock;	/* -T: a column with the local time */
	bool stacks;	/* -g: the stack below each line; JSON: code.stacktrace */
	bool no_header; /* -H */
	bool colour;	/* view_colour() of the stream */
	const struct model_options *model; /* copied; NULL: model_default_options */
};

struct trace_view;

/*
 * `out` stays the caller's. NULL with errno set. VIEW_FOLDED prints nothing until the last status
 * of the run, then `program;outer;...;inner count` for each stack.
 */
struct trace_view *trace_view__new(FILE *out, const struct trace_view_options *opts);
void trace_view__free(struct trace_view *v);

/*
 * The sink ends the run with -EPIPE when the reader has gone. After the last status the JSON view
 * has written its summary line and everything is flushed.
 */
struct sink trace_view__sink(struct trace_view *v);

/* The view's model, for its totals (the last line on stderr). Valid until the view is freed. */
struct model *trace_view__model(struct trace_view *v);

#endif /* CHURN_VIEW_TRACE_H */
