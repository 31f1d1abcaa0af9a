/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * How to get from a frame to its caller, at one pc: the call frame information of .eh_frame or
 * .debug_frame, reduced to the few forms that compilers emit. A rule is a function of the pc
 * alone, so that it can be kept in a BPF map.
 */
#ifndef CHURN_CALLSITE_CFI_H
#define CHURN_CALLSITE_CFI_H

#include <stdbool.h>
#include <stdint.h>

#include "bpf/event.h"
#include "user/callsite/elf_file.h"
#include "user/callsite/symbolizer.h"

/* Where the canonical frame address (CFA), the caller's stack pointer, is. */
enum cfi_kind {
	CFI_INVALID,  /* unknown, or none of the forms below */
	CFI_SP,	      /* sp + cfa_off */
	CFI_FP,	      /* fp + cfa_off */
	CFI_FP_DEREF, /* *(fp + cfa_off): a realigned stack */
	CFI_PLT,      /* sp + 8 + ((pc & 15) >= cfa_off ? 8 : 0) */
	CFI_SIGNAL,   /* a signal frame: registers are in the ucontext_t at sp */
	CFI_STOP,     /* the outermost frame */
};

#define CFI_FP_SAME 0	      /* fp_slot: still has the caller's value */
#define CFI_FP_LOST INT16_MIN /* fp_slot: cannot be restored */

/*
 * The return address is at CFA - 8 on x86-64. On aarch64 it is beside the saved frame pointer, at
 * fp_slot + 8; a frame without such a record (a leaf) is CFI_INVALID there.
 */
struct cfi_rule {
	uint8_t kind; /* enum cfi_kind */
	uint8_t reserved;
	/* The caller's frame pointer is at CFA + fp_slot, or one of CFI_FP_*; with CFI_FP_DEREF it
	 * is at fp + fp_slot, where 0 is a place like any other, or CFI_FP_LOST. */
	int16_t fp_slot;
	int32_t cfa_off;
};

/* The rule at a file offset, exact. 0 with a kind other than CFI_INVALID; else -ENODATA: nothing
 * is said about this place, or -ENOTSUP: a form, or a machine, that is not known. */
int cfi__find(struct elf_file *f, uint64_t offset, struct cfi_rule *out);

/*
 * The rule at an address of a process. A return address is looked up one byte before, inside the
 * call; that of a frame interrupted by a signal is not a return address. Errors as above, and
 * -ESRCH: the process is not known and has gone, -ENOENT: the address is in no ELF file
 * (generated code keeps frame pointers, if anything).
 */
int symbolizer__cfi(struct symbolizer *s, const struct churn_id *process, uint64_t pc,
		    bool return_address, struct cfi_rule *out);

#endif /* CHURN_CALLSITE_CFI_H */
