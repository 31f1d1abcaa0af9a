/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What the fuzz targets share. Each is a program of libFuzzer's: it is handed bytes, gives them to
 * a reader as hostile files, memory or text, and ends by itself when something is wrong.
 */
#ifndef CHURN_FUZZ_H
#define CHURN_FUZZ_H

#include <elf.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "user/base/utf8.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* libelf 0.188 leaks sections of some broken files. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
	return "leak:libelf\n";
}

static inline void fuzz_require(bool condition, const char *what)
{
	if (condition)
		return;
	fprintf(stderr, "fuzz: %s\n", what);
	abort();
}

/* Bytes taken from the front of the input; zeroes when it has ended. */
struct fuzz_input {
	const uint8_t *at;
	size_t left;
};

static inline void fuzz_take(struct fuzz_input *in, void *out, size_t size)
{
	size_t n = size < in->left ? size : in->left;

	memset(out, 0, size);
	if (n)
		memcpy(out, in->at, n);
	in->at += n;
	in->left -= n;
}

static inline uint64_t fuzz_number(struct fuzz_input *in, size_t size)
{
	uint64_t value = 0;

	fuzz_take(in, &value, size);
	return value;
}

/* A file with these bytes, the caller's to close. */
static inline int fuzz_file(const void *data, size_t size)
{
	int fd = memfd_create("fuzz", MFD_CLOEXEC);

	fuzz_require(fd >= 0 && (!size || pwrite(fd, data, size, 0) == (ssize_t)size), "no memfd");
	return fd;
}

/* What a terminal may be given: valid UTF-8, no control characters, lines. */
static inline void fuzz_check_terminal(const char *text, size_t size)
{
	for (size_t i = 0; i < size;) {
		uint32_t cp = 0;
		unsigned int len = utf8_decode(text + i, &cp);

		fuzz_require(len, "a byte that is no UTF-8 reaches the terminal");
		fuzz_require(cp == '\n' || (cp >= 0x20 && (cp < 0x7f || cp >= 0xa0)),
			     "a control character reaches the terminal");
		fuzz_require((cp < 0x202a || cp > 0x202e) && (cp < 0x2066 || cp > 0x2069),
			     "what turns the reading direction reaches the terminal");
		i += len;
	}
}

/* --- ELF files around a section --------------------------------------------------------------- */

#define FUZZ_TEXT      0x400000 /* address of the code, and how much there is */
#define FUZZ_TEXT_SIZE 0x1000
#define FUZZ_MAX_PARTS 8

struct fuzz_section {
	const char *name;
	const void *data;
	size_t size;
	uint64_t addr; /* 0: not loaded */
	uint64_t flags;
};

static inline void fuzz_append(FILE *out, const void *data, size_t size)
{
	fuzz_require(fwrite(data, 1, size, out) == size, "no memory");
}

/* A sound ELF file with code at FUZZ_TEXT and with these sections, whose content may be
 * anything. */
static inline int fuzz_elf(uint16_t machine, const struct fuzz_section *sections, unsigned int nr)
{
	Elf64_Shdr header[FUZZ_MAX_PARTS + 3] = {};
	Elf64_Ehdr ehdr = {.e_type = ET_EXEC, .e_machine = machine, .e_version = EV_CURRENT};
	Elf64_Phdr phdr = {.p_type = PT_LOAD, .p_flags = PF_R | PF_X};
	char *bytes = NULL, names[256] = "";
	size_t size = 0, names_len = 1;
	FILE *out = open_memstream(&bytes, &size);
	int fd;

	fuzz_require(out && nr <= FUZZ_MAX_PARTS, "no memory");
	memcpy(ehdr.e_ident, ELFMAG "\2\1\1", 7);
	ehdr.e_ehsize = sizeof(ehdr);
	ehdr.e_phoff = sizeof(ehdr);
	ehdr.e_phentsize = sizeof(phdr);
	ehdr.e_phnum = 1;
	ehdr.e_shentsize = sizeof(header[0]);
	ehdr.e_shnum = (uint16_t)(nr + 3);
	ehdr.e_shstrndx = (uint16_t)(nr + 2);
	phdr.p_vaddr = phdr.p_paddr = FUZZ_TEXT;
	phdr.p_filesz = phdr.p_memsz = FUZZ_TEXT_SIZE;
	fuzz_append(out, &ehdr, sizeof(ehdr));
	fuzz_append(out, &phdr, sizeof(phdr));
	header[1] = (Elf64_Shdr){.sh_type = SHT_PROGBITS,
				 .sh_flags = SHF_ALLOC | SHF_EXECINSTR,
				 .sh_addr = FUZZ_TEXT,
				 .sh_size = FUZZ_TEXT_SIZE};
	for (unsigned int i = 0; i < nr; i++) {
		header[i + 2] = (Elf64_Shdr){.sh_name = (Elf64_Word)names_len,
					     .sh_type = SHT_PROGBITS,
					     .sh_flags = sections[i].flags,
					     .sh_addr = sections[i].addr,
					     .sh_offset = (Elf64_Off)ftell(out),
					     .sh_size = sections[i].size,
					     .sh_addralign = 1};
		strcpy(names + names_len, sections[i].name);
		names_len += strlen(sections[i].name) + 1;
		fuzz_append(out, sections[i].data, sections[i].size);
	}
	header[nr + 2] = (Elf64_Shdr){
		.sh_type = SHT_STRTAB, .sh_offset = (Elf64_Off)ftell(out), .sh_size = names_len};
	fuzz_append(out, names, names_len);
	ehdr.e_shoff = (Elf64_Off)ftell(out);
	fuzz_append(out, header, (nr + 3) * sizeof(header[0]));
	fuzz_require(!fclose(out), "no memory");
	memcpy(bytes, &ehdr, sizeof(ehdr));
	fd = fuzz_file(bytes, size);
	free(bytes);
	/* The code may be anything, and is not there: a hole. */
	fuzz_require(!ftruncate(fd, (off_t)(size > FUZZ_TEXT_SIZE ? size : FUZZ_TEXT_SIZE)),
		     "no memfd");
	return fd;
}

#endif /* CHURN_FUZZ_H */
