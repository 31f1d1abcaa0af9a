/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Options: what is shown, and how. */
#include <errno.h>
#include <string.h>

#include "user/base/array.h"
#include "user/base/parse.h"
#include "user/cmd/options_entry.h"

static int opt_format(struct options *o, const char *arg)
{
	return view_format_from_name(&o->format, arg);
}

static int opt_table_or_json(struct options *o, const char *arg)
{
	enum view_format format;

	if (view_format_from_name(&format, arg) || (format != VIEW_TABLE && format != VIEW_JSON))
		return -EINVAL;
	o->format = format;
	return 0;
}

static int opt_json(struct options *o, const char *arg)
{
	(void)arg;
	o->format = VIEW_JSON;
	return 0;
}

static int opt_by(struct options *o, const char *arg)
{
	static const struct {
		const char *name;
		enum model_group_by by;
	} groupings[] = {{"program", MODEL_BY_PROGRAM},
			 {"pid", MODEL_BY_PID},
			 {"exe", MODEL_BY_EXE},
			 {"comm", MODEL_BY_COMM},
			 {"container", MODEL_BY_CONTAINER}};

	for (size_t i = 0; i < ARRAY_SIZE(groupings); i++) {
		if (strcmp(arg, groupings[i].name) != 0)
			continue;
		o->group_by = groupings[i].by;
		o->report_by = REPORT_BY_PROCESS;
		return 0;
	}
	return report_by_from_name(&o->report_by, arg);
}

static int opt_sort(struct options *o, const char *arg)
{
	return report_sort_from_name(&o->sort, arg);
}

static int opt_rows(struct options *o, const char *arg)
{
	uint64_t rows;

	if (parse_uint(&rows, arg, 1, 1000000))
		return -EINVAL;
	o->rows = rows;
	return 0;
}

static int opt_short(struct options *o, const char *arg)
{
	return parse_duration(&o->short_ns, arg);
}

static int opt_reuse_window(struct options *o, const char *arg)
{
	return parse_duration(&o->reuse_window_ns, arg);
}

static int opt_skip(struct options *o, const char *arg)
{
	if (o->nr_skip >= OPTIONS_MAX_SKIP || !arg[0])
		return -EINVAL;
	o->skip[o->nr_skip++] = arg;
	return 0;
}

const struct option_entry options_view[] = {
	{'o', "output", "FORMAT", "table (the default), json, csv or folded",
	 "table, json, csv or folded", OPTIONS_FORMAT, PARSED_BY(opt_format)},
	{'o', "output", "FORMAT", "table (the default) or json", "table or json",
	 OPTIONS_TABLE_JSON, PARSED_BY(opt_table_or_json)},
	{'j', "json", NULL, "the same as -o json", NULL, OPTIONS_FORMAT | OPTIONS_TABLE_JSON,
	 PARSED_BY(opt_json)},
	{0, "by", "WHAT",
	 "rows by program (the default), pid, exe, comm, container, callsite or dest",
	 "program, pid, exe, comm, container, callsite or dest", OPTIONS_REPORT, PARSED_BY(opt_by)},
	{'s', "sort", "KEY", "by opens, failures, avoidable, short, time_wait, accepts or name",
	 "opens, failures, avoidable, short, time_wait, accepts or name", OPTIONS_REPORT,
	 PARSED_BY(opt_sort)},
	{'r', "rows", "N", "at most that many rows of each list", "1 to 1000000",
	 OPTIONS_REPORT | OPTIONS_PORTS | OPTIONS_LEAKS, PARSED_BY(opt_rows)},
	{'g', "stack", NULL, "whole stacks, not only the call site", NULL, OPTIONS_MODEL,
	 SETS(stacks)},
	{'t', "seconds", NULL, "a column with the seconds since the start", NULL, OPTIONS_TRACE,
	 SETS(seconds)},
	{'T', "clock", NULL, "a column with the time of day", NULL, OPTIONS_TRACE, SETS(clock)},
	{'H', "no-header", NULL, "no header line", NULL,
	 OPTIONS_MODEL | OPTIONS_PORTS | OPTIONS_LEAKS, SETS(no_header)},
	{0, "short", "TIME", "what counts as short-lived (default 1s)", PARSE_DURATION_RANGE,
	 OPTIONS_MODEL, PARSED_BY(opt_short)},
	{0, "reuse-window", "TIME",
	 "how long a pool would keep an idle connection: what is avoidable (default 30s)",
	 PARSE_DURATION_RANGE, OPTIONS_MODEL, PARSED_BY(opt_reuse_window)},
	{0, "callsite-skip", "GLOB",
	 "functions, files or modules that are a library's, not a call site; may be repeated",
	 "not empty, at most 32 of them", OPTIONS_MODEL, PARSED_BY(opt_skip)},
	{0},
};
