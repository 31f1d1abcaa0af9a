/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What code can be unwound and named, and what that takes. For people: keep it true. */
#ifndef CHURN_CALLSITE_SUPPORT_H
#define CHURN_CALLSITE_SUPPORT_H

struct support {
	const char *runtime;
	const char *which; /* versions or languages */
	const char *how;
};

/* Ends with a NULL runtime. */
extern const struct support callsite_support[];

#endif /* CHURN_CALLSITE_SUPPORT_H */
