/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Which call a connection belonged to: the calls in progress when it was opened, compared with
 * those in progress when it was ended. Pure: two arrays in, a verdict out.
 */
#ifndef CHURN_MODEL_ACTIVATION_H
#define CHURN_MODEL_ACTIVATION_H

#include <stdint.h>

#include "bpf/event.h"

/*
 * Both stacks are whole and innermost first. *frame is set to the index in `open` of the call in
 * question. The rules, for the outermost calls that both stacks share (same frame and code, reached
 * from the same instruction):
 *  - the ending stack ends there, at the same instruction: the call that stood there at open has
 *    just returned, and what its locals held died with it;
 *  - the last shared call has moved on to a later instruction: ended later in that call;
 *  - it stands at an earlier one: a reconnect of a longer-lived client, or a loop;
 *  - nothing is shared, or another thread ended it: an event loop, a finaliser, a worker.
 * Instructions are compared, never lines: leaving a `with` block carries its first line.
 */
enum churn_activation activation_judge(const struct churn_py_stack *open,
				       const struct churn_py_stack *end, uint8_t *frame);

#endif /* CHURN_MODEL_ACTIVATION_H */
