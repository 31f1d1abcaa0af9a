/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "user/cmd/options.h"

#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <nss.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>

#include "user/base/array.h"
#include "user/base/log.h"
#include "user/base/parse.h"
#include "user/base/text.h"
#include "user/cmd/options_entry.h"
#include "user/source/namespace.h"

#define DEFAULT_BUFFER_SIZE (16 << 20)
#define DEFAULT_MAX_CONNS   65536 /* of 160 bytes each in the kernel */
#define DEFAULT_MIN_AGE_NS  1000000000ULL
#define PID_MAX		    4194304 /* PID_MAX_LIMIT, include/linux/threads.h */

/* --- filters ----------------------------------------------------------------------------------- */

/* Calls `add` for each piece between commas. */
static int for_each_piece(struct options *o, const char *arg, option_parser add)
{
	char *copy = strdup(arg), *rest = copy, *piece;
	int err = copy ? 0 : -ENOMEM;

	while (!err && (piece = strsep(&rest, ",")))
		err = add(o, piece);
	free(copy);
	return err;
}

static int add_pid(struct options *o, const char *arg)
{
	uint64_t pid;

	if (o->filter.nr_pids >= FILTER_MAX_PIDS || parse_uint(&pid, arg, 1, PID_MAX))
		return -EINVAL;
	o->filter.pids[o->filter.nr_pids++] = pid;
	return 0;
}

static int opt_pid(struct options *o, const char *arg)
{
	return for_each_piece(o, arg, add_pid);
}

static int opt_comm(struct options *o, const char *arg)
{
	size_t len = strlen(arg);

	if (!len || len > sizeof(o->filter.comm))
		return -EINVAL;
	memset(o->filter.comm, 0, sizeof(o->filter.comm));
	memcpy(o->filter.comm, arg, len);
	return 0;
}

static int opt_uid(struct options *o, const char *arg)
{
	const struct passwd *user;
	uint64_t uid;

	/* A static binary (no interpreter) must not load this machine's libraries for names. */
	if (!getauxval(AT_BASE))
		__nss_configure_lookup("passwd", "files");
	if (parse_uint(&uid, arg, 0, UINT32_MAX - 1)) {
		user = isdigit((unsigned char)arg[0]) ? NULL : getpwnam(arg);
		if (!user)
			return -EINVAL;
		uid = user->pw_uid;
	}
	o->filter.by_uid = true;
	o->filter.uid = uid;
	return 0;
}

static int opt_ipv4(struct options *o, const char *arg)
{
	(void)arg;
	o->filter.family = o->filter.family == 6 ? 0 : 4; /* both: all */
	return 0;
}

static int opt_ipv6(struct options *o, const char *arg)
{
	(void)arg;
	o->filter.family = o->filter.family == 4 ? 0 : 6;
	return 0;
}

static int add_peer_port(struct options *o, const char *arg)
{
	struct churn_port_range *r = &o->filter.peer_ports[o->filter.nr_peer_ports];

	if (o->filter.nr_peer_ports >= CHURN_MAX_PORTS)
		return -EINVAL;
	o->filter.nr_peer_ports++;
	return parse_port_range(&r->low, &r->high, arg);
}

static int opt_peer_port(struct options *o, const char *arg)
{
	return for_each_piece(o, arg, add_peer_port);
}

static int add_local_port(struct options *o, const char *arg)
{
	struct churn_port_range *r = &o->filter.local_ports[o->filter.nr_local_ports];

	if (o->filter.nr_local_ports >= CHURN_MAX_PORTS)
		return -EINVAL;
	o->filter.nr_local_ports++;
	return parse_port_range(&r->low, &r->high, arg);
}

static int opt_local_port(struct options *o, const char *arg)
{
	return for_each_piece(o, arg, add_local_port);
}

static int add_src(struct options *o, const char *arg)
{
	struct churn_cidr *c = &o->filter.src[o->filter.nr_src];

	if (o->filter.nr_src >= CHURN_MAX_CIDRS)
		return -EINVAL;
	o->filter.nr_src++;
	return parse_cidr(c->net, c->mask, arg);
}

