/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "user/source/bpf_log.h"

#include <bpf/libbpf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "user/base/log.h"

/* libbpf's own type of this function has no format attribute. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wmissing-format-attribute"
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
static int libbpf_log(enum libbpf_print_level level, const char *fmt, va_list ap)
{
	char *text, *rest, *line;

	if (level != LIBBPF_WARN || vasprintf(&text, fmt, ap) < 0)
		return 0;
	/* The verifier's log is one message of many lines. */
	for (rest = text; (line = strsep(&rest, "\n"));) {
		if (*line)
			log_debug("%s", line);
	}
	free(text);
	return 0;
}
#pragma GCC diagnostic pop

void bpf_log_to_debug(void)
{
	libbpf_set_print(libbpf_log);
}
