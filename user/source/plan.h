/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The planner: which flavour of each hook to use. Pure: what the kernel says comes through two
 * functions, so that every kernel can be had in a unit test.
 */
#ifndef CHURN_SOURCE_PLAN_H
#define CHURN_SOURCE_PLAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ENOTSUPP 524 /* the kernel's own, include/linux/errno.h */

#define PLAN_MAX_HOOKS	  16
#define PLAN_MAX_FLAVOURS 4
#define PLAN_MAX_PROGRAMS 3

/* What --attach asks for. */
enum attach_flavour {
	ATTACH_AUTO,
	ATTACH_TRACEPOINT, /* tracepoints alone */
	ATTACH_PLAIN,	   /* those without BTF types alone */
	ATTACH_FENTRY,	   /* functions by fentry/fexit, or not at all */
	ATTACH_KPROBE,	   /* functions by kprobe/kretprobe, or not at all */
};

/* How a program gets to its hook. */
enum attach_by {
	BY_TP_BTF,
	BY_RAW_TP,
	BY_TP,
	BY_ITER,
	BY_FENTRY,
	BY_FEXIT,
	BY_KPROBE,
	BY_KRETPROBE,
	BY_UPROBE /* in files of processes, as they turn up */
};

struct plan_program {
	const char *name; /* NULL: no more */
	enum attach_by by;
	const char *target; /* the function or tracepoint */
};

/* Programs that do the work together. */
struct plan_flavour {
	const char *name; /* NULL: no more */
	struct plan_program programs[PLAN_MAX_PROGRAMS];
	int nr_args;	 /* what the first target must have, 0: any number */
	bool since_5_12; /* needs what came until then: prober__is_since_5_12() */
	bool since_7;	 /* made for what came with it: bpf/preempt.h */
	bool costly;	 /* for the whole machine: only when asked for */
};

/* What a hook is loaded for. */
enum plan_purpose {
	FOR_ALL,
	FOR_TARGETS, /* processes that are followed by number */
	FOR_COMMAND, /* a command's descendants */
	FOR_STACKS,  /* call sites */
};

struct plan_hook {
	const char *name;
	const char *what;    /* it is for */
	const char *without; /* it, this is how it goes; NULL: not at all */
	enum plan_purpose purpose;
	bool may_lack; /* a kernel may be built without the function: then nothing is missing */
	struct plan_flavour flavours[PLAN_MAX_FLAVOURS]; /* the best one first */
};

struct plan_request {
	enum attach_flavour attach;
	bool targets, command, stacks;
	uint32_t costly; /* hooks, by bit, whose costly flavours are asked for, too */
};

/* What the kernel says. */
struct plan_kernel {
	void *ctx;
	bool since_7;
	/* Parameters of a function, or a negative number when that is not known. */
	int (*nr_args)(void *ctx, const char *function);
	/* Attaches the flavour for a moment. 0, or an errno. */
	int (*try)(void *ctx, const struct plan_flavour *flavour);
};

/* What became of a hook: flavours[i] was not asked for or not needed (error 0), or failed. */
struct plan_choice {
	bool wanted;
	int flavour; /* index, -1: none */
	int error[PLAN_MAX_FLAVOURS];
};

struct plan {
	struct plan_choice at[PLAN_MAX_HOOKS];
	/* The first hook that the run cannot do without, or that was forced, and that has no
	 * flavour; -1: none. */
	int missing;
};

/* The best flavour of each hook that works. `nr` is at most PLAN_MAX_HOOKS. */
void plan__make(struct plan *p, const struct plan_hook *hooks, size_t nr,
		const struct plan_request *request, const struct plan_kernel *kernel);

/* The errno of the best flavour that failed, 0: none did. */
int plan_choice__error(const struct plan_choice *c);

#endif /* CHURN_SOURCE_PLAN_H */
