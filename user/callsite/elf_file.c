/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "user/callsite/elf_file.h"

#include <elfutils/libdwelf.h>
#include <gelf.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "user/base/hash.h"
#include "user/callsite/cfi_check.h"
#include "user/callsite/debug_file.h"
#include "user/callsite/demangle.h"
#include "user/callsite/elf_open.h"
#include "user/callsite/go_table.h"
#include "user/callsite/symbols.h"

#define MAX_SEGMENTS 64
#define MAX_ANSWERS  1024
#define TP_DEALLOC   48 /* in a PyTypeObject, from 3.8 to 3.14, GIL builds */
/* DWARF beyond this size is not read: lines are missing then, names of functions are not. */
#define MAX_DWARF_BYTES (1ULL << 30)

struct segment {
	uint64_t offset, size, addr;
};

/* What was found at an offset. */
struct answer {
	uint64_t offset;
	uint32_t nr;
	UT_hash_handle hh;
	struct location at[];
};

struct elf_file {
	int fd, debug_fd; /* debug_fd -1: no separate debug file */
	Elf *elf, *debug_elf;
	struct segment segments[MAX_SEGMENTS]; /* executable ones */
	uint32_t nr_segments;
	uint16_t machine;
	uint8_t build_id[MAX_BUILD_ID];
	size_t build_id_len;
	bool loaded; /* symbols and DWARF, as far as there are any */
	uint64_t loaded_bytes;
	struct symbols symbols;
	struct debug_info *debug;
	bool eh_checked, frames_checked;
	Dwarf_CFI *eh_cfi;
	Dwarf *frames; /* for .debug_frame */
	bool go_checked;
	struct go_table *go;	/* NULL: not written in Go */
	struct answer *answers; /* oldest first */
	bool python_known;
	struct python_symbols python;
};

static void read_segments(struct elf_file *f)
{
	GElf_Ehdr ehdr;
	size_t nr;

	if (!gelf_getehdr(f->elf, &ehdr) || elf_getphdrnum(f->elf, &nr))
		return;
	f->machine = ehdr.e_machine;
	for (size_t i = 0; i < nr && i <= INT32_MAX && f->nr_segments < MAX_SEGMENTS; i++) {
		GElf_Phdr phdr;

		if (!gelf_getphdr(f->elf, (int)i, &phdr))
			break;
		if (phdr.p_type == PT_LOAD && (phdr.p_flags & PF_X))
			f->segments[f->nr_segments++] = (struct segment){
				.offset = phdr.p_offset,
				.size = phdr.p_filesz,
				.addr = phdr.p_vaddr,
			};
	}
}

static void read_build_id(struct elf_file *f)
{
	const void *id;
	ssize_t len = dwelf_elf_gnu_build_id(f->elf, &id);

	if (len > 0 && len <= MAX_BUILD_ID) {
		memcpy(f->build_id, id, (size_t)len);
		f->build_id_len = (size_t)len;
	}
}

/* Size in memory of the sections whose name starts so. */
static uint64_t section_bytes(Elf *elf, const char *prefix)
{
	Elf_Scn *scn = NULL;
	uint64_t sum = 0;
	size_t names;

	if (elf_getshdrstrndx(elf, &names))
		return 0;
	while ((scn = elf_nextscn(elf, scn))) {
		const char *name;
		GElf_Shdr shdr;
		GElf_Chdr chdr;

		if (!gelf_getshdr(scn, &shdr) || shdr.sh_type == SHT_NOBITS)
			continue;
		name = elf_strptr(elf, names, shdr.sh_name);
		if (!name || strncmp(name, prefix, strlen(prefix)))
			continue;
		sum += shdr.sh_flags & SHF_COMPRESSED && gelf_getchdr(scn, &chdr) ? chdr.ch_size
										  : shdr.sh_size;
	}
	return sum;
}

static bool has_dwarf(Elf *elf)
{
	return section_bytes(elf, ".debug_info") || section_bytes(elf, ".zdebug_info");
}

struct elf_file *elf_file__new(int fd, int root, const char *path)
{
	struct elf_file *f = calloc(1, sizeof(*f));

