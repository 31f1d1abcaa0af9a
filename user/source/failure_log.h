/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What a running trace tells `check`: how many connect() and bind() failed for want of a source
 * port, by second and network namespace. No kernel counter moves when that happens, so somebody who
 * watches has to say so. A file of fixed size that the trace maps, one a trace, in a directory that
 * only root writes and everybody reads. The trace holds a lock on it as long as it lives, of a kind
 * that only who may write can hold: a file without is left over from one that was killed, and says
 * nothing about now.
 */
#ifndef CHURN_SOURCE_FAILURE_LOG_H
#define CHURN_SOURCE_FAILURE_LOG_H

#include <stdbool.h>
#include <stdint.h>

#define FAILURE_LOG_DIR "/run/tcpchurn"

struct failure_log;

/*
 * Makes `dir` and the file in it; removes those of traces that are gone. `netns` is the only
 * namespace that is traced, 0: all. NULL with errno set (EACCES: not root; not a reason to fail).
 */
struct failure_log *failure_log__open(const char *dir, uint32_t netns);
/* From now on it counts: nothing before start_ns is in it. All times: CLOCK_MONOTONIC. */
void failure_log__start(struct failure_log *l, uint64_t start_ns);
void failure_log__connect(struct failure_log *l, uint32_t netns, uint64_t ts_ns);
void failure_log__bind(struct failure_log *l, uint32_t netns, uint64_t ts_ns);
/* Events that the trace has lost so far. */
void failure_log__set_lost(struct failure_log *l, uint64_t lost);
/* Removes the file. */
void failure_log__free(struct failure_log *l);

struct failure_sum {
	bool traced;	     /* else nothing below is known */
	uint64_t connects;   /* that failed for want of a port */
	uint64_t binds;	     /* dito, bind() to port 0 */
	uint64_t covered_ns; /* how far back it is known, at most as far as was asked for */
	uint64_t lost;	     /* events that this trace lost: the numbers are lower bounds */
};

/*
 * Since `since_ns`, of one namespace, or with 0 of all. Of several traces that see it the oldest
 * one is asked. 0 or -errno; that there is no trace is no error.
 */
int failure_log_read(struct failure_sum *out, const char *dir, uint32_t netns, uint64_t since_ns,
		     uint64_t now_ns);

#endif /* CHURN_SOURCE_FAILURE_LOG_H */
