/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "user/callsite/debug_info.h"

#include <dwarf.h>
#include <elfutils/libdw.h>
#include <elfutils/libdwelf.h>
#include <errno.h>
#include <gelf.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "user/callsite/debug_file.h"
#include "user/callsite/demangle.h"
#include "user/callsite/elf_open.h"

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

/* Bounds for what a broken or hostile file can make us do. */
#define MAX_UNITS     (1U << 20)
#define MAX_RANGES    (8U << 20)
#define MAX_UNIT_BACK 64	 /* units that claim the same address */
#define MAX_NESTING   16	 /* namespaces in namespaces */
#define MAX_SCOPES    256	 /* blocks and inlined functions in each other */
#define MAX_DIES      (4U << 20) /* entries looked at for one address */

/* An address range of a compilation unit. .debug_aranges is not used: clang does not write it. */
struct unit_range {
	uint64_t start, end;
	Dwarf_Off die;
};

struct debug_info {
	Dwarf *dwarf;
	Dwarf *shared; /* what several debug files have in common */
	Elf *shared_elf;
	int shared_fd;
	struct unit_range *ranges; /* sorted by start */
	size_t nr, cap;
};

/* A walk over entries, and how many more it may look at. */
struct walk {
	uint64_t addr;
	uint32_t budget;
};

static int add_range(struct debug_info *d, uint64_t start, uint64_t end, Dwarf_Off die)
{
	if (end <= start || d->nr == MAX_RANGES)
		return 0;
	if (d->nr == d->cap) {
		size_t cap = d->cap ? d->cap * 2 : 256;
		struct unit_range *more = realloc(d->ranges, cap * sizeof(*more));

		if (!more)
			return -ENOMEM;
		d->ranges = more;
		d->cap = cap;
	}
	d->ranges[d->nr++] = (struct unit_range){.start = start, .end = end, .die = die};
	return 0;
}

static int add_unit(struct debug_info *d, Dwarf_Die *cu)
{
	Dwarf_Addr base, start, end;
	ptrdiff_t at = 0;
	int err = 0;

	while (!err && d->nr < MAX_RANGES && (at = dwarf_ranges(cu, at, &base, &start, &end)) > 0)
		err = add_range(d, start, end, dwarf_dieoffset(cu));
	return err;
}

static int compare_ranges(const void *a, const void *b)
{
	const struct unit_range *x = a, *y = b;

	return x->start < y->start ? -1 : x->start > y->start;
}

static int index_units(struct debug_info *d)
{
	Dwarf_CU *unit = NULL, *next;
	uint8_t type;
	Dwarf_Die cu;
	int err;

	for (uint32_t i = 0; i < MAX_UNITS; i++) {
		if (dwarf_get_units(d->dwarf, unit, &next, NULL, &type, &cu, NULL))
			break;
		unit = next;
		if (type != DW_UT_compile && type != DW_UT_skeleton)
			continue;
		err = add_unit(d, &cu);
		if (err)
			return err;
	}
	if (d->nr)
		qsort(d->ranges, d->nr, sizeof(*d->ranges), compare_ranges);
	return 0;
}

/* libdw (0.188) takes any place in these sections for the beginning of a string that ends. */
static bool strings_end(Elf *elf)
{
	static const char *const tables[] = {".debug_str", ".debug_line_str", ".zdebug_str",
					     ".zdebug_line_str"};
	Elf_Scn *scn = NULL;
	size_t names;

	if (elf_getshdrstrndx(elf, &names))
		return false;
	while ((scn = elf_nextscn(elf, scn))) {
		const char *name;
		GElf_Shdr shdr;
		Elf_Data *data;

		if (!gelf_getshdr(scn, &shdr) || shdr.sh_type == SHT_NOBITS)
			continue;
		name = elf_strptr(elf, names, shdr.sh_name);
		for (size_t i = 0; name && i < ARRAY_SIZE(tables); i++) {
			if (strcmp(name, tables[i]) != 0)
				continue;
			/* Not compressed any more: dwarf_begin_elf() has seen to that. */
			data = elf_rawdata(scn, NULL);
			if (data && data->d_size &&
			    (!data->d_buf || ((const char *)data->d_buf)[data->d_size - 1]))
				return false;
		}
	}
	return true;
}

