/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include <stdio.h>

#include "user/cmd/options_entry.h"
#include "user/view/format.h"
#include "user/view/paragraph.h"

#define INDENT 29

/* "  -p, --pid PID[,..]         only these processes", wrapped. */
static void put_option(const struct option_entry *e, unsigned int width)
{
	char first[64], name[48];
	char letter[] = {'-', (char)e->letter, ',', '\0'};

	snprintf(name, sizeof(name), "--%s%s%s", e->name, e->arg ? " " : "", e->arg ? e->arg : "");
	snprintf(first, sizeof(first), "  %-3s %-22s ", e->letter ? letter : "", name);
	put_paragraph(stdout, width, first, INDENT, e->help);
}

void options_help(const struct command *cmd)
{
	static const struct option_entry help = {
		.letter = 'h', .name = "help", .help = "this, on standard output"};
	unsigned int width = view_width(stdout);

	printf("usage: tcpchurn %s [OPTION ...]%s\n", cmd->name,
	       cmd->sets & OPTIONS_COMMAND ? " [-- COMMAND ...]" : "");
	put_paragraph(stdout, width, "", 0, cmd->about);
	for (const struct option_table *t = option_tables; t->title; t++) {
		bool titled = false;

		for (const struct option_entry *e = t->entries; e->name; e++) {
			if (!option_applies(e, cmd))
				continue;
			if (!titled)
				printf("\n%s:\n", t->title);
			titled = true;
			put_option(e, width);
		}
	}
	put_option(&help, width);
	printf("\nExamples:\n%s", cmd->examples);
}
