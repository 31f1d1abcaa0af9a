/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The reading end of the lanes (bpf/event.h), merged into the order of time.
 *
 * What one connection does, it does in different lanes, and each is read at a moment of its own.
 * But a record says when it was made, and what led to it had been written by then. So a look at
 * all lanes holds everything that led to any record older than the look, and only those are
 * delivered; the others wait for the next look.
 */
#ifndef CHURN_SOURCE_LANES_H
#define CHURN_SOURCE_LANES_H

#include <stddef.h>
#include <stdint.h>

#include "bpf/event.h"

struct lanes;

/* From one lane to the next, bytes: `size` is that of the ring within. */
static inline size_t lanes__stride(uint32_t size)
{
	return sizeof(struct churn_lane) + size + CHURN_LANE_SLACK;
}

/* `memory` holds `nr` lanes of `size` bytes, a power of two; it stays the caller's, and must stay.
 * NULL with errno set. */
struct lanes *lanes__new(void *memory, uint32_t nr, uint32_t size);
void lanes__free(struct lanes *l);

/* Looks how far each lane has been written. */
void lanes__look(struct lanes *l);

typedef int (*lanes_fn)(void *ctx, const struct churn_header *record, size_t size);

/*
 * A record that found no room in its lane, or has none, and came another way: it is copied, and
 * delivered as if it had been seen at the last look. They come in the order of causes. 0, -EBADMSG
 * (it makes no sense), -ENOBUFS (too many wait), or -ENOMEM.
 */
int lanes__add(struct lanes *l, const struct churn_header *record, size_t size);

/*
 * Delivers what was there at the last look and is no younger than `until_ns` (CLOCK_MONOTONIC),
 * the oldest first; what is delivered may be written over when `fn` returns. 0, -EBADMSG (a lane
 * makes no sense: what it held is skipped, the others are read), or what `fn` returned.
 */
int lanes__deliver(struct lanes *l, uint64_t until_ns, lanes_fn fn, void *ctx);

#endif /* CHURN_SOURCE_LANES_H */
