/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The rows of a report in the order asked for, and the model turned by destination or call site. */
#ifndef CHURN_VIEW_REPORT_ROWS_H
#define CHURN_VIEW_REPORT_ROWS_H

#include "user/view/report.h"

/* The groups in order, to be freed (not what they point to). NULL with *nr > 0: no memory. */
const struct group **report_groups(const struct model *m, enum report_sort sort, uint32_t *nr);

/* TIME_WAITs that the opens of a group left: not those of what it accepted, which take no port. */
uint64_t report_parked(const struct group *g);

/* TIME_WAITs that all rows left in a network namespace. */
uint64_t report_time_waits(const struct model *m, uint32_t netns);

/* What one flow, or one call site of it, adds to a row. */
struct pivot_part {
	const struct flow *flow;
	const struct callsite *site; /* NULL: by destination, or a flow without any */
};

struct pivot_row {
	const struct pivot_part *parts;
	uint32_t nr_parts;
	uint64_t opens, failures, avoidable, short_lived;
	uint64_t time_wait; /* by destination only */
};

struct pivot {
	struct pivot_part *parts;
	struct pivot_row *rows;
	uint32_t nr_parts, nr_rows;
};

/* 0 or -ENOMEM. `by` is not REPORT_BY_PROCESS. */
int pivot__make(struct pivot *p, const struct model *m, enum report_by by, enum report_sort sort);
void pivot__clear(struct pivot *p);

/* How many of nr rows are shown: all of them when neither limits. */
uint32_t report_limit(uint32_t nr, uint32_t asked, uint32_t by_default);

double report_rate(uint64_t nr, uint64_t duration_ns);

#endif /* CHURN_VIEW_REPORT_ROWS_H */