	if (!f) {
		close(fd);
		return NULL;
	}
	f->fd = fd;
	f->debug_fd = -1;
	f->elf = elf_open(fd);
	if (f->elf)
		read_segments(f);
	if (!f->nr_segments) {
		/* Not ELF: a memfd with generated code, whose memory an open file would keep. */
		elf_end(f->elf);
		f->elf = NULL;
		close(f->fd);
		f->fd = -1;
		return f;
	}
	read_build_id(f);
	if (!has_dwarf(f->elf))
		f->debug_fd = debug_file__open(f->elf, root, path);
	return f;
}

void elf_file__unload(struct elf_file *f)
{
	/* Whatever points into an Elf goes before it. */
	symbols__clear(&f->symbols);
	debug_info__free(f->debug);
	f->debug = NULL;
	go_table__free(f->go);
	f->go = NULL;
	f->go_checked = false;
	if (f->eh_cfi)
		dwarf_cfi_end(f->eh_cfi);
	f->eh_cfi = NULL;
	dwarf_end(f->frames);
	f->frames = NULL;
	f->eh_checked = false;
	f->frames_checked = false;
	elf_end(f->debug_elf);
	f->debug_elf = NULL;
	elf_end(f->elf);
	f->elf = NULL;
	f->loaded = false;
	f->loaded_bytes = 0;
}

static void free_answer(struct elf_file *f, struct answer *a)
{
	HASH_DEL(f->answers, a);
	for (uint32_t i = 0; i < a->nr; i++)
		location__clear(&a->at[i]);
	free(a);
}

void elf_file__free(struct elf_file *f)
{
	struct answer *a, *next;

	if (!f)
		return;
	HASH_ITER (hh, f->answers, a, next)
		free_answer(f, a);
	elf_file__unload(f);
	if (f->fd >= 0)
		close(f->fd);
	if (f->debug_fd >= 0)
		close(f->debug_fd);
	free(f);
}

size_t elf_file__build_id(const struct elf_file *f, const uint8_t **id)
{
	*id = f->build_id;
	return f->build_id_len;
}

bool elf_file__valid(const struct elf_file *f)
{
	return f->nr_segments;
}

uint16_t elf_file__machine(const struct elf_file *f)
{
	return f->machine;
}

uint64_t elf_file__loaded_bytes(const struct elf_file *f)
{
	return f->loaded_bytes;
}

bool elf_file__address(const struct elf_file *f, uint64_t offset, uint64_t *addr)
{
	for (uint32_t i = 0; i < f->nr_segments; i++) {
		const struct segment *s = &f->segments[i];

		if (offset >= s->offset && offset - s->offset < s->size) {
			*addr = offset - s->offset + s->addr;
			return true;
		}
	}
	return false;
}

size_t elf_file__read_code(struct elf_file *f, uint64_t addr, uint8_t *bytes, size_t len)
{
	for (uint32_t i = 0; i < f->nr_segments; i++) {
		const struct segment *s = &f->segments[i];
		uint64_t at = addr - s->addr;
		ssize_t n;

		if (addr < s->addr || at >= s->size)
			continue;
		n = pread(f->fd, bytes, len < s->size - at ? len : s->size - at,
			  (off_t)(s->offset + at));
		return n > 0 ? (size_t)n : 0;
	}
	return 0;
}

static bool reopen(struct elf_file *f);

uint64_t elf_file__exported(struct elf_file *f, const char *name)
{
	Elf_Scn *scn = NULL;
	GElf_Shdr shdr;
	GElf_Sym sym;

	if (!reopen(f))
		return 0;
	while ((scn = elf_nextscn(f->elf, scn))) {
		Elf_Data *data;

		if (!gelf_getshdr(scn, &shdr) || shdr.sh_type != SHT_DYNSYM)
			continue;
		data = elf_getdata(scn, NULL);
		for (int i = 0; data && gelf_getsym(data, i, &sym); i++) {
			const char *is = elf_strptr(f->elf, shdr.sh_link, sym.st_name);

			if (sym.st_shndx != SHN_UNDEF && is && strcmp(is, name) == 0)
				return sym.st_value;
		}
	}
	return 0;
}

