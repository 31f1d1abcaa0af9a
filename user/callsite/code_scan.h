/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * How to get from a frame to its caller where no call frame information says so, as in musl's libc:
 * from what the code (x86-64) itself does to the stack from there to its `ret`.
 */
#ifndef CHURN_CALLSITE_CODE_SCAN_H
#define CHURN_CALLSITE_CODE_SCAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bpf/event.h"

/* Where the code is to be had, by addresses of any kind in which relative jumps hold. */
struct code_source {
	void *ctx;
	/* At most `len` bytes of executable code; how many there are, 0: none. */
	size_t (*read)(void *ctx, uint64_t addr, uint8_t *bytes, size_t len);
	/* A function is known to start there: what falls into it came from a call that does not
	 * return. */
	bool (*starts_function)(void *ctx, uint64_t addr);
};

/*
 * The rule at `pc`, where execution goes on: after a system call, or after a call. A likely one, as
 * calls may not return and be followed by anything: to be believed only where the word it leads to
 * is a return address. 0, -ENODATA (nothing certain enough), or -ENOMEM.
 */
int code_scan__rule(const struct code_source *code, uint64_t pc, bool return_address,
		    struct churn_rule *out);

/* Whether `addr` is where a call returns to. `bytes` are the `len` bytes in front of it. */
bool code_scan__follows_call(const uint8_t *bytes, size_t len);

#endif /* CHURN_CALLSITE_CODE_SCAN_H */
