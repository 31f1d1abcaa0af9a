/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "user/callsite/go_table.h"

#include <errno.h>
#include <gelf.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define MAGIC_1_18 0xfffffff0U
#define MAGIC_1_20 0xfffffff1U
#define HEADER_LEN 72

/* struct _func, as offsets. 1.20 put startLine before funcID. */
#define FUNC_NAME      4
#define FUNC_PCSP      16
#define FUNC_PCFILE    20
#define FUNC_PCLINE    24
#define FUNC_NR_PCDATA 28
#define FUNC_UNIT      32
#define FUNC_REST      36 /* [startLine,] funcID, flag, 1 byte, nfuncdata, then the arrays */

#define MAX_FRAME (1 << 30) /* more than any stack of Go's may grow to */

#define FLAG_TOP_FRAME	    1
#define FLAG_WRITES_SP	    2
#define PCDATA_INLINED_CALL 2
#define FUNCDATA_INL_TREE   3
#define ABSENT		    0xffffffffU

/* struct moduledata, in words. */
#define MODULE_TEXT	   22
#define MODULE_GOFUNC_1_18 38
#define MODULE_GOFUNC_1_20 40
#define MODULE_WORDS	   48

struct bytes {
	const uint8_t *at;
	uint64_t len;
};

/* Where the fields of an inlined call are. */
struct inlined_call {
	uint8_t size, name, parent_pc;
};

struct go_table {
	bool at_least_1_20;
	uint32_t nr_functions;
	uint64_t text;			       /* address that the functions count from */
	struct bytes names, units, files, pcs; /* their tables */
	struct bytes functions;
	struct bytes funcdata; /* from go:func.*, empty: not found */
	struct inlined_call call;
};

/* 0 beyond the end. */
static uint64_t read_at(struct bytes b, uint64_t at, unsigned int size)
{
	uint64_t value = 0;

	if (at <= b.len && size <= b.len - at)
		memcpy(&value, b.at + at, size);
	return value;
}

static uint32_t read32(struct bytes b, uint64_t at)
{
	return (uint32_t)read_at(b, at, 4);
}

static struct bytes from(struct bytes b, uint64_t at)
{
	if (at >= b.len)
		return (struct bytes){};
	return (struct bytes){b.at + at, b.len - at};
}

/* NULL: no string there. */
static const char *string_at(struct bytes b, uint64_t at)
{
	struct bytes rest = from(b, at);

	return rest.len && *rest.at && memchr(rest.at, '\0', rest.len) ? (const char *)rest.at
								       : NULL;
}

/* --- finding the tables ----------------------------------------------------------------------- */

/* The section that holds an address, from there on. */
static struct bytes section_from(Elf *elf, uint64_t addr)
{
	Elf_Scn *scn = NULL;
	GElf_Shdr shdr;
	Elf_Data *data;

	while ((scn = elf_nextscn(elf, scn))) {
		if (!gelf_getshdr(scn, &shdr) || !(shdr.sh_flags & SHF_ALLOC) ||
		    shdr.sh_type == SHT_NOBITS || addr < shdr.sh_addr ||
		    addr - shdr.sh_addr >= shdr.sh_size)
			continue;
		data = elf_rawdata(scn, NULL);
		if (data && data->d_buf)
			return from((struct bytes){data->d_buf, data->d_size}, addr - shdr.sh_addr);
	}
	return (struct bytes){};
}

static bool find_section(Elf *elf, GElf_Shdr *shdr, struct bytes *out)
{
	Elf_Scn *scn = NULL;
	Elf_Data *data;
	size_t names;

	if (elf_getshdrstrndx(elf, &names))
		return false;
	while ((scn = elf_nextscn(elf, scn))) {
		const char *name;

		if (!gelf_getshdr(scn, shdr) || shdr->sh_type == SHT_NOBITS)
			continue;
		name = elf_strptr(elf, names, shdr->sh_name);
		if (!name || (strcmp(name, ".gopclntab") != 0 &&
			      strcmp(name, ".data.rel.ro.gopclntab") != 0))
			continue;
		data = elf_rawdata(scn, NULL);
		if (!data || !data->d_buf)
			return false;
		*out = (struct bytes){data->d_buf, data->d_size};
		return true;
	}
	return false;
}

/* The runtime's description of the program begins with the address of these tables. It is in data
 * that the linker filled in, unless the program is position-independent. */
static struct bytes find_module(Elf *elf, uint64_t tables)
{
	Elf_Scn *scn = NULL;
	GElf_Shdr shdr;

