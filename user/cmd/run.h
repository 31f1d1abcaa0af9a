/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What trace, report and record have in common: a source poured into a sink, and how it ended. */
#ifndef CHURN_CMD_RUN_H
#define CHURN_CMD_RUN_H

#include <stdio.h>

#include "user/cmd/options.h"
#include "user/model/model.h"
#include "user/model/sink.h"
#include "user/source/live.h"

/* What is known of a run once it is over. */
struct run_result {
	uint64_t start_wall_ns; /* CLOCK_REALTIME */
	uint64_t duration_ns;
	uint64_t events; /* opens, failures, accepts and closes seen */
	uint64_t lost;
	struct live *live; /* what is left of a trace, NULL: nothing; for run_finish() */
};

/*
 * Runs the source that the options name (live, a recording, a command under trace) into `sink`.
 * `output` (NULL: none) is begun once the source has started. Returns an exit code, EXIT_OK also
 * when a signal or the reader of our output ended it.
 */
int run_source(const struct options *opts, FILE *output, const struct sink *sink,
	       struct run_result *out);

/* The last line on stderr, and what losses make of the exit code; the output has been written. Then
 * the trace lets go of the kernel, which takes its time where breakpoints were set. */
int run_finish(const struct options *opts, const struct run_result *r, int exit_code);

/* Stdout, or the file of -O, made if it is not there. NULL after saying why. */
FILE *run_output(const struct options *opts);
/* Empties the file: only now, so that what could not be done does not cost what was there. */
void run_output_begin(FILE *out);
/* Closes it. EXIT_OK or EXIT_INTERNAL after saying why. */
int run_output_close(const struct options *opts, FILE *out);

/* What a command that took a census ends with, after saying why: 0 or -errno. */
int run_census_code(const char *command, int err);

/* Says that a recording has none that is whole: EXIT_INPUT. */
void run_no_census(const struct options *opts);

void run_model_options(struct model_options *out, const struct options *opts);

#endif /* CHURN_CMD_RUN_H */
