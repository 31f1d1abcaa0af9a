/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* How leaks are shown, with the places that they come from and without. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "user/view/leaks.h"

#define LOOPBACK "\0\0\0\0\0\0\0\0\0\0\xff\xff\x7f\0\0\1"

/* 11 sockets of the inventory: 7 and 3 accepted in two places, one before the trace. */
struct incident {
	struct process_identity inventory, inetd;
	struct frame frames[2];
	struct stack_trace stacks[2];
	struct leak leak;
	struct leaks leaks;
	struct leak_origins origins;
	uint32_t left_out;
};

static void begin(struct incident *x)
{
	static char file[] = "/srv/health.c", serve[] = "serve", serve_tls[] = "serve_tls";

	*x = (struct incident){
		.inventory = {.id = {.tgid = 7}, .comm = "inventory"},
		.inetd = {.id = {.tgid = 8}, .comm = "inetd"},
		.frames = {{.function = serve, .file = file, .line = 20},
			   {.function = serve_tls, .file = file, .line = 25}},
		.leak = {.owner = {.process = &x->inventory},
			 .state = SOCKET_CLOSE_WAIT,
			 .netns = 1,
			 .family = 4,
			 .accepted = true,
			 .port = 80,
			 .addr = LOOPBACK,
			 .nr = 11,
			 .seconds_left = -1},
		.origins = {.nr = 2, .traced = 10, .untraced = 1},
	};
	x->leaks = (struct leaks){.at = &x->leak, .nr = 1};
	for (uint32_t i = 0; i < 2; i++) {
		x->stacks[i] = (struct stack_trace){
			.nr = 1, .language = "native", .frames = &x->frames[i]};
		x->origins.at[i] = (struct leak_origin){
			.who = {.process = &x->inventory,
				.stack = &x->stacks[i],
				.callsite_id = 0xabc + i,
				.accepted = true,
				.accept_seen = true},
			.nr = i ? 3 : 7,
		};
	}
}

typedef int (*printer)(FILE *out, const struct leaks *l, const struct leaks_view_options *opts);

/* To be freed. */
static char *shown(const struct incident *x, const struct leak_origins *origins, printer print,
		   unsigned int width)
{
	const struct leaks_view_options opts = {
		.min_age_ms = 1000,
		.origins = origins,
		.left_out = x->left_out,
		.width = width,
	};
	char *all = NULL;
	size_t size;
	FILE *out = open_memstream(&all, &size);

	assert_non_null(out);
	assert_int_equal(print(out, &x->leaks, &opts), 0);
	fclose(out);
	return all;
}

static void check(const struct incident *x, const struct leak_origins *origins, printer print,
		  const char *text, bool expected)
{
	char *all = shown(x, origins, print, 0);

	if (!!strstr(all, text) != expected)
		fail_msg("%s '%s' in:\n%s", expected ? "no" : "there is", text, all);
	free(all);
}

static void test_places(void **state)
{
	struct incident x;
	const struct leak_origins *o = &x.origins;

	(void)state;
	begin(&x);
	check(&x, o, leaks_table__print, "7 of the 11 were accepted in serve (health.c:20)", true);
	check(&x, o, leaks_table__print, "3 of the 11 were accepted in serve_tls (health.c:25)",
	      true);
	check(&x, o, leaks_table__print, "1 of them was accepted before the trace", true);
	check(&x, o, leaks_table__print, "Nothing was traced", false);
	check(&x, o, leaks_table__print, "not known", false);
	check(&x, o, leaks_json__print, "\"function\":\"serve\",\"file\":\"/srv/health.c\"", true);
	check(&x, o, leaks_json__print, "\"callsite\":{\"id\":\"abc\",\"function\":\"serve\",",
	      true);
	check(&x, o, leaks_json__print, "\"line\":20", true);
	check(&x, o, leaks_json__print, "\"traced\":10,\"callsites\":[{\"id\":\"abc\",", true);
	check(&x, o, leaks_json__print,
	      "\"language\":\"native\",\"count\":7,\"process\":{\"pid\":7", true);
	check(&x, o, leaks_json__print, "\"function\":\"serve_tls\"", true);
	x.origins.at[0].who.process = &x.inetd;
	check(&x, o, leaks_table__print,
	      "7 of the 11 were accepted by inetd [pid 8] in serve (health.c:20)", true);
}

