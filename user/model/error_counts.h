/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Failures counted by (errno, cause): a handful of kinds at most, so a plain array. */
#ifndef CHURN_MODEL_ERROR_COUNTS_H
#define CHURN_MODEL_ERROR_COUNTS_H

#include "user/model/model.h"

/* A zeroed struct is an empty one. 0 or -ENOMEM. */
int error_counts__add(struct error_counts *c, uint16_t error, uint8_t cause);
/* Most frequent first. */
void error_counts__sort(struct error_counts *c);
uint64_t error_counts__of_cause(const struct error_counts *c, enum churn_cause cause);
void error_counts__clear(struct error_counts *c);

#endif /* CHURN_MODEL_ERROR_COUNTS_H */
