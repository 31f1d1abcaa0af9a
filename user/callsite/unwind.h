/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Walks the copy of a user stack by CFI rules; the counterpart of the walk in bpf/stack.h. */
#ifndef CHURN_CALLSITE_UNWIND_H
#define CHURN_CALLSITE_UNWIND_H

#include <stdbool.h>
#include <stdint.h>

#include "bpf/event.h"

struct unwind_rules {
	void *ctx;
	/*
	 * The rule at a program counter of the process; CHURN_RULE_NONE where nothing is known.
	 * `return_address`: pc is the instruction after a call, so the rule is that of pc - 1.
	 * True: it is a guess, to be confirmed.
	 */
	bool (*find)(void *ctx, uint64_t pc, bool return_address, struct churn_rule *rule);
	/* A guess at `pc` has led to `caller`: 0 nowhere, UNWIND_PAST_COPY to what was not copied.
	 * False: that is not where the frame was called from. */
	bool (*confirm)(void *ctx, uint64_t pc, const struct churn_rule *rule, uint64_t caller);
};

#define UNWIND_PAST_COPY UINT64_MAX

/* Fills *out: as many frames as the copy and the rules give, `truncated` when the copy ended
 * before the stack did. Asks for a rule once for each frame, also the last. */
void unwind_copy(const struct churn_stack_copy *copy, const struct unwind_rules *rules,
		 struct churn_stack *out);

#endif /* CHURN_CALLSITE_UNWIND_H */