/* The addend of the relocation that makes the pointer at `at`; false: there is none. */
static bool find_relocation(Elf *elf, uint64_t at, uint64_t *value)
{
	Elf_Scn *scn = NULL;
	GElf_Shdr shdr;
	GElf_Rela rela;

	while ((scn = elf_nextscn(elf, scn))) {
		Elf_Data *data;

		if (!gelf_getshdr(scn, &shdr) || shdr.sh_type != SHT_RELA)
			continue;
		data = elf_getdata(scn, NULL);
		for (int i = 0; data && gelf_getrela(data, i, &rela); i++) {
			if (rela.r_offset != at || GELF_R_TYPE(rela.r_info) != R_X86_64_RELATIVE)
				continue;
			*value = (uint64_t)rela.r_addend;
			return true;
		}
	}
	return false;
}

/* A pointer in its data as the file has it, before or instead of relocation. 0: none. */
static uint64_t read_pointer(const struct elf_file *f, uint64_t at)
{
	uint64_t value = 0;
	GElf_Phdr phdr;
	size_t nr;

	if (elf_getphdrnum(f->elf, &nr))
		return 0;
	for (size_t i = 0; i < nr && i <= INT32_MAX && gelf_getphdr(f->elf, (int)i, &phdr); i++) {
		if (phdr.p_type == PT_LOAD && at >= phdr.p_vaddr && phdr.p_filesz >= 8 &&
		    at - phdr.p_vaddr <= phdr.p_filesz - 8 &&
		    pread(f->fd, &value, 8, (off_t)(at - phdr.p_vaddr + phdr.p_offset)) == 8)
			return value;
	}
	return 0;
}

/*
 * Where PyCode_Type.tp_dealloc leads to: every code object is freed through it. It is read from the
 * file and not from a process, who could point to anything in a file that it shares with others.
 */
static uint64_t find_code_dealloc(struct elf_file *f, uint64_t code_type)
{
	static const uint8_t endbr64[] = {0xf3, 0x0f, 0x1e, 0xfa};
	uint64_t slot = code_type + TP_DEALLOC, addr;
	uint8_t head[sizeof(endbr64)];

	if (f->machine != EM_X86_64 || !code_type || !reopen(f))
		return 0;
	if (!find_relocation(f->elf, slot, &addr))
		addr = read_pointer(f, slot);
	if (elf_file__read_code(f, addr, head, sizeof(head)) != sizeof(head))
		return 0;
	/* The kernel emulates what comes next, but would have to step over this. */
	return memcmp(head, endbr64, sizeof(endbr64)) ? addr : addr + sizeof(endbr64);
}

bool elf_file__python(struct elf_file *f, struct python_symbols *out)
{
	if (!f->python_known) {
		f->python_known = true;
		f->python.runtime = elf_file__exported(f, "_PyRuntime");
		if (f->python.runtime) {
			f->python.version = elf_file__exported(f, "Py_Version");
			f->python.code_type = elf_file__exported(f, "PyCode_Type");
			f->python.code_dealloc = find_code_dealloc(f, f->python.code_type);
		}
	}
	*out = f->python;
	return f->python.runtime && f->python.code_type;
}

static bool reopen(struct elf_file *f)
{
	if (!f->elf)
		f->elf = elf_open(f->fd);
	if (!f->debug_elf && f->debug_fd >= 0)
		f->debug_elf = elf_open(f->debug_fd);
	return f->elf;
}

static void load(struct elf_file *f)
{
	Elf *dwarf_elf;
	uint64_t bytes;

	if (f->loaded)
		return;
	f->loaded = true; /* also when it fails: the next time would fail as well */
	if (!reopen(f))
		return;
	/* On ENOMEM the table is empty: names are missing, nothing is wrong. */
	symbols__read(&f->symbols, f->elf, f->debug_elf);
	f->loaded_bytes += f->symbols.nr * (sizeof(struct symbol) + 32);

	dwarf_elf = has_dwarf(f->elf) ? f->elf : f->debug_elf;
	if (!dwarf_elf)
		return;
	bytes = section_bytes(dwarf_elf, ".debug_") + section_bytes(dwarf_elf, ".zdebug_");
	if (bytes > MAX_DWARF_BYTES)
		return;
	f->debug = debug_info__new(dwarf_elf);
	if (f->debug)
		f->loaded_bytes += bytes;
}

bool elf_file__starts_function(struct elf_file *f, uint64_t addr)
{
	const struct symbol *sym;

	load(f);
	sym = symbols__find(&f->symbols, addr);
	return sym && sym->start == addr;
}

