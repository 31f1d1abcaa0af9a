/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The BPF object: configured from options, loaded, attached in the best flavour that works here,
 * and freed with everything that belongs to it. The one place that knows the skeleton.
 */
#ifndef CHURN_SOURCE_LOADER_H
#define CHURN_SOURCE_LOADER_H

#include <stdint.h>

#include "user/source/live.h"

struct loader;

/* As live__open(). */
struct loader *loader__open(const struct live_options *opts);
void loader__free(struct loader *l);

int loader__ring_fd(const struct loader *l);

/* As lanes__new() wants it. */
struct lanes_memory {
	void *memory;
	uint32_t nr, size;
};

/* Valid as long as `l`. */
const struct lanes_memory *loader__lanes(const struct loader *l);

/* Sends a CHURN_EXEC for each process that runs CPython by now; before loader__start(). 0 or
 * -errno. */
int loader__meet_pythons(struct loader *l);

/* Reads the listeners that are there already, then lets events flow. 0 or -errno. */
int loader__start(struct loader *l);
/* Has the passive opens told that were established before that and wait for accept(). 0 or
 * -errno. */
int loader__sweep(struct loader *l, uint64_t before_ns);
/* Nothing flows from here on; what is in the buffers can still be read. */
void loader__stop(struct loader *l);

struct loader_counters {
	uint64_t lost[CHURN_LOST__COUNT];
	uint64_t in_progress;
	uint64_t unaccepted; /* passive opens that wait for accept() */
	uint64_t older;
};

/* Sums over all CPUs since the start. 0 or -errno. */
int loader__read_counters(const struct loader *l, struct loader_counters *out);

/* Hand an unwinding rule, or the layout of a process's CPython, to the kernel side; let it send
 * copies of a process's stacks again. Any thread. 0 or -errno. */
int loader__teach_rule(const struct loader *l, const struct churn_rule_key *key,
		       const struct churn_rule *rule);
/* What the addresses of a process stand for now: a churn_rule_key.code, 0: unknown. */
uint64_t loader__code(const struct loader *l, const struct churn_id *process);
int loader__allow_copies(const struct loader *l, const struct churn_id *process);
int loader__teach_python(const struct loader *l, const struct churn_id *process,
			 const struct churn_python *python);

struct bpf_program;

/* What counts the code objects that CPython frees, once it is attached to where that is done; and
 * the map of the counts, by churn_process_key(). Valid as long as `l`. */
struct loader_freed {
	const struct bpf_program *program;
	int counts;
};

/* False: it cannot be attached here, or stacks are not wanted. */
bool loader__freed(const struct loader *l, struct loader_freed *out);

#endif /* CHURN_SOURCE_LOADER_H */
