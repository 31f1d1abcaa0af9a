/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* A sink that feeds a model from a recording, and keeps what no host can be asked for any more. */
#ifndef CHURN_CMD_REPLAYED_H
#define CHURN_CMD_REPLAYED_H

#include "user/cmd/feed.h"
#include "user/cmd/recorded_leaks.h"

struct replayed {
	struct feed feed; /* first: the ctx of its functions */
	struct recorded_leaks *leaks;
};

/* 0 or -errno; to be cleared also then. */
int replayed__init(struct replayed *r, const struct options *opts);
void replayed__clear(struct replayed *r);
/* `r` must outlive it. */
struct sink replayed__sink(struct replayed *r);

#endif /* CHURN_CMD_REPLAYED_H */
