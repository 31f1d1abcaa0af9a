/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Feeds a sink with a census every few seconds, and at the end of a trace. */
#ifndef CHURN_SOURCE_CENSUS_FEED_H
#define CHURN_SOURCE_CENSUS_FEED_H

#include <stdbool.h>
#include <stdint.h>

#include "user/model/sink.h"

struct census_feed;

/* `netns` 0: of all namespaces. NULL with errno set. */
struct census_feed *census_feed__new(uint32_t netns);
void census_feed__free(struct census_feed *f);

/* Right before the first record: what the kernel has counted by then is not of the trace. */
void census_feed__start(struct census_feed *f);

/* Whether it is time for the next one: seldom enough to cost 1 % of a CPU at the most. */
bool census_feed__is_due(const struct census_feed *f, uint64_t now_ns);

/* Takes one; the records of what ended before are to be in the sink by census_feed__deliver(). A
 * census that fails is said once, and is none. 0 or -ENOMEM. */
int census_feed__take(struct census_feed *f);
/* `last`: also who holds which ports. 0 or what the sink returned. */
int census_feed__deliver(struct census_feed *f, const struct sink *sink, bool last);

#endif /* CHURN_SOURCE_CENSUS_FEED_H */
