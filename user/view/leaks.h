/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Sockets that nobody closes: as a table for people, or as one JSON document. */
#ifndef CHURN_VIEW_LEAKS_H
#define CHURN_VIEW_LEAKS_H

#include <stdint.h>
#include <stdio.h>

#include "user/model/leak_origins.h"
#include "user/model/leaks.h"
#include "user/view/format.h"

struct leaks_view_options {
	uint64_t wall_ns;    /* CLOCK_REALTIME of the census */
	uint32_t min_age_ms; /* as given to the model */
	/* One for each leak, from a recording. NULL: nothing was traced. */
	const struct leak_origins *origins;
	uint32_t left_out;   /* leaks of processes that a recording of some does not tell of */
	uint32_t rows;	     /* -r: at most that many, 0: the default (table 10, JSON all) */
	bool partial;	     /* some sockets may be missing */
	uint32_t hidden_fds; /* processes whose files we may not see */
	bool no_header;	     /* -H */
	unsigned int width;  /* columns, 0: 100 */
};

/* Each writes and flushes. 0 or -errno (-EPIPE: the reader has gone). */
int leaks_table__print(FILE *out, const struct leaks *l, const struct leaks_view_options *opts);
int leaks_json__print(FILE *out, const struct leaks *l, const struct leaks_view_options *opts);

#endif /* CHURN_VIEW_LEAKS_H */
