/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What a connection pool would have done for one process and one destination.
 *
 * Each connection yields one idle slot: from the moment when its exchange was over until the pool
 * would have dropped it or the peer did. Each open can be spared by one slot that is idle at that
 * moment, the most recent one first, as pools do; an open that was spared keeps its slot busy until
 * its own connection turns idle, which is that connection's own slot. So the avoidable opens are a
 * matching of opens with slots, each used once, and what is left over is what the pool would have
 * opened.
 *
 * A slot is only known when its connection ends, which may be after opens that it could have
 * spared. Those that were not spared are therefore remembered, bounded, and may be spared later.
 */
#ifndef CHURN_MODEL_REUSE_H
#define CHURN_MODEL_REUSE_H

#include <stdbool.h>
#include <stdint.h>

#include "bpf/event.h"
#include "user/model/conns.h"

struct site;

/* Idle from since_ns until until_ns, both included; until_ns < since_ns: never. */
struct reuse_slot {
	uint64_t since_ns;
	uint64_t until_ns;
	bool over; /* until_ns has passed when the slot gets known */
};

/* An open that was not spared. */
struct reuse_open {
	uint64_t open_ns;
	struct conn_key conn;
	struct site *site; /* held; NULL is allowed */
	uint32_t at_once;  /* connections in use at that moment, this one included */
};

/* A zeroed struct is an empty one. */
struct reuse {
	struct reuse_slot *idle;  /* by since_ns, ascending */
	struct reuse_slot *late;  /* those over already: of use only to records out of order */
	struct reuse_open *opens; /* by open_ns, ascending */
	uint32_t nr_idle, cap_idle;
	uint32_t nr_late, cap_late;
	uint32_t nr_opens, cap_opens;
	uint32_t peak; /* at_once of the opens that can no longer be spared */
};

/* The slot that an ended connection yields, for a pool that keeps idle ones for window_ns. */
struct reuse_slot reuse__slot(const struct churn_end *e, uint64_t window_ns);

/*
 * An established open. 1: a slot spares it. 0: none does; it is remembered and takes over the
 * caller's hold on the site. -ENOMEM: none does, and the caller keeps the hold.
 */
int reuse__open(struct reuse *r, const struct reuse_open *o);

/*
 * A connection has ended and yields a slot. 1: it spares an earlier open, *spared, whose hold on
 * its site is the caller's again. 0: the slot waits for later opens. -ENOMEM: it is forgotten.
 */
int reuse__close(struct reuse *r, struct reuse_slot slot, struct reuse_open *spared);

/* Size of the pool that would have been needed so far. */
uint32_t reuse__peak(const struct reuse *r);

/* Releases the sites of the remembered opens, too. */
void reuse__clear(struct reuse *r);

#endif /* CHURN_MODEL_REUSE_H */
