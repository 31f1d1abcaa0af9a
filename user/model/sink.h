/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What a source (a live trace, a recording) pours into: the model, a trace view, a recorder.
 *
 * Order: a process comes before the first record that names it, a stack too unless resolving it
 * took too long, then it comes later. Pointers are valid during the call only. A function returns
 * 0, or -errno to end the run (-EPIPE: the reader of our output has gone; -ECANCELED: it has seen
 * enough).
 */
#ifndef CHURN_MODEL_SINK_H
#define CHURN_MODEL_SINK_H

#include <stdbool.h>
#include <stdint.h>

#include "bpf/event.h"
#include "user/model/callsite.h"
#include "user/model/census.h"
#include "user/model/process.h"

/* Clocks at the start of the trace: wall = start_wall_ns + (ts_ns - start_mono_ns). */
struct source_start {
	uint64_t start_wall_ns; /* CLOCK_REALTIME */
	uint64_t start_mono_ns; /* CLOCK_MONOTONIC, the clock of all records */
	bool some_processes;	/* of a recording: it follows some of the processes only */
	const uint32_t *pids;	/* of these, those that were named */
	uint32_t nr_pids;
};

struct source_status {
	uint64_t lost[CHURN_LOST__COUNT]; /* absolute */
	uint64_t lost_user;		  /* dropped in user space: bad records, bad lines */
	uint64_t in_progress;		  /* active opens neither established nor failed by now */
	uint64_t older;	 /* ends of connections from before the trace; 0 under a filter */
	uint64_t now_ns; /* CLOCK_MONOTONIC */
	bool stopped;	 /* the last status of the run */
};

struct sink {
	void *ctx;
	int (*start)(void *ctx, const struct source_start *s);
	int (*process)(void *ctx, const struct process_identity *p);
	int (*stack)(void *ctx, const struct stack_trace *s);
	int (*open)(void *ctx, const struct churn_open *e);
	int (*end)(void *ctx, const struct churn_end *e);
	/* Once a drain at the most, when something changed, and once at the end. */
	int (*status)(void *ctx, const struct source_status *s);
	/* Every few seconds, and at the end the last one with pools set, when all before has been
	 * told. NULL: not wanted. */
	int (*census)(void *ctx, const struct model_census *c);
};

/* Whether a loss counter counts events that a view will miss, or only details of events. */
static inline bool lost_is_event(enum churn_lost reason)
{
	return reason == CHURN_LOST_RING_OPEN || reason == CHURN_LOST_RING_FAILED ||
	       reason == CHURN_LOST_RING_CLOSE || reason == CHURN_LOST_CONN_MAP ||
	       reason == CHURN_LOST_REENTRY || reason == CHURN_LOST_TARGET_MAP;
}

#endif /* CHURN_MODEL_SINK_H */
