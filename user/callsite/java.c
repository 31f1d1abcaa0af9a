/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "user/callsite/java.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MAX_ENTRIES 16384 /* of a table; JDK 17 has 3,000 */
#define MAX_STRIDE  256
#define MAX_FLAGS   8192 /* JDK 17 has 1,500 */
#define MAX_NAME    64

struct jvm {
	struct elf_file *file;
	uint64_t bias;
	int mem;
};

/* A table of the JVM's: where it begins, and how far apart its entries and their fields are. */
struct vm_table {
	uint64_t start, stride;
	uint64_t type; /* a pointer to the type's name, and others that depend on the table */
	uint64_t fields[2];
};

static bool read_memory(const struct jvm *v, uint64_t addr, void *out, size_t size)
{
	return pread(v->mem, out, size, (off_t)addr) == (ssize_t)size;
}

static bool read_word(const struct jvm *v, uint64_t addr, uint64_t *out)
{
	return read_memory(v, addr, out, sizeof(*out));
}

/* The value of an exported variable. */
static bool read_exported(const struct jvm *v, const char *name, uint64_t *out)
{
	uint64_t addr = elf_file__exported(v->file, name);

	return addr && read_word(v, addr + v->bias, out);
}

/* Whether a string of the JVM's is that one; most differ in their first bytes. */
static bool is_string(const struct jvm *v, uint64_t addr, const char *name)
{
	size_t size = strlen(name) + 1;
	char text[MAX_NAME];

	return size <= sizeof(text) && addr && read_memory(v, addr, text, size) &&
	       !memcmp(text, name, size);
}

static bool find_table(const struct jvm *v, struct vm_table *t, const char *const names[5])
{
	return read_exported(v, names[0], &t->start) && read_exported(v, names[1], &t->stride) &&
	       read_exported(v, names[2], &t->type) && read_exported(v, names[3], &t->fields[0]) &&
	       (!names[4] || read_exported(v, names[4], &t->fields[1])) && t->stride &&
	       t->stride <= MAX_STRIDE;
}

/* From *at on, the next entry of that type; its names are shared, so that few are looked at. */
static bool next_entry(const struct jvm *v, const struct vm_table *t, const char *type,
		       uint64_t *at)
{
	uint64_t name, other = 0;

	for (; *at < t->start + MAX_ENTRIES * t->stride; *at += t->stride) {
		if (!read_word(v, *at + t->type, &name) || !name)
			return false;
		if (name == other)
			continue;
		if (is_string(v, name, type))
			return true;
		other = name;
	}
	return false;
}

/* Where the flags are, and their layout. */
struct flags {
	uint64_t start, nr, size;
	uint64_t name, value; /* offsets of pointers */
};

static const char flag_type[] = "JVMFlag"; /* since JDK 9 */

static bool find_flag_size(const struct jvm *v, struct flags *f)
{
	static const char *const names[5] = {"gHotSpotVMTypes", "gHotSpotVMTypeEntryArrayStride",
					     "gHotSpotVMTypeEntryTypeNameOffset",
					     "gHotSpotVMTypeEntrySizeOffset", NULL};
	struct vm_table types;
	uint64_t at;

	if (!find_table(v, &types, names))
		return false;
	at = types.start;
	return next_entry(v, &types, flag_type, &at) &&
	       read_word(v, at + types.fields[0], &f->size) && f->size && f->size <= MAX_STRIDE;
}

static bool set_offset(uint64_t *offset, uint64_t value)
{
	*offset = value;
	return value < MAX_STRIDE;
}

static bool find_flags(const struct jvm *v, struct flags *f)
{
	static const char *const names[5] = {
		"gHotSpotVMStructs", "gHotSpotVMStructEntryArrayStride",
		"gHotSpotVMStructEntryTypeNameOffset", "gHotSpotVMStructEntryFieldNameOffset",
		"gHotSpotVMStructEntryAddressOffset"};
	uint64_t at, field, address, value, offset_at;
	struct vm_table structs;
	unsigned int found = 0;

	if (!find_table(v, &structs, names) ||
	    !read_exported(v, "gHotSpotVMStructEntryOffsetOffset", &offset_at))
		return false;
	for (at = structs.start; next_entry(v, &structs, flag_type, &at); at += structs.stride) {
		if (!read_word(v, at + structs.fields[0], &field) ||
		    !read_word(v, at + structs.fields[1], &address) ||
		    !read_word(v, at + offset_at, &value))
			return false;
		if (is_string(v, field, "flags"))
			found |= read_word(v, address, &f->start) ? 1 : 0;
		else if (is_string(v, field, "numFlags"))
			found |= read_word(v, address, &f->nr) ? 2 : 0;
		else if (is_string(v, field, "_name"))
			found |= set_offset(&f->name, value) ? 4 : 0;
		else if (is_string(v, field, "_addr"))
			found |= set_offset(&f->value, value) ? 8 : 0;
	}
	return found == 15 && f->nr && f->nr <= MAX_FLAGS && find_flag_size(v, f) &&
	       f->name + 8 <= f->size && f->value + 8 <= f->size;
}

int java_keeps_frame_pointers(struct elf_file *jvm, uint64_t bias, int mem, bool *out)
{
	const struct jvm v = {.file = jvm, .bias = bias, .mem = mem};
	struct flags f = {};
	uint64_t name, value;
	uint8_t byte;

	*out = false;
	if (!elf_file__exported(jvm, "gHotSpotVMStructs") || !find_flags(&v, &f))
		return -ENOENT;
	for (uint64_t i = 0; i < f.nr; i++) {
		uint64_t at = f.start + i * f.size;

		if (!read_word(&v, at + f.name, &name))
			return -ENOENT;
		if (!is_string(&v, name, "PreserveFramePointer"))
			continue;
		if (!read_word(&v, at + f.value, &value) ||
		    !read_memory(&v, value, &byte, sizeof(byte)))
			return -ENOENT;
		*out = byte;
		return 0;
	}
	return -ENOENT;
}
