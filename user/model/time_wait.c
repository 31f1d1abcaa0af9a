/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "user/model/time_wait.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static struct time_wait_limit *find(const struct time_wait_limits *l, uint32_t netns)
{
	for (uint32_t i = 0; i < l->nr; i++) {
		if (l->at[i].netns == netns)
			return &l->at[i];
	}
	return NULL;
}

const struct time_wait_limit *time_wait_limits__find(const struct time_wait_limits *l,
						     uint32_t netns)
{
	return find(l, netns);
}

int time_wait_limits__note(struct time_wait_limits *l, const struct time_wait_limit *limit)
{
	struct time_wait_limit *at = find(l, limit->netns);

	if (!at) {
		at = realloc(l->at, (l->nr + 1) * sizeof(*at));
		if (!at)
			return -ENOMEM;
		l->at = at;
		at += l->nr++;
	}
	*at = *limit;
	return 0;
}

void time_wait_limits__clear(struct time_wait_limits *l)
{
	free(l->at);
	memset(l, 0, sizeof(*l));
}
