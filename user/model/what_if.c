/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "user/model/what_if.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "user/base/parse.h"

#define MAX_ADDRESSES	1000
#define DEFAULT_IDLE_NS 30000000000ULL

const struct what_if what_if_nothing = {.tw_reuse = -1, .idle_ns = DEFAULT_IDLE_NS};

/* --- parsing ------------------------------------------------------------------------------------ */

static int set_range(struct what_if *w, const char *value)
{
	return parse_port_range(&w->low, &w->high, value);
}

static int set_tw_reuse(struct what_if *w, const char *value)
{
	uint64_t mode;
	int err = parse_uint(&mode, value, TW_REUSE_OFF, TW_REUSE_LOOPBACK);

	if (!err)
		w->tw_reuse = mode;
	return err;
}

static int set_count(uint32_t *out, const char *value, uint64_t max)
{
	uint64_t count;
	int err = parse_uint(&count, value, 1, max);

	if (!err)
		*out = count;
	return err;
}

static int set_destinations(struct what_if *w, const char *value)
{
	return set_count(&w->destinations, value, MAX_ADDRESSES);
}

static int set_sources(struct what_if *w, const char *value)
{
	return set_count(&w->sources, value, MAX_ADDRESSES);
}

static int set_pool(struct what_if *w, const char *value)
{
	return set_count(&w->connections, value, UINT16_MAX);
}

static int set_idle(struct what_if *w, const char *value)
{
	return parse_duration(&w->idle_ns, value);
}

static int set_one(struct what_if *w, char *text)
{
	static const struct {
		const char *name;
		int (*set)(struct what_if *w, const char *value);
	} settings[] = {
		{"range", set_range},
		{"tw_reuse", set_tw_reuse},
		{"destinations", set_destinations},
		{"sources", set_sources},
		{"pool", set_pool},
		{"idle", set_idle},
	};
	char *value = strchr(text, '=');

	if (!value)
		return -EINVAL;
	*value++ = '\0';
	for (size_t i = 0; i < sizeof(settings) / sizeof(settings[0]); i++) {
		if (strcmp(text, settings[i].name) == 0)
			return settings[i].set(w, value);
	}
	return -EINVAL;
}

int what_if__parse(struct what_if *out, const char *text)
{
	char *copy = strdup(text), *rest = copy, *piece;
	struct what_if w = *out;
	int err = copy ? 0 : -ENOMEM;

	while (!err && (piece = strsep(&rest, ",")))
		err = set_one(&w, piece);
	free(copy);
	if (err)
		return err;
	w.given = true;
	*out = w;
	return 0;
}
