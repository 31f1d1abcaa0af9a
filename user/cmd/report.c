/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include <errno.h>
#include <string.h>

#include "user/base/log.h"
#include "user/cmd/commands.h"
#include "user/cmd/host.h"
#include "user/cmd/replayed.h"
#include "user/cmd/run.h"
#include "user/model/findings.h"
#include "user/model/model.h"
#include "user/view/report.h"

/* *found: there is something that --fail-if names. */
static int report_print(FILE *out, const struct options *opts, const struct replayed *replayed,
			const struct run_result *r, bool *found)
{
	struct model *m = replayed->feed.model;
	struct host *host = opts->input ? NULL : host__look(opts);
	const struct finding_facts *facts = host ? host__facts(host) : NULL;
	struct report_options view = {
		.start_wall_ns = r->start_wall_ns,
		.duration_ns = r->duration_ns,
		.short_ns = opts->short_ns,
		.by = opts->report_by,
		.sort = opts->sort,
		.rows = opts->rows,
		.stacks = opts->stacks,
		.filtered = opts->filtered,
		.no_header = opts->no_header,
	};
	struct findings findings;
	int err;

	if (!opts->input && !host)
		log_warn("report: the host's sockets cannot be read: %s; no port pools, no leaks",
			 strerror(errno));

	if (opts->input)
		facts = recorded_leaks__facts(replayed->leaks);
	view.colour = view_colour(out);
	view.width = view_width(out);
	err = model__seal(m);
	if (!err)
		err = findings__draw(&findings, m, r->duration_ns, facts);
	if (!err) {
		err = report__print(out, opts->format, m, &findings, &view);
		*found = findings__set(&findings) & opts->fail_if;
		findings__clear(&findings);
	}
	host__free(host);
	if (err && err != -EPIPE) {
		log_error("report: %s", strerror(-err));
		return EXIT_INTERNAL;
	}
	return EXIT_OK;
}

static int run(const struct options *opts, FILE *out, struct run_result *result, bool *found)
{
	struct replayed r;
	struct sink sink;
	int code = EXIT_INTERNAL;
	int err = replayed__init(&r, opts);

	/* A recording has no host that could be looked at. */
	sink = opts->input ? replayed__sink(&r) : feed_sink(&r.feed);
	if (err)
		log_error("report: %s", strerror(-err));
	else
		code = run_source(opts, out, &sink, result);
	if (code == EXIT_OK)
		code = report_print(out, opts, &r, result, found);
	replayed__clear(&r);
	return code;
}

static int report_run(const struct options *opts)
{
	struct run_result result = {0};
	bool found = false;
	int code, closed;
	FILE *out;

	/* Before the run: minutes of tracing are not for a file that cannot be made. */
	out = run_output(opts);
	if (!out)
		return EXIT_INTERNAL;
	code = run(opts, out, &result, &found);
	closed = run_output_close(opts, out);
	code = run_finish(opts, &result, code ? code : closed);
	return code == EXIT_OK && found ? EXIT_FOUND : code;
}

const struct command cmd_report = {
	.name = "report",
	.brief = "who opens connections to where, what fails, from which line, and what to do",
	.about = "Who opens how many connections to where, how short they live, what fails, and "
		 "from which line of code; and what is found in that, worst first. Until Ctrl-C, "
		 "for a time (-d), for a command and its descendants (-- COMMAND), or of a "
		 "recording (-i).",
	.examples =
		"  tcpchurn report -d 10                   # ten seconds of the whole host\n"
		"  tcpchurn report -- python3 app.py       # a command, from its beginning\n"
		"  tcpchurn report -d 60 --fail-if port-exhaustion,connection-per-request\n"
		"  tcpchurn report -i incident.gz -j       # a recording, as one JSON document\n"
		"  tcpchurn report -d 10 -o folded         # stacks, for a flame graph\n",
	.sets = OPTIONS_FILTER | OPTIONS_LIVE | OPTIONS_INPUT | OPTIONS_MODEL | OPTIONS_REPORT |
		OPTIONS_FORMAT | OPTIONS_OUTPUT | OPTIONS_COMMAND,
	.run = report_run,
};
