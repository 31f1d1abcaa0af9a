/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include <errno.h>
#include <string.h>

#include "user/base/clock.h"
#include "user/base/log.h"
#include "user/cmd/commands.h"
#include "user/cmd/run.h"
#include "user/source/census.h"
#include "user/source/holders.h"
#include "user/view/leaks.h"

static int print(FILE *out, const struct options *opts, const struct leaks *l,
		 const struct census_result *census, const struct holders *holders)
{
	const struct leaks_view_options view = {
		.wall_ns = clock_ns(CLOCK_REALTIME),
		.min_age_ms = opts->min_age_ns / 1000000,
		.rows = opts->rows,
		.partial = census_result__is_partial(census),
		.hidden_fds = holders__hidden(holders),
		.no_header = opts->no_header,
		.width = view_width(out),
	};

	return opts->format == VIEW_JSON ? leaks_json__print(out, l, &view)
					 : leaks_table__print(out, l, &view);
}

static int take(struct census_result *out, const struct options *opts)
{
	const struct census_options co = {
		.netns = opts->filter.netns,
		.states = LEAK_STATES,
		.idle = true,
	};

	return census_once(&co, out);
}

static int leaks_run(const struct options *opts)
{
	struct holders *holders = NULL;
	struct census_result census = {0};
	struct leaks leaks = {0};
	FILE *out;
	int err;

	out = run_output(opts);
	if (!out)
		return EXIT_INTERNAL;
	err = take(&census, opts);
	if (err == -ENOENT) {
		log_error("leaks: the network namespace is not there any more");
		goto out;
	}
	if (!err) {
		holders = holders__new(&census.sockets);
		err = holders ? leaks__make(&leaks, &census.sockets, opts->min_age_ns / 1000000,
					    holders__find_leak, holders)
			      : -errno;
	}
	if (!err)
		err = print(out, opts, &leaks, &census, holders);
	if (err && err != -EPIPE)
		log_error("leaks: %s", strerror(-err));
out:
	leaks__clear(&leaks);
	holders__free(holders);
	census_result__clear(&census);
	if (err && err != -EPIPE)
		run_output_close(opts, out);
	else
		err = run_output_close(opts, out);
	return err ? EXIT_INTERNAL : EXIT_OK;
}

const struct command cmd_leaks = {
	.name = "leaks",
	.brief = "who does not close what its peers have closed: CLOSE_WAIT sockets",
	.about = "Which process does not close connections that its peers have closed: sockets in "
		 "CLOSE_WAIT, since when, how fast they grow, and how long until the process can "
		 "open "
		 "no more files. A look at the sockets as they are: nothing is traced, no BPF is "
		 "needed.",
	.examples =
		"  tcpchurn leaks                          # of all network namespaces (as root)\n"
		"  tcpchurn leaks --min-age 5m -j\n",
	.sets = OPTIONS_LEAKS | OPTIONS_TABLE_JSON | OPTIONS_OUTPUT,
	.run = leaks_run,
};
