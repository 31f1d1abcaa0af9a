/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Each flow is looked at for the pools of its own destination, and for no others: what all pools
 * cost together is what there are of flows. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "user/model/flow_index.h"
#include "user/model/groups.h"

#define GROUPS	     2
#define DESTINATIONS 3000

struct world {
	struct group_table groups;
	struct flow_table flows;
	struct flow_index index;
};

/* The first ones differ in their port, then come other addresses, then another namespace. */
static struct destination destination(unsigned int i)
{
	struct destination d = {.netns = i < 2000 ? 7 : 8, .family = 4, .port = 80};

	if (i < 1000)
		d.port = (uint16_t)(1000 + i);
	d.addr[14] = (uint8_t)(i >> 8);
	d.addr[15] = (uint8_t)i;
	if (i < 1000)
		memset(d.addr, 0, sizeof(d.addr));
	return d;
}

static void world_begin(struct world *w)
{
	static const char *const names[GROUPS] = {"one", "two"};

	*w = (struct world){.groups = {.by = MODEL_BY_COMM, .max = 10, .max_services = 10},
			    .flows = {.max = UINT32_MAX, .max_of_group = UINT32_MAX}};
	for (unsigned int i = 0; i < DESTINATIONS; i++) {
		/* In no order, and each odd one of both groups. */
		unsigned int to = i * 7919 % DESTINATIONS;
		struct destination d = destination(to);

		for (unsigned int g = 0; g < 1 + to % 2; g++) {
			struct group_state *group = group_table__get(&w->groups, NULL, names[g]);

			assert_non_null(group);
			assert_non_null(flow_table__get(&w->flows, group, &d));
		}
	}
	assert_int_equal(flow_index__make(&w->index, &w->flows), 0);
}

static void world_end(struct world *w)
{
	flow_index__clear(&w->index);
	flow_table__clear(&w->flows);
	group_table__clear(&w->groups);
}

static uint32_t look_at(const struct world *w, const struct destination *d)
{
	struct port_pool p = {.key = {.netns = d->netns, .port = d->port, .family = 4}};
	const struct flow_state *const *f;
	uint32_t nr;

	memcpy(p.key.peer, d->addr, sizeof(p.key.peer));
	f = flow_index__to(&w->index, &p, &nr);
	for (uint32_t i = 0; i < nr; i++)
		assert_memory_equal(&f[i]->pub.dest, d, sizeof(*d));
	return nr;
}

static void test_each_its_own(void **state)
{
	uint32_t looked_at = 0;
	struct world w;

	(void)state;
	world_begin(&w);
	for (unsigned int i = 0; i < DESTINATIONS; i++) {
		struct destination d = destination(i);
		uint32_t nr = look_at(&w, &d);

		assert_int_equal(nr, 1 + i % 2);
		looked_at += nr;
	}
	assert_int_equal(looked_at, w.index.nr);
	world_end(&w);
}

static void test_nobody_goes_there(void **state)
{
	struct destination before = {0}, between = destination(500), behind = destination(2999);
	struct world w;

	(void)state;
	world_begin(&w);
	between.addr[0] = 1;
	behind.netns++;
	assert_int_equal(look_at(&w, &before), 0);
	assert_int_equal(look_at(&w, &between), 0);
	assert_int_equal(look_at(&w, &behind), 0);
	world_end(&w);
}

static void test_no_flows(void **state)
{
	struct destination d = destination(1);
	struct world w = {0};

	(void)state;
	assert_int_equal(flow_index__make(&w.index, &w.flows), 0);
	assert_int_equal(look_at(&w, &d), 0);
	flow_index__clear(&w.index);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_each_its_own),
		cmocka_unit_test(test_nobody_goes_there),
		cmocka_unit_test(test_no_flows),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
