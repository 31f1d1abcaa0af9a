/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "user/callsite/unwind.h"

#include <stddef.h>
#include <string.h>

/* rt_sigframe of x86-64 from the stack pointer at the trampoline; as vmlinux/x86/arch.h. */
#define SIGFRAME_FP 120
#define SIGFRAME_SP 160
#define SIGFRAME_PC 168

struct cursor {
	const struct churn_stack_copy *copy;
	uint64_t pc, sp, fp;
	bool exact;	/* pc is where the thread stands, not a return address */
	bool past_copy; /* a word was wanted that the copy does not hold */
};

static bool copied_word(struct cursor *c, uint64_t addr, uint64_t *out)
{
	uint64_t at = addr - c->copy->sp;

	if (addr < c->copy->sp || at > CHURN_COPY_LEN || at + sizeof(*out) > c->copy->len) {
		c->past_copy = true;
		return false;
	}
	memcpy(out, c->copy->bytes + at, sizeof(*out));
	return true;
}

static bool signal_frame(struct cursor *c)
{
	uint64_t fp, sp, pc;

	if (!copied_word(c, c->sp + SIGFRAME_FP, &fp) ||
	    !copied_word(c, c->sp + SIGFRAME_SP, &sp) || !copied_word(c, c->sp + SIGFRAME_PC, &pc))
		return false;
	c->fp = fp;
	c->sp = sp;
	c->pc = pc;
	c->exact = true;
	return true;
}

static bool restore_fp(struct cursor *c, const struct churn_rule *rule, uint64_t cfa)
{
	if (rule->fp_slot == CHURN_FP_LOST)
		c->fp = 0;
	else if (rule->kind == CHURN_RULE_FP_DEREF)
		return copied_word(c, c->fp + rule->fp_slot, &c->fp);
	else if (rule->fp_slot != CHURN_FP_SAME)
		return copied_word(c, cfa + rule->fp_slot, &c->fp);
	return true;
}

static bool step(struct cursor *c, const struct churn_rule *rule)
{
	uint64_t cfa, pc;

	switch (rule->kind) {
	case CHURN_RULE_SP:
		cfa = c->sp + rule->cfa_off;
		break;
	case CHURN_RULE_FP:
		cfa = c->fp + rule->cfa_off;
		break;
	case CHURN_RULE_FP_DEREF:
		if (!copied_word(c, c->fp + rule->cfa_off, &cfa))
			return false;
		break;
	case CHURN_RULE_PLT:
		cfa = c->sp + ((int32_t)(c->pc & 15) >= rule->cfa_off ? 16 : 8);
		break;
	case CHURN_RULE_SIGNAL:
		return signal_frame(c);
	default:
		return false;
	}
	if (cfa <= c->sp || !copied_word(c, cfa - 8, &pc) || !pc)
		return false;
	if (!restore_fp(c, rule, cfa))
		return false;
	c->sp = cfa;
	c->pc = pc;
	c->exact = false;
	return true;
}

/* False: the frame at hand is the last one. */
static bool next_frame(struct cursor *c, const struct unwind_rules *rules)
{
	struct churn_rule rule = {};
	uint64_t pc = c->pc;
	bool guess = rules->find(rules->ctx, pc, !c->exact, &rule);
	bool stepped = step(c, &rule);
	uint64_t caller = stepped ? c->pc : c->past_copy ? UNWIND_PAST_COPY : 0;

	return guess ? rules->confirm(rules->ctx, pc, &rule, caller) && stepped : stepped;
}

void unwind_copy(const struct churn_stack_copy *copy, const struct unwind_rules *rules,
		 struct churn_stack *out)
{
	struct cursor c = {
		.copy = copy, .pc = copy->pc, .sp = copy->sp, .fp = copy->fp, .exact = true};

	memset(out, 0, offsetof(struct churn_stack, pc));
	out->h = copy->h;
	out->h.type = CHURN_STACK;
	out->id = copy->id;
	out->process = copy->process;
	out->code = copy->code;
	out->tid = copy->tid;
	do {
		if (out->nr == CHURN_MAX_FRAMES) {
			out->truncated = 1;
			break;
		}
		out->pc[out->nr++] = c.pc;
	} while (next_frame(&c, rules));
	if (c.past_copy)
		out->truncated = 1;
	out->h.size = offsetof(struct churn_stack, pc) + out->nr * sizeof(out->pc[0]);
}
