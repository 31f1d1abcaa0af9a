/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What the two sides of a recording, record.c and replay.c, must agree on. */
#ifndef CHURN_SOURCE_RECORDING_H
#define CHURN_SOURCE_RECORDING_H

#define RECORDING_SCHEMA "tcpchurn/1"

/* A `context` line is in force until another one comes whose number has the same remainder. More
 * kinds of connections than that take turns, which makes a recording longer, not wrong. */
#define RECORDING_CONTEXTS 8192

#endif /* CHURN_SOURCE_RECORDING_H */
