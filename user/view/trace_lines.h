/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Between trace.c, which takes the events in, and the formats that write them. */
#ifndef CHURN_VIEW_TRACE_LINES_H
#define CHURN_VIEW_TRACE_LINES_H

#include "user/base/json.h"
#include "user/view/trace.h"

struct trace_columns {
	unsigned int comm, local, peer; /* they grow with what is shown, and never shrink */
};

struct trace_view {
	FILE *out;
	struct trace_view_options opts;
	struct model *model;
	struct source_start start;
	struct json json;
	struct trace_columns columns;
	bool header_done;
	unsigned int width;			     /* of the terminal, 0: not one */
	uint64_t lost[CHURN_LOST__COUNT], lost_user; /* as last told */
};

struct trace_event {
	const struct churn_header *h;
	const struct churn_conn *conn;
	const struct churn_end *end; /* NULL: an open */
	struct annotation known;
	uint64_t wall_ns;
	/* Set up, lifetime or time until the failure, as the event has it. */
	uint64_t span_ns;
	bool has_span;
};

static inline bool trace_event_failed(const struct trace_event *e)
{
	return e->h->type == CHURN_FAILED || e->h->type == CHURN_BIND_FAILED;
}

/* Each writes one event: 0 or -errno. */
int trace_json__event(struct trace_view *v, const struct trace_event *e);
int trace_table__event(struct trace_view *v, const struct trace_event *e);
int trace_csv__event(struct trace_view *v, const struct trace_event *e);

/* `reason` is a name, `events` what was lost since the last time. */
int trace_json__lost(struct trace_view *v, uint64_t wall_ns, const char *reason, uint64_t events);
int trace_json__summary(struct trace_view *v, uint64_t wall_ns, const struct source_status *s);

#endif /* CHURN_VIEW_TRACE_LINES_H */
