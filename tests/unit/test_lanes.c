/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Lanes: nothing is lost or seen twice, causes come before effects, rubbish is skipped. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "user/source/lanes.h"

#define NR   3
#define SIZE 4096

struct fixture {
	char *memory;
	struct lanes *lanes;
	uint64_t seen[4096];
	uint32_t nr_seen;
	int refuse; /* what see() returns */
};

static struct churn_lane *lane(const struct fixture *f, uint32_t i)
{
	return (struct churn_lane *)(f->memory + i * lanes__stride(SIZE));
}

/* As the kernel side writes; false: no room. */
static int put(const struct fixture *f, uint32_t i, uint64_t ts_ns, uint32_t size)
{
	struct churn_lane *l = lane(f, i);
	struct churn_header h = {.ts_ns = ts_ns, .type = CHURN_CONNECT, .size = size};

	if (l->head + size - l->tail > SIZE)
		return 0;
	memset((char *)(l + 1) + l->head % SIZE, 0xa5, size);
	memcpy((char *)(l + 1) + l->head % SIZE, &h, sizeof(h));
	l->head += size;
	return 1;
}

static int see(void *ctx, const struct churn_header *h, size_t size)
{
	struct fixture *f = ctx;

	assert_int_equal(h->size, size);
	assert_int_equal(((const unsigned char *)h)[size - 1], 0xa5);
	f->seen[f->nr_seen++] = h->ts_ns;
	return f->refuse;
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	f->memory = calloc(NR, lanes__stride(SIZE));
	f->lanes = lanes__new(f->memory, NR, SIZE);
	*state = f;
	return f->lanes ? 0 : -1;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	lanes__free(f->lanes);
	free(f->memory);
	free(f);
	return 0;
}

static void assert_seen(struct fixture *f, uint32_t nr, const uint64_t *expected)
{
	assert_int_equal(f->nr_seen, nr);
	assert_memory_equal(f->seen, expected, nr * sizeof(expected[0]));
}

static void merges_in_the_order_of_time(void **state)
{
	struct fixture *f = *state;

	put(f, 0, 10, 128);
	put(f, 0, 40, 216);
	put(f, 1, 20, 128);
	put(f, 2, 5, 216);
	put(f, 2, 30, 128);
	put(f, 2, 50, 128);
	lanes__look(f->lanes);
	assert_int_equal(lanes__deliver(f->lanes, UINT64_MAX, see, f), 0);
	assert_seen(f, 6, (const uint64_t[]){5, 10, 20, 30, 40, 50});
	lanes__look(f->lanes);
	assert_int_equal(lanes__deliver(f->lanes, UINT64_MAX, see, f), 0);
	assert_int_equal(f->nr_seen, 6);
}

/* The effect was written while the lanes were being looked at, its cause just after its lane had
 * been: neither may come before the next look. */
static void an_effect_waits_for_its_cause(void **state)
{
	struct fixture *f = *state;

	put(f, 1, 90, 128);
	put(f, 1, 102, 128);
	lanes__look(f->lanes);
	put(f, 0, 101, 128);
	assert_int_equal(lanes__deliver(f->lanes, 100, see, f), 0);
	assert_seen(f, 1, (const uint64_t[]){90});
	lanes__look(f->lanes);
	assert_int_equal(lanes__deliver(f->lanes, 200, see, f), 0);
	assert_seen(f, 3, (const uint64_t[]){90, 101, 102});
}

static void what_came_after_the_look_waits(void **state)
{
	struct fixture *f = *state;

	put(f, 0, 1, 128);
	lanes__look(f->lanes);
	put(f, 0, 2, 128);
	assert_int_equal(lanes__deliver(f->lanes, UINT64_MAX, see, f), 0);
	assert_seen(f, 1, (const uint64_t[]){1});
}

/* Many times around, with records that do not divide the size: made == seen + refused. */
static void goes_around(void **state)
{
	struct fixture *f = *state;
	uint64_t ts = 0, made = 0, no_room = 0, seen = 0, last = 0;

	srand(7);
	for (int round = 0; round < 300; round++) {
		for (int n = rand() % 160; n > 0; n--) {
			made++;
			no_room += !put(f, rand() % NR, ++ts, 24 + 8 * (rand() % 25));
		}
		f->nr_seen = 0;
		lanes__look(f->lanes);
		assert_int_equal(lanes__deliver(f->lanes, UINT64_MAX, see, f), 0);
		for (uint32_t i = 0; i < f->nr_seen; i++) {
			assert_true(f->seen[i] > last);
			last = f->seen[i];
		}
		seen += f->nr_seen;
	}
	assert_true(no_room > 0);
	assert_int_equal(made, seen + no_room);
	for (uint32_t i = 0; i < NR; i++)
		assert_int_equal(lane(f, i)->head, lane(f, i)->tail);
}