/*
 * A file made by dwz(1) refers to one that it shares with others. Left alone libdw would open
 * whatever path the file names, so either the right one is found here or the DWARF is not used.
 */
static int attach_shared(struct debug_info *d)
{
	const void *build_id;
	const char *name;
	ssize_t len;

	len = dwelf_dwarf_gnu_debugaltlink(d->dwarf, &name, &build_id);
	if (!len)
		return 0;
	d->shared_fd = len > 0 ? debug_file__open_shared(build_id, (size_t)len) : -ENOENT;
	if (d->shared_fd < 0)
		return -ENODATA;
	d->shared_elf = elf_open(d->shared_fd);
	d->shared = d->shared_elf ? dwarf_begin_elf(d->shared_elf, DWARF_C_READ, NULL) : NULL;
	if (!d->shared || !strings_end(d->shared_elf))
		return -ENODATA;
	dwarf_setalt(d->dwarf, d->shared);
	return 0;
}

struct debug_info *debug_info__new(Elf *elf)
{
	struct debug_info *d = calloc(1, sizeof(*d));
	int err;

	if (!d)
		return NULL;
	d->shared_fd = -1;
	d->dwarf = dwarf_begin_elf(elf, DWARF_C_READ, NULL);
	err = d->dwarf && strings_end(elf) ? attach_shared(d) : -ENODATA;
	if (!err)
		err = index_units(d);
	if (!err && !d->nr)
		err = -ENODATA;
	if (err) {
		debug_info__free(d);
		errno = -err;
		return NULL;
	}
	return d;
}

void debug_info__free(struct debug_info *d)
{
	if (!d)
		return;
	/* The main one first: it refers to the shared one. */
	dwarf_end(d->dwarf);
	dwarf_end(d->shared);
	elf_end(d->shared_elf);
	if (d->shared_fd >= 0)
		close(d->shared_fd);
	free(d->ranges);
	free(d);
}

void location__clear(struct location *l)
{
	free(l->function);
	free(l->file);
	*l = (struct location){};
}

static bool find_unit(const struct debug_info *d, uint64_t addr, Dwarf_Die *cu)
{
	size_t low = 0, high = d->nr;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (d->ranges[mid].start <= addr)
			low = mid + 1;
		else
			high = mid;
	}
	for (size_t i = low; i-- && low - i <= MAX_UNIT_BACK;)
		if (addr < d->ranges[i].end)
			return dwarf_offdie(d->dwarf, d->ranges[i].die, cu);
	return false;
}

/*
 * The function among the children of `parent` that holds the address. libdw's own
 * dwarf_getscopes() recurses as deep as the file says and opens .dwo files.
 */
static bool find_function(struct walk *w, Dwarf_Die *parent, int depth, Dwarf_Die *out)
{
	Dwarf_Die child;
	int end;

	for (end = dwarf_child(parent, &child); !end; end = dwarf_siblingof(&child, &child)) {
		int tag = dwarf_tag(&child);

		if (!w->budget || !w->budget--)
			return false;
		if (tag == DW_TAG_subprogram && dwarf_haspc(&child, w->addr) > 0) {
			*out = child;
			return true;
		}
		if ((tag == DW_TAG_namespace || tag == DW_TAG_module) && depth < MAX_NESTING &&
		    find_function(w, &child, depth + 1, out))
			return true;
	}
	return false;
}

static bool next_scope(struct walk *w, Dwarf_Die *parent, Dwarf_Die *out)
{
	Dwarf_Die child;
	int end;

	for (end = dwarf_child(parent, &child); !end; end = dwarf_siblingof(&child, &child)) {
		int tag = dwarf_tag(&child);

		if (!w->budget || !w->budget--)
			return false;
		if ((tag == DW_TAG_lexical_block || tag == DW_TAG_inlined_subroutine ||
		     tag == DW_TAG_try_block || tag == DW_TAG_catch_block) &&
		    dwarf_haspc(&child, w->addr) > 0) {
			*out = child;
			return true;
		}
	}
	return false;
}

