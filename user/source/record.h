/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The recorder: a sink that writes gzip'd JSON lines from which replay.h feeds any other sink with
 * the same records again. What a crash, a kill or a full disk leaves behind is readable up to
 * about a second before.
 *
 * Each line has `schema`, `event.name` and `time`. To keep lines short, what many connections have
 * in common (process, addresses, service port, stack) is written once as a `context` line, and
 * the lines of single connections name it by its number; a number that is written again means
 * something else from there on.
 */
#ifndef CHURN_SOURCE_RECORD_H
#define CHURN_SOURCE_RECORD_H

#include <stdint.h>

#include "user/model/sink.h"

struct recorder_options {
	const char *version; /* of this program, NULL: absent */
	const char *options; /* the command line, for people; NULL: absent */
	bool some_processes; /* only some are followed: a census speaks of more */
};

struct recorder;

/*
 * Creates `path` with mode 0600 ("-": standard output). An old regular file of that name is
 * replaced once the trace has begun, a symbolic link never followed. NULL with errno set.
 */
struct recorder *recorder__open(const char *path, const struct recorder_options *opts);

/*
 * When the file cannot be written, that is said once, nothing more is recorded, and the functions
 * return -errno, so that the run ends.
 */
struct sink recorder__sink(struct recorder *r);

/* To be called now and then when no event comes: flushes what is older than a second. 0 or
 * -errno. */
int recorder__flush(struct recorder *r);

/* Ends the file and frees the recorder. 0, or the first error of the recording as -errno. */
int recorder__close(struct recorder *r);

#endif /* CHURN_SOURCE_RECORD_H */
