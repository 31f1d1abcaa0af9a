/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A streaming JSON writer into a growing buffer: one document, one line. Errors (no memory, too
 * deep) stick and are returned once, by json__finish().
 */
#ifndef CHURN_BASE_JSON_H
#define CHURN_BASE_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define JSON_MAX_DEPTH 16

/* A zeroed writer is an empty one; json__free() when done. */
struct json {
	char *buf;
	size_t len, cap;
	unsigned int depth;
	char closers[JSON_MAX_DEPTH];
	bool comma; /* the next member needs one before it */
	int error;
	/* Bytes that are no UTF-8 become lone surrogates U+DC80..U+DCFF (as in Python's PEP 383),
	 * from which they can be told back, instead of U+FFFD. */
	bool keep_bytes;
};

void json__free(struct json *j);
/* Drops what was written and opens the document's outer object. */
void json__begin(struct json *j);

/* `key` is NULL inside of an array. */
void json__object(struct json *j, const char *key);
void json__array(struct json *j, const char *key);
void json__close(struct json *j);

/* A NULL string is unknown: nothing is written. */
void json__string(struct json *j, const char *key, const char *value);
void json__uint(struct json *j, const char *key, uint64_t value);
void json__hex(struct json *j, const char *key, uint64_t value);  /* "1f", as a string */
void json__double(struct json *j, const char *key, double value); /* not finite: nothing */
void json__bool(struct json *j, const char *key, bool value);

/* Closes whatever is open and ends the line. 0, -ENOMEM or -E2BIG (too deep). */
int json__finish(struct json *j);
/* json__finish(), then to the stream. 0 or -errno. */
int json__write(struct json *j, FILE *out);

#endif /* CHURN_BASE_JSON_H */
