/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* From the lines of a recording back to the records that it was made of, into a sink. */
#ifndef CHURN_SOURCE_REPLAY_RECORDS_H
#define CHURN_SOURCE_REPLAY_RECORDS_H

#include <stddef.h>

#include "user/model/sink.h"
#include "user/source/replay.h"

#define REPLAY_BAD_LINE 1 /* the line is of no use; not an error of the run */

struct replay_records;

/* `sink` and `stats` must outlive it. NULL with errno set. */
struct replay_records *replay_records__new(const struct sink *sink, struct replay_stats *stats);
void replay_records__free(struct replay_records *r);

/* Without its newline; `text` is changed. 0, REPLAY_BAD_LINE, or -errno to end the run. */
int replay_records__line(struct replay_records *r, char *text, size_t len);

/* The last census once more, with its pools, and the last status, with the bad lines counted until
 * now. 0 or -errno. */
int replay_records__finish(struct replay_records *r);

#endif /* CHURN_SOURCE_REPLAY_RECORDS_H */