	while ((scn = elf_nextscn(elf, scn))) {
		struct bytes b;
		Elf_Data *data;

		if (!gelf_getshdr(scn, &shdr) || shdr.sh_type != SHT_PROGBITS ||
		    !(shdr.sh_flags & SHF_WRITE))
			continue;
		data = elf_rawdata(scn, NULL);
		if (!data || !data->d_buf)
			continue;
		b = (struct bytes){data->d_buf, data->d_size};
		for (uint64_t at = 0; at + 8 * MODULE_WORDS <= b.len; at += 8)
			if (read_at(b, at, 8) == tables)
				return from(b, at);
	}
	return (struct bytes){};
}

static void find_funcdata(struct go_table *t, Elf *elf, uint64_t tables)
{
	struct bytes module = find_module(elf, tables);
	int gofunc = t->at_least_1_20 ? MODULE_GOFUNC_1_20 : MODULE_GOFUNC_1_18;
	uint64_t text = read_at(module, 8 * MODULE_TEXT, 8);

	/* Some versions leave the header's blank. */
	if (!t->text)
		t->text = text;
	if (text && text == t->text)
		t->funcdata = section_from(elf, read_at(module, 8 * gofunc, 8));
}

static bool read_header(struct go_table *t, struct bytes b)
{
	uint32_t magic = read32(b, 0);

	/* Two zero bytes, the size of the smallest instruction and that of a pointer. */
	if (b.len < HEADER_LEN || (magic != MAGIC_1_18 && magic != MAGIC_1_20) ||
	    read32(b, 4) != 0x08010000)
		return false;
	t->at_least_1_20 = magic == MAGIC_1_20;
	t->call = t->at_least_1_20 ? (struct inlined_call){.size = 16, .name = 4, .parent_pc = 8}
				   : (struct inlined_call){.size = 20, .name = 12, .parent_pc = 16};
	t->text = read_at(b, 24, 8);
	t->names = from(b, read_at(b, 32, 8));
	t->units = from(b, read_at(b, 40, 8));
	t->files = from(b, read_at(b, 48, 8));
	t->pcs = from(b, read_at(b, 56, 8));
	t->functions = from(b, read_at(b, 64, 8));
	if (read_at(b, 8, 8) > t->functions.len / 8)
		return false;
	t->nr_functions = (uint32_t)read_at(b, 8, 8);
	return t->nr_functions;
}

struct go_table *go_table__new(Elf *elf)
{
	struct go_table *t;
	struct bytes b = {};
	GElf_Shdr shdr;

	if (!find_section(elf, &shdr, &b))
		return NULL;
	t = calloc(1, sizeof(*t));
	if (!t)
		return NULL;
	if (read_header(t, b)) {
		find_funcdata(t, elf, shdr.sh_addr);
		if (t->text)
			return t;
	}
	free(t);
	return NULL;
}

void go_table__free(struct go_table *t)
{
	free(t);
}

/* --- functions -------------------------------------------------------------------------------- */

/* A function, and the address that is looked at in it. */
struct function {
	struct bytes b; /* its struct _func and what follows */
	uint32_t at;	/* from its first instruction */
};

static bool find_function(const struct go_table *t, uint64_t addr, struct function *out)
{
	uint32_t low = 0, high = t->nr_functions, offset = (uint32_t)(addr - t->text), start;

	/* One more entry says where the last one ends. */
	if (addr < t->text || addr - t->text > UINT32_MAX || offset < read32(t->functions, 0) ||
	    offset >= read32(t->functions, 8ULL * t->nr_functions))
		return false;
	while (high - low > 1) {
		uint32_t mid = low + (high - low) / 2;

		if (read32(t->functions, 8ULL * mid) <= offset)
			low = mid;
		else
			high = mid;
	}
	start = read32(t->functions, 8ULL * low);
	out->b = from(t->functions, read32(t->functions, 8ULL * low + 4));
	out->at = offset - start;
	return out->b.len >= FUNC_REST && read32(out->b, 0) == start;
}

static uint64_t rest_of(const struct go_table *t)
{
	return FUNC_REST + (t->at_least_1_20 ? 4 : 0);
}

static uint8_t flag_of(const struct go_table *t, const struct function *f)
{
	return (uint8_t)read_at(f->b, rest_of(t) + 1, 1);
}

static uint32_t read_varint(struct bytes *b)
{
	uint32_t value = 0;

	for (unsigned int shift = 0; b->len && shift < 35; shift += 7) {
		uint8_t byte = *b->at++;

		b->len--;
		value |= shift < 32 ? (uint32_t)(byte & 127) << shift : 0;
		if (!(byte & 128))
			break;
	}
	return value;
}

