/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "user/callsite/cfi_check.h"

#include <dwarf.h>
#include <elfutils/libdw.h>
#include <gelf.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "user/base/array.h"

#define MAX_REGISTER	 1200  /* the highest in use is one of PowerPC */
#define MAX_INSTRUCTIONS 65536 /* bytes of one function */

enum operand { END, REGISTER, LEB, BLOCK, BYTES1, BYTES2, BYTES4, BYTES8 };

/* Operands of the extended opcodes; those that are not here have none, or are refused. */
static const struct {
	uint8_t opcode;
	uint8_t operands[2];
} opcodes[] = {
	{DW_CFA_nop, {END, END}},
	{DW_CFA_advance_loc1, {BYTES1, END}},
	{DW_CFA_advance_loc2, {BYTES2, END}},
	{DW_CFA_advance_loc4, {BYTES4, END}},
	{DW_CFA_MIPS_advance_loc8, {BYTES8, END}},
	{DW_CFA_offset_extended, {REGISTER, LEB}},
	{DW_CFA_restore_extended, {REGISTER, END}},
	{DW_CFA_undefined, {REGISTER, END}},
	{DW_CFA_same_value, {REGISTER, END}},
	{DW_CFA_register, {REGISTER, REGISTER}},
	{DW_CFA_remember_state, {END, END}},
	{DW_CFA_restore_state, {END, END}},
	{DW_CFA_def_cfa, {REGISTER, LEB}},
	{DW_CFA_def_cfa_register, {REGISTER, END}},
	{DW_CFA_def_cfa_offset, {LEB, END}},
	{DW_CFA_def_cfa_expression, {BLOCK, END}},
	{DW_CFA_expression, {REGISTER, BLOCK}},
	{DW_CFA_offset_extended_sf, {REGISTER, LEB}},
	{DW_CFA_def_cfa_sf, {REGISTER, LEB}},
	{DW_CFA_def_cfa_offset_sf, {LEB, END}},
	{DW_CFA_val_offset, {REGISTER, LEB}},
	{DW_CFA_val_offset_sf, {REGISTER, LEB}},
	{DW_CFA_val_expression, {REGISTER, BLOCK}},
	{DW_CFA_GNU_window_save, {END, END}},
	{DW_CFA_GNU_args_size, {LEB, END}},
	{DW_CFA_GNU_negative_offset_extended, {REGISTER, LEB}},
};

struct stream {
	const uint8_t *at, *end;
};

static bool skip_bytes(struct stream *s, uint64_t nr)
{
	if (nr > (uint64_t)(s->end - s->at))
		return false;
	s->at += nr;
	return true;
}

/* Signed or not: as a size or a register number only small ones count. */
static bool read_leb(struct stream *s, uint64_t *value)
{
	*value = 0;
	for (unsigned int shift = 0; s->at < s->end; shift += 7) {
		uint8_t byte = *s->at++;

		if (shift < 63)
			*value |= (uint64_t)(byte & 0x7f) << shift;
		else if (byte & 0x7f)
			*value = UINT64_MAX;
		if (!(byte & 0x80))
			return true;
	}
	return false;
}

static bool check_operand(struct stream *s, uint8_t kind)
{
	uint64_t value;

	switch (kind) {
	case END:
		return true;
	case REGISTER:
		return read_leb(s, &value) && value <= MAX_REGISTER;
	case LEB:
		return read_leb(s, &value);
	case BLOCK:
		return read_leb(s, &value) && skip_bytes(s, value);
	default:
		return skip_bytes(s, 1ULL << (kind - BYTES1));
	}
}

/* An instruction that is not known, or not whole, ends it: libdw stops there as well. */
static bool check_instructions(const uint8_t *start, const uint8_t *end)
{
	struct stream s = {.at = start, .end = end};

	if (end < start || end - start > MAX_INSTRUCTIONS)
		return false;
	while (s.at < s.end) {
		uint8_t opcode = *s.at++;
		size_t i = 0;

		/* The registers in these are below 64. */
		if (opcode >= DW_CFA_advance_loc) {
			if ((opcode & 0xc0) == DW_CFA_offset && !check_operand(&s, LEB))
				return false;
			continue;
		}
		while (i < ARRAY_SIZE(opcodes) && opcodes[i].opcode != opcode)
			i++;
		if (i == ARRAY_SIZE(opcodes) || !check_operand(&s, opcodes[i].operands[0]) ||
		    !check_operand(&s, opcodes[i].operands[1]))
			return false;
	}
	return true;
}

