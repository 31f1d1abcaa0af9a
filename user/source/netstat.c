/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "user/source/netstat.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "user/base/parse.h"

#define SPACES " \n"

/* The two lines of a group, their names and their numbers, to be freed: no -> false. */
static bool read_group(FILE *f, const char *group, char **names, char **numbers)
{
	size_t size = 0, len = strlen(group);

	*names = *numbers = NULL;
	while (getline(names, &size, f) > 0) {
		if (strncmp(*names, group, len))
			continue;
		size = 0;
		return getline(numbers, &size, f) > 0 && !strncmp(*numbers, group, len);
	}
	return false;
}

static bool pick(char *names, char *numbers, const char *wanted, uint64_t *out)
{
	char *of_names, *of_numbers;
	const char *name = strtok_r(names, SPACES, &of_names);
	const char *number = strtok_r(numbers, SPACES, &of_numbers);

	while (name && number && strcmp(name, wanted)) {
		name = strtok_r(NULL, SPACES, &of_names);
		number = strtok_r(NULL, SPACES, &of_numbers);
	}
	return name && number && !parse_uint(out, number, 0, UINT64_MAX);
}

bool netstat_time_wait_overflows(uint64_t *out)
{
	FILE *f = fopen("/proc/thread-self/net/netstat", "re");
	char *names, *numbers;
	bool found;

	if (!f)
		return false;
	found = read_group(f, "TcpExt:", &names, &numbers) &&
		pick(names, numbers, "TCPTimeWaitOverflow", out);
	free(names);
	free(numbers);
	fclose(f);
	return found;
}
