/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Instructions of x86-64 user code, as far as it takes to follow the stack pointer: lengths,
 * operands, and which general registers they write. What is unusual is refused.
 */
#ifndef CHURN_CALLSITE_X86_H
#define CHURN_CALLSITE_X86_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define X86_MAX_LEN 15
#define X86_RSP	    4
#define X86_RBP	    5
#define X86_RIP	    16
#define X86_NO_REG  -1

struct x86 {
	uint8_t len;
	uint8_t map; /* 0: one byte, 1: 0f, 2: 0f 38, 3: 0f 3a; of VEX and EVEX the same numbers */
	uint8_t op;
	bool vector;	    /* VEX or EVEX */
	bool rex;	    /* a REX prefix: byte registers are spl and bpl instead of ah and ch */
	bool rex_b;	    /* REX.B: of a register in the opcode */
	bool wide;	    /* REX.W */
	bool short_operand; /* 66 */
	bool short_address; /* 67 */
	bool has_modrm;
	uint8_t mod, reg, rm; /* registers with the bits of REX; reg & 7 is an opcode extension */
	int8_t base, index;   /* of the operand in memory: a register, X86_RIP or X86_NO_REG */
	uint8_t extra;	      /* VEX.vvvv: one more register */
	int32_t disp;
	int64_t imm; /* sign-extended; of a relative jump what is added to the next address */
};

/* `bytes` is where it begins. False: it is not known, or not all there. */
bool x86_decode(struct x86 *out, const uint8_t *bytes, size_t len);

/* Bits of the general registers that its operands say it writes (what push, pop, call and the like
 * do by themselves is not among them). Rather one too many. */
uint32_t x86_written(const struct x86 *i);

#endif /* CHURN_CALLSITE_X86_H */
