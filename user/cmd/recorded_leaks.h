/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The leaks of a recording: what host.h learns by a look at the host, from the censuses instead. A
 * census has no ages: a socket is as old as the first one that found it in CLOSE_WAIT, at least.
 */
#ifndef CHURN_CMD_RECORDED_LEAKS_H
#define CHURN_CMD_RECORDED_LEAKS_H

#include "user/model/census.h"
#include "user/model/findings.h"

struct recorded_leaks;

/* Younger sockets in CLOSE_WAIT are on their way. NULL with errno set. */
struct recorded_leaks *recorded_leaks__new(uint32_t min_age_ms);
void recorded_leaks__free(struct recorded_leaks *r);
/* Of processes that were not followed nothing is to be said. */
void recorded_leaks__followed_only(struct recorded_leaks *r);
/* All of them, in order; the last one has its pools. 0 or -ENOMEM. */
int recorded_leaks__census(struct recorded_leaks *r, const struct model_census *c);
/* NULL: no census was whole. Valid as long as `r`. */
const struct finding_facts *recorded_leaks__facts(const struct recorded_leaks *r);
/* Of the last census: when it was taken (CLOCK_MONOTONIC), whether some sockets may be missing. */
uint64_t recorded_leaks__taken_ns(const struct recorded_leaks *r);
bool recorded_leaks__partial(const struct recorded_leaks *r);

#endif /* CHURN_CMD_RECORDED_LEAKS_H */
