/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Fields of a line of comma-separated values (RFC 4180), foreign text cleaned. */
#ifndef CHURN_VIEW_CSV_H
#define CHURN_VIEW_CSV_H

#include <stdint.h>
#include <stdio.h>

/* Each begins with a comma, except on a `first`. NULL and unknown are empty fields. */
void csv_text(FILE *out, const char *text);
void csv_uint(FILE *out, uint64_t value);
void csv_empty(FILE *out);
void csv_first(FILE *out, const char *text);

#endif /* CHURN_VIEW_CSV_H */
