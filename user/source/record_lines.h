/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What the files that make up the recorder share: a line, and what many lines have in them. */
#ifndef CHURN_SOURCE_RECORD_LINES_H
#define CHURN_SOURCE_RECORD_LINES_H

#include "user/base/json.h"
#include "user/source/record.h"

/* Opens a line; ts_ns is CLOCK_MONOTONIC. */
struct json *recorder__begin(struct recorder *r, const char *name, uint64_t ts_ns);
/* 0 or -errno, said once. */
int recorder__end(struct recorder *r);

/* Members of an object that names a process. */
void record_id(struct json *j, const struct churn_id *id);
void record_nonzero(struct json *j, const char *key, uint64_t value);
/* In an object of its own, which is left out when the string is unknown. */
void record_nested(struct json *j, const char *object, const char *key, const char *value);
void record_process(struct json *j, const struct process_identity *p);
/* Left out where nothing of it is known. */
void record_address(struct json *j, const char *key, const uint8_t addr[16], uint16_t port);

/* Processes that its `owner` lines have told of. */
struct owner_set;
struct owner_set **recorder__owners(struct recorder *r);
void owner_set__clear(struct owner_set **set);

/* The sink's census(), ctx is the recorder (record_census.c). */
int record_census(void *ctx, const struct model_census *c);

#endif /* CHURN_SOURCE_RECORD_LINES_H */
