/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The hooks and their flavours: the programs of bpf/tcpchurn.bpf.c, and what each is good for. */
#ifndef CHURN_SOURCE_HOOKS_H
#define CHURN_SOURCE_HOOKS_H

#include "user/source/plan.h"

enum {
	HOOK_STATE,
	HOOK_SEARCH4,
	HOOK_SEARCH6,
	HOOK_ACCEPT,
	HOOK_BIND,
	HOOK_CENSUS,
	HOOK_EXEC,
	HOOK_MAPPING,
	HOOK_FREED,
	HOOK_FORK,
	HOOK_EXIT,
	HOOK__COUNT
};

extern const struct plan_hook hooks[HOOK__COUNT];

/* Why a flavour failed with that errno, in words; always some. */
const char *hook_why(enum attach_by by, int error);

#endif /* CHURN_SOURCE_HOOKS_H */
