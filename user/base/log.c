/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "user/base/log.h"

#include <stdio.h>
#include <string.h>

#include "user/base/text.h"

static enum log_level max_level = LOG_INFO;

void log_set_level(enum log_level level)
{
	max_level = level;
}

void log_vprint(enum log_level level, const char *fmt, va_list ap)
{
	char line[1024], clean[1024];

	if (level > max_level)
		return;
	vsnprintf(line, sizeof(line), fmt, ap);
	line[strcspn(line, "\n")] = '\0'; /* libraries bring their own, and a verifier log many */
	text_clean(clean, sizeof(clean), line); /* names of programs and files are in it */
	/* One call: lines of two threads must not mix. */
	fprintf(stderr, "%s%s\n", level == LOG_INFO ? "" : "tcpchurn: ", clean);
}

void log_print(enum log_level level, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	log_vprint(level, fmt, ap);
	va_end(ap);
}