/* The function and what is inlined at the address, outermost first. Returns how many. */
static uint32_t find_calls(struct walk *w, Dwarf_Die *cu, Dwarf_Die calls[MAX_LOCATIONS])
{
	Dwarf_Die scope;
	uint32_t nr = 0;

	if (dwarf_hasattr(cu, DW_AT_dwo_name) || dwarf_hasattr(cu, DW_AT_GNU_dwo_name))
		return 0;
	if (!find_function(w, cu, 0, &scope))
		return 0;
	calls[nr++] = scope;
	for (int i = 0; i < MAX_SCOPES && nr < MAX_LOCATIONS; i++) {
		Dwarf_Die inner;

		if (!next_scope(w, &scope, &inner))
			break;
		scope = inner;
		if (dwarf_tag(&scope) == DW_TAG_inlined_subroutine)
			calls[nr++] = scope;
	}
	return nr;
}

static char *function_name(Dwarf_Die *die)
{
	Dwarf_Attribute attr;
	const char *name = NULL;

	if (dwarf_attr_integrate(die, DW_AT_linkage_name, &attr) ||
	    dwarf_attr_integrate(die, DW_AT_MIPS_linkage_name, &attr) ||
	    dwarf_attr_integrate(die, DW_AT_name, &attr))
		name = dwarf_formstring(&attr);
	return name && *name ? demangle(name) : NULL;
}

/* Where an inlined function is called from. */
static void set_call_place(struct location *l, Dwarf_Die *cu, Dwarf_Die *inlined)
{
	Dwarf_Attribute attr;
	Dwarf_Files *files;
	Dwarf_Word value;
	const char *file;
	size_t nr;

	if (dwarf_formudata(dwarf_attr(inlined, DW_AT_call_file, &attr), &value) ||
	    dwarf_getsrcfiles(cu, &files, &nr) || value >= nr)
		return;
	file = dwarf_filesrc(files, value, NULL, NULL);
	if (!file || !strcmp(file, "???"))
		return;
	l->file = strdup(file);
	if (!dwarf_formudata(dwarf_attr(inlined, DW_AT_call_line, &attr), &value) &&
	    value <= UINT32_MAX)
		l->line = (uint32_t)value;
}

static void set_line(struct location *l, Dwarf_Die *cu, uint64_t addr)
{
	Dwarf_Line *line = dwarf_getsrc_die(cu, addr);
	const char *file = line ? dwarf_linesrc(line, NULL, NULL) : NULL;
	int nr = 0;

	/* Line 0: code that the compiler attributes to no line; the file is then no use either. */
	if (!file || dwarf_lineno(line, &nr) || nr <= 0)
		return;
	l->file = strdup(file);
	l->line = (uint32_t)nr;
}

uint32_t debug_info__find(struct debug_info *d, uint64_t addr, struct location out[MAX_LOCATIONS])
{
	struct walk w = {.addr = addr, .budget = MAX_DIES};
	Dwarf_Die cu, calls[MAX_LOCATIONS];
	uint32_t nr;

	memset(out, 0, MAX_LOCATIONS * sizeof(*out));
	if (!find_unit(d, addr, &cu))
		return 0;
	nr = find_calls(&w, &cu, calls);
	set_line(&out[0], &cu, addr);
	if (!nr)
		return out[0].file ? 1 : 0;
	for (uint32_t i = 0; i < nr; i++) {
		/* out[i] is calls[nr - 1 - i]; it runs on where calls[nr - i] was inlined. */
		Dwarf_Die *die = &calls[nr - 1 - i];

		out[i].function = function_name(die);
		out[i].inlined = i + 1 < nr;
		if (i)
			set_call_place(&out[i], &cu, &calls[nr - i]);
	}
	return nr;
}
