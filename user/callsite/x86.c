/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "user/callsite/x86.h"

#define BIT(n) (1U << (n))

/* What follows an opcode. M: ModRM; bytes of an immediate: 1, 2; Z: 4, or 2 with prefix 66;
 * V: 8 with REX.W, else as Z; A: an address of 8; G: as the group's extension says; X: refused. */
enum { X = 0x80, M = 0x40, Z = 0x20, V = 0x10, A = 0x08, G = 0x04 };

#define ALU(last) M, M, M, M, 1, Z, last, last
static const uint8_t one_byte[256] = {
	/* clang-format off */
	/* 00 */ ALU(X), ALU(X), ALU(X), ALU(X), ALU(X), ALU(X), ALU(X), ALU(X),
	/* 40: REX, not seen here */ X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X,
	/* 50 */ 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
	/* 60 */ X, X, X, M, X, X, X, X, Z, M | Z, 1, M | 1, 0, 0, 0, 0,
	/* 70 */ 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1,
	/* 80 */ M | 1, M | Z, X, M | 1, M, M, M, M, M, M, M, M, M, M, M, M,
	/* 90 */ 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, X, 0, 0, 0, 0, 0,
	/* a0 */ A, A, A, A, 0, 0, 0, 0, 1, Z, 0, 0, 0, 0, 0, 0,
	/* b0 */ 1, 1, 1, 1, 1, 1, 1, 1, V, V, V, V, V, V, V, V,
	/* c0 */ M | 1, M | 1, 2, 0, X, X, M | 1, M | Z, 3, 0, 2, 0, 0, 1, X, 0,
	/* d0 */ M, M, M, M, X, X, X, 0, M, M, M, M, M, M, M, M,
	/* e0 */ 1, 1, 1, 1, 1, 1, 1, 1, Z, Z, X, 1, 0, 0, 0, 0,
	/* f0 */ X, 0, X, X, 0, 0, M | G, M | G, 0, 0, 0, 0, 0, 0, M, M,
	/* clang-format on */
};

static const uint8_t two_bytes[256] = {
	/* clang-format off */
	/* 00 */ M, M, M, M, X, 0, 0, 0, 0, 0, X, 0, X, M, X, X,
	/* 10 */ M, M, M, M, M, M, M, M, M, M, M, M, M, M, M, M,
	/* 20 */ M, M, M, M, X, X, X, X, M, M, M, M, M, M, M, M,
	/* 30 */ 0, 0, 0, 0, 0, 0, X, X, X, X, X, X, X, X, X, X,
	/* 40 */ M, M, M, M, M, M, M, M, M, M, M, M, M, M, M, M,
	/* 50 */ M, M, M, M, M, M, M, M, M, M, M, M, M, M, M, M,
	/* 60 */ M, M, M, M, M, M, M, M, M, M, M, M, M, M, M, M,
	/* 70 */ M | 1, M | 1, M | 1, M | 1, M, M, M, 0, X, X, X, X, M, M, M, M,
	/* 80 */ Z, Z, Z, Z, Z, Z, Z, Z, Z, Z, Z, Z, Z, Z, Z, Z,
	/* 90 */ M, M, M, M, M, M, M, M, M, M, M, M, M, M, M, M,
	/* a0 */ 0, 0, 0, M, M | 1, M, X, X, 0, 0, X, M, M | 1, M, M, M,
	/* b0 */ M, M, M, M, M, M, M, M, M, M, M | 1, M, M, M, M, M,
	/* c0 */ M, M, M | 1, M, M | 1, M | 1, M | 1, M, 0, 0, 0, 0, 0, 0, 0, 0,
	/* d0 */ M, M, M, M, M, M, M, M, M, M, M, M, M, M, M, M,
	/* e0 */ M, M, M, M, M, M, M, M, M, M, M, M, M, M, M, M,
	/* f0 */ M, M, M, M, M, M, M, M, M, M, M, M, M, M, M, M,
	/* clang-format on */
};

struct bytes {
	const uint8_t *at;
	size_t left;
	uint8_t rex; /* R, X, B in bits 2, 1, 0 */
};

static bool take(struct bytes *b, uint8_t *out)
{
	if (!b->left)
		return false;
	*out = *b->at++;
	b->left--;
	return true;
}

/* Little-endian and signed. */
static bool take_number(struct bytes *b, size_t size, int64_t *out)
{
	uint64_t value = 0;

	if (b->left < size)
		return false;
	for (size_t i = 0; i < size; i++)
		value |= (uint64_t)b->at[i] << (8 * i);
	if (size && size < 8 && value >> (8 * size - 1))
		value |= UINT64_MAX << (8 * size);
	b->at += size;
	b->left -= size;
	*out = (int64_t)value;
	return true;
}

