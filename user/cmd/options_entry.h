/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Options as rows of tables, a table for each thing that options are about. */
#ifndef CHURN_CMD_OPTIONS_ENTRY_H
#define CHURN_CMD_OPTIONS_ENTRY_H

#include <stddef.h>

#include "user/cmd/options.h"

/* Takes the argument and returns 0 or -EINVAL; the table says what is valid. */
typedef int (*option_parser)(struct options *o, const char *arg);

struct option_entry {
	int letter; /* 0: none */
	const char *name;
	const char *arg; /* NULL: takes none */
	const char *help;
	const char *valid;   /* for the message about a bad value */
	unsigned int sets;   /* enum option_set, 0: every command */
	option_parser parse; /* NULL: a flag, */
	size_t flag;	     /* the bool at this offset */
};

/* How a row ends: with its parser, or with the bool of struct options that it sets. */
#define PARSED_BY(parser) parser, 0
#define SETS(member)	  NULL, offsetof(struct options, member)

/* Each ends with an entry without a name. */
extern const struct option_entry options_filter[], options_view[], options_ports[], options_run[];

struct option_table {
	const char *title;
	const struct option_entry *entries;
};

/* In the order of the help; ends with one without a title. */
extern const struct option_table option_tables[];

bool option_applies(const struct option_entry *e, const struct command *cmd);

/* Calls `add` for each piece between commas. 0, what it returned or -ENOMEM. */
int option_pieces(struct options *o, const char *arg, option_parser add);

#endif /* CHURN_CMD_OPTIONS_ENTRY_H */
