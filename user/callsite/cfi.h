/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * How to get from a frame to its caller, at one pc: the call frame information of .eh_frame or
 * .debug_frame, reduced to the few forms that compilers emit. A rule is a function of the pc
 * alone, so that it can be kept in a BPF map (struct churn_rule).
 *
 * The return address is at CFA - 8 on x86-64. On aarch64 it is beside the saved frame pointer, at
 * fp_slot + 8; a frame without such a record (a leaf) has no rule there.
 */
#ifndef CHURN_CALLSITE_CFI_H
#define CHURN_CALLSITE_CFI_H

#include <stdbool.h>
#include <stdint.h>

#include "bpf/event.h"
#include "user/callsite/elf_file.h"
#include "user/callsite/symbolizer.h"

/* The rule at a file offset, exact. 0 with a kind other than CHURN_RULE_NONE; else -ENODATA:
 * nothing is said about this place, or -ENOTSUP: a form, or a machine, that is not known. */
int cfi__find(struct elf_file *f, uint64_t offset, struct churn_rule *out);

/* What the code from that offset on, where execution goes on, lets one guess. 0, -ENODATA or
 * -ENOMEM; as code_scan__rule(). */
int cfi__guess(struct elf_file *f, uint64_t offset, bool return_address, struct churn_rule *out);

/*
 * The rule at an address of a process. A return address is looked up one byte before, inside the
 * call; that of a frame interrupted by a signal is not a return address. Errors as above, and
 * -ESRCH: the process is not known and has gone; -EFAULT: no mapping is known there; -ENOENT: it
 * has no file behind it (generated code keeps frame pointers, if anything).
 */
int symbolizer__cfi(struct symbolizer *s, const struct churn_id *process, uint64_t pc,
		    bool return_address, struct churn_rule *out);

/* cfi__guess() at an address of a process. */
int symbolizer__guess(struct symbolizer *s, const struct churn_id *process, uint64_t pc,
		      bool return_address, struct churn_rule *out);

/* Whether a call may return to `pc`: executable memory that a call instruction is in front of, or
 * that is not of a file, as interpreters push such addresses without a call. */
bool symbolizer__may_return(struct symbolizer *s, const struct churn_id *process, uint64_t pc);

#endif /* CHURN_CALLSITE_CFI_H */
