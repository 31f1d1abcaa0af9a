/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The churn report of a window: a verdict on which one can act, then who, to where, from which
 * line, what fails, what was concluded, and what is not known. Reads a sealed model.
 */
#ifndef CHURN_VIEW_REPORT_H
#define CHURN_VIEW_REPORT_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "user/model/findings.h"
#include "user/model/model.h"
#include "user/view/format.h"

/* What the rows are; how processes are grouped within is the model's business. */
enum report_by { REPORT_BY_PROCESS, REPORT_BY_CALLSITE, REPORT_BY_DESTINATION };

enum report_sort {
	REPORT_SORT_OPENS, /* default: opens + failures */
	REPORT_SORT_FAILURES,
	REPORT_SORT_AVOIDABLE,
	REPORT_SORT_SHORT,
	REPORT_SORT_TIME_WAIT,
	REPORT_SORT_ACCEPTS,
	REPORT_SORT_NAME,
};

struct report_options {
	uint64_t start_wall_ns; /* CLOCK_REALTIME at the start of the window */
	uint64_t duration_ns;
	uint64_t short_ns; /* as given to the model, for the wording; 0: the default */
	enum report_by by;
	enum report_sort sort;
	uint32_t rows;	/* -r: at most that many rows of each list, 0: the default (table 10, JSON
			   and CSV all) */
	bool stacks;	/* -g: the stacks below the call sites */
	bool no_header; /* -H */
	bool filtered;	/* only a part of the host's connections was looked at */
	bool colour;	/* view_colour() of the stream */
	unsigned int width; /* columns, 0: 100 */
};

/* 0, or -EINVAL: no such name. "callsite", "dest"; the model's own groupings are not ours. */
int report_by_from_name(enum report_by *out, const char *name);
/* "opens", "failures", "avoidable", "short", "time_wait", "accepts", "name". */
int report_sort_from_name(enum report_sort *out, const char *name);

/* Each writes one whole report and flushes it: 0 or -errno (-EPIPE: the reader has gone). */
int report_table__print(FILE *out, const struct model *m, const struct findings *f,
			const struct report_options *opts);
int report_json__print(FILE *out, const struct model *m, const struct findings *f,
		       const struct report_options *opts);
int report_csv__print(FILE *out, const struct model *m, const struct report_options *opts);
int report_folded__print(FILE *out, const struct model *m, const struct report_options *opts);

/* The one of the above that `format` names. */
int report__print(FILE *out, enum view_format format, const struct model *m,
		  const struct findings *f, const struct report_options *opts);

#endif /* CHURN_VIEW_REPORT_H */
