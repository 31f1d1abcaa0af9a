/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The sysctls of a network namespace that decide how many connections it bears, and what they mean
 * together: a value alone says little. */
#ifndef CHURN_MODEL_SETTINGS_H
#define CHURN_MODEL_SETTINGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "user/model/port_rules.h"

#define SETTING_TEXT_LEN 200

/* Those that are plain numbers; the rest is in port_rules. */
enum setting { SETTING_MAX_TW_BUCKETS, SETTING_SOMAXCONN, SETTING_FIN_TIMEOUT, SETTING__COUNT };

struct settings {
	struct port_rules rules; /* high 0: unknown */
	bool has_reuse_delay;	 /* the kernel knows net.ipv4.tcp_tw_reuse_delay */
	struct {
		bool known;
		uint64_t value;
	} at[SETTING__COUNT];
};

/* One sysctl, with its value as /proc/sys writes it and what follows from it. */
struct settings_line {
	const char *name; /* "net.ipv4.ip_local_port_range" */
	char value[32];	  /* "32768 60999"; of a long list how many: "3 ports" */
	char meaning[SETTING_TEXT_LEN];
};

#define SETTINGS_MAX_LINES 8

/* What is known. Returns how many lines. */
size_t settings__explain(const struct settings *s, struct settings_line out[SETTINGS_MAX_LINES]);

bool settings__equal(const struct settings *a, const struct settings *b);

#endif /* CHURN_MODEL_SETTINGS_H */
