/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Who is remembered for a TIME_WAIT, and for how long. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "user/model/tenants.h"

#define SECOND 1000000000ULL
#define KEPT   (130 * SECOND)

static struct process_table processes = {.max = 8};

static struct process *make_process(uint32_t tgid)
{
	const struct churn_id id = {.tgid = tgid, .start_ns = tgid};
	struct process *p = process_table__get(&processes, &id, "x");

	assert_non_null(p);
	return p;
}

static void add(struct tenant_table *t, uint32_t peer, uint64_t at_ns, struct process *p)
{
	struct churn_end e = {.h.ts_ns = at_ns, .conn = {.id = 1000 + peer, .peer_port = 80}};

	memcpy(e.conn.peer_addr, &peer, sizeof(peer));
	assert_int_equal(tenant_table__add(t, &processes, &e, p, NULL), 0);
}

static const struct tenant *find(const struct tenant_table *t, uint32_t peer, uint64_t cookie)
{
	struct tcp_socket s = {.cookie = cookie, .peer_port = 80};

	memcpy(s.peer_addr, &peer, sizeof(peer));
	return tenant_table__find(t, &s);
}

static void test_found_by_tuple_and_cookie(void **state)
{
	struct tenant_table t = {.max = 10};
	struct process *p = make_process(1);

	(void)state;
	assert_null(find(&t, 7, 0));
	add(&t, 7, SECOND, p);
	assert_ptr_equal(find(&t, 7, 1007)->process, p);
	assert_ptr_equal(find(&t, 7, 0)->process, p);
	assert_null(find(&t, 7, 1008)); /* another socket, the same four-tuple */
	assert_null(find(&t, 8, 0));
	assert_int_equal(p->refs, 1);
	tenant_table__clear(&t, &processes);
	assert_int_equal(p->refs, 0);
	assert_null(find(&t, 7, 0));
	process_table__clear(&processes);
}

/* Through several sizes of the table, and more than it holds. */
static void test_the_oldest_are_forgotten(void **state)
{
	struct tenant_table t = {.max = 5000};
	struct process *p = make_process(1);

	(void)state;
	for (uint32_t i = 0; i < 20000; i++) {
		add(&t, i, SECOND + i, p);
		assert_int_equal(p->refs, i < 5000 ? i + 1 : 5000);
		assert_ptr_equal(find(&t, i, 1000 + i)->process, p);
	}
	for (uint32_t i = 0; i < 20000; i++)
		assert_int_equal(find(&t, i, 0) != NULL, i >= 15000);
	tenant_table__clear(&t, &processes);
	assert_int_equal(p->refs, 0);
	process_table__clear(&processes);
}

/* A port that is used again takes no other one's place, and counts as young. */
static void test_renewed(void **state)
{
	struct tenant_table t = {.max = 100};
	struct process *old = make_process(1), *new = make_process(2);

	(void)state;
	for (uint32_t i = 0; i < 100; i++)
		add(&t, i, SECOND, old);
	for (int i = 0; i < 1000; i++)
		add(&t, 0, 2 * SECOND + i, i == 999 ? new : old);
	assert_int_equal(old->refs, 99);
	assert_int_equal(new->refs, 1);
	assert_ptr_equal(find(&t, 0, 0)->process, new);
	for (uint32_t i = 100; i < 199; i++) { /* all that are older go first */
		add(&t, i, 3 * SECOND, new);
		assert_ptr_equal(find(&t, 0, 0)->process, new);
	}
	assert_int_equal(old->refs, 0);
	add(&t, 199, 3 * SECOND, new);
	assert_null(find(&t, 0, 0));
	tenant_table__clear(&t, &processes);
	process_table__clear(&processes);
}

static void test_time_is_over(void **state)
{
	struct tenant_table t = {.max = 100};
	struct process *p = make_process(1);

	(void)state;
	add(&t, 1, SECOND, p);
	add(&t, 2, 2 * SECOND, p);
	add(&t, 1, 3 * SECOND, p); /* again */
	add(&t, 3, 2 * SECOND + KEPT, p);
	assert_non_null(find(&t, 2, 0));
	add(&t, 4, 3 * SECOND + KEPT, p);
	assert_null(find(&t, 2, 0));
	assert_non_null(find(&t, 1, 0));
	add(&t, 5, 3 * SECOND + KEPT + 1, p);
	assert_null(find(&t, 1, 0));
	assert_non_null(find(&t, 3, 0));
	tenant_table__clear(&t, &processes);
	assert_int_equal(p->refs, 0);
	process_table__clear(&processes);
}

static void test_none_wanted(void **state)
{
	struct tenant_table t = {.max = 0};
	struct process *p = make_process(1);

	(void)state;
	add(&t, 1, SECOND, p);
	assert_null(find(&t, 1, 0));
	assert_int_equal(p->refs, 0);
	process_table__clear(&processes);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_found_by_tuple_and_cookie),
		cmocka_unit_test(test_the_oldest_are_forgotten),
		cmocka_unit_test(test_renewed),
		cmocka_unit_test(test_time_is_over),
		cmocka_unit_test(test_none_wanted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
