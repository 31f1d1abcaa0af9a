/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "user/callsite/symbols.h"

#include <errno.h>
#include <gelf.h>
#include <stdlib.h>
#include <string.h>

#define MAX_SYMBOLS (8U << 20)
#define MAX_NAME    4096
/* How far find() goes back through symbols that overlap; real tables need a handful. */
#define MAX_BACK 4096

struct section_range {
	uint64_t start, end;
	bool code;
};

struct table {
	Elf *elf;
	Elf_Data *data;
	size_t strings; /* index of its string section */
	size_t nr;
};

struct sections {
	struct section_range *at;
	size_t nr;
};

static bool find_table(Elf *elf, GElf_Word type, struct table *t)
{
	Elf_Scn *scn = NULL;
	GElf_Shdr shdr;

	while (elf && (scn = elf_nextscn(elf, scn))) {
		if (!gelf_getshdr(scn, &shdr) || shdr.sh_type != type || !shdr.sh_entsize)
			continue;
		t->data = elf_getdata(scn, NULL);
		if (!t->data)
			continue;
		t->elf = elf;
		t->strings = shdr.sh_link;
		t->nr = t->data->d_size / shdr.sh_entsize;
		if (t->nr > MAX_SYMBOLS)
			t->nr = MAX_SYMBOLS;
		return true;
	}
	return false;
}

static int read_sections(Elf *elf, struct sections *s)
{
	Elf_Scn *scn = NULL;
	GElf_Shdr shdr;
	size_t nr;

	*s = (struct sections){};
	if (elf_getshdrnum(elf, &nr) || !nr)
		return 0;
	s->at = calloc(nr, sizeof(*s->at));
	if (!s->at)
		return -ENOMEM;
	s->nr = nr;
	while ((scn = elf_nextscn(elf, scn))) {
		size_t i = elf_ndxscn(scn);

		if (i >= nr || !gelf_getshdr(scn, &shdr))
			continue;
		s->at[i].start = shdr.sh_addr;
		s->at[i].end = shdr.sh_addr + shdr.sh_size;
		s->at[i].code = shdr.sh_flags & SHF_EXECINSTR;
	}
	return 0;
}

/* Data, section and file symbols, and those that mark a change of instruction set ($x), are no
 * functions. NOTYPE ones with a name are: hand-written assembly often forgets the type. */
static bool is_function(const GElf_Sym *sym, const struct sections *sections)
{
	int type = GELF_ST_TYPE(sym->st_info);
	const struct section_range *r;

	if (type != STT_FUNC && type != STT_GNU_IFUNC && type != STT_NOTYPE)
		return false;
	if (sym->st_shndx == SHN_UNDEF || sym->st_shndx >= sections->nr)
		return false;
	r = &sections->at[sym->st_shndx];
	return r->code && sym->st_value >= r->start && sym->st_value < r->end;
}

static unsigned int name_rank(const char *name)
{
	unsigned int underscores = (unsigned int)strspn(name, "_");

	/* A mangled name starts with one underscore for everybody. */
	return !strncmp(name, "_Z", 2) || !strncmp(name, "_R", 2) ? 0 : underscores;
}

/* By address; of several names for one address the better one comes last: one with a size, with
 * fewer underscores in front, the shorter, so that __libc_connect is shown as connect. */
static int compare(const void *a, const void *b)
{
	const struct symbol *x = a, *y = b;
	size_t len_x, len_y;

	if (x->start != y->start)
		return x->start < y->start ? -1 : 1;
	if (x->sized != y->sized)
		return x->sized ? 1 : -1;
	if (name_rank(x->name) != name_rank(y->name))
		return name_rank(x->name) > name_rank(y->name) ? -1 : 1;
	len_x = strlen(x->name);
	len_y = strlen(y->name);
	if (len_x != len_y)
		return len_x > len_y ? -1 : 1;
	return strcmp(y->name, x->name);
}

static void add_symbol(struct symbols *s, const struct table *t, const struct sections *sections,
		       size_t i, bool complete)
{
	struct symbol *out = &s->at[s->nr];
	const struct section_range *r;
	GElf_Sym sym;

	if (!gelf_getsym(t->data, (int)i, &sym) || !is_function(&sym, sections))
		return;
	/* Without .symtab the functions in between are unknown: no guess how far this one goes. */
	if (!sym.st_size && !complete)
		return;
	out->name = elf_strptr(t->elf, t->strings, sym.st_name);
	if (!out->name || !*out->name || *out->name == '$' ||
	    strnlen(out->name, MAX_NAME) == MAX_NAME)
		return;
	r = &sections->at[sym.st_shndx];
	out->start = sym.st_value;
	out->sized = sym.st_size;
	out->end = sym.st_size && sym.st_size < r->end - sym.st_value ? sym.st_value + sym.st_size
								      : r->end;
	s->nr++;
}

/* Sections are those of the ELF file that holds the table: a debug file repeats the headers. */
static int add_table(struct symbols *s, const struct table *t, bool complete)
{
	struct sections sections;
	struct symbol *more;
	int err;

	err = read_sections(t->elf, &sections);
	if (err)
		return err;
	more = reallocarray(s->at, s->nr + t->nr + 1, sizeof(*s->at));
	if (!more) {
		free(sections.at);
		return -ENOMEM;
	}
	s->at = more;
	for (size_t i = 0; i < t->nr; i++)
		add_symbol(s, t, &sections, i, complete);
	free(sections.at);
	return 0;
}

static void sort_symbols(struct symbols *s)
{
	if (!s->nr)
		return;
	qsort(s->at, s->nr, sizeof(*s->at), compare);
	for (size_t i = 0; i < s->nr; i++) {
		s->at[i].reach = s->at[i].end;
		if (i && s->at[i - 1].reach > s->at[i].reach)
			s->at[i].reach = s->at[i - 1].reach;
	}
}

int symbols__read(struct symbols *s, Elf *main, Elf *debug)
{
	struct table t;
	int err = 0;

	*s = (struct symbols){};
	if (find_table(debug, SHT_SYMTAB, &t) || find_table(main, SHT_SYMTAB, &t)) {
		err = add_table(s, &t, true);
	} else {
		if (find_table(main, SHT_DYNSYM, &t))
			err = add_table(s, &t, false);
		mini_debug__open(&s->mini, main);
		if (!err && find_table(s->mini.elf, SHT_SYMTAB, &t))
			err = add_table(s, &t, false);
	}
	if (err)
		symbols__clear(s);
	sort_symbols(s);
	return err;
}

void symbols__clear(struct symbols *s)
{
	free(s->at);
	mini_debug__close(&s->mini);
	*s = (struct symbols){};
}

const struct symbol *symbols__find(const struct symbols *s, uint64_t addr)
{
	const struct symbol *nearest = NULL;
	size_t low = 0, high = s->nr, last;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (s->at[mid].start <= addr)
			low = mid + 1;
		else
			high = mid;
	}
	last = low;
	for (size_t i = last; i-- && last - i <= MAX_BACK;) {
		const struct symbol *sym = &s->at[i];

		if (sym->reach <= addr)
			break;
		if (addr >= sym->end)
			continue;
		if (sym->sized)
			return sym;
		/* It ends at the latest where the next one starts; and in a function with a size
		 * it is a mere label. */
		if (!nearest && sym->start == s->at[last - 1].start)
			nearest = sym;
	}
	return nearest;
}