/* Pairs of a signed difference of the value and the length of the code that has it. -1: none. */
static int32_t value_at(const struct go_table *t, uint32_t table, uint32_t at)
{
	struct bytes b = from(t->pcs, table);
	uint32_t value = (uint32_t)-1, end = 0;

	if (!table)
		return -1;
	for (bool first = true; b.len; first = false) {
		uint32_t change = read_varint(&b);

		if (!change && !first)
			break;
		value += (change >> 1) ^ -(change & 1);
		end += read_varint(&b);
		if (at < end)
			return (int32_t)value;
	}
	return -1;
}

static int32_t inlined_call_at(const struct go_table *t, const struct function *f, uint32_t at)
{
	if (read32(f->b, FUNC_NR_PCDATA) <= PCDATA_INLINED_CALL)
		return -1;
	return value_at(t, read32(f->b, rest_of(t) + 4 + 4 * PCDATA_INLINED_CALL), at);
}

/* The inlined calls of a function; empty: unknown. */
static struct bytes inlined_calls(const struct go_table *t, const struct function *f)
{
	uint64_t arrays = rest_of(t) + 4, nr_pcdata = read32(f->b, FUNC_NR_PCDATA);
	uint32_t offset;

	if (read_at(f->b, arrays - 1, 1) <= FUNCDATA_INL_TREE)
		return (struct bytes){};
	offset = read32(f->b, arrays + 4 * (nr_pcdata + FUNCDATA_INL_TREE));
	return offset == ABSENT ? (struct bytes){} : from(t->funcdata, offset);
}

int go_table__rule(const struct go_table *t, uint64_t addr, struct churn_rule *out)
{
	struct function f;
	int32_t size;

	*out = (struct churn_rule){};
	if (!find_function(t, addr, &f))
		return -ENODATA;
	if (flag_of(t, &f) & FLAG_TOP_FRAME) {
		out->kind = CHURN_RULE_STOP;
		return 0;
	}
	size = value_at(t, read32(f.b, FUNC_PCSP), f.at);
	if (flag_of(t, &f) & FLAG_WRITES_SP || size < 0 || size > MAX_FRAME)
		return -ENOTSUP;
	out->kind = CHURN_RULE_SP;
	out->cfa_off = size + 8;
	/* A function with a frame saves the frame pointer right below the return address. */
	out->fp_slot = size >= 8 ? -16 : CHURN_FP_SAME;
	return 0;
}

/* --- names ------------------------------------------------------------------------------------ */

/* As Go itself prints it: type parameters, which are shapes, are left out. */
static char *name_at(const struct go_table *t, uint32_t at)
{
	const char *text = string_at(t->names, at);
	char *name = text ? strdup(text) : NULL;
	char *open = name ? strchr(name, '[') : NULL;
	char *close = name ? strrchr(name, ']') : NULL;

	if (open && close && close - open > 3) {
		memcpy(open + 1, "...", 3);
		memmove(open + 4, close, strlen(close) + 1);
	}
	return name;
}

static void set_line(const struct go_table *t, const struct function *f, uint32_t at,
		     struct location *out)
{
	int32_t file = value_at(t, read32(f->b, FUNC_PCFILE), at);
	int32_t line = value_at(t, read32(f->b, FUNC_PCLINE), at);
	uint64_t unit = read32(f->b, FUNC_UNIT);
	const char *path;
	uint32_t name;

	if (file < 0 || line <= 0)
		return;
	name = read32(t->units, 4 * (unit + (uint32_t)file));
	path = name == ABSENT ? NULL : string_at(t->files, name);
	if (!path)
		return;
	out->file = strdup(path);
	out->line = (uint32_t)line;
}

uint32_t go_table__find(const struct go_table *t, uint64_t addr, struct location out[MAX_LOCATIONS])
{
	struct bytes calls;
	struct function f;
	uint32_t nr = 0;
	int32_t call;

	memset(out, 0, MAX_LOCATIONS * sizeof(*out));
	if (!find_function(t, addr, &f))
		return 0;
	calls = inlined_calls(t, &f);
	call = inlined_call_at(t, &f, f.at);
	while (call >= 0 && nr < MAX_LOCATIONS - 1) {
		struct bytes c = from(calls, (uint64_t)call * t->call.size);

		if (c.len < t->call.size)
			break;
		out[nr].function = name_at(t, read32(c, t->call.name));
		set_line(t, &f, f.at, &out[nr]);
		out[nr++].inlined = true;
		f.at = read32(c, t->call.parent_pc);
		call = inlined_call_at(t, &f, f.at);
	}
	out[nr].function = name_at(t, read32(f.b, FUNC_NAME));
	if (call < 0)
		set_line(t, &f, f.at, &out[nr]);
	return nr + 1;
}
