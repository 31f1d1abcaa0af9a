/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What the two sides of a recording, record.c and replay.c, must agree on. */
#ifndef CHURN_SOURCE_RECORDING_H
#define CHURN_SOURCE_RECORDING_H

#define RECORDING_SCHEMA "tcpchurn/1"

/* A `context` line is in force until another one comes whose number has the same remainder. More
 * kinds of connections than that take turns, which makes a recording longer, not wrong. */
#define RECORDING_CONTEXTS 8192

/*
 * A census is a `census` line that says how many sockets follow, then a `port_rules` line for each
 * network namespace, `owner` lines for processes that hold sockets and may not have been traced
 * (once each), and `sockets` lines: those with the same addresses and peer port, each as so many
 * numbers, in the order below.
 */
enum recording_socket {
	RECORDING_PORT,
	RECORDING_STATE, /* as in /proc/net/tcp */
	RECORDING_FLAGS,
	RECORDING_TIMER_MS,
	RECORDING_YOUNG_MS,
	RECORDING_COOKIE,
	RECORDING_PID,	 /* that holds its file, 0: none, or not known */
	RECORDING_RANGE, /* IP_LOCAL_PORT_RANGE: low, plus 65536 times high; 0: none */
	RECORDING_NUMBERS
};

/* A namespace in `time_wait_limits` of a `census` line: so many numbers, in this order. */
enum recording_limit {
	RECORDING_LIMIT_NETNS,
	RECORDING_LIMIT_MAX,	 /* TIME_WAIT_NO_LIMIT: not known */
	RECORDING_LIMIT_COUNTED, /* 1: the next one is known */
	RECORDING_LIMIT_SKIPPED,
	RECORDING_LIMIT_NUMBERS
};

#define RECORDING_TIME_WAIT  1	/* flags: no full socket any more, */
#define RECORDING_BOUND	     2	/* times an enum socket_fact, */
#define RECORDING_TIMESTAMPS 8	/* dito, */
#define RECORDING_FILE	     32 /* somebody has it open (and may not be known) */
#define RECORDING_BY_TWO     64 /* that range is searched in steps of two */
#define RECORDING_ALL_FLAGS  127

#define RECORDING_SOCKETS 1024 /* of a line, at most */

#endif /* CHURN_SOURCE_RECORDING_H */
