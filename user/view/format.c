/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "user/view/format.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define MAX_WIDTH 100
#define MIN_WIDTH 60

int view_format_from_name(enum view_format *out, const char *name)
{
	static const char *const names[] = {
		[VIEW_TABLE] = "table",
		[VIEW_JSON] = "json",
		[VIEW_CSV] = "csv",
		[VIEW_FOLDED] = "folded",
	};
	size_t i;

	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (!strcmp(names[i], name)) {
			*out = (enum view_format)i;
			return 0;
		}
	}
	return -EINVAL;
}

bool view_colour(FILE *out)
{
	const char *no_color = getenv("NO_COLOR"), *term = getenv("TERM");

	if ((no_color && *no_color) || (term && !strcmp(term, "dumb")))
		return false;
	return isatty(fileno(out));
}

unsigned int view_columns(FILE *out)
{
	struct winsize ws;

	if (!isatty(fileno(out)))
		return 0;
	if (ioctl(fileno(out), TIOCGWINSZ, &ws) || !ws.ws_col)
		return MAX_WIDTH;
	return ws.ws_col < MIN_WIDTH ? MIN_WIDTH : ws.ws_col;
}

unsigned int view_width(FILE *out)
{
	unsigned int columns = view_columns(out);

	return columns && columns < MAX_WIDTH ? columns : MAX_WIDTH;
}

int view_flush(FILE *out)
{
	errno = 0;
	if (fflush(out) || ferror(out))
		return errno ? -errno : -EIO;
	return 0;
}

void view_line_buffered(FILE *out)
{
	setvbuf(out, NULL, _IOLBF, 0);
}