static struct answer *new_answer(uint64_t offset, const struct location *at, uint32_t nr)
{
	struct answer *a = calloc(1, sizeof(*a) + nr * sizeof(*at));

	if (!a)
		return NULL;
	a->offset = offset;
	a->nr = nr;
	memcpy(a->at, at, nr * sizeof(*at));
	return a;
}

/* Without the version that .symtab has in some names: connect@@GLIBC_2.2.5. */
static char *symbol_name(const struct symbol *sym)
{
	char *plain = strndup(sym->name, strcspn(sym->name, "@")), *name;

	name = plain ? demangle(plain) : NULL;
	free(plain);
	return name;
}

/* In libc DWARF says __GI___poll or __libc_connect; the symbol table has the name that people
 * know as well. */
static bool is_plainer(const struct symbol *sym, const char *function)
{
	return !strncmp(function, "__", 2) && strspn(sym->name, "_") < strspn(function, "_");
}

static uint32_t look_up(struct elf_file *f, uint64_t offset, struct location at[MAX_LOCATIONS])
{
	const struct symbol *sym;
	struct location *outer;
	uint32_t nr = 0;
	uint64_t addr;

	memset(at, 0, MAX_LOCATIONS * sizeof(*at));
	if (!elf_file__address(f, offset, &addr))
		return 0;
	if (elf_file__go(f))
		nr = go_table__find(f->go, addr, at);
	if (nr)
		return nr;
	load(f);
	if (f->debug)
		nr = debug_info__find(f->debug, addr, at);
	sym = symbols__find(&f->symbols, addr);
	if (!sym)
		return nr;
	outer = &at[nr ? nr - 1 : 0];
	/* Without a name: no DWARF at all, or assembly with lines but no functions. */
	if (!outer->function || is_plainer(sym, outer->function)) {
		free(outer->function);
		outer->function = symbol_name(sym);
	}
	return nr ? nr : 1;
}

const struct location *elf_file__resolve(struct elf_file *f, uint64_t offset, uint32_t *nr)
{
	struct location at[MAX_LOCATIONS];
	struct answer *a;

	HASH_FIND(hh, f->answers, &offset, sizeof(offset), a);
	if (!a) {
		*nr = look_up(f, offset, at);
		a = new_answer(offset, at, *nr);
		if (a)
			HASH_ADD(hh, f->answers, offset, sizeof(a->offset), a);
		if (!a || !a->hh.tbl) {
			for (uint32_t i = 0; i < *nr; i++)
				location__clear(&at[i]);
			free(a);
			*nr = 0;
			return NULL;
		}
		if (HASH_COUNT(f->answers) > MAX_ANSWERS)
			free_answer(f, f->answers);
	}
	*nr = a->nr;
	return a->nr ? a->at : NULL;
}

const struct go_table *elf_file__go(struct elf_file *f)
{
	if (!f->go_checked && elf_file__valid(f) && reopen(f)) {
		f->go_checked = true;
		f->go = go_table__new(f->elf);
		if (f->go)
			f->loaded_bytes += section_bytes(f->elf, ".gopclntab") +
					   section_bytes(f->elf, ".data.rel.ro.gopclntab");
	}
	return f->go;
}

Dwarf_CFI *elf_file__eh_cfi(struct elf_file *f)
{
	if (!f->eh_checked && elf_file__valid(f) && reopen(f)) {
		f->eh_checked = true;
		if (cfi_check(f->elf, ".eh_frame"))
			f->eh_cfi = dwarf_getcfi_elf(f->elf);
	}
	return f->eh_cfi;
}

Dwarf_CFI *elf_file__debug_cfi(struct elf_file *f)
{
	Elf *elf;

	if (!f->frames_checked && elf_file__valid(f) && reopen(f)) {
		f->frames_checked = true;
		elf = f->debug_elf && section_bytes(f->debug_elf, ".debug_frame") ? f->debug_elf
										  : f->elf;
		if (!section_bytes(elf, ".debug_frame") ||
		    section_bytes(elf, ".debug_") > MAX_DWARF_BYTES)
			return NULL;
		f->frames = dwarf_begin_elf(elf, DWARF_C_READ, NULL);
		if (f->frames && !cfi_check(elf, ".debug_frame")) {
			dwarf_end(f->frames);
			f->frames = NULL;
		}
	}
	return f->frames ? dwarf_getcfi(f->frames) : NULL;
}
