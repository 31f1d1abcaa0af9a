/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Port pools: as a table with a strip of the range, as JSON, and as one line for a monitor. */
#ifndef CHURN_VIEW_PORTS_H
#define CHURN_VIEW_PORTS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "user/base/json.h"
#include "user/model/port_history.h"
#include "user/model/port_holders.h"
#include "user/model/port_pools.h"
#include "user/model/what_if.h"
#include "user/view/format.h"

/* What was looked at, and what was not. */
struct ports_scope {
	uint32_t sockets;
	uint32_t netns_read, netns_idle, netns_denied, netns_failed, netns_partial;
	uint32_t hidden;   /* processes whose namespace may not be seen */
	bool binds_unseen; /* the kernel lists no sockets that are bound and do nothing */
	bool bpf;
	bool owners; /* the files of all processes were looked through */
	uint64_t duration_ns;
};

struct ports_page {
	const struct port_pools *pools;
	const struct port_holders *holders; /* NULL: not known */
	const struct ports_scope *scope;
	const struct what_ifs *what_ifs; /* NULL: not asked */
	/* The name of a namespace, NULL: it has none; our own has "". Without this function they
	 * are told apart by number, where there are several. */
	const char *(*netns_name)(const void *ctx, uint32_t inum);
	const void *ctx;
	uint64_t wall_ns; /* CLOCK_REALTIME of the census */
	/* Of a recording: what became of the pools, NULL: it is no recording; and the census by the
	 * clock of the history. */
	const struct port_history *history;
	uint64_t taken_ns;
	uint32_t rows; /* at most, 0: all */
	bool watched; /* one of several looks: each begins with its time, and a terminal's screen */
	bool no_header, colour;
	unsigned int width;
};

/* Each writes and flushes: 0 or -errno (-EPIPE: the reader has gone). VIEW_CSV and VIEW_FOLDED are
 * not there: -EINVAL. */
int ports__print(FILE *out, enum view_format format, const struct ports_page *page);
int ports_table__print(FILE *out, const struct ports_page *page);
int ports_json__print(FILE *out, const struct ports_page *page);

/* The rows of the first nr pools, without header and notes. */
void ports_rows__print(FILE *out, const struct ports_page *page, uint32_t nr);

/* "pools": [..], whose keys a report and `ports` have in common. */
void json_pools(struct json *j, const struct ports_page *page);

#endif /* CHURN_VIEW_PORTS_H */
