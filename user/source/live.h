/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The live source: loads and attaches the BPF programs, drains their buffers on a timer, names
 * processes and stacks, and pours it all into a sink.
 */
#ifndef CHURN_SOURCE_LIVE_H
#define CHURN_SOURCE_LIVE_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "user/model/sink.h"
#include "user/source/filter.h"
#include "user/source/plan.h"

struct live_options {
	const struct filter *filter;
	enum attach_flavour attach;
	uint32_t buffer_size; /* for records, bytes, all CPUs together */
	uint32_t max_conns;
	bool bind_failures; /* by tracing bind(2), where there is no better way */
	bool accepts;	    /* by tracing accept(2), in the same case */
	bool stacks;	    /* capture and resolve user stacks */
	bool census;	    /* the sink takes a census */
	pid_t command;	    /* > 0: follow this child and its descendants only */
	struct plan *plan;  /* out, NULL: not wanted; what became of the hooks, if it fails, too */
};

struct live;

/*
 * Loads and attaches. NULL with errno set, after saying why: EPERM (not privileged), ENOTSUP (the
 * kernel lacks what is needed), else as it came. Nothing is pinned: it all goes with the process.
 */
struct live *live__open(const struct live_options *opts);
void live__free(struct live *l);

/* Lets events flow. 0, -errno, or what the sink's start() returned. */
int live__start(struct live *l, const struct sink *sink);

/*
 * Feeds `sink` until *stop is set, `duration_ns` is over (0: no limit), the
 * command and all its descendants have ended, or the sink ends the run. Returns 0 or what the
 * sink returned.
 */
int live__run(struct live *l, const struct sink *sink, uint64_t duration_ns,
	      const volatile sig_atomic_t *stop);

#endif /* CHURN_SOURCE_LIVE_H */
