/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Call frame information checked before libdw executes it. */
#ifndef CHURN_CALLSITE_CFI_CHECK_H
#define CHURN_CALLSITE_CFI_CHECK_H

#include <libelf.h>
#include <stdbool.h>

/*
 * Whether a section (.eh_frame, else .debug_frame) is harmless: libdw makes room for as many
 * registers as an instruction names, gigabytes of them, and for each state that is remembered.
 */
bool cfi_check(Elf *elf, const char *section);

#endif /* CHURN_CALLSITE_CFI_CHECK_H */
