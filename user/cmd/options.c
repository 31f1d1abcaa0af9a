/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "user/cmd/options.h"

#include <getopt.h>
#include <string.h>

#include "user/base/log.h"
#include "user/cmd/options_entry.h"
#include "user/source/machine.h"

#define DEFAULT_BUFFER_SIZE (16 << 20)
#define DEFAULT_MIN_AGE_NS  1000000000ULL
#define MAX_ENTRIES	    128 /* of all tables */

/* The i-th of all tables, NULL: there are no more. */
static const struct option_entry *entry_at(size_t i)
{
	for (const struct option_table *t = option_tables; t->title; t++) {
		for (const struct option_entry *e = t->entries; e->name; e++) {
			if (!i--)
				return e;
		}
	}
	return NULL;
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
		if (!option_applies(e, cmd))
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
		if (e->letter == code && option_applies(e, cmd))
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
	o->max_conns = machine_max_conns();
	o->min_age_ns = DEFAULT_MIN_AGE_NS;
	o->buffer_size = DEFAULT_BUFFER_SIZE;
	o->ports = options_ports_defaults;
}

static bool bad_value(int *exit_code, const struct command *cmd, const struct option_entry *e,
		      const char *value)
{
	log_error("%s: --%s '%s': it takes %s (see tcpchurn %s --help)", cmd->name, e->name, value,
		  e->valid, cmd->name);
	*exit_code = EXIT_USAGE;
	return false;
}

/* Combinations that make no sense, after all options are known: what, and why. */
static bool check(const struct options *o, const struct command *cmd, int *exit_code)
{
	const char *what = NULL, *why = NULL;

	if (o->input) {
		why = "a recording (-i): what is in it was chosen when it was made";
		what = o->command	? "-- COMMAND"
		       : o->filtered	? "a filter"
		       : o->duration_ns ? "--duration"
					: NULL;
	} else if (o->command && o->filter.nr_pids) {
		why = "-- COMMAND, which traces the command and its descendants";
		what = "--pid";
	}
	if (!what)
		return true;
	log_error("%s: %s does not go with %s", cmd->name, what, why);
	*exit_code = EXIT_USAGE;
	return false;
}

static int apply(struct options *o, const struct option_entry *e, const char *arg)
{
	o->filtered |= (e->sets & OPTIONS_FILTER) != 0;
	if (e->parse)
		return e->parse(o, arg);
	*(bool *)((char *)o + e->flag) = true;
	return 0;
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
			options_help(cmd);
			*exit_code = EXIT_OK;
			return false;
		}
		if (code == '?' || code == ':' || !e)
			return usage_error(exit_code, cmd,
					   code == ':' ? "a value is missing after"
						       : "unknown option",
					   given, NULL);
		if (apply(out, e, optarg))
			return bad_value(exit_code, cmd, e, optarg);
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
