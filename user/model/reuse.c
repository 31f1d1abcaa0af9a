/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "user/model/reuse.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "user/model/flows.h"
#include "user/model/sites.h"

#define MAX_IDLE  4096
#define MAX_LATE  16
#define MAX_OPENS 1024

/* Without the time of the peer's FIN, our answer to it is taken to have been this late at least. */
#define FIN_LAG_NS 1000000ULL

/* Records may be out of order by this much: how long a slot outlives its end. */
#define DISORDER_NS 1000000000ULL

static uint64_t minus(uint64_t a, uint64_t b)
{
	return a > b ? a - b : 0;
}

static uint64_t plus(uint64_t a, uint64_t b)
{
	return a + b < a ? UINT64_MAX : a + b;
}

static uint64_t larger(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

struct reuse_slot reuse__slot(const struct churn_end *e, uint64_t window_ns)
{
	const struct churn_conn *c = &e->conn;
	uint64_t end = e->ending_ns ? e->ending_ns : e->h.ts_ns;
	struct reuse_slot slot = {.since_ns = minus(e->h.ts_ns, minus(e->idle_ns, TICK_NS))};
	bool exchanged = e->bytes_sent || e->bytes_received;

	switch (c->initiator) {
	case CHURN_END_LOCAL:
		/* The program was done with it when it closed, however long the peer took then. */
		if (end < slot.since_ns)
			slot.since_ns = end;
		slot.until_ns = plus(end, window_ns);
		break;
	case CHURN_END_PEER:
		if (!e->ending_ns)
			end = minus(end,
				    larger(2 * minus(c->established_ns, c->open_ns), FIN_LAG_NS));
		slot.until_ns = end;
		break;
	case CHURN_END_ABORT:
		slot.until_ns = exchanged ? plus(end, window_ns) : end;
		break;
	case CHURN_END_TIMEOUT: /* it was dead while it seemed idle */
		return (struct reuse_slot){.since_ns = 1};
	default:
		slot.until_ns = end;
	}
	slot.since_ns = larger(slot.since_ns, larger(c->established_ns, c->open_ns + 1));
	slot.over = slot.until_ns <= e->h.ts_ns;
	return slot;
}

/* --- slots ------------------------------------------------------------------------------------ */

/* The array with room for one more element, NULL: no memory, and it stays as it is. */
static void *room(void *at, uint32_t nr, uint32_t *cap, size_t size)
{
	uint32_t grown_cap = *cap ? *cap * 2 : 2;
	void *grown;

	if (nr < *cap)
		return at;
	grown = realloc(at, grown_cap * size);
	if (grown)
		*cap = grown_cap;
	return grown;
}

static void remove_slot(struct reuse_slot *slots, uint32_t *nr, uint32_t i)
{
	memmove(slots + i, slots + i + 1, (*nr - i - 1) * sizeof(*slots));
	(*nr)--;
}

static void insert_slot(struct reuse_slot *slots, uint32_t *nr, struct reuse_slot slot)
{
	uint32_t i = *nr;

	for (; i && slots[i - 1].since_ns > slot.since_ns; i--)
		slots[i] = slots[i - 1];
	slots[i] = slot;
	(*nr)++;
}

/* Index of the slot that is idle at t and has been so for the shortest time, -1: none. Drops those
 * on its way that no record to come can use any more. */
static int64_t find_slot(struct reuse_slot *slots, uint32_t *nr, uint64_t t)
{
	for (uint32_t i = *nr; i-- > 0;) {
		if (slots[i].since_ns <= t && t <= slots[i].until_ns)
			return i;
		if (plus(slots[i].until_ns, DISORDER_NS) < t)
			remove_slot(slots, nr, i);
	}
	return -1;
}

static bool take_slot(struct reuse *r, uint64_t t)
{
	int64_t idle = find_slot(r->idle, &r->nr_idle, t);
	int64_t late = find_slot(r->late, &r->nr_late, t);

	if (idle < 0 && late < 0)
		return false;
	if (late < 0 || (idle >= 0 && r->idle[idle].since_ns >= r->late[late].since_ns))
		remove_slot(r->idle, &r->nr_idle, (uint32_t)idle);
	else
		remove_slot(r->late, &r->nr_late, (uint32_t)late);
	return true;
}

static int keep_over(struct reuse *r, struct reuse_slot slot)
{
	void *at;

	if (r->nr_late == MAX_LATE)
		remove_slot(r->late, &r->nr_late, 0);
	at = room(r->late, r->nr_late, &r->cap_late, sizeof(*r->late));
	if (!at)
		return -ENOMEM;
	r->late = at;
	insert_slot(r->late, &r->nr_late, slot);
	return 0;
}

static int keep_idle(struct reuse *r, struct reuse_slot slot)
{
	void *at;

	if (r->nr_idle == MAX_IDLE) {
		memmove(r->idle, r->idle + MAX_IDLE / 2, MAX_IDLE / 2 * sizeof(*r->idle));
		r->nr_idle = MAX_IDLE / 2;
	}
	at = room(r->idle, r->nr_idle, &r->cap_idle, sizeof(*r->idle));
	if (!at)
		return -ENOMEM;
	r->idle = at;
	insert_slot(r->idle, &r->nr_idle, slot);
	return 0;
}

/* --- opens that were not spared --------------------------------------------------------------- */

/* The older half can no longer be spared: their demand is final. */
static void settle_half(struct reuse *r)
{
	uint32_t half = r->nr_opens / 2;

	for (uint32_t i = 0; i < half; i++) {
		if (r->opens[i].at_once > r->peak)
			r->peak = r->opens[i].at_once;
		site__release(r->opens[i].site);
	}
	r->nr_opens -= half;
	memmove(r->opens, r->opens + half, r->nr_opens * sizeof(*r->opens));
}

int reuse__open(struct reuse *r, const struct reuse_open *o)
{
	uint32_t i;
	void *at;

	if (take_slot(r, o->open_ns))
		return 1;
	if (r->nr_opens == MAX_OPENS)
		settle_half(r);
	at = room(r->opens, r->nr_opens, &r->cap_opens, sizeof(*r->opens));
	if (!at)
		return -ENOMEM;
	r->opens = at;
	for (i = r->nr_opens; i && r->opens[i - 1].open_ns > o->open_ns; i--)
		r->opens[i] = r->opens[i - 1];
	r->opens[i] = *o;
	r->nr_opens++;
	return 0;
}

/* The first open that the slot could have spared, nr_opens: none. */
static uint32_t first_open(const struct reuse *r, struct reuse_slot slot)
{
	uint32_t i = r->nr_opens;

	while (i && r->opens[i - 1].open_ns >= slot.since_ns)
		i--;
	return i < r->nr_opens && r->opens[i].open_ns <= slot.until_ns ? i : r->nr_opens;
}

int reuse__close(struct reuse *r, struct reuse_slot slot, struct reuse_open *spared)
{
	uint32_t i;

	if (slot.until_ns < slot.since_ns)
		return 0;
	i = first_open(r, slot);
	if (i == r->nr_opens)
		return slot.over ? keep_over(r, slot) : keep_idle(r, slot);
	*spared = r->opens[i];
	r->nr_opens--;
	memmove(r->opens + i, r->opens + i + 1, (r->nr_opens - i) * sizeof(*r->opens));
	/* The later ones were counted beside a connection that was idle, or gone, by then. */
	for (; i < r->nr_opens; i++)
		if (r->opens[i].at_once > 1)
			r->opens[i].at_once--;
	return 1;
}

uint32_t reuse__peak(const struct reuse *r)
{
	uint32_t peak = r->peak;

	for (uint32_t i = 0; i < r->nr_opens; i++)
		if (r->opens[i].at_once > peak)
			peak = r->opens[i].at_once;
	return peak;
}

void reuse__clear(struct reuse *r)
{
	for (uint32_t i = 0; i < r->nr_opens; i++)
		site__release(r->opens[i].site);
	free(r->idle);
	free(r->late);
	free(r->opens);
	memset(r, 0, sizeof(*r));
}
