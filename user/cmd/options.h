/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The command line as a struct, constant from parsing on. */
#ifndef CHURN_CMD_OPTIONS_H
#define CHURN_CMD_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "user/model/model.h"
#include "user/model/what_if.h"
#include "user/source/filter.h"
#include "user/source/live.h"
#include "user/view/format.h"
#include "user/view/report.h"

/* sysexits.h(3head) names for what the exit codes mean here. */
enum exit_code {
	EXIT_OK = 0,
	EXIT_FOUND = 1, /* something that --fail-if names */
	EXIT_LOST = 4,	/* events were lost, with --fail-on-loss */
	EXIT_USAGE = 64,
	EXIT_INPUT = 66,       /* nothing readable in the recording */
	EXIT_UNAVAILABLE = 69, /* the kernel lacks what is needed */
	EXIT_INTERNAL = 70,
	EXIT_PRIVILEGE = 77,
};

#define OPTIONS_MAX_SKIP 32

/* Of `ports` and `check`. */
struct ports_options {
	uint32_t min_used;
	double min_used_share; /* of the range; < 0: not given */
	bool no_bpf;
	bool watch;
	uint64_t interval_ns;
	double warning, critical; /* share of a pool that is not free */
	uint32_t leak_warning,
		leak_critical; /* CLOSE_WAIT sockets of a namespace, 0: not looked at */
	uint64_t failures_ns;  /* failures that are not longer ago count */
	bool traced;	       /* it is UNKNOWN whether any connect() failed, else */
	struct what_if what_if;
};

extern const struct ports_options options_ports_defaults;

struct options {
	enum view_format format;
	struct filter filter;
	bool filtered; /* some filter was given */
	uint64_t duration_ns;
	enum model_group_by group_by;
	enum report_by report_by;
	enum report_sort sort;
	uint32_t rows;
	bool stacks; /* show them */
	bool seconds, clock, no_header;
	uint64_t short_ns, reuse_window_ns;
	uint32_t buffer_size, max_conns;
	enum attach_flavour attach;
	bool fail_on_loss;
	uint64_t min_age_ns; /* of sockets that leaks tells of */
	uint32_t fail_if;    /* set of findings, see finding_bit() */
	bool bind_failures;  /* see them, whatever it costs */
	bool accepts;	     /* the same */
	bool no_callsites;   /* do not capture stacks */
	const char *skip[OPTIONS_MAX_SKIP];
	uint32_t nr_skip;
	struct ports_options ports;
	const char *input;	 /* NULL: live */
	const char *output_file; /* NULL: stdout */
	char **command;		 /* after "--", NULL: none */
};

/* Which options a command takes, as bits. */
enum option_set {
	OPTIONS_FILTER = 1 << 0,
	OPTIONS_LIVE = 1 << 1,
	OPTIONS_INPUT = 1 << 2,
	OPTIONS_MODEL = 1 << 3,
	OPTIONS_REPORT = 1 << 4,
	OPTIONS_TRACE = 1 << 5,
	OPTIONS_FORMAT = 1 << 6,
	OPTIONS_OUTPUT = 1 << 7,
	OPTIONS_COMMAND = 1 << 8, /* -- CMD */
	OPTIONS_ATTACH = 1 << 9,
	OPTIONS_LEAKS = 1 << 10,
	OPTIONS_TABLE_JSON = 1 << 11, /* -o, of which there are only these two */
	OPTIONS_POOLS = 1 << 12,      /* which port pools: those filters that fit */
	OPTIONS_PORTS = 1 << 13,
	OPTIONS_CHECK = 1 << 14,
	OPTIONS_RECORDED = 1 << 16, /* -i, of a command that is no trace */
	OPTIONS_NETNS = 1 << 15,    /* which network namespace, and nothing else */
};

/* A command: what main() dispatches on. */
struct command {
	const char *name;
	const char *brief;    /* for the list of commands */
	const char *about;    /* what it does, in a few sentences */
	const char *examples; /* lines of the help */
	unsigned int sets;    /* enum option_set */
	int (*run)(const struct options *opts);
	int (*refuse)(void); /* what a usage error ends with, NULL: EXIT_USAGE */
};

/*
 * Parses argv (argv[0] is the command's name). Returns true with *out filled, or false with
 * *exit_code set after saying why, or after printing the help.
 */
bool options_parse(struct options *out, const struct command *cmd, int argc, char **argv,
		   int *exit_code);

/* Prints a command's help. */
void options_help(const struct command *cmd);

#endif /* CHURN_CMD_OPTIONS_H */
