/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* A command line: the first byte chooses the command, then arguments that end with a NUL. */
#include "tests/fuzz/fuzz.h"

#include "user/cmd/commands.h"

#define MAX_ARGS 24

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct command *const commands[] = {&cmd_report, &cmd_trace, &cmd_record,
							 &cmd_ports,  &cmd_leaks, &cmd_check,
							 &cmd_doctor};
	const struct command *cmd = commands[(size ? *data : 0) % 7];
	char *text = malloc(size + 1), *argv[MAX_ARGS + 2] = {(char *)cmd->name};
	struct options opts;
	int argc = 1, code;

	fuzz_require(text, "no memory");
	memcpy(text, data, size);
	text[size] = '\0';
	for (char *at = text + 1; at < text + size && argc <= MAX_ARGS; at += strlen(at) + 1)
		argv[argc++] = at;
	options_parse(&opts, cmd, argc, argv, &code);
	free(text);
	return 0;
}
