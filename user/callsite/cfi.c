/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "user/callsite/cfi.h"

#include <dwarf.h>
#include <elf.h>
#include <errno.h>
#include <stdlib.h>

#include "user/base/array.h"
#include "user/callsite/code_scan.h"
#include "user/callsite/go_table.h"

/* DWARF's numbers of the registers that matter. */
struct machine {
	uint16_t elf;
	uint8_t sp, fp;
	uint8_t ra; /* column of the return address */
	bool ra_beside_fp;
};

static const struct machine machines[] = {
	{.elf = EM_X86_64, .sp = 7, .fp = 6, .ra = 16},
	{.elf = EM_AARCH64, .sp = 31, .fp = 29, .ra = 30, .ra_beside_fp = true},
};

/* What the linker says of a lazy .plt entry: the second half runs with one more word pushed. The
 * constant differs between its layouts. */
static const uint8_t plt_ops[] = {
	DW_OP_breg7, DW_OP_breg16, DW_OP_lit15, DW_OP_and,  0 /* DW_OP_lit<n> */,
	DW_OP_ge,    DW_OP_lit3,   DW_OP_shl,	DW_OP_plus,
};
#define PLT_CONSTANT 4

static const struct machine *find_machine(uint16_t elf)
{
	for (size_t i = 0; i < ARRAY_SIZE(machines); i++)
		if (machines[i].elf == elf)
			return &machines[i];
	return NULL;
}

/* "register + offset": the register, -1: something else. */
static int base_register(const Dwarf_Op *op, int64_t *offset)
{
	if (op->atom >= DW_OP_breg0 && op->atom <= DW_OP_breg31) {
		*offset = (int64_t)op->number;
		return op->atom - DW_OP_breg0;
	}
	if (op->atom == DW_OP_bregx && op->number <= 31) {
		*offset = (int64_t)op->number2;
		return (int)op->number;
	}
	return -1;
}

static bool is_plt(const struct machine *m, const Dwarf_Op *ops, size_t nr)
{
	if (m->elf != EM_X86_64 || nr != ARRAY_SIZE(plt_ops))
		return false;
	for (size_t i = 0; i < nr; i++)
		if (i != PLT_CONSTANT && ops[i].atom != plt_ops[i])
			return false;
	return ops[0].number == 8 && ops[1].number == 0 && ops[PLT_CONSTANT].atom >= DW_OP_lit0 &&
	       ops[PLT_CONSTANT].atom <= DW_OP_lit15;
}

static int set_cfa(const struct machine *m, Dwarf_Frame *frame, struct churn_rule *out)
{
	int64_t offset = 0;
	Dwarf_Op *ops;
	size_t nr;
	int reg;

	if (dwarf_frame_cfa(frame, &ops, &nr) || !nr)
		return -ENOTSUP;
	if (is_plt(m, ops, nr)) {
		out->kind = CHURN_RULE_PLT;
		out->cfa_off = ops[PLT_CONSTANT].atom - DW_OP_lit0;
		return 0;
	}
	reg = base_register(&ops[0], &offset);
	if (offset < INT32_MIN || offset > INT32_MAX)
		return -ENOTSUP;
	out->cfa_off = (int32_t)offset;
	if (nr == 1 && reg == m->sp)
		out->kind = CHURN_RULE_SP;
	else if (nr == 1 && reg == m->fp)
		out->kind = CHURN_RULE_FP;
	else if (nr == 2 && reg == m->fp && ops[1].atom == DW_OP_deref)
		out->kind = CHURN_RULE_FP_DEREF;
	else
		return -ENOTSUP;
	return 0;
}

enum register_rule { REGISTER_SAME, REGISTER_SAVED, REGISTER_UNDEFINED, REGISTER_OTHER };

/* A saved register is at *slot in relation to the CFA, or, on a realigned stack, at `fp` + *slot,
 * then *from_fp is set. */