static int opt_src(struct options *o, const char *arg)
{
	return for_each_piece(o, arg, add_src);
}

static int add_dst(struct options *o, const char *arg)
{
	struct churn_cidr *c = &o->filter.dst[o->filter.nr_dst];

	if (o->filter.nr_dst >= CHURN_MAX_CIDRS)
		return -EINVAL;
	o->filter.nr_dst++;
	return parse_cidr(c->net, c->mask, arg);
}

static int opt_dst(struct options *o, const char *arg)
{
	return for_each_piece(o, arg, add_dst);
}

static int opt_cgroup(struct options *o, const char *arg)
{
	return cgroup_from_path(&o->filter.cgroup, &o->filter.cgroup_level, arg);
}

static int opt_netns(struct options *o, const char *arg)
{
	return netns_from_name(&o->filter.netns, arg);
}

static int opt_failed(struct options *o, const char *arg)
{
	(void)arg;
	o->filter.failed_only = true;
	return 0;
}

static int opt_errno(struct options *o, const char *arg)
{
	int error = text_errno_from_name(arg);

	if (error <= 0)
		return -EINVAL;
	o->filter.error = error;
	o->filter.failed_only = true;
	return 0;
}

/* --- what is shown ------------------------------------------------------------------------------ */

static int opt_format(struct options *o, const char *arg)
{
	return view_format_from_name(&o->format, arg);
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

static int opt_stack(struct options *o, const char *arg)
{
	(void)arg;
	o->stacks = true;
	return 0;
}

static int opt_seconds(struct options *o, const char *arg)
{
	(void)arg;
	o->seconds = true;
	return 0;
}

static int opt_clock(struct options *o, const char *arg)
{
	(void)arg;
	o->clock = true;
	return 0;
}

static int opt_no_header(struct options *o, const char *arg)
{
	(void)arg;
	o->no_header = true;
	return 0;
}

/* --- the run ------------------------------------------------------------------------------------ */

static int opt_duration(struct options *o, const char *arg)
{
	return parse_duration(&o->duration_ns, arg);
}

static int opt_input(struct options *o, const char *arg)
{
	o->input = arg;
	return arg[0] ? 0 : -EINVAL;
}

static int opt_output_file(struct options *o, const char *arg)
{
	o->output_file = arg;
	return arg[0] ? 0 : -EINVAL;
}

static int opt_short(struct options *o, const char *arg)
{
	return parse_duration(&o->short_ns, arg);
}

static int opt_reuse_window(struct options *o, const char *arg)
{
	return parse_duration(&o->reuse_window_ns, arg);
}

static int opt_buffer_size(struct options *o, const char *arg)
{
	uint64_t size;

	if (parse_size(&size, arg, 4096, 1 << 30))
		return -EINVAL;
	o->buffer_size = size;
	return 0;
}

static int opt_max_conns(struct options *o, const char *arg)
{
	uint64_t nr;

	if (parse_uint(&nr, arg, 1, 16777216))
		return -EINVAL;
	o->max_conns = nr;
	return 0;
}

static int opt_attach(struct options *o, const char *arg)
{
	static const struct {
		const char *name;
		enum attach_flavour flavour;
	} names[] = {{"auto", ATTACH_AUTO},
		     {"tracepoint", ATTACH_TRACEPOINT},
		     {"plain-tracepoint", ATTACH_PLAIN},
		     {"fentry", ATTACH_FENTRY},
		     {"kprobe", ATTACH_KPROBE}};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		if (strcmp(arg, names[i].name) == 0) {
			o->attach = names[i].flavour;
			return 0;
		}
	}
	return -EINVAL;
}

static int opt_fail_on_loss(struct options *o, const char *arg)
{
	(void)arg;
	o->fail_on_loss = true;
	return 0;
}

static int add_fail_if(struct options *o, const char *arg)
{
	uint32_t bit = finding_bit(arg);

	o->fail_if |= bit;
	return bit ? 0 : -EINVAL;
}

static int opt_fail_if(struct options *o, const char *arg)
{
	return for_each_piece(o, arg, add_fail_if);
}

static int opt_no_callsites(struct options *o, const char *arg)
{
	(void)arg;
	o->no_callsites = true;
	return 0;
}

