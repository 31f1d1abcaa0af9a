/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The parts of the report for people, in the order in which they are printed. */
#ifndef CHURN_VIEW_REPORT_SECTIONS_H
#define CHURN_VIEW_REPORT_SECTIONS_H

#include "user/view/report.h"

struct report_page {
	FILE *out;
	const struct report_options *opts;
	unsigned int width;
	const char *bold, *red, *plain; /* escape sequences, or empty */
};

/* The worst that was found, in a sentence; nothing where that is but a note. */
void report_headline__print(const struct report_page *page, const struct findings *f);
/* What an engineer in an incident must know, and nothing else. 0 or -ENOMEM. */
int report_verdict__print(const struct report_page *page, const struct model *m);
/* A line a frame, cut to the page; NULL: nothing. */
void report_stack__print(const struct report_page *page, const struct stack_trace *s,
			 unsigned int indent);
/* Who accepts on which port. 0 or -ENOMEM. */
int report_services__print(const struct report_page *page, const struct model *m);
/* The port pools that are worth it, as a census found them at the end. */
void report_pools__print(const struct report_page *page, const struct model *m);
/* With what speaks for them, what against, and the fix. */
void report_findings__print(const struct report_page *page, const struct findings *f);
/* What the numbers above do not contain, in plain words. */
/* Where the kernel kept fewer TIME_WAITs than were left. */
void report_skipped__print(const struct report_page *page, const struct model *m);
void report_unknowns__print(const struct report_page *page, const struct model *m);

#endif /* CHURN_VIEW_REPORT_SECTIONS_H */
