/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "user/source/sockstat.h"

#include <stdio.h>
#include <string.h>

/* "TCP: inuse 4 orphan 0 tw 12 alloc 5 mem 1": the number after `name`, on the line `line`. */
static bool read_count(const char *path, const char *line, const char *name, uint32_t *out)
{
	FILE *f = fopen(path, "re");
	char text[256];
	bool found = false;

	while (f && !found && fgets(text, sizeof(text), f)) {
		const char *at = strncmp(text, line, strlen(line)) ? NULL : strstr(text, name);

		found = at && sscanf(at + strlen(name), "%u", out) == 1;
	}
	if (f)
		fclose(f);
	return found;
}

bool sockstat_read(struct sockstat *out)
{
	const char *v4 = "/proc/thread-self/net/sockstat", *v6 = "/proc/thread-self/net/sockstat6";
	uint32_t nr_v6 = 0;

	if (!read_count(v4, "TCP:", " inuse ", &out->tcp) ||
	    !read_count(v4, "TCP:", " tw ", &out->time_wait))
		return false;
	read_count(v6, "TCP6:", " inuse ", &nr_v6); /* not there without IPv6 */
	out->tcp += nr_v6;
	return true;
}
