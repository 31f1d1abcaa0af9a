/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The tables that Go's own runtime unwinds with, .gopclntab: in each Go program, stripped or not.
 * They have what nothing else has there: how large a frame is (Go emits no CFI), function, file
 * and line. Layout of Go 1.18 and later: runtime/symtab.go, runtime/runtime2.go,
 * internal/abi/symtab.go. Earlier ones are not read.
 */
#ifndef CHURN_CALLSITE_GO_TABLE_H
#define CHURN_CALLSITE_GO_TABLE_H

#include <libelf.h>
#include <stdint.h>

#include "bpf/event.h"
#include "user/callsite/debug_info.h"

struct go_table;

/* Refers to the ELF's memory, and goes before it. NULL: not a Go program, or one of another age. */
struct go_table *go_table__new(Elf *elf);
void go_table__free(struct go_table *t);

/* How to get to the caller from an address of the file (x86-64). 0, -ENODATA: no Go function, or
 * -ENOTSUP: one that changes stacks. */
int go_table__rule(const struct go_table *t, uint64_t addr, struct churn_rule *out);

/* As debug_info__find(). Without inlined functions where their tables are not to be found: then
 * the function has no line either, which would be one of theirs. */
uint32_t go_table__find(const struct go_table *t, uint64_t addr,
			struct location out[MAX_LOCATIONS]);

#endif /* CHURN_CALLSITE_GO_TABLE_H */
