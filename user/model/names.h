/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The ABI's enums as the words that users read in JSON and tables, and back. A name is NULL for
 * "unknown" and for a number that has none.
 */
#ifndef CHURN_MODEL_NAMES_H
#define CHURN_MODEL_NAMES_H

#include <stdint.h>

const char *name_role(unsigned int role);	/* "client", "server" */
const char *name_attribution(unsigned int a);	/* "exact", "listener", "none" */
const char *name_initiator(unsigned int who);	/* "local", "peer", "reset", ... */
const char *name_cause(unsigned int cause);	/* "ephemeral_exhausted", ... */
const char *name_time_wait(unsigned int owner); /* "local", "peer", "none" */
const char *name_lost(unsigned int reason);	/* "ring_open", ... */

const char *name_activation(unsigned int a); /* "returned", "later", ... */

/* The same in plain words, for people. Never NULL. */
const char *words_cause(unsigned int cause); /* "no free source port" */
const char *words_lost(unsigned int reason); /* "closes: ring buffer full" */

/* A name back to its number, -1: no such name. */
int role_from_name(const char *name);
int attribution_from_name(const char *name);
int initiator_from_name(const char *name);
int cause_from_name(const char *name);
int time_wait_from_name(const char *name);
int activation_from_name(const char *name);
int lost_from_name(const char *name);

#define TIME_TEXT_LEN 32

/* CLOCK_REALTIME ns as "2026-01-31T23:59:59.123456789Z". Returns dst. */
char *time_rfc3339(char dst[TIME_TEXT_LEN], uint64_t wall_ns);
/* Local time as "23:59:59.123". Returns dst. */
char *time_clock(char dst[TIME_TEXT_LEN], uint64_t wall_ns);

#endif /* CHURN_MODEL_NAMES_H */