/* What a CIE says of how to read its FDEs. */
struct cie {
	Dwarf_Off offset;
	bool known;
	bool sized; /* 'z': augmentation data with its length in front */
	uint8_t pointer_size;
};

static uint8_t encoded_size(uint8_t encoding, uint8_t address_size)
{
	static const uint8_t sizes[16] = {
		[DW_EH_PE_udata2] = 2, [DW_EH_PE_sdata2] = 2, [DW_EH_PE_udata4] = 4,
		[DW_EH_PE_sdata4] = 4, [DW_EH_PE_udata8] = 8, [DW_EH_PE_sdata8] = 8};

	encoding &= 0x0f;
	return encoding == DW_EH_PE_absptr ? address_size : sizes[encoding];
}

static bool read_cie(const Dwarf_CIE *entry, uint8_t address_size, struct cie *out)
{
	const char *letter = entry->augmentation;
	struct stream s = {.at = entry->augmentation_data};

	*out = (struct cie){.known = true, .pointer_size = address_size};
	if (!*letter)
		return true;
	if (*letter != 'z' || !s.at)
		return false;
	out->sized = true;
	s.end = s.at + entry->augmentation_data_size;
	while (*++letter) {
		uint8_t encoding;

		if (*letter == 'S' || *letter == 'B')
			continue;
		if (s.at >= s.end || !strchr("LPR", *letter))
			return false;
		encoding = *s.at++;
		if (*letter == 'R')
			out->pointer_size = encoded_size(encoding, address_size);
		else if (*letter == 'P' && !skip_bytes(&s, encoded_size(encoding, address_size)))
			return false;
	}
	return out->pointer_size;
}

static bool check_fde(const Dwarf_FDE *fde, const struct cie *cie)
{
	struct stream s = {.at = fde->start, .end = fde->end};
	uint64_t size;

	if (!skip_bytes(&s, 2U * cie->pointer_size))
		return false;
	if (cie->sized && (!read_leb(&s, &size) || !skip_bytes(&s, size)))
		return false;
	return check_instructions(s.at, s.end);
}

static bool check_data(const unsigned char *ident, Elf_Data *data, bool eh)
{
	uint8_t address_size = ident[EI_CLASS] == ELFCLASS32 ? 4 : 8;
	Dwarf_Off at = 0, next, unused;
	Dwarf_CFI_Entry entry, owner;
	struct cie cie = {};
	int end;

	while (!(end = dwarf_next_cfi(ident, data, eh, at, &next, &entry))) {
		if (next <= at)
			return false;
		at = next;
		if (entry.CIE_id == DW_CIE_ID_64) {
			if (!check_instructions(entry.cie.initial_instructions,
						entry.cie.initial_instructions_end))
				return false;
			continue;
		}
		if (!cie.known || cie.offset != entry.fde.CIE_pointer) {
			if (dwarf_next_cfi(ident, data, eh, entry.fde.CIE_pointer, &unused,
					   &owner) ||
			    owner.CIE_id != DW_CIE_ID_64 ||
			    !read_cie(&owner.cie, address_size, &cie))
				return false;
			cie.offset = entry.fde.CIE_pointer;
		}
		if (!check_fde(&entry.fde, &cie))
			return false;
	}
	return end > 0;
}

bool cfi_check(Elf *elf, const char *section)
{
	const unsigned char *ident = (const unsigned char *)elf_getident(elf, NULL);
	Elf_Scn *scn = NULL;
	GElf_Shdr shdr;
	size_t names;

	if (!ident || elf_getshdrstrndx(elf, &names))
		return false;
	while ((scn = elf_nextscn(elf, scn))) {
		const char *name;
		Elf_Data *data;

		if (!gelf_getshdr(scn, &shdr))
			return false;
		name = elf_strptr(elf, names, shdr.sh_name);
		if (!name || strcmp(name, section))
			continue;
		/* .debug_frame may be compressed: dwarf_begin_elf() has undone that before. */
		data = shdr.sh_type == SHT_NOBITS ? NULL : elf_rawdata(scn, NULL);
		return data && data->d_buf &&
		       check_data(ident, data, !strcmp(section, ".eh_frame"));
	}
	return false;
}
