/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "user/model/settings.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "user/base/text.h"

#define COUNT_LEN 32

/* Ports that connect() may choose from. */
static uint32_t capacity(const struct port_rules *r)
{
	uint32_t nr = 0;

	for (uint32_t port = r->low; port <= r->high; port++)
		nr += port_rules__offers(r, (uint16_t)port);
	return nr;
}

static uint32_t reserved(const struct port_rules *r)
{
	uint32_t nr = 0;

	for (uint32_t port = 0; port < 65536; port++)
		nr += (r->reserved[port / 64] >> (port % 64)) & 1;
	return nr;
}

/* __inet_hash_connect() looks at every second port first. */
static void explain_range(const struct settings *s, struct settings_line *l)
{
	char ports[COUNT_LEN], half[COUNT_LEN];
	uint32_t nr = capacity(&s->rules);

	snprintf(l->value, sizeof(l->value), "%u %u", s->rules.low, s->rules.high);
	snprintf(l->meaning, sizeof(l->meaning),
		 "%s ports to each destination, %.1f/s where each waits 60 s in TIME_WAIT; "
		 "connect() gets slow when half of them (%s) are taken",
		 text_count(ports, sizeof(ports), nr), nr * 1000.0 / TIME_WAIT_MS,
		 text_count(half, sizeof(half), nr / 2));
}

static void explain_reserved(const struct settings *s, struct settings_line *l)
{
	uint32_t nr = reserved(&s->rules), taken = 0;
	char ports[COUNT_LEN];

	for (uint32_t port = s->rules.low; port <= s->rules.high; port++)
		taken += (s->rules.reserved[port / 64] >> (port % 64)) & 1;
	snprintf(l->value, sizeof(l->value), "%u ports", nr);
	if (taken)
		snprintf(l->meaning, sizeof(l->meaning),
			 "%s ports of the range are kept from connect()",
			 text_count(ports, sizeof(ports), taken));
	else
		snprintf(l->meaning, sizeof(l->meaning), "takes nothing from the range");
}

static void explain_reuse(const struct settings *s, struct settings_line *l)
{
	static const char *const modes[] = {
		[TW_REUSE_OFF] =
			"a port in TIME_WAIT is not used again towards the same destination "
			"for 60 s",
		[TW_REUSE_ALL] = "connect() may take over a port in TIME_WAIT towards every "
				 "destination",
		[TW_REUSE_LOOPBACK] = "connect() may take over a port in TIME_WAIT on loopback; "
				      "towards other hosts it is kept for 60 s",
	};

	snprintf(l->value, sizeof(l->value), "%u", s->rules.tw_reuse);
	snprintf(l->meaning, sizeof(l->meaning), "%s%s",
		 s->rules.tw_reuse <= TW_REUSE_LOOPBACK ? modes[s->rules.tw_reuse] : "unknown",
		 s->rules.tw_reuse != TW_REUSE_OFF && !s->rules.timestamps
			 ? " - if there were timestamps, which are off"
			 : "");
}

static void explain_delay(const struct settings *s, struct settings_line *l)
{
	snprintf(l->value, sizeof(l->value), "%u", s->rules.reuse_delay_ms);
	if (s->rules.tw_reuse == TW_REUSE_OFF)
		snprintf(l->meaning, sizeof(l->meaning), "no matter: tcp_tw_reuse is off");
	else
		snprintf(l->meaning, sizeof(l->meaning),
			 "a port in TIME_WAIT may be taken over after %u ms",
			 s->rules.reuse_delay_ms);
}

static void explain_timestamps(const struct settings *s, struct settings_line *l)
{
	snprintf(l->value, sizeof(l->value), "%s", s->rules.timestamps ? "on" : "off");
	snprintf(l->meaning, sizeof(l->meaning), "%s",
		 s->rules.timestamps
			 ? "connections have them if the peer does: tcp_tw_reuse needs that"
			 : "no port in TIME_WAIT is ever taken over, whatever tcp_tw_reuse says");
}

static void explain_buckets(const struct settings *s, struct settings_line *l)
{
	uint64_t max = s->at[SETTING_MAX_TW_BUCKETS].value;

	snprintf(l->value, sizeof(l->value), "%" PRIu64, max);
	snprintf(l->meaning, sizeof(l->meaning), "%s",
		 s->rules.high && max < capacity(&s->rules)
			 ? "fewer than there are ports: beyond it, connections skip TIME_WAIT, and "
			   "late packets may hit their successors"
			 : "with more in TIME_WAIT than that, connections end without it");
}

static void explain_somaxconn(const struct settings *s, struct settings_line *l)
{
	uint64_t max = s->at[SETTING_SOMAXCONN].value;
	char nr[COUNT_LEN];

	snprintf(l->value, sizeof(l->value), "%" PRIu64, max);
	snprintf(l->meaning, sizeof(l->meaning),
		 "at most %s connections wait for accept(), whatever backlog listen() asks for",
		 text_count(nr, sizeof(nr), max));
}

static void explain_fin_timeout(const struct settings *s, struct settings_line *l)
{
	uint64_t seconds = s->at[SETTING_FIN_TIMEOUT].value;

	snprintf(l->value, sizeof(l->value), "%" PRIu64, seconds);
	snprintf(l->meaning, sizeof(l->meaning),
		 "a closed connection whose peer does not close holds its port for up to %" PRIu64
		 " s; TIME_WAIT is always 60 s",
		 seconds);
}

size_t settings__explain(const struct settings *s, struct settings_line out[SETTINGS_MAX_LINES])
{
	const bool rules = s->rules.high != 0;
	const struct {
		const char *name;
		bool known;
		void (*explain)(const struct settings *s, struct settings_line *l);
	} lines[SETTINGS_MAX_LINES] = {
		{"net.ipv4.ip_local_port_range", rules, explain_range},
		{"net.ipv4.ip_local_reserved_ports", rules, explain_reserved},
		{"net.ipv4.tcp_tw_reuse", rules, explain_reuse},
		{"net.ipv4.tcp_tw_reuse_delay", s->has_reuse_delay, explain_delay},
		{"net.ipv4.tcp_timestamps", rules, explain_timestamps},
		{"net.ipv4.tcp_max_tw_buckets", s->at[SETTING_MAX_TW_BUCKETS].known,
		 explain_buckets},
		{"net.core.somaxconn", s->at[SETTING_SOMAXCONN].known, explain_somaxconn},
		{"net.ipv4.tcp_fin_timeout", s->at[SETTING_FIN_TIMEOUT].known, explain_fin_timeout},
	};
	size_t nr = 0;

	for (size_t i = 0; i < SETTINGS_MAX_LINES; i++) {
		if (!lines[i].known)
			continue;
		out[nr].name = lines[i].name;
		lines[i].explain(s, &out[nr++]);
	}
	return nr;
}

bool settings__equal(const struct settings *a, const struct settings *b)
{
	bool equal = a->rules.low == b->rules.low && a->rules.high == b->rules.high &&
		     a->rules.tw_reuse == b->rules.tw_reuse &&
		     a->rules.timestamps == b->rules.timestamps &&
		     a->rules.reuse_delay_ms == b->rules.reuse_delay_ms &&
		     a->has_reuse_delay == b->has_reuse_delay &&
		     !memcmp(a->rules.reserved, b->rules.reserved, sizeof(a->rules.reserved));

	for (int i = 0; i < SETTING__COUNT; i++)
		equal = equal && a->at[i].known == b->at[i].known &&
			a->at[i].value == b->at[i].value;
	return equal;
}