static enum register_rule find_register(const struct machine *m, Dwarf_Frame *frame, int reg,
					int64_t *slot, bool *from_fp)
{
	Dwarf_Op mem[3], *ops;
	size_t nr;

	*slot = 0;
	*from_fp = false;
	if (dwarf_frame_register(frame, reg, mem, &ops, &nr))
		return REGISTER_OTHER;
	if (!nr)
		return ops ? REGISTER_UNDEFINED : REGISTER_SAME;
	if (ops[0].atom != DW_OP_call_frame_cfa || nr > 2)
		return REGISTER_OTHER;
	/* An expression starts with the CFA pushed, used or not. */
	if (nr == 2 && base_register(&ops[1], slot) == m->fp) {
		*from_fp = true;
		return REGISTER_SAVED;
	}
	if (nr == 2 && ops[1].atom != DW_OP_plus_uconst)
		return REGISTER_OTHER;
	if (nr == 2)
		*slot = (int64_t)ops[1].number;
	return REGISTER_SAVED;
}

static int16_t fp_place(enum register_rule fp, int64_t slot, bool from_fp, uint8_t kind)
{
	bool deref = kind == CHURN_RULE_FP_DEREF;

	if (fp == REGISTER_SAME && !deref)
		return CHURN_FP_SAME;
	if (fp != REGISTER_SAVED || from_fp != deref || slot <= INT16_MIN || slot > INT16_MAX)
		return CHURN_FP_LOST;
	/* A frame pointer saved at the CFA itself: not distinguishable, and never seen. */
	return slot || deref ? (int16_t)slot : CHURN_FP_LOST;
}

static int reduce(const struct machine *m, Dwarf_Frame *frame, struct churn_rule *out)
{
	enum register_rule ra, fp;
	int64_t ra_slot, fp_slot;
	bool signal = false, ra_from_fp, fp_from_fp;
	int err;

	if (dwarf_frame_info(frame, NULL, NULL, &signal) != m->ra)
		return -ENOTSUP;
	if (signal) {
		out->kind = CHURN_RULE_SIGNAL;
		return 0;
	}
	ra = find_register(m, frame, m->ra, &ra_slot, &ra_from_fp);
	if (ra == REGISTER_UNDEFINED) {
		out->kind = CHURN_RULE_STOP;
		return 0;
	}
	err = set_cfa(m, frame, out);
	if (err)
		return err;
	fp = find_register(m, frame, m->fp, &fp_slot, &fp_from_fp);
	out->fp_slot = fp_place(fp, fp_slot, fp_from_fp, out->kind);
	if (ra != REGISTER_SAVED || ra_from_fp)
		return -ENOTSUP;
	if (!m->ra_beside_fp)
		return ra_slot == -8 ? 0 : -ENOTSUP;
	return fp == REGISTER_SAVED && ra_slot == fp_slot + 8 ? 0 : -ENOTSUP;
}

static int find_in(const struct machine *m, Dwarf_CFI *cfi, uint64_t addr, struct churn_rule *out)
{
	Dwarf_Frame *frame = NULL;
	int err;

	if (!cfi || dwarf_cfi_addrframe(cfi, addr, &frame))
		return -ENODATA;
	err = reduce(m, frame, out);
	free(frame);
	return err;
}

int cfi__find(struct elf_file *f, uint64_t offset, struct churn_rule *out)
{
	const struct machine *m = find_machine(elf_file__machine(f));
	const struct go_table *go;
	uint64_t addr;
	int err;

	*out = (struct churn_rule){};
	if (!m)
		return -ENOTSUP;
	if (!elf_file__address(f, offset, &addr))
		return -ENODATA;
	go = m->elf == EM_X86_64 ? elf_file__go(f) : NULL;
	err = go ? go_table__rule(go, addr, out) : -ENODATA;
	if (err == -ENODATA)
		err = find_in(m, elf_file__eh_cfi(f), addr, out);
	if (err == -ENODATA)
		err = find_in(m, elf_file__debug_cfi(f), addr, out);
	if (err)
		*out = (struct churn_rule){};
	return err;
}

static size_t read_code(void *ctx, uint64_t addr, uint8_t *bytes, size_t len)
{
	return elf_file__read_code(ctx, addr, bytes, len);
}

static bool starts_function(void *ctx, uint64_t addr)
{
	return elf_file__starts_function(ctx, addr);
}

int cfi__guess(struct elf_file *f, uint64_t offset, bool return_address, struct churn_rule *out)
{
	const struct code_source code = {
		.ctx = f, .read = read_code, .starts_function = starts_function};
	uint64_t addr;

	*out = (struct churn_rule){};
	if (elf_file__machine(f) != EM_X86_64 || !elf_file__address(f, offset, &addr))
		return -ENODATA;
	return code_scan__rule(&code, addr, return_address, out);
}
