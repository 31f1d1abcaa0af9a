/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "user/source/lanes.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* Room is made for the kernel side in steps: each takes a cache line away from it. */
#define RELEASE_BYTES 4096

#define CACHE_LINE 64

#define STRAY_SIZE (4U << 20) /* twice the ring that they come by: some wait for the next look */

struct reader {
	const char *bytes;
	uint64_t size;
	uint64_t at, end; /* bytes since the start: read so far, written at the last look */
	uint64_t released;
	struct churn_lane *lane;
};

/* A reader with something to deliver. */
struct waiting {
	uint64_t ts_ns; /* of its next record */
	struct reader *reader;
};

struct lanes {
	uint32_t nr;
	struct churn_lane *strays; /* the last reader's, NULL: none have come yet */
	uint32_t nr_waiting;
	struct waiting *waiting; /* a heap, the oldest first; behind it one that is the youngest */
	struct reader readers[];
};

static void reader_init(struct reader *r, void *lane, uint32_t size)
{
	r->lane = lane;
	r->bytes = (const char *)(r->lane + 1);
	r->size = size;
}

struct lanes *lanes__new(void *memory, uint32_t nr, uint32_t size)
{
	struct lanes *l = calloc(1, sizeof(*l) + (nr + 1) * sizeof(l->readers[0]));

	if (!l)
		return NULL;
	l->waiting = calloc(nr + 2, sizeof(struct waiting)); /* with the strays' */
	if (!l->waiting) {
		free(l);
		return NULL;
	}
	l->nr = nr;
	for (uint32_t i = 0; i < nr; i++)
		reader_init(&l->readers[i], (char *)memory + i * lanes__stride(size), size);
	return l;
}

void lanes__free(struct lanes *l)
{
	if (!l)
		return;
	free(l->strays);
	free(l->waiting);
	free(l);
}

/* Room for strays is made when there are any. */
static int add_reader(struct lanes *l)
{
	l->strays = calloc(1, lanes__stride(STRAY_SIZE));
	if (!l->strays)
		return -ENOMEM;
	reader_init(&l->readers[l->nr++], l->strays, STRAY_SIZE);
	return 0;
}

int lanes__add(struct lanes *l, const struct churn_header *record, size_t size)
{
	struct churn_lane *lane;
	char *bytes;

	if (size < sizeof(*record) || size != record->size || size > CHURN_LANE_SLACK ||
	    size % _Alignof(struct churn_header))
		return -EBADMSG;
	if (!l->strays && add_reader(l))
		return -ENOMEM;
	lane = l->strays;
	if (lane->head + size - lane->tail > STRAY_SIZE)
		return -ENOBUFS;
	bytes = (char *)(lane + 1);
	memcpy(bytes + (lane->head & (STRAY_SIZE - 1)), record, size);
	lane->head += size;
	l->readers[l->nr - 1].end = lane->head;
	return 0;
}

void lanes__look(struct lanes *l)
{
	for (uint32_t i = 0; i < l->nr; i++)
		l->readers[i].end = __atomic_load_n(&l->readers[i].lane->head, __ATOMIC_ACQUIRE);
}

/* --- one lane --------------------------------------------------------------------------------- */

static const struct churn_header *reader_record(const struct reader *r)
{
	return (const struct churn_header *)(r->bytes + (r->at & (r->size - 1)));
}

/* A record is as long as it says, which may be no more than was written, and the next one is
 * where one can begin. */
static bool reader_is_sound(const struct reader *r)
{
	uint64_t left = r->end - r->at;
	uint32_t size;

	if (left > r->size || left < sizeof(struct churn_header))
		return false;
	size = reader_record(r)->size;
	return size >= sizeof(struct churn_header) && size <= CHURN_LANE_SLACK && size <= left &&
	       size % _Alignof(struct churn_header) == 0;
}

/* Another CPU has just written it: what is behind the header comes while others are delivered. */
static void fetch_ahead(const struct reader *r)
{
	const char *record = (const char *)reader_record(r);

	for (uint32_t i = CACHE_LINE; i <= CHURN_LANE_SLACK; i += CACHE_LINE)
		__builtin_prefetch(record + i);
}

static void reader_release(struct reader *r)
{
	__atomic_store_n(&r->lane->tail, r->at, __ATOMIC_RELEASE);
	r->released = r->at;
}

/* --- the heap --------------------------------------------------------------------------------- */

/* Puts the one at `place` below those that are older. Which child is is anybody's guess: without a
 * branch, and without asking whether there are two. */
static void sink_down(struct lanes *l, uint32_t place)
{
	struct waiting *heap = l->waiting;
	const struct waiting moved = heap[place];
	uint32_t child;

	while ((child = 2 * place + 1) < l->nr_waiting) {
		child += heap[child + 1].ts_ns < heap[child].ts_ns;
		if (heap[child].ts_ns >= moved.ts_ns)
			break;
		heap[place] = heap[child];
		place = child;
	}
	heap[place] = moved;
}

/* 0 or -EBADMSG. */
static int gather(struct lanes *l)
{
	int err = 0;

	l->nr_waiting = 0;
	for (uint32_t i = 0; i < l->nr; i++) {
		struct reader *r = &l->readers[i];

		if (r->at == r->end)
			continue;
		if (reader_is_sound(r)) {
			l->waiting[l->nr_waiting++] =
				(struct waiting){.ts_ns = reader_record(r)->ts_ns, .reader = r};
			continue;
		}
		r->at = r->end;
		reader_release(r);
		err = -EBADMSG;
	}
	l->waiting[l->nr_waiting].ts_ns = UINT64_MAX;
	for (uint32_t i = l->nr_waiting / 2; i-- > 0;)
		sink_down(l, i);
	return err;
}

/* The first one has delivered its record. 0 or -EBADMSG. */
static int advance_first(struct lanes *l)
{
	struct waiting *first = &l->waiting[0];
	struct reader *r = first->reader;
	int err = 0;

	if (r->at != r->end && reader_is_sound(r)) {
		first->ts_ns = reader_record(r)->ts_ns;
		fetch_ahead(r);
	} else {
		/* Read to its end, or of no use. */
		err = r->at == r->end ? 0 : -EBADMSG;
		r->at = r->end;
		reader_release(r);
		*first = l->waiting[--l->nr_waiting];
		l->waiting[l->nr_waiting].ts_ns = UINT64_MAX;
	}
	sink_down(l, 0);
	return err;
}

int lanes__deliver(struct lanes *l, uint64_t until_ns, lanes_fn fn, void *ctx)
{
	int broken = gather(l), err = 0;

	while (!err && l->nr_waiting && l->waiting[0].ts_ns <= until_ns) {
		struct reader *r = l->waiting[0].reader;
		const struct churn_header *record = reader_record(r);

		err = fn(ctx, record, record->size);
		r->at += record->size;
		if (r->at - r->released >= RELEASE_BYTES)
			reader_release(r);
		if (advance_first(l))
			broken = -EBADMSG;
	}
	for (uint32_t i = 0; i < l->nr_waiting; i++)
		reader_release(l->waiting[i].reader);
	return err ? err : broken;
}
