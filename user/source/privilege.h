/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What this process may do, what it cannot do without, and giving up the rest. */
#ifndef CHURN_SOURCE_PRIVILEGE_H
#define CHURN_SOURCE_PRIVILEGE_H

#include <stdbool.h>
#include <stddef.h>

#define PRIVILEGES_MAX 8

struct privilege {
	const char *name;    /* "CAP_BPF" */
	bool held;	     /* by itself, or with what implies it */
	bool required;	     /* without it there is no tracing */
	const char *without; /* it, this is how it goes */
};

/* Every capability that is of use here. Returns how many, 0: they cannot be read. */
size_t privilege_list(struct privilege out[PRIVILEGES_MAX]);

/*
 * Whether BPF tracing programs may be loaded: CAP_BPF and CAP_PERFMON, or CAP_SYS_ADMIN. When not,
 * names what is missing ("CAP_BPF and CAP_PERFMON") in buf and returns -EPERM, else 0.
 */
int privilege_check_tracing(char *buf, size_t size);

/* Says what the run will lack for want of a capability that it can do without. */
void privilege_say_missing(void);

/* What a trace in progress may still do besides reading. */
enum privilege_for {
	PRIVILEGE_FOR_CHILDREN = 1 << 0, /* signal a command, which may have changed its user */
	PRIVILEGE_FOR_CENSUS = 1 << 1,	 /* enter other network namespaces, load the iterator */
	PRIVILEGE_FOR_UPROBES = 1 << 2,	 /* attach to files */
};

/*
 * Gives up, for this thread and those that it starts from here on, all capabilities but those that
 * a trace in progress uses; for good. `for_what`: enum privilege_for. 0 or -errno.
 */
int privilege_drop(unsigned int for_what);

#endif /* CHURN_SOURCE_PRIVILEGE_H */
