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
	printf("usage: tcpchurn [COMMAND] [options]\n"
	       "Who opens and closes TCP connections, from which line of code, and what fails.\n"
	       "Without a command: report -d 10.\n\n");
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++) {
		int first_line = strcspn(commands[i]->summary, "\n");

		printf("  %-8s %.*s\n", commands[i]->name, first_line, commands[i]->summary);
	}
	printf("\n`tcpchurn COMMAND --help` lists a command's options.\n");
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

	if (argc < 2)
		return run(&cmd_report, 3, ten_seconds);
	if (strcmp(argv[1], "-h") == 0 || strcmp(argv[1], "--help") == 0) {
		print_help();
		return EXIT_OK;
	}
	if (strcmp(argv[1], "-V") == 0 || strcmp(argv[1], "--version") == 0) {
		printf("tcpchurn " CHURN_VERSION "\n");
		return EXIT_OK;
	}
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++) {
		if (strcmp(argv[1], commands[i]->name) == 0)
			return run(commands[i], argc - 1, argv + 1);
	}
	log_error("'%s' is no command of tcpchurn (see tcpchurn --help)", argv[1]);
	return EXIT_USAGE;
}
