/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* One line for a monitor, with performance data: the Monitoring Plugins Development Guidelines. */
#ifndef CHURN_VIEW_CHECK_H
#define CHURN_VIEW_CHECK_H

#include <stdio.h>

#include "user/model/check.h"

struct check_page {
	const struct check_result *result;
	const struct check_limits *limits;
	const struct check_failures *failures;
	const char *netns; /* of the worst pool: name or number; "": our own */
	const char
		*leak_netns; /* of the most CLOSE_WAIT sockets; not read when they are no alarm */
	const char *partial; /* what could not be seen, NULL: nothing */
	uint32_t nr_pools;
};

/* 0 or -errno. */
int check__print(FILE *out, const struct check_page *page);
/* "TCPCHURN UNKNOWN - why" */
int check__print_unknown(FILE *out, const char *why);

#endif /* CHURN_VIEW_CHECK_H */
