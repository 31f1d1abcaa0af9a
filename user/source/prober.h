/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Asks the kernel whether a program can be attached to a function, by attaching one that does
 * nothing for a moment. That takes a fraction of a millisecond; the real programs take a tenth of a
 * second to be verified.
 */
#ifndef CHURN_SOURCE_PROBER_H
#define CHURN_SOURCE_PROBER_H

#include "user/source/plan.h"

struct prober;

/* NULL with errno set: the kernel has no BTF. */
struct prober *prober__new(void);
void prober__free(struct prober *p);

/* Parameters of a kernel function by its BTF, or -ENOENT. */
int prober__nr_args(const struct prober *p, const char *function);

/* Whether programs can do what the last came with 5.12: have the current task and the cookie of a
 * socket as BTF types have them, and compare and swap. */
bool prober__is_since_5_12(const struct prober *p);

/*
 * Whether programs may read memory by helper: lockdown=confidentiality forbids it for the kernel's.
 * Then libbpf takes the kernel for one that is too old, and rewrites reads of user memory, which
 * are allowed, into what is refused as well; so both go together.
 */
bool prober__reads_memory(void);

/* 0 or an errno. What is no function (a tracepoint, an iterator) is not tried: 0. */
int prober__try(const struct prober *p, enum attach_by by, const char *function);

#endif /* CHURN_SOURCE_PROBER_H */
