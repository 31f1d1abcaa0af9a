/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include <errno.h>
#include <string.h>

#include "user/base/log.h"
#include "user/cmd/commands.h"
#include "user/cmd/host.h"
#include "user/cmd/run.h"
#include "user/source/record.h"

static int record_run(const struct options *opts)
{
	struct recorder_options ro = {.version = CHURN_VERSION,
				      .some_processes = host_names_processes(opts)};
	struct run_result result;
	struct recorder *r;
	struct sink sink;
	int code, err;

	if (!opts->output_file) {
		log_error("record: where to? (-O FILE; - is standard output)");
		return EXIT_USAGE;
	}
	r = recorder__open(opts->output_file, &ro);
	if (!r) {
		log_error("%s: cannot write: %s", opts->output_file, strerror(errno));
		return EXIT_INTERNAL;
	}
	sink = recorder__sink(r);
	code = run_source(opts, NULL, &sink, &result);
	err = recorder__close(r);
	if (code == EXIT_OK && err && err != -EPIPE) /* the recorder has said why */
		code = EXIT_INTERNAL;
	return run_finish(opts, &result, code);
}

const struct command cmd_record = {
	.name = "record",
	.brief = "what a trace sees, into a file for report, trace, ports and leaks -i",
	.about = "Writes what a trace sees to a file (-O), to be looked at later, or elsewhere, "
		 "with report, trace, ports or leaks -i.",
	.examples = "  tcpchurn record -d 60 -O incident.gz\n"
		    "  tcpchurn report -i incident.gz\n"
		    "  tcpchurn record -O - | ssh elsewhere tcpchurn report -i -\n",
	.sets = OPTIONS_FILTER | OPTIONS_LIVE | OPTIONS_OUTPUT | OPTIONS_COMMAND,
	.run = record_run,
};
