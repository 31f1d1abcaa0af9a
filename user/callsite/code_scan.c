/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "user/callsite/code_scan.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "user/callsite/x86.h"

#define MAX_INSTRUCTIONS 2048
#define MAX_PATHS	 256 /* that wait */
#define MAX_CALLS	 8   /* on one path */
#define SEEN_SLOTS	 4096
#define MAX_MOVE	 (1 << 24)

enum base { BASE_SP, BASE_FP };
/* The caller's frame pointer: still in the register, taken back from a place, or nowhere. */
enum fp { FP_SAME, FP_RESTORED, FP_LOST };

/* The machine, as far as it matters; offsets are from the value that `base` had at the start. */
struct state {
	uint64_t addr;
	int32_t sp;
	int32_t fp_at; /* FP_RESTORED: where it was */
	/* Where the path itself has pushed the frame pointer, and what that was then. */
	int32_t pushed_at, pushed_fp_at;
	uint8_t pushed; /* enum fp; only when has_pushed */
	uint8_t base, fp;
	bool has_pushed;
	bool after_call;
};

struct paths {
	struct state at[MAX_PATHS];
	uint32_t nr;
};

struct scan {
	const struct code_source *code;
	struct paths now, later; /* later: those with one more call */
	uint64_t seen[SEEN_SLOTS];
	uint32_t nr_seen;
	struct churn_rule rule;
	bool return_address;
	bool found, contradicted;
};

/* What an instruction does to the path it is on. */
enum step { STEP_NEXT, STEP_END };

static bool first_visit(struct scan *s, uint64_t addr)
{
	uint32_t slot = (uint32_t)(addr * 0x9e3779b97f4a7c15ULL >> 52);

	while (s->seen[slot] && s->seen[slot] != addr)
		slot = (slot + 1) % SEEN_SLOTS;
	if (s->seen[slot] || s->nr_seen == MAX_INSTRUCTIONS)
		return false;
	s->seen[slot] = addr;
	s->nr_seen++;
	return true;
}

static void push_path(struct paths *p, const struct state *st, uint64_t addr)
{
	if (p->nr == MAX_PATHS)
		return;
	p->at[p->nr] = *st;
	p->at[p->nr++].addr = addr;
}

/* --- the frame -------------------------------------------------------------------------------- */

/* At a `ret`: what stands at the stack pointer is the return address. */
static void take_rule(struct scan *s, const struct state *st)
{
	int32_t cfa = st->sp + 8;
	int32_t slot = st->fp_at - cfa;
	struct churn_rule rule = {
		.kind = st->base == BASE_SP ? CHURN_RULE_SP : CHURN_RULE_FP,
		.cfa_off = cfa,
		.fp_slot = CHURN_FP_LOST,
	};

	if (st->fp == FP_SAME)
		rule.fp_slot = CHURN_FP_SAME;
	else if (st->fp == FP_RESTORED && slot < 0 && slot > INT16_MIN)
		rule.fp_slot = (int16_t)slot;
	/* The caller's frame lies above. The stack is aligned to 16 bytes wherever a call is made,
	 * so the CFA is that far away; 8 bytes are what a function gives that one merely fell
	 * into. */
	if (st->base == BASE_SP && (cfa < 8 || (s->return_address && cfa % 16)))
		return;
	s->contradicted |= s->found && memcmp(&s->rule, &rule, sizeof(rule));
	s->rule = rule;
	s->found = true;
}

static enum step rebase(struct state *st, int64_t offset)
{
	if ((st->base == BASE_SP && st->fp != FP_SAME) || offset < INT16_MIN || offset > INT16_MAX)
		return STEP_END;
	/* Otherwise it still is what it was at the start. */
	if (st->base == BASE_FP && st->fp != FP_SAME)
		return STEP_END;
	st->base = BASE_FP;
	st->sp = (int32_t)offset;
	st->has_pushed = false;
	return STEP_NEXT;
}

static enum step pop_fp(struct state *st)
{
	if (st->has_pushed && st->pushed_at == st->sp) {
		st->fp = st->pushed;
		st->fp_at = st->pushed_fp_at;
	} else {
		st->fp = FP_RESTORED;
		st->fp_at = st->sp;
	}
	st->sp += 8;
	return STEP_NEXT;
}

static enum step on_push(struct state *st, bool fp)
{
	st->sp -= 8;
	if (fp) {
		st->has_pushed = true;
		st->pushed_at = st->sp;
		st->pushed = st->fp;
		st->pushed_fp_at = st->fp_at;
	}
	return STEP_NEXT;
}

static enum step on_pop(struct state *st, uint8_t reg)
{
	if (reg == X86_RSP)
		return STEP_END;
	if (reg == X86_RBP)
		return pop_fp(st);
	st->sp += 8;
	return STEP_NEXT;
}

/* Anything else that sets the stack pointer: by a constant, or from the frame pointer. */
static enum step on_move(struct state *st, const struct x86 *i)
{
	bool add = (i->reg & 7) == 0, sub = (i->reg & 7) == 5;
	int64_t by;

	if (i->map || !i->wide || i->short_address)
		return STEP_END;
	if ((i->op == 0x81 || i->op == 0x83) && (add || sub)) {
		by = add ? i->imm : -i->imm;
	} else if (i->op == 0x8d && i->index == X86_NO_REG && i->base == X86_RSP) {
		by = i->disp;
	} else if (i->op == 0x8d && i->index == X86_NO_REG && i->base == X86_RBP) {
		return rebase(st, i->disp);
	} else if ((i->op == 0x89 && i->reg == X86_RBP) || (i->op == 0x8b && i->rm == X86_RBP)) {
		return i->mod == 3 ? rebase(st, 0) : STEP_END;
	} else {
		return STEP_END;
	}
	if (by > MAX_MOVE || by < -MAX_MOVE)
		return STEP_END;
	st->sp += (int32_t)by;
	return STEP_NEXT;
}

