/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What this process may do. */
#ifndef CHURN_SOURCE_PRIVILEGE_H
#define CHURN_SOURCE_PRIVILEGE_H

#include <stddef.h>

/*
 * Whether BPF tracing programs may be loaded: CAP_BPF and CAP_PERFMON, or CAP_SYS_ADMIN. When not,
 * names what is missing ("CAP_BPF and CAP_PERFMON") in buf and returns -EPERM, else 0.
 */
int privilege_check_tracing(char *buf, size_t size);

#endif /* CHURN_SOURCE_PRIVILEGE_H */