/* --- parts of an instruction ------------------------------------------------------------------ */

/* Up to the opcode's first byte, which goes to out->op. */
static bool take_prefixes(struct bytes *b, struct x86 *out)
{
	while (take(b, &out->op)) {
		switch (out->op) {
		case 0x66:
			out->short_operand = true;
			break;
		case 0x67:
			out->short_address = true;
			break;
		case 0x26:
		case 0x2e:
		case 0x36:
		case 0x3e:
		case 0x64:
		case 0x65:
		case 0xf0:
		case 0xf2:
		case 0xf3:
			break;
		default:
			if ((out->op & 0xf0) != 0x40)
				return true;
			b->rex = out->op & 7;
			out->rex = true;
			out->rex_b = out->op & 1;
			out->wide = out->op & 8;
			return take(b, &out->op);
		}
	}
	return false;
}

static bool take_vector(struct bytes *b, struct x86 *out)
{
	uint8_t first, second, third = 0;
	bool evex = out->op == 0x62;

	if (!take(b, &first))
		return false;
	out->vector = true;
	out->map = 1;
	b->rex = (uint8_t)(~first >> 5) & 4;
	second = first;
	if (out->op != 0xc5) {
		out->map = first & (evex ? 0x7 : 0x1f);
		b->rex = (uint8_t)(~first >> 5) & 7;
		if (!take(b, &second))
			return false;
	}
	if (evex && !take(b, &third))
		return false;
	out->extra = (uint8_t)(~second >> 3) & 15;
	return out->map >= 1 && out->map <= 3 && take(b, &out->op);
}

static bool take_opcode(struct bytes *b, struct x86 *out)
{
	if (!out->rex && (out->op == 0xc4 || out->op == 0xc5 || out->op == 0x62))
		return take_vector(b, out);
	if (out->op != 0x0f)
		return true;
	out->map = 1;
	if (!take(b, &out->op))
		return false;
	if (out->op != 0x38 && out->op != 0x3a)
		return true;
	out->map = out->op == 0x38 ? 2 : 3;
	return take(b, &out->op);
}

static uint8_t operands(const struct x86 *i)
{
	switch (i->map) {
	case 0:
		return one_byte[i->op];
	case 1:
		return two_bytes[i->op];
	case 2:
		return M;
	default:
		return M | 1;
	}
}

static bool take_modrm(struct bytes *b, struct x86 *out)
{
	uint8_t modrm, sib, low;
	int64_t disp = 0;
	size_t size;

	if (!take(b, &modrm))
		return false;
	out->has_modrm = true;
	out->mod = modrm >> 6;
	out->reg = ((modrm >> 3) & 7) | ((b->rex & 4) << 1);
	low = modrm & 7;
	out->rm = low | ((b->rex & 1) << 3);
	if (out->mod == 3)
		return true;
	size = out->mod == 1 ? 1 : out->mod == 2 ? 4 : 0;
	out->base = (int8_t)out->rm;
	if (low == 4) {
		if (!take(b, &sib))
			return false;
		low = sib & 7;
		out->base = (int8_t)(low | ((b->rex & 1) << 3));
		out->index = (int8_t)(((sib >> 3) & 7) | ((b->rex & 2) << 2));
		if (out->index == 4)
			out->index = X86_NO_REG;
		if (low == 5 && !out->mod) {
			out->base = X86_NO_REG;
			size = 4;
		}
	} else if (low == 5 && !out->mod) {
		out->base = X86_RIP;
		size = 4;
	}
	if (!take_number(b, size, &disp))
		return false;
	out->disp = (int32_t)disp;
	return true;
}

static size_t immediate_size(const struct x86 *i, uint8_t what)
{
	size_t z = i->short_operand && !i->wide ? 2 : 4;

	if (what & G) /* f6 and f7: test has one, not, neg, mul and div have none */
		return (i->reg & 7) > 1 ? 0 : i->op & 1 ? z : 1;
	if (what & Z)
		return z;
	if (what & V)
		return i->wide ? 8 : z;
	if (what & A)
		return i->short_address ? 4 : 8;
	return what & 3;
}

