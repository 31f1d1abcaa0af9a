/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include <errno.h>

#include "user/base/clock.h"
#include "user/cmd/commands.h"
#include "user/cmd/leaks_replay.h"
#include "user/cmd/run.h"
#include "user/source/census.h"
#include "user/source/holders.h"
#include "user/view/leaks.h"

static int print(FILE *out, const struct options *opts, const struct leaks *l,
		 const struct census_result *census, const struct holders *holders)
{
	const struct leaks_view_options view = {
		.wall_ns = clock_ns(CLOCK_REALTIME),
		.min_age_ms = opts->min_age_ns / NS_PER_MS,
		.rows = opts->rows,
		.partial = census_result__is_partial(census),
		.hidden_fds = holders__hidden(holders),
		.no_header = opts->no_header,
		.width = view_width(out),
	};

	return opts->format == VIEW_JSON ? leaks_json__print(out, l, &view)
					 : leaks_table__print(out, l, &view);
}

static int look(FILE *out, const struct options *opts)
{
	const struct census_options co = {
		.netns = opts->filter.netns,
		.states = LEAK_STATES,
		.idle = true,
	};
	struct census_result census;
	struct holders *holders = NULL;
	struct leaks leaks = {0};
	int err = census_once(&co, &census);

	if (!err) {
		holders = holders__new(&census.sockets);
		err = holders ? 0 : -errno;
	}
	if (!err)
		err = leaks__make(&leaks, &census.sockets, opts->min_age_ns / NS_PER_MS,
				  holders__find_leak, holders);
	if (!err) {
		run_output_begin(out);
		err = print(out, opts, &leaks, &census, holders);
	}
	leaks__clear(&leaks);
	holders__free(holders);
	census_result__clear(&census);
	return err;
}

static int leaks_run(const struct options *opts)
{
	FILE *out = run_output(opts);
	int code, closed;

	if (!out)
		return EXIT_INTERNAL;
	code = opts->input ? leaks_replay(opts, out) : run_census_code("leaks", look(out, opts));
	closed = run_output_close(opts, out);
	return code ? code : closed;
}

const struct command cmd_leaks = {
	.name = "leaks",
	.brief = "who does not close what its peers have closed: CLOSE_WAIT sockets",
	.about = "Which process does not close connections that its peers have closed: sockets in "
		 "CLOSE_WAIT, since when, how fast they grow, and how long until the process can "
		 "open no more files. A look at the sockets as they are: nothing is traced, no "
		 "BPF is needed. Of a recording (-i): at its end, and from which lines they were "
		 "opened or accepted; an age is since the first census that found the socket.",
	.examples =
		"  tcpchurn leaks                          # of all network namespaces (as root)\n"
		"  tcpchurn leaks --min-age 5m -j\n"
		"  tcpchurn leaks -i incident.gz           # and from which lines\n",
	.sets = OPTIONS_LEAKS | OPTIONS_RECORDED | OPTIONS_TABLE_JSON | OPTIONS_OUTPUT,
	.run = leaks_run,
};
