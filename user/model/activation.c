/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "user/model/activation.h"

#include "user/model/flows.h"

/* The call at a depth counted from the outermost one. */
static const struct churn_py_frame *call_at(const struct churn_py_stack *s, uint32_t depth)
{
	return &s->frames[s->nr - 1 - depth];
}

/* How many of the outermost calls are the same ones. */
static uint32_t shared_calls(const struct churn_py_stack *a, const struct churn_py_stack *b)
{
	uint32_t depth = 0;

	while (depth < a->nr && depth < b->nr) {
		const struct churn_py_frame *x = call_at(a, depth), *y = call_at(b, depth);

		if (x->frame != y->frame || x->code != y->code)
			break;
		depth++;
		/* From another instruction the caller called again: what is inside is new. */
		if (x->instr != y->instr)
			break;
	}
	return depth;
}

enum churn_activation activation_judge(const struct churn_py_stack *open,
				       const struct churn_py_stack *end, uint8_t *frame)
{
	uint32_t shared = shared_calls(open, end);
	uint64_t then, now;

	*frame = 0;
	if (!shared || open->tid != end->tid)
		return CHURN_ACTIVATION_ELSEWHERE;
	*frame = (uint8_t)(open->nr - shared);
	then = call_at(open, shared - 1)->instr;
	now = call_at(end, shared - 1)->instr;
	if (now > then)
		return CHURN_ACTIVATION_LATER;
	if (now < then)
		return CHURN_ACTIVATION_EARLIER;
	/* The same instruction is still executing. What it called, at open, has returned if nothing
	 * stands there now; else the instruction was come to again. */
	if (end->nr == shared && open->nr > shared) {
		--*frame;
		return CHURN_ACTIVATION_RETURNED;
	}
	return CHURN_ACTIVATION_EARLIER;
}

bool activation_one_call(uint64_t life_ns, uint64_t silence_ns, uint64_t interval_ns)
{
	if (silence_ns < life_ns / 2 && silence_ns + TICK_NS <= life_ns / 2)
		return true;
	if (!interval_ns)
		return false;
	if (life_ns <= interval_ns / 4)
		return true;
	return life_ns < 2 * TICK_NS && life_ns >= interval_ns - interval_ns / 4 &&
	       life_ns - interval_ns / 4 <= interval_ns;
}