bool x86_decode(struct x86 *out, const uint8_t *bytes, size_t len)
{
	struct bytes b = {.at = bytes, .left = len < X86_MAX_LEN ? len : X86_MAX_LEN};
	size_t all = b.left;
	uint8_t what;

	*out = (struct x86){.base = X86_NO_REG, .index = X86_NO_REG};
	if (!take_prefixes(&b, out) || !take_opcode(&b, out))
		return false;
	what = operands(out);
	if (what & X)
		return false;
	/* A jump with a short operand means different things to different processors. */
	if (out->short_operand && !out->wide &&
	    ((!out->map && (out->op & 0xfe) == 0xe8) ||
	     (out->map == 1 && (out->op & 0xf0) == 0x80 && !out->vector)))
		return false;
	if ((what & M) && !take_modrm(&b, out))
		return false;
	if (!out->map && out->op == 0x8f && (out->reg & 7)) /* XOP */
		return false;
	if (!take_number(&b, immediate_size(out, what), &out->imm))
		return false;
	out->len = (uint8_t)(all - b.left);
	return true;
}

/* --- what is written -------------------------------------------------------------------------- */

enum target { NONE, RM, REG, BOTH };

static enum target group_target(const struct x86 *i)
{
	uint8_t extension = i->reg & 7;

	switch (i->op) {
	case 0x80:
	case 0x81:
	case 0x83:
		return extension == 7 ? NONE : RM; /* cmp */
	case 0xf6:
	case 0xf7:
		return extension == 2 || extension == 3 ? RM : NONE;
	default: /* fe, ff */
		return extension < 2 ? RM : NONE;
	}
}

static enum target target_of_one(const struct x86 *i)
{
	if (i->op < 0x40)
		return i->op >= 0x38 ? NONE : i->op & 2 ? REG : RM;
	switch (i->op) {
	case 0x63:
	case 0x69:
	case 0x6b:
	case 0x8a:
	case 0x8b:
	case 0x8d:
		return REG;
	case 0x84:
	case 0x85:
	case 0x8e:
		return NONE;
	case 0x86:
	case 0x87:
		return BOTH;
	case 0x80:
	case 0x81:
	case 0x83:
	case 0xf6:
	case 0xf7:
	case 0xfe:
	case 0xff:
		return group_target(i);
	default:
		return i->op >= 0xd8 && i->op <= 0xdf ? NONE : RM; /* x87 */
	}
}

static enum target target_of_two(const struct x86 *i)
{
	if ((i->op & 0xf0) == 0x40 && !i->vector)
		return REG;
	if (((i->op & 0xf0) == 0x90 && !i->vector) || i->op == 0x7e)
		return RM;
	switch (i->op) {
	case 0x2c:
	case 0x2d:
	case 0x50:
	case 0xc5:
	case 0xd7:
	case 0x02:
	case 0x03:
		return REG;
	case 0xa3:
		return NONE;
	case 0xba:
		return (i->reg & 7) == 4 ? NONE : RM;
	case 0xae:
	case 0xc7:
		return RM;
	default:
		/* Moves, shifts, bits; the rest is of the vector registers, or hints. */
		return (i->op & 0xf0) == 0xa0 || (i->op & 0xf0) == 0xb0 || (i->op & 0xfe) == 0xc0
			       ? BOTH
			       : NONE;
	}
}

static enum target target_of(const struct x86 *i)
{
	if (i->map == 0)
		return target_of_one(i);
	if (i->map == 1)
		return target_of_two(i);
	if (i->op >= 0xf0)
		return BOTH; /* movbe, crc32, bit manipulation */
	return i->map == 3 && i->op >= 0x14 && i->op <= 0x17 ? RM : NONE;
}

/* One that works on bytes, whose registers 4 to 7 are ah to bh without REX. */
static bool on_bytes(const struct x86 *i)
{
	if (i->map == 0)
		return !(i->op & 1) && (i->op < 0x40 || i->op >= 0x80) && i->op != 0x8e;
	return i->map == 1 && ((i->op & 0xf0) == 0x90 || i->op == 0xb0 || i->op == 0xc0);
}

static uint32_t in_opcode(const struct x86 *i)
{
	/* mov with an immediate, xchg with rax (90 is nop), bswap */
	bool named = (i->map == 0 && ((i->op & 0xf0) == 0xb0 || (i->op > 0x90 && i->op < 0x98))) ||
		     (i->map == 1 && !i->vector && i->op >= 0xc8 && i->op <= 0xcf);

	if (!named || (i->map == 0 && i->op >= 0xb0 && i->op < 0xb8 && !i->rex))
		return 0;
	return BIT((i->op & 7) + (i->rex_b ? 8 : 0));
}

uint32_t x86_written(const struct x86 *i)
{
	uint32_t written = 0;
	enum target target;

	if (!i->has_modrm)
		return in_opcode(i);
	target = target_of(i);
	if (target != NONE && !i->rex && !i->vector && on_bytes(i))
		return 0;
	if (i->mod == 3 && (target & RM))
		written |= BIT(i->rm);
	if (target & REG)
		written |= BIT(i->reg);
	if (i->vector && target == BOTH)
		written |= BIT(i->extra);
	return written;
}
