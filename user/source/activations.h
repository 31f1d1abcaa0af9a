/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Sampled connections whose opening calls are known and whose end is still to come. Bounded: the
 * oldest is forgotten first, and its end is then not judged.
 */
#ifndef CHURN_SOURCE_ACTIVATIONS_H
#define CHURN_SOURCE_ACTIVATIONS_H

#include "bpf/event.h"

struct activations;

/* NULL with errno set. */
struct activations *activations__new(void);
void activations__free(struct activations *a);

/* Takes a CHURN_CALLS record in: of an open, or of an end, which is judged. 0 or -ENOMEM. */
int activations__add(struct activations *a, const struct churn_py_stack *calls);

/* The close record with the verdict on its connection, which is forgotten then: written into
 * *judged, or `e` itself where there is none. */
const struct churn_end *activations__settle(struct activations *a, const struct churn_end *e,
					    struct churn_end *judged);

#endif /* CHURN_SOURCE_ACTIVATIONS_H */
