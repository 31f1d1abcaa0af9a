/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include <stdio.h>
#include <string.h>

#include "user/base/array.h"
#include "user/base/log.h"
#include "user/cmd/commands.h"
#include "user/cmd/options.h"

static const struct command *const commands[] = {&cmd_report, &cmd_trace, &cmd_record, &cmd_ports,
						 &cmd_leaks,  &cmd_check, &cmd_doctor};

static void print_help(void)
{
	printf("usage: tcpchurn [COMMAND] [OPTION ...]\n"
	       "Who opens and closes TCP connections, from which line of code, and what fails.\n\n"
	       "Commands; without one: report, for 10 s if there are no options either:\n");
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
		printf("  %-7s %s\n", commands[i]->name, commands[i]->brief);
	printf("\n"
	       "Exit codes, but for check:\n"
	       "  0   fine, also after Ctrl-C and when the reader of the output is gone\n"
	       "  1   report found something that --fail-if names\n"
	       "  4   events were lost, with --fail-on-loss\n"
	       "  64  wrong usage\n"
	       "  66  the recording cannot be read\n"
	       "  69  the kernel lacks what is needed\n"
	       "  70  internal error, or the output cannot be written\n"
	       "  77  not privileged: it needs root, or CAP_BPF and CAP_PERFMON\n"
	       "\n"
	       "Options of a command: tcpchurn COMMAND --help. Version: tcpchurn --version\n");
}

static const struct command *find_command(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++) {
		if (strcmp(name, commands[i]->name) == 0)
			return commands[i];
	}
	log_error("'%s' is no command of tcpchurn (see tcpchurn --help)", name);
	return NULL;
}

/* help [COMMAND] */
static int help(const char *name)
{
	const struct command *cmd = name ? find_command(name) : NULL;

	if (cmd)
		options_help(cmd);
	else if (!name)
		print_help();
	return name && !cmd ? EXIT_USAGE : EXIT_OK;
}

static int run(const struct command *cmd, int argc, char **argv)
{
	struct options opts;
	int code;

	if (options_parse(&opts, cmd, argc, argv, &code))
		return cmd->run(&opts);
	return code == EXIT_USAGE && cmd->refuse ? cmd->refuse() : code;
}

int main(int argc, char **argv)
{
	char *ten_seconds[] = {(char *)"report", (char *)"-d", (char *)"10", NULL};
	const struct command *cmd;

	if (argc < 2)
		return run(&cmd_report, 3, ten_seconds);
	if (strcmp(argv[1], "-h") == 0 || strcmp(argv[1], "--help") == 0)
		return help(NULL);
	if (strcmp(argv[1], "help") == 0)
		return help(argv[2]);
	if (strcmp(argv[1], "-V") == 0 || strcmp(argv[1], "--version") == 0) {
		printf("tcpchurn " CHURN_VERSION "\n");
		return EXIT_OK;
	}
	if (argv[1][0] == '-')
		return run(&cmd_report, argc, argv);
	cmd = find_command(argv[1]);
	return cmd ? run(cmd, argc - 1, argv + 1) : EXIT_USAGE;
}
