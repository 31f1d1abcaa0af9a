/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* uthash that reports want of memory instead of ending the program: after HASH_ADD*, an element
 * whose hh.tbl is NULL was not added. Keys are memory: zero the padding of a struct key first. */
#ifndef CHURN_MODEL_HASH_H
#define CHURN_MODEL_HASH_H

#define HASH_NONFATAL_OOM 1

#include <uthash.h>

#endif /* CHURN_MODEL_HASH_H */
