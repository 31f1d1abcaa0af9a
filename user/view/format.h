/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What all views share: output formats, colour and buffering of a stream. */
#ifndef CHURN_VIEW_FORMAT_H
#define CHURN_VIEW_FORMAT_H

#include <stdbool.h>
#include <stdio.h>

enum view_format { VIEW_TABLE, VIEW_JSON, VIEW_CSV, VIEW_FOLDED };

/* 0, or -EINVAL: no such format. "table", "json", "csv", "folded". */
int view_format_from_name(enum view_format *out, const char *name);

/* Colour only on a terminal, and never with NO_COLOR (https://no-color.org) or TERM=dumb. */
bool view_colour(FILE *out);

/* Columns of the terminal, 0: it is none. */
unsigned int view_columns(FILE *out);

/* How wide text may be that is wrapped: the terminal, at most 100; 100 where it is none. */
unsigned int view_width(FILE *out);

/* 0, or -errno of this or of any write before. */
int view_flush(FILE *out);

/* Line-buffered whatever the stream is, so that `| grep` sees each line at once. Before the first
 * output. */
void view_line_buffered(FILE *out);

#endif /* CHURN_VIEW_FORMAT_H */
