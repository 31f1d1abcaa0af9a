/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What would become of a port pool under other settings, or with a client that keeps connections. */
#ifndef CHURN_MODEL_WHAT_IF_H
#define CHURN_MODEL_WHAT_IF_H

#include <stdbool.h>
#include <stdint.h>

#include "user/model/port_pools.h"

struct what_if {
	bool given;
	uint16_t low, high;    /* ip_local_port_range; high 0: as it is */
	int8_t tw_reuse;       /* enum tw_reuse, -1: as it is */
	uint32_t destinations; /* destination addresses more, each with its share of the opens */
	uint32_t sources;      /* source addresses more, dito */
	uint32_t connections;  /* of a connection pool in the client, 0: none */
	uint64_t idle_ns;      /* how long that keeps an idle connection */
};

extern const struct what_if what_if_nothing;

/* "range=1024-65535,tw_reuse=1,destinations=3,sources=1,pool=10,idle=30s", any of them. 0 or
 * -EINVAL. */
#define WHAT_IF_RANGE                                                                              \
	"range=LOW-HIGH, tw_reuse=0..2, destinations=1..1000, sources=1..1000, pool=1..65535, "    \
	"idle=TIME, with commas"
int what_if__parse(struct what_if *out, const char *text);

#endif /* CHURN_MODEL_WHAT_IF_H */
