/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What JIT compilers write into perf maps, taken apart where the place in the source is in it. */
#ifndef CHURN_CALLSITE_JIT_NAME_H
#define CHURN_CALLSITE_JIT_NAME_H

#include "user/callsite/debug_info.h"

/*
 * V8's "JS:*fetch file:///srv/app.js:10:20" is function, file and line; of others the whole name
 * is the function. 0 or -ENOMEM, then *out is empty. The caller clears it.
 */
int jit_name__parse(const char *name, struct location *out);

/* HotSpot's "void Shop.dial(java.lang.String)" is Shop.dial; stubs keep their names. As above. */
int jit_name__parse_java(const char *name, struct location *out);

#endif /* CHURN_CALLSITE_JIT_NAME_H */