static int opt_skip(struct options *o, const char *arg)
{
	if (o->nr_skip >= OPTIONS_MAX_SKIP || !arg[0])
		return -EINVAL;
	o->skip[o->nr_skip++] = arg;
	return 0;
}

static int opt_verbose(struct options *o, const char *arg)
{
	(void)o;
	(void)arg;
	log_set_level(LOG_DEBUG);
	return 0;
}

/* --- the table ---------------------------------------------------------------------------------- */

static const struct option_entry entries[] = {
	{'p', "pid", "PID[,..]", "only these processes", "1 to 4194304, at most 64 of them",
	 OPTIONS_FILTER, opt_pid},
	{'n', "comm", "GLOB", "only threads or processes of that name",
	 "1 to 16 characters, * and ?", OPTIONS_FILTER, opt_comm},
	{'u', "uid", "USER", "only this user", "a user name or number", OPTIONS_FILTER, opt_uid},
	{'4', "ipv4", NULL, "only IPv4", NULL, OPTIONS_FILTER | OPTIONS_POOLS, opt_ipv4},
	{'6', "ipv6", NULL, "only IPv6", NULL, OPTIONS_FILTER | OPTIONS_POOLS, opt_ipv6},
	{'P', "port", "PORTS", "only these peer ports (80,443,8000-8999)",
	 "1 to 65535, low-high, at most 16", OPTIONS_FILTER | OPTIONS_POOLS, opt_peer_port},
	{'L', "lport", "PORTS", "only these local ports", "1 to 65535, low-high, at most 16",
	 OPTIONS_FILTER, opt_local_port},
	{0, "src", "CIDR[,..]", "only these local addresses", "ADDRESS[/PREFIX], at most 16",
	 OPTIONS_FILTER | OPTIONS_POOLS, opt_src},
	{0, "dst", "CIDR[,..]", "only these peer addresses", "ADDRESS[/PREFIX], at most 16",
	 OPTIONS_FILTER | OPTIONS_POOLS, opt_dst},
	{0, "cgroup", "PATH", "only processes in this cgroup (v2) and below it",
	 "a directory of the cgroup v2 tree", OPTIONS_FILTER, opt_cgroup},
	{'N', "netns", "NS", "only this network namespace: name, PID or inode number",
	 "a name in /run/netns, a living PID, or an inode number",
	 OPTIONS_FILTER | OPTIONS_POOLS | OPTIONS_LEAKS | OPTIONS_NETNS, opt_netns},
	{0, "failed", NULL, "only failed connects", NULL, OPTIONS_FILTER, opt_failed},
	{0, "errno", "NAME", "only connects that failed with this (EADDRNOTAVAIL)",
	 "a name from errno(3) or its number", OPTIONS_FILTER, opt_errno},

	{'d', "duration", "TIME", "end after this long (500ms, 10s, 5m)", PARSE_DURATION_RANGE,
	 OPTIONS_LIVE | OPTIONS_PORTS, opt_duration},
	{'i', "input", "FILE", "read a recording instead of tracing (- is stdin); no filters then",
	 "a file name", OPTIONS_INPUT, opt_input},
	{'O', "output-file", "FILE", "write there (record needs it: - is standard output)",
	 "a file name", OPTIONS_OUTPUT, opt_output_file},
	{'o', "output", "FORMAT", "table, json, csv or folded", "table, json, csv, folded",
	 OPTIONS_FORMAT, opt_format},
	{'j', "json", NULL, "the same as -o json", NULL, OPTIONS_FORMAT, opt_json},
	{0, "by", "WHAT", "rows by program, pid, exe, comm, container, callsite or dest",
	 "program, pid, exe, comm, container, callsite, dest", OPTIONS_REPORT, opt_by},
	{'s', "sort", "KEY", "opens, failures, avoidable, short, time_wait, accepts or name",
	 "opens, failures, avoidable, short, time_wait, accepts, name", OPTIONS_REPORT, opt_sort},
	{'r', "rows", "N", "at most that many rows of each list", "1 to 1000000",
	 OPTIONS_REPORT | OPTIONS_PORTS | OPTIONS_LEAKS, opt_rows},
	{'g', "stack", NULL, "show whole stacks", NULL, OPTIONS_MODEL, opt_stack},
	{'t', "seconds", NULL, "a column with the seconds since the start", NULL, OPTIONS_TRACE,
	 opt_seconds},
	{'T', "clock", NULL, "a column with the time of day", NULL, OPTIONS_TRACE, opt_clock},
	{'H', "no-header", NULL, "no header line", NULL,
	 OPTIONS_MODEL | OPTIONS_PORTS | OPTIONS_LEAKS, opt_no_header},
	{0, "short", "TIME", "what counts as short-lived (default 1s)", PARSE_DURATION_RANGE,
	 OPTIONS_MODEL, opt_short},
	{0, "reuse-window", "TIME", "how long a pool would keep a connection (default 30s)",
	 PARSE_DURATION_RANGE, OPTIONS_MODEL, opt_reuse_window},
	{0, "callsite-skip", "GLOB", "functions, files or modules that are library too",
	 "not empty, at most 32 of them", OPTIONS_MODEL, opt_skip},
	{0, "no-callsites", NULL, "do not capture user stacks", NULL, OPTIONS_LIVE,
	 opt_no_callsites},
	{0, "buffer-size", "SIZE", "for events, all CPUs together (default 16M)", "4K to 1G",
	 OPTIONS_LIVE, opt_buffer_size},
	{0, "max-conns", "N", "connections followed at once (default 65536)", "1 to 16777216",
	 OPTIONS_LIVE | OPTIONS_MODEL, opt_max_conns},
	{0, "attach", "FLAVOUR", "auto, tracepoint, plain-tracepoint, fentry or kprobe",
	 "auto, tracepoint, plain-tracepoint, fentry, kprobe", OPTIONS_LIVE | OPTIONS_ATTACH,
	 opt_attach},
	{0, "fail-on-loss", NULL, "exit 4 when events were lost", NULL,
	 OPTIONS_LIVE | OPTIONS_INPUT, opt_fail_on_loss},
	{0, "fail-if", "FINDING[,..]", "exit 1 when one of these was found (port-exhaustion)",
	 "the name of a finding, as in brackets in the report", OPTIONS_REPORT, opt_fail_if},
	{'v', "verbose", NULL, "say more", NULL, 0, opt_verbose},
};

