/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The censuses of a recording, put together again from their lines. One that is not whole (cut off,
 * a line damaged) is none: it would show ports as free that were not.
 */
#ifndef CHURN_SOURCE_REPLAY_CENSUS_H
#define CHURN_SOURCE_REPLAY_CENSUS_H

#include "user/model/census.h"
#include "user/source/replay_line.h"

struct replay_census;

/* NULL with errno set. */
struct replay_census *replay_census__new(void);
void replay_census__free(struct replay_census *c);

/* A line of that name, of the census taken at taken_ns. 0, REPLAY_BAD_LINE, or -ENOMEM. */
int replay_census__begin(struct replay_census *c, struct line *l, uint64_t taken_ns);
int replay_census__rules(struct replay_census *c, struct line *l);
int replay_census__sockets(struct replay_census *c, struct line *l);
/* Copied. */
int replay_census__owner(struct replay_census *c, const struct process_identity *p);

/* One that the last line made whole, else NULL; valid until the next one is. */
const struct model_census *replay_census__whole(struct replay_census *c);
/* The last whole one, with its pools; NULL: there was none. */
const struct model_census *replay_census__last(struct replay_census *c);

#endif /* CHURN_SOURCE_REPLAY_CENSUS_H */
