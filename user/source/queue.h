/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Records on their way to the sink, in the order in which the kernel sent them. A stack that is
 * still being resolved holds back what comes after it, for a while; so a sink nearly always knows
 * the stack when it sees the connection.
 */
#ifndef CHURN_SOURCE_QUEUE_H
#define CHURN_SOURCE_QUEUE_H

#include <stdint.h>

#include "bpf/event.h"
#include "user/callsite/resolver.h"
#include "user/model/process.h"
#include "user/model/sink.h"

struct queue;

/* `resolver` may be NULL: no stacks come. NULL with errno set. */
struct queue *queue__new(struct resolver *resolver, uint64_t max_wait_ns);
void queue__free(struct queue *q);

/* Where everything goes from now on. Nothing but processes may have been pushed before: they
 * wait. */
void queue__connect(struct queue *q, const struct sink *sink);

/*
 * A record goes straight to the sink unless others wait before it. 0, -ENOBUFS or -ENOMEM (it is
 * dropped), or what the sink returned. The identity is taken over, and *p left empty.
 */
int queue__push_process(struct queue *q, struct process_identity *p);
/* Submit the stack to the resolver. */
int queue__push_stack(struct queue *q, const struct churn_stack *s, uint64_t now_ns);
int queue__push_stack_copy(struct queue *q, const struct churn_stack_copy *s, uint64_t now_ns);
int queue__push_py_stack(struct queue *q, const struct churn_py_stack *s, uint64_t now_ns);
int queue__push_open(struct queue *q, const struct churn_open *e);
int queue__push_end(struct queue *q, const struct churn_end *e);

/* Delivers what is ready by now. 0 or what the sink returned. */
int queue__deliver(struct queue *q, uint64_t now_ns);
/* Delivers everything, waiting for stacks `wait_ms` at the most. 0 or what the sink returned. */
int queue__flush(struct queue *q, int wait_ms);

#endif /* CHURN_SOURCE_QUEUE_H */
