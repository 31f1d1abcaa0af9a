/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A thread that turns stacks into functions and lines, so that the one that drains the ring buffer
 * never waits for DWARF. A stack that the kernel could not walk is walked here, and the rules that
 * this took are handed on, so that the kernel can walk the next. What needs the process while it
 * lives is done before names are looked up. Results come out in the order in which work went in.
 */
#ifndef CHURN_CALLSITE_RESOLVER_H
#define CHURN_CALLSITE_RESOLVER_H

#include <stdbool.h>
#include <stdint.h>

#include "bpf/event.h"
#include "user/callsite/python.h"
#include "user/model/callsite.h"

struct resolver;

/* Bytes of stacks that may wait to be looked at; a copied one has 16 KiB. What has been looked at
 * has 2 KiB at the most. */
#define RESOLVER_MAX_WAITING (16 << 20)

/* What the kernel side is to know for the next stack, and to be asked; called in the resolver's
 * thread. */
struct resolver_teach {
	void *ctx;
	/* A rule that the walk of a copy asked for. */
	void (*rule)(void *ctx, const struct churn_rule_key *key, const struct churn_rule *rule);
	/* All rules of one copied stack of the process have been told. */
	void (*walked)(void *ctx, const struct churn_id *process);
	/* The interpreter that a process turned out to run. */
	void (*python)(void *ctx, const struct churn_id *process,
		       const struct churn_python *python);
	/* Where the interpreter of a stack frees code objects, if it does not count them. */
	void (*freeing)(void *ctx, const struct churn_id *process,
			const struct python_freeing *where);
	/* What the addresses of the process stand for now: a churn_rule_key.code, 0: unknown. */
	uint64_t (*code)(void *ctx, const struct churn_id *process);
};

/* NULL with errno set. */
struct resolver *resolver__new(const struct resolver_teach *teach);
/* Ends the thread; work that waits is dropped. */
void resolver__free(struct resolver *r);

/*
 * Asks for the mappings of a process to be read while it lives; `loaded`: its libraries are in
 * place by now, so that mappings read earlier are too old. 0 or -errno (-ENOBUFS: too much waits
 * already).
 */
int resolver__prepare(struct resolver *r, const struct churn_id *process, bool loaded);

/* Ask for a stack; it is copied. 0 or -errno (-ENOBUFS: too much waits already). */
int resolver__submit(struct resolver *r, const struct churn_stack *stack);
int resolver__submit_copy(struct resolver *r, const struct churn_stack_copy *copy);
int resolver__submit_python(struct resolver *r, const struct churn_py_stack *stack);

/*
 * Takes the next result if there is one; the caller clears it with stack_trace__clear(). With
 * `timeout_ms` > 0 it waits that long for one.
 */
bool resolver__take(struct resolver *r, struct stack_trace *out, int timeout_ms);

/* Waits until all that was asked for has been looked at, though maybe not named. False: it takes
 * longer. */
bool resolver__settle(struct resolver *r, int timeout_ms);

/* Whether a result is still to be taken, of a stack that was asked for. */
bool resolver__owes(struct resolver *r);

#endif /* CHURN_CALLSITE_RESOLVER_H */