static void test_one_place(void **state)
{
	struct incident x;
	const struct leak_origins *o = &x.origins;

	(void)state;
	begin(&x);
	x.origins.nr = 1;
	x.origins.at[0].nr = x.origins.traced = 11;
	check(&x, o, leaks_table__print, "all 11 were accepted in serve (health.c:20)", true);
	x.origins.at[0].nr = x.origins.traced = x.leak.nr = 1;
	check(&x, o, leaks_table__print, "  it was accepted in serve (health.c:20)", true);
}

/* What does not fit beside the numbers stands below them. */
static void test_width(void **state)
{
	static char file[] = "/srv/an/application/of/many/words/application_with_a_long_name.py";
	static char python[] = "/usr/bin/python3";
	char *argv[] = {python, file, NULL};
	struct incident x;

	(void)state;
	begin(&x);
	check(&x, &x.origins, leaks_table__print, " -  inventory [pid 7]\n", true);
	x.inventory.exe = python;
	x.inventory.argv = argv;
	for (unsigned int width = 80; width <= 100; width += 20) {
		char *all = shown(&x, &x.origins, leaks_table__print, width), *rest = all, *line;

		assert_non_null(
			strstr(all, " -\n           application_with_a_long_name.py [pid 7]\n"));
		while ((line = strsep(&rest, "\n")))
			assert_true(strlen(line) <= width);
		free(all);
	}
}

/* Traced, but not accept(): said; and no place is made up. */
static void test_accept_unseen(void **state)
{
	struct incident x;
	const struct leak_origins *o = &x.origins;

	(void)state;
	begin(&x);
	x.origins = (struct leak_origins){.traced = 11, .unseen = 7};
	x.leak.unaccepted = 4;
	check(&x, o, leaks_table__print, "where 7 of them were accepted is not known: accept() is ",
	      true);
	check(&x, o, leaks_table__print, "accepted in", false);
	check(&x, o, leaks_json__print, "\"traced\":11,\"callsites\":[]", true);
	check(&x, o, leaks_json__print, "\"callsite\":", false);
}

/* Seen, but without a stack: said beside those that have one; without any it is no news. */
static void test_nowhere(void **state)
{
	const char *said = "the call site of 4 of them is not known";
	struct incident x;

	(void)state;
	begin(&x);
	x.origins.nowhere = 4;
	check(&x, &x.origins, leaks_table__print, said, true);
	x.origins.nowhere = 0;
	check(&x, &x.origins, leaks_table__print, "not known", false);
	x.origins = (struct leak_origins){.traced = 11, .nowhere = 4};
	check(&x, &x.origins, leaks_table__print, said, false);
}

/* In a recording that saw none of them, and without any. */
static void test_untraced(void **state)
{
	const struct leak_origins none = {0};
	struct incident x;

	(void)state;
	begin(&x);
	check(&x, &none, leaks_table__print, "none of them is in the trace", true);
	x.leak.state = SOCKET_FIN_WAIT2; /* has been closed: nobody's line is to blame */
	check(&x, &none, leaks_table__print, "in the trace", false);
	x.leak.state = SOCKET_CLOSE_WAIT;
	check(&x, &none, leaks_table__print, "Nothing was traced", false);
	check(&x, &none, leaks_json__print, "\"traced\":0,\"callsites\":[]", true);
	check(&x, NULL, leaks_table__print, "Nothing was traced", true);
	check(&x, NULL, leaks_table__print, "in the trace", false);
	check(&x, NULL, leaks_json__print, "callsite", false);
}

/* What is not shown is counted. */
static void test_left_out(void **state)
{
	struct incident x;

	(void)state;
	begin(&x);
	check(&x, &x.origins, leaks_table__print, "left out", false);
	check(&x, &x.origins, leaks_table__print, "on their way", false);
	x.left_out = 4;
	x.leaks.young = 3;
	check(&x, &x.origins, leaks_table__print, "left out: 4 of processes that are not", true);
	check(&x, &x.origins, leaks_table__print, "3 in CLOSE_WAIT, of any process, found less",
	      true);
	check(&x, &x.origins, leaks_json__print, "\"young\":3,\"left_out\":4", true);
	check(&x, NULL, leaks_table__print, "3 in CLOSE_WAIT for less than 1 s: on their way",
	      true);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_places),	 cmocka_unit_test(test_one_place),
		cmocka_unit_test(test_width),	 cmocka_unit_test(test_accept_unseen),
		cmocka_unit_test(test_untraced), cmocka_unit_test(test_nowhere),
		cmocka_unit_test(test_left_out),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
