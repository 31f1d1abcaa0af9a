/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* A source: reads a recording (record.h) into a sink, as fast as the sink takes it. */
#ifndef CHURN_SOURCE_REPLAY_H
#define CHURN_SOURCE_REPLAY_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

#include "user/model/sink.h"

struct replay_stats {
	uint64_t lines;	    /* that were read */
	uint64_t events;    /* opens, failures and closes delivered */
	uint64_t bad_lines; /* not JSON, not ours, out of range, or cut off; also in lost_user */
	bool complete;	    /* the recording was ended properly */
	uint64_t start_wall_ns; /* CLOCK_REALTIME at the start of the recording */
	uint64_t duration_ns;	/* from there to its end, or to its last line */
};

/*
 * Reads `path` ("-": standard input), gzip'd or plain, until its end or until *stop is set (may
 * be NULL). Whatever is readable is delivered, in order, and the last status carries `stopped`.
 * Returns 0; -EBADMSG when not one line could be used; -errno when the file cannot be opened or
 * read; or what the sink returned to end the run.
 */
int replay__run(const char *path, const struct sink *sink, const volatile sig_atomic_t *stop,
		struct replay_stats *out);

#endif /* CHURN_SOURCE_REPLAY_H */
