/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What the kernel answers to a census, cut short, in error, or changed while it was read. */
#include <errno.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "user/source/sock_diag.h"

#define SPACE NLMSG_SPACE(sizeof(struct inet_diag_msg))

static uint32_t answer[2048];

struct outcome {
	int ret;
	size_t nr;
	bool interrupted;
};

/* So many sockets, and behind them a message of another type, with a number. */
static size_t dump(int nr, uint16_t flags, uint16_t last_type, int last)
{
	char *at = (char *)answer;

	memset(answer, 0, sizeof(answer));
	for (int i = 0; i < nr; i++, at += SPACE) {
		struct nlmsghdr *h = (struct nlmsghdr *)at;
		struct inet_diag_msg *m = NLMSG_DATA(h);

		*h = (struct nlmsghdr){.nlmsg_len = NLMSG_LENGTH(sizeof(*m)),
				       .nlmsg_type = SOCK_DIAG_BY_FAMILY,
				       .nlmsg_flags = flags};
		m->idiag_family = AF_INET;
		m->idiag_state = SOCKET_ESTABLISHED;
		m->id.idiag_sport = htons((uint16_t)(1000 + i));
	}
	*(struct nlmsghdr *)at =
		(struct nlmsghdr){.nlmsg_len = NLMSG_LENGTH(20), .nlmsg_type = last_type};
	memcpy(NLMSG_DATA((struct nlmsghdr *)at), &last, sizeof(last));
	return (size_t)(at - (char *)answer) + NLMSG_SPACE(20);
}

static struct outcome take(size_t size)
{
	const struct sock_diag_query q = {.netns = 7};
	struct socket_list l = {0};
	struct outcome o = {0};

	o.ret = sock_diag__answer(&l, &q, answer, size, &o.interrupted);
	o.nr = l.nr;
	for (size_t i = 0; i < l.nr; i++) {
		assert_int_equal(l.at[i].local_port, 1000 + i);
		assert_int_equal(l.at[i].netns, 7);
	}
	socket_list__clear(&l);
	return o;
}

static void expect(size_t size, int ret, size_t nr, bool interrupted)
{
	struct outcome o = take(size);

	assert_int_equal(o.ret, ret);
	assert_int_equal(o.nr, nr);
	assert_int_equal(o.interrupted, interrupted);
}

static void test_whole(void **state)
{
	(void)state;
	expect(dump(3, NLM_F_MULTI, NLMSG_DONE, 0), 0, 3, false);
	expect(dump(3, NLM_F_MULTI, NLMSG_NOOP, 0), 1, 3, false); /* more to come */
	expect(dump(0, 0, NLMSG_DONE, 0), 0, 0, false);
}

/* The table changed meanwhile: what is there counts, and is said not to be all. */
static void test_interrupted(void **state)
{
	(void)state;
	expect(dump(2, NLM_F_DUMP_INTR, NLMSG_DONE, 0), 0, 2, true);
}

static void test_errors(void **state)
{
	(void)state;
	expect(dump(1, 0, NLMSG_DONE, -ENOMEM), -ENOMEM, 1, false);
	expect(dump(1, 0, NLMSG_ERROR, -ENOENT), -ENOENT, 1, false);
	expect(dump(1, 0, NLMSG_ERROR, 0), -EBADMSG, 1, false); /* nobody asked for an answer */
}

static void test_cut(void **state)
{
	struct nlmsghdr *first = (struct nlmsghdr *)answer;

	(void)state;
	dump(1, 0, NLMSG_DONE, 0);
	first->nlmsg_len--;
	expect(SPACE, -EBADMSG, 0, false);
	dump(1, 0, NLMSG_DONE, 0);
	first->nlmsg_len += 4; /* more than was read */
	expect(SPACE, 1, 0, false);
	first->nlmsg_len = 0;
	expect(SPACE, 1, 0, false);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_whole),
		cmocka_unit_test(test_interrupted),
		cmocka_unit_test(test_errors),
		cmocka_unit_test(test_cut),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
