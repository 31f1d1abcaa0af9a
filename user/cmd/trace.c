/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include <errno.h>
#include <string.h>

#include "user/base/log.h"
#include "user/cmd/commands.h"
#include "user/cmd/run.h"
#include "user/view/trace.h"

static int trace_run(const struct options *opts)
{
	struct model_options model;
	struct trace_view_options view = {
		.format = opts->format,
		.seconds = opts->seconds,
		.clock = opts->clock,
		.stacks = opts->stacks,
		.no_header = opts->no_header,
		.model = &model,
	};
	struct run_result result;
	struct trace_view *v;
	struct sink sink;
	int code, closed;
	FILE *out;

	run_model_options(&model, opts);
	out = run_output(opts);
	if (!out)
		return EXIT_INTERNAL;
	view_line_buffered(out);
	view.colour = view_colour(out);
	v = trace_view__new(out, &view);
	if (!v) {
		log_error("trace: %s", strerror(errno));
		return EXIT_INTERNAL;
	}
	sink = trace_view__sink(v);
	code = run_source(opts, out, &sink, &result);
	trace_view__free(v);
	closed = run_output_close(opts, out);
	return run_finish(opts, &result, code ? code : closed);
}

const struct command cmd_trace = {
	.name = "trace",
	.brief = "a line for each open, failure and close, as they happen",
	.about = "One line for each open, failure and close, as they happen: until Ctrl-C, for a "
		 "time (-d), for a command and its descendants (-- COMMAND), or of a recording "
		 "(-i).",
	.examples = "  tcpchurn trace -T --failed              # each connect() that fails, with "
		    "the time of day\n"
		    "  tcpchurn trace -j -p 4121 -P 443        # JSON lines of one process and one "
		    "peer port\n"
		    "  tcpchurn trace -g -- curl http://localhost/\n",
	.sets = OPTIONS_FILTER | OPTIONS_LIVE | OPTIONS_INPUT | OPTIONS_MODEL | OPTIONS_TRACE |
		OPTIONS_FORMAT | OPTIONS_OUTPUT | OPTIONS_COMMAND,
	.run = trace_run,
};
