/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* An option as a row of a table. Those of single commands stand in tables of their own. */
#ifndef CHURN_CMD_OPTIONS_ENTRY_H
#define CHURN_CMD_OPTIONS_ENTRY_H

#include "user/cmd/options.h"

/* Takes the argument and returns 0 or -EINVAL; the table says what is valid. */
typedef int (*option_parser)(struct options *o, const char *arg);

struct option_entry {
	int letter; /* 0: none */
	const char *name;
	const char *arg; /* NULL: takes none */
	const char *help;
	const char *valid; /* for the message about a bad value */
	unsigned int sets; /* enum option_set, 0: every command */
	option_parser parse;
};

/* Of ports, check and leaks, and what found no room elsewhere; ends with an entry without a name. */
extern const struct option_entry options_ports[];

#endif /* CHURN_CMD_OPTIONS_ENTRY_H */
