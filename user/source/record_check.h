/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* A record of the kernel side is looked at in full before anything in it is used. */
#ifndef CHURN_SOURCE_RECORD_CHECK_H
#define CHURN_SOURCE_RECORD_CHECK_H

#include <stdbool.h>
#include <stddef.h>

#include "bpf/event.h"

/* Whether `size` bytes, as many as were handed over, hold all that a record of its type says it
 * has. Until then its `size`, too, may be anything. */
bool record_is_sound(const struct churn_header *h, size_t size);

#endif /* CHURN_SOURCE_RECORD_CHECK_H */