#define NR_PORTS_ENTRIES 16 /* room for those of the other tables */
#define MAX_ENTRIES	 (ARRAY_SIZE(entries) + NR_PORTS_ENTRIES)

/* The i-th of all tables, NULL: there are no more. */
static const struct option_entry *entry_at(size_t i)
{
	if (i < ARRAY_SIZE(entries))
		return &entries[i];
	i -= ARRAY_SIZE(entries);
	return i < NR_PORTS_ENTRIES && options_ports[i].name ? &options_ports[i] : NULL;
}

static bool entry_applies(const struct option_entry *e, const struct command *cmd)
{
	return !e->sets || (e->sets & cmd->sets);
}

static void print_help(const struct command *cmd)
{
	const struct option_entry *e;

	printf("usage: tcpchurn %s [options]%s\n%s\n\n", cmd->name,
	       cmd->sets & OPTIONS_COMMAND ? " [-- COMMAND ...]" : "", cmd->summary);
	for (size_t i = 0; (e = entry_at(i)); i++) {
		char text[64];

		if (!entry_applies(e, cmd))
			continue;
		snprintf(text, sizeof(text), "--%s%s%s", e->name, e->arg ? " " : "",
			 e->arg ? e->arg : "");
		printf("  %c%c%c %-22s %s\n", e->letter ? '-' : ' ', e->letter ? e->letter : ' ',
		       e->letter ? ',' : ' ', text, e->help);
	}
	printf("  -h, %-22s this\n", "--help");
}

/* getopt's two forms of the table, for one command. `index` of a long option is its val - 256. */
static void build_getopt(const struct command *cmd, char *letters,
			 struct option longs[MAX_ENTRIES + 2])
{
	const struct option_entry *e;
	size_t n = 0;