/* The end of a run keeps its place: what was delivered is not delivered again. */
static void stops_when_told(void **state)
{
	struct fixture *f = *state;

	put(f, 0, 1, 128);
	put(f, 1, 2, 128);
	lanes__look(f->lanes);
	f->refuse = -EPIPE;
	assert_int_equal(lanes__deliver(f->lanes, UINT64_MAX, see, f), -EPIPE);
	f->refuse = 0;
	assert_int_equal(lanes__deliver(f->lanes, UINT64_MAX, see, f), 0);
	assert_seen(f, 2, (const uint64_t[]){1, 2});
}

static void skips_rubbish(void **state)
{
	/* Of 128 bytes; 136 would be a record that has been written in part. */
	static const uint32_t sizes[] = {
		0, 8, 124, 136, CHURN_LANE_SLACK, CHURN_LANE_SLACK + 8, 120000, UINT32_MAX};
	struct fixture *f = *state;

	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		struct churn_header *h;

		put(f, 0, 1, 128);
		h = (struct churn_header *)((char *)(lane(f, 0) + 1) +
					    (lane(f, 0)->head - 128) % SIZE);
		h->size = sizes[i];
		put(f, 1, 2, 128);
		f->nr_seen = 0;
		lanes__look(f->lanes);
		assert_int_equal(lanes__deliver(f->lanes, UINT64_MAX, see, f), -EBADMSG);
		assert_seen(f, 1, (const uint64_t[]){2});
	}
	lane(f, 0)->head += 3 * SIZE; /* more than a lane can hold */
	put(f, 1, 9, 128);
	f->nr_seen = 0;
	lanes__look(f->lanes);
	assert_int_equal(lanes__deliver(f->lanes, UINT64_MAX, see, f), -EBADMSG);
	assert_seen(f, 1, (const uint64_t[]){9});
}

static int stray(const struct fixture *f, uint64_t ts_ns, uint32_t size)
{
	uint64_t record[CHURN_LANE_SLACK / 8 + 8];
	const struct churn_header h = {.ts_ns = ts_ns, .type = CHURN_CLOSE, .size = size};

	memset(record, 0xa5, sizeof(record));
	memcpy(record, &h, sizeof(h));
	return lanes__add(f->lanes, (const struct churn_header *)record, size);
}

/* Those that came another way, too. */
static void strays_find_their_place(void **state)
{
	struct fixture *f = *state;

	put(f, 0, 10, 128);
	put(f, 0, 40, 216);
	put(f, 1, 30, 128);
	lanes__look(f->lanes);
	assert_int_equal(stray(f, 20, 216), 0);
	assert_int_equal(stray(f, 35, 128), 0);
	assert_int_equal(stray(f, 60, 128), 0);
	assert_int_equal(lanes__deliver(f->lanes, 50, see, f), 0);
	assert_seen(f, 5, (const uint64_t[]){10, 20, 30, 35, 40});
	put(f, 0, 55, 128);
	lanes__look(f->lanes);
	assert_int_equal(lanes__deliver(f->lanes, 100, see, f), 0);
	assert_seen(f, 7, (const uint64_t[]){10, 20, 30, 35, 40, 55, 60});
}

/* Those that were taken are given out, in their order, a part at a time. */
static void drain(struct fixture *f, uint64_t first_ts, uint64_t nr)
{
	uint64_t seen = 0;

	while (seen < nr) {
		f->nr_seen = 0;
		assert_int_equal(lanes__deliver(f->lanes, first_ts + seen + 3999, see, f), 0);
		assert_true(f->nr_seen > 0);
		for (uint32_t i = 0; i < f->nr_seen; i++)
			assert_int_equal(f->seen[i], first_ts + seen++);
	}
	assert_int_equal(seen, nr);
}

/* Many times around; those for which there is no room are refused, and no others. */
static void strays_are_bounded(void **state)
{
	struct fixture *f = *state;
	uint64_t ts = 0;
	int err;

	for (int round = 0; round < 5; round++) {
		uint64_t made = 0;

		while (!(err = stray(f, ++ts, 216)))
			made++;
		assert_int_equal(err, -ENOBUFS);
		assert_in_range(made, (4 << 20) / 216, (4 << 20) / 216);
		drain(f, ts - made, made);
	}
	assert_int_equal(stray(f, 1, 124), -EBADMSG);
	assert_int_equal(stray(f, 1, 8), -EBADMSG);
	assert_int_equal(stray(f, 1, CHURN_LANE_SLACK + 8), -EBADMSG);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(merges_in_the_order_of_time, setup, teardown),
		cmocka_unit_test_setup_teardown(an_effect_waits_for_its_cause, setup, teardown),
		cmocka_unit_test_setup_teardown(what_came_after_the_look_waits, setup, teardown),
		cmocka_unit_test_setup_teardown(goes_around, setup, teardown),
		cmocka_unit_test_setup_teardown(stops_when_told, setup, teardown),
		cmocka_unit_test_setup_teardown(skips_rubbish, setup, teardown),
		cmocka_unit_test_setup_teardown(strays_find_their_place, setup, teardown),
		cmocka_unit_test_setup_teardown(strays_are_bounded, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