/* --- the walk through the code ---------------------------------------------------------------- */

static bool is_call(const struct x86 *i)
{
	return !i->map && (i->op == 0xe8 || (i->op == 0xff && (i->reg & 7) == 2));
}

static bool is_ret(const struct x86 *i)
{
	return !i->map && (i->op == 0xc3 || i->op == 0xc2);
}

static bool is_conditional_jump(const struct x86 *i)
{
	return i->map == 0 ? (i->op & 0xf0) == 0x70 || (i->op & 0xfc) == 0xe0
			   : i->map == 1 && !i->vector && (i->op & 0xf0) == 0x80;
}

/* Where a path ends without a word: traps, privileged and far ones, jumps to who knows where. */
static bool is_end(const struct x86 *i)
{
	if (i->map)
		return i->map == 1 && !i->vector &&
		       (i->op == 0x0b || i->op == 0xb9 || i->op == 0xff);
	switch (i->op) {
	case 0x9d: /* popf */
	case 0x9c:
	case 0xc8: /* enter */
	case 0xca:
	case 0xcb:
	case 0xcc:
	case 0xcd:
	case 0xcf:
	case 0xf1:
	case 0xf4:
		return true;
	case 0xff:
		return (i->reg & 7) >= 3 && (i->reg & 7) != 6;
	default:
		return false;
	}
}

/* True: it was push, pop or leave, and *out is what comes of it. */
static bool on_stack(struct state *st, const struct x86 *i, enum step *out)
{
	uint8_t high = i->rex_b ? 8 : 0;

	if (i->map)
		return false;
	if ((i->op & 0xf8) == 0x50)
		*out = on_push(st, (i->op & 7) + high == X86_RBP);
	else if ((i->op & 0xf8) == 0x58)
		*out = on_pop(st, (i->op & 7) + high);
	else if (i->op == 0x68 || i->op == 0x6a || (i->op == 0xff && (i->reg & 7) == 6))
		*out = on_push(st, false);
	else if (i->op == 0x8f)
		*out = i->mod == 3 ? on_pop(st, i->rm) : on_pop(st, 0);
	else if (i->op == 0xc9)
		*out = rebase(st, 0) == STEP_NEXT ? pop_fp(st) : STEP_END;
	else
		return false;
	if (i->short_operand)
		*out = STEP_END;
	return true;
}

static enum step execute(struct scan *s, struct state *st, const struct x86 *i)
{
	uint64_t next = st->addr + i->len;
	uint32_t written;
	enum step step;

	if (is_ret(i))
		take_rule(s, st);
	if (is_ret(i) || is_end(i))
		return STEP_END;
	if (is_call(i)) {
		st->after_call = true;
		push_path(&s->later, st, next);
		return STEP_END;
	}
	if (!i->map && (i->op == 0xe9 || i->op == 0xeb)) {
		push_path(&s->now, st, next + (uint64_t)i->imm);
		return STEP_END;
	}
	if (is_conditional_jump(i)) {
		push_path(&s->now, st, next + (uint64_t)i->imm);
		return STEP_NEXT;
	}
	if (on_stack(st, i, &step))
		return step;
	written = x86_written(i);
	if (written & (1U << X86_RBP))
		st->fp = FP_LOST;
	return written & (1U << X86_RSP) ? on_move(st, i) : STEP_NEXT;
}

/* Padding after a call: compilers put it behind calls that do not return. */
static bool is_padding(const struct x86 *i)
{
	return (!i->map && i->op == 0x90) || (i->map == 1 && i->op == 0x1f);
}

/* To the end of a path; its branches join those that wait. */
static void follow(struct scan *s, struct state st)
{
	uint8_t bytes[X86_MAX_LEN];
	struct x86 i;

	while (first_visit(s, st.addr)) {
		size_t len = s->code->read(s->code->ctx, st.addr, bytes, sizeof(bytes));

		if (!x86_decode(&i, bytes, len))
			return;
		if (st.after_call &&
		    (is_padding(&i) || s->code->starts_function(s->code->ctx, st.addr)))
			return;
		st.after_call = false;
		if (execute(s, &st, &i) == STEP_END)
			return;
		st.addr += i.len;
	}
}

/*
 * All paths from the pc, those with the fewest calls first: what a path without any finds is
 * certain, and each call may be one that does not return. Paths with as many calls must agree.
 */
static void explore(struct scan *s, uint64_t pc)
{
	const struct state start = {.after_call = s->return_address};

	push_path(&s->now, &start, pc);
	for (uint32_t calls = 0; calls <= MAX_CALLS && !s->found && s->now.nr; calls++) {
		while (s->now.nr)
			follow(s, s->now.at[--s->now.nr]);
		s->now = s->later;
		s->later.nr = 0;
	}
}

int code_scan__rule(const struct code_source *code, uint64_t pc, bool return_address,
		    struct churn_rule *out)
{
	struct scan *s = calloc(1, sizeof(*s));
	int err = -ENODATA;

	*out = (struct churn_rule){};
	if (!s)
		return -ENOMEM;
	s->code = code;
	s->return_address = return_address;
	explore(s, pc);
	if (s->found && !s->contradicted) {
		*out = s->rule;
		err = 0;
	}
	free(s);
	return err;
}

bool code_scan__follows_call(const uint8_t *bytes, size_t len)
{
	struct x86 i;

	/* The shortest takes two bytes. */
	for (size_t n = 2; n <= len && n <= X86_MAX_LEN; n++) {
		if (x86_decode(&i, bytes + len - n, n) && i.len == n && is_call(&i))
			return true;
	}
	return false;
}
