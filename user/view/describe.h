/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Things of the model as short text for a terminal, cleaned; and cells of a table. Each writes to
 * dst, which it always terminates, and returns it.
 */
#ifndef CHURN_VIEW_DESCRIBE_H
#define CHURN_VIEW_DESCRIBE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "user/model/model.h"

#define ENDPOINT_LEN 56 /* "[address]:65535" */

bool address_known(const uint8_t addr[16]);

/* "127.0.0.1:80", "[::1]:80"; "-" for what is not known. */
char *describe_endpoint(char dst[ENDPOINT_LEN], const uint8_t addr[16], uint16_t port);

/* "check_health (health.py:42)", "libfoo.so+0x1234"; `full` with the whole path of the file. */
char *describe_frame(char *dst, size_t size, const struct frame *f, bool full);

/* The application frame of a stack: "" where there is none. */
char *describe_callsite(char *dst, size_t size, const struct stack_trace *s, int frame);

/* "server.py, pid 812" */
char *describe_peer(char *dst, size_t size, const struct process_identity *p);

/* "check.py [pid 812]", "curl [40 processes of check.sh]" */
char *describe_group(char *dst, size_t size, const struct group *g);

/* "EADDRNOTAVAIL, no free source port"; the errno alone where its cause adds nothing. */
char *describe_error(char *dst, size_t size, unsigned int error, unsigned int cause);

/* "41.3", "3,330.1", "33,000" */
char *describe_rate(char *dst, size_t size, double rate);

/* The command line in one string, NULL where it is not known; to be freed. */
char *join_args(const struct process_identity *p);

/* Columns that UTF-8 text takes, one for each character. */
unsigned int text_columns(const char *text);

/* Cuts text to that many columns, "..." in its middle. Returns text. */
char *text_shorten(char *text, unsigned int columns);

/* Padded with blanks to that many columns, never cut. */
void put_left(FILE *out, const char *text, unsigned int columns);
void put_right(FILE *out, const char *text, unsigned int columns);

#endif /* CHURN_VIEW_DESCRIBE_H */
