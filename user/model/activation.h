/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Which call a connection belonged to: the calls in progress when it was opened, compared with
 * those in progress when it was ended. Pure: two arrays in, a verdict out.
 */
#ifndef CHURN_MODEL_ACTIVATION_H
#define CHURN_MODEL_ACTIVATION_H

#include <stdbool.h>
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

/*
 * Frames are used again: a later call of the same function looks like the same one further on. An
 * object that is opened in one call and closed in the next would be taken for a local one, so
 * CHURN_ACTIVATION_LATER needs a second sign that it was one call:
 *  - the connection was in use until its end (silent for half of its life at the most), or
 *  - its life is far from the half of the interval that every other call would make: at most a
 *    quarter, or, of those too short for the kernel's clock to tell silence, the whole of it within
 *    a quarter. What is longer tells nothing: calls in turn that come in bursts make that, too.
 * silence_ns: before the end, within TICK_NS; interval_ns: between opens there, 0: unknown.
 */
bool activation_one_call(uint64_t life_ns, uint64_t silence_ns, uint64_t interval_ns);

#endif /* CHURN_MODEL_ACTIVATION_H */
