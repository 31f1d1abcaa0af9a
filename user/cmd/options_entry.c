/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "user/cmd/options_entry.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int option_pieces(struct options *o, const char *arg, option_parser add)
{
	char *copy = strdup(arg), *rest = copy, *piece;
	int err = copy ? 0 : -ENOMEM;

	while (!err && (piece = strsep(&rest, ",")))
		err = add(o, piece);
	free(copy);
	return err;
}

const struct option_table option_tables[] = {
	{"Only some", options_filter},
	{"Of this command", options_ports},
	{"What is shown", options_view},
	{"The run", options_run},
	{NULL, NULL},
};

bool option_applies(const struct option_entry *e, const struct command *cmd)
{
	return !e->sets || (e->sets & cmd->sets);
}