	/* '+': what follows the first word that is no option belongs to the command. */
	*letters++ = '+';
	*letters++ = ':';
	for (size_t i = 0; (e = entry_at(i)); i++) {
		if (!entry_applies(e, cmd))
			continue;
		if (e->letter) {
			*letters++ = e->letter;
			if (e->arg)
				*letters++ = ':';
		}
		longs[n++] = (struct option){e->name, e->arg ? required_argument : no_argument,
					     NULL, 256 + (int)i};
	}
	*letters++ = 'h';
	*letters = '\0';
	longs[n++] = (struct option){"help", no_argument, NULL, 'h'};
	memset(&longs[n], 0, sizeof(longs[n]));
}

static const struct option_entry *entry_of(const struct command *cmd, int code)
{
	const struct option_entry *e;

	if (code >= 256)
		return entry_at(code - 256);
	for (size_t i = 0; (e = entry_at(i)); i++) {
		if (e->letter == code && entry_applies(e, cmd))
			return e;
	}
	return NULL;
}

static bool usage_error(int *exit_code, const struct command *cmd, const char *what,
			const char *name, const char *why)
{
	log_error("%s: %s '%s'%s%s (see tcpchurn %s --help)", cmd->name, what, name,
		  why ? ": " : "", why ? why : "", cmd->name);
	*exit_code = EXIT_USAGE;
	return false;
}

static void set_defaults(struct options *o)
{
	memset(o, 0, sizeof(*o));
	o->short_ns = model_default_options.short_ns;
	o->reuse_window_ns = model_default_options.reuse_window_ns;
	o->max_conns = DEFAULT_MAX_CONNS;
	o->min_age_ns = DEFAULT_MIN_AGE_NS;
	o->buffer_size = DEFAULT_BUFFER_SIZE;
	o->ports = options_ports_defaults;
}

/* Combinations that make no sense, after all options are known. */
static bool check(const struct options *o, const struct command *cmd, int *exit_code)
{
	if (o->input && (o->command || o->filtered || o->duration_ns))
		return usage_error(exit_code, cmd, "does not go with a recording:",
				   o->command	 ? "-- COMMAND"
				   : o->filtered ? "a filter"
						 : "--duration",
				   "filters and duration are decided while tracing");
	if (o->command && o->filter.nr_pids)
		return usage_error(exit_code, cmd, "does not go with -- COMMAND:", "--pid", NULL);
	return true;
}

bool options_parse(struct options *out, const struct command *cmd, int argc, char **argv,
		   int *exit_code)
{
	struct option longs[MAX_ENTRIES + 2];
	char letters[3 * MAX_ENTRIES + 8];
	int code;

	set_defaults(out);
	build_getopt(cmd, letters, longs);
	optind = 0; /* getopt's way to forget an earlier command line, getopt(3) */
	while ((code = getopt_long(argc, argv, letters, longs, NULL)) != -1) {
		const struct option_entry *e = entry_of(cmd, code);
		/* getopt stays at a word until the last of its letters is read. */
		const char letter[] = {'-', (char)optopt, '\0'};
		bool unknown_letter = code == '?' && optopt > 0 && optopt < 256;
		const char *given = unknown_letter ? letter : argv[optind - 1];

		if (code == 'h') {
			print_help(cmd);
			*exit_code = EXIT_OK;
			return false;
		}
		if (code == '?' || code == ':' || !e)
			return usage_error(exit_code, cmd,
					   code == ':' ? "a value is missing after"
						       : "unknown option",
					   given, NULL);
		if (e->parse(out, optarg))
			return usage_error(exit_code, cmd, e->name, optarg ? optarg : "", e->valid);
		out->filtered |= (e->sets & OPTIONS_FILTER) != 0;
	}
	if ((cmd->sets & OPTIONS_COMMAND) && strcmp(argv[optind - 1], "--") == 0) {
		if (optind == argc)
			return usage_error(exit_code, cmd, "a command is missing after", "--",
					   NULL);
		out->command = argv + optind;
	} else if (optind < argc) {
		return usage_error(exit_code, cmd, "unexpected word", argv[optind],
				   cmd->sets & OPTIONS_COMMAND ? "a command comes after --" : NULL);
	}
	return check(out, cmd, exit_code);
}
