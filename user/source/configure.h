/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What the BPF programs are told before they are loaded: their constants, and how large maps
 * are. */
#ifndef CHURN_SOURCE_CONFIGURE_H
#define CHURN_SOURCE_CONFIGURE_H

#include <stdbool.h>
#include <stdint.h>

#include "user/source/live.h"

struct tcpchurn; /* the skeleton */

struct configuration {
	const struct live_options *opts;
	uint32_t nr_cpus;	  /* that are possible */
	uint32_t nr_online_cpus;  /* each of them has lanes */
	bool user_memory;	  /* programs may read the memory of processes */
	bool plain;		  /* the programs on the state hook are the plain ones */
	bool accepts;		  /* accept() is hooked */
	bool kretprobes, uprobes; /* there are some among the hooks */
};

/* 0 or a negative errno. */
int configure(struct tcpchurn *skel, const struct configuration *c);

#endif /* CHURN_SOURCE_CONFIGURE_H */
