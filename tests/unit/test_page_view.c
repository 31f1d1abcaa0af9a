/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Who accepts, and port pools, as they stand on pages of different widths. */
#include "tests/unit/story.h"
#include "tests/unit/world.h"

#include "user/model/census.h"
#include "user/view/describe.h"
#include "user/view/ports.h"
#include "user/view/report.h"

#define PORT	80
#define SERVER	7
#define UNKNOWN 9 /* no stack of that number comes */

static void assert_narrow(char *text, unsigned int width)
{
	char *line;

	while ((line = strsep(&text, "\n"))) {
		if (text_columns(line) > width)
			fail_msg("%u columns: %s", text_columns(line), line);
	}
}

/* --- who accepts ------------------------------------------------------------------------------ */

static void accept_one(struct story *s, uint64_t stack)
{
	struct churn_conn client = dial(s, 0, PORT), c = answer(s, &client, SERVER);

	c.attribution = CHURN_OWNER_EXACT;
	c.stack = stack;
	opened(s, &c);
	s->now += MS;
	closed(s, &c, CHURN_END_PEER);
}

/* To be freed. */
static char *report_with(struct story *s, const struct findings *found, bool stacks,
			 unsigned int width)
{
	const struct report_options opts = {
		.duration_ns = s->now - S, .stacks = stacks, .width = width};
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	assert_non_null(out);
	assert_int_equal(model__seal(s->m), 0);
	assert_int_equal(report_table__print(out, s->m, found, &opts), 0);
	fclose(out);
	return text;
}

static char *report_of(struct story *s, bool stacks, unsigned int width)
{
	return report_with(s, NULL, stacks, width);
}

/* A gateway whose clients' connections it closes, and whose own the backend closes: no port of its
 * own is left in TIME_WAIT. */
static void test_time_wait_of_what_was_accepted(void **state)
{
	struct churn_conn accepted, opened_to;
	struct story s;
	char *text;

	(void)state;
	story_begin(&s, &model_default_options);
	story_process(&s, SERVER, 1, "/srv/gateway", NULL);
	for (int i = 0; i < 3; i++) {
		struct churn_conn client = dial(&s, 0, PORT);

		accepted = answer(&s, &client, SERVER);
		accepted.attribution = CHURN_OWNER_EXACT;
		opened(&s, &accepted);
		opened_to = dial(&s, SERVER, PORT + 1);
		opened(&s, &opened_to);
		s.now += MS;
		closed(&s, &opened_to, i ? CHURN_END_PEER : CHURN_END_LOCAL);
		closed(&s, &accepted, CHURN_END_LOCAL);
	}
	text = report_of(&s, false, 100);
	/* opens, a second, failed, avoidable, TIME_WAIT */
	assert_non_null(strstr(text, "\ngateway [pid 7]"));
	assert_non_null(
		strstr(strstr(text, "\ngateway [pid 7] "), "0         2         1      3\n"));
	free(text);
	story_end(&s);
}

/* The first line is what is wrong, if anything is. */
static void test_headline(void **state)
{
	char title[] = "somebody does something";
	struct finding f = {.id = "polling", .title = title, .under = FINDING_LEADS};
	const struct findings found = {.at = &f, .nr = 1};
	struct story s;
	char *text;

	(void)state;
	story_begin(&s, &model_default_options);
	for (f.severity = FINDING_INFO; f.severity <= FINDING_CRITICAL; f.severity++) {
		static const char *const starts[] = {
			[FINDING_INFO] = "No connection was opened",
			[FINDING_WARNING] = "warning: somebody does something [polling]\nNo conn",
			[FINDING_CRITICAL] = "critical: somebody does something [polling]\nNo conn",
		};

		text = report_with(&s, &found, false, 100);
		assert_ptr_equal(strstr(text, starts[f.severity]), text);
		free(text);
	}
	story_end(&s);
}

static void test_accept_sites(void **state)
{
	char file[] = "/srv/a/path/to/the/sources/of/an/application/that/is/longer/than/a/line/of/"
		      "the/report/serve.c";
	char function[] = "serve";
	struct frame f = {.function = function, .file = file, .line = 20, .pc = 1};
	const struct stack_trace t = {.id = 1, .nr = 1, .language = "native", .frames = &f};
	struct story s;

	(void)state;
	story_begin(&s, &model_default_options);
	story_process(&s, SERVER, 1, "/srv/server_with_a_long_name", NULL);
	assert_int_equal(model__stack(s.m, &t), 0);
	accept_one(&s, 1);
	accept_one(&s, 1);
	accept_one(&s, UNKNOWN);
	for (unsigned int width = 60; width <= 100; width += 20) {
		char *text = report_of(&s, true, width);

		assert_non_null(
			strstr(text, "\n  accepted in serve (serve.c:20): 2\n      serve (/srv"));
		assert_non_null(strstr(text, "server_with_a_long_name [pid 7]"));
		assert_narrow(text, width);
		free(text);
		text = report_of(&s, false, width);
		assert_non_null(strstr(text, "serve (serve.c:20): 2\n"));
		assert_null(strstr(text, "(/srv/"));
		free(text);
	}
	story_end(&s);
}

/* --- the verdict ------------------------------------------------------------------------------ */

/* A projection never says more ports than there are. */
static void assert_projected(uint16_t high, uint8_t tw_reuse, const struct time_wait_limit *limit,
			     const char *expected)
{
	const uint32_t netns = 1;
	struct model_census census = {.nr_rules = 1,
				      .netns = &netns,
				      .nr_netns = 1,
				      .pools = true,
				      .limits = limit,
				      .nr_limits = limit ? 1 : 0};
	struct story s;
	struct world w;
	char *text;

	story_begin(&s, &model_default_options);
	model__set_start(s.m, s.now);
	world_begin(&w, 32768, high);
	w.rules.netns = netns;
	w.rules.tw_reuse = tw_reuse;
	for (int i = 0; i < 60; i++) {
		struct churn_conn c = dial(&s, SERVER, PORT);
		struct tcp_socket *t = world_add(&w, c.local_port, SOCKET_TIME_WAIT);

		t->netns = netns;
		memcpy(t->local_addr, c.local_addr, sizeof(t->local_addr));
		memcpy(t->peer_addr, c.peer_addr, sizeof(t->peer_addr));
		opened(&s, &c);
		s.now += 100 * MS;
		closed(&s, &c, CHURN_END_LOCAL);
	}
	census.taken_ns = s.now;
	census.sockets = &w.sockets;
	census.rules = &w.rules;
	assert_int_equal(model__census(s.m, &census), 0);
	text = report_of(&s, false, 100);
	if (!strstr(text, expected))
		fail_msg("no '%s' in:\n%s", expected, text);
	free(text);
	world_end(&w);
	story_end(&s);
}

static void test_projection(void **state)
{
	(void)state;
	assert_projected(32867, 0, NULL, "if kept up, all 100 ports in TIME_WAIT\n");
	assert_projected(32867, 1, NULL,
			 "if kept up, all 100 ports in TIME_WAIT, which connect() may take");
	assert_projected(60999, 0, NULL, "if kept up, about 600 ports in TIME_WAIT\n");
}

/* Nor more than the kernel keeps; and what it did not keep is told with whose number that is. */
static void test_projection_with_a_limit(void **state)
{
	struct time_wait_limit limit = {.netns = 1, .max = 20, .counted = true, .skipped = 40};

	(void)state;
	assert_projected(60999, 0, &limit, "if kept up, 20 ports in TIME_WAIT, all that net.ipv4");
	assert_projected(60999, 0, &limit,
			 "\nTIME_WAIT: the kernel did not keep 40, of the 60 counted here and any");
	limit.max = 99;
	assert_projected(32867, 0, &limit, "if kept up, 99 ports in TIME_WAIT, all that net.ipv4");
	limit.max = 100;
	assert_projected(32867, 0, &limit, "if kept up, all 100 ports in TIME_WAIT\n");
	limit = (struct time_wait_limit){.netns = 1, .max = 20};
	assert_projected(60999, 0, &limit,
			 "\nTIME_WAIT: of the 60 counted here in network namespac");
	limit = (struct time_wait_limit){.netns = 2, .max = 20};
	assert_projected(60999, 0, &limit, "if kept up, about 600 ports in TIME_WAIT\n");
	limit = (struct time_wait_limit){.netns = 1, .max = 600, .counted = true};
	assert_projected(60999, 0, &limit, "if kept up, about 600 ports in TIME_WAIT\n");
}

/* What the last line on standard error counts as lost are events. */
static void test_losses(void **state)
{
	const uint64_t lost[CHURN_LOST__COUNT] = {
		[CHURN_LOST_RING_OPEN] = 4, [CHURN_LOST_STACK_COPY] = 75};
	struct story s;
	char *text;

	(void)state;
	story_begin(&s, &model_default_options);
	model__set_lost(s.m, lost, 0);
	text = report_of(&s, false, 100);
	assert_non_null(strstr(text, "\n  4 lost: opens: ring buffer full\n"));
	assert_non_null(strstr(text, "\n  75 lost (no events): new stacks not resolved: "));
	free(text);
	story_end(&s);
}

/* --- ports ------------------------------------------------------------------------------------ */

static void test_ports(void **state)
{
	const struct ports_scope scope = {.bpf = true};
	struct ports_page page = {.scope = &scope};
	struct world w;

	(void)state;
	world_begin(&w, 40000, 40999);
	for (uint16_t i = 0; i < 600; i++)
		world_add(&w, 40000 + i, SOCKET_TIME_WAIT);
	world_only(&w);
	page.pools = &w.pools;
	for (unsigned int width = 60; width <= 100; width += 4) {
		char *text = NULL;
		size_t size;
		FILE *out = open_memstream(&text, &size);

		assert_non_null(out);
		page.width = width;
		assert_int_equal(ports_table__print(out, &page), 0);
		fclose(out);
		assert_non_null(strstr(text, "10.0.0.1 -> 10.0.0.2:80"));
		assert_non_null(strstr(text, "\n  40000 [tttttttttttttttttttttttt"));
		assert_narrow(text, width < 66 ? 66 : width); /* the heading alone */
		free(text);
	}
	world_end(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_headline),
		cmocka_unit_test(test_projection),
		cmocka_unit_test(test_projection_with_a_limit),
		cmocka_unit_test(test_time_wait_of_what_was_accepted),
		cmocka_unit_test(test_accept_sites),
		cmocka_unit_test(test_losses),
		cmocka_unit_test(test_ports),
	};

	return cmocka_run_group_tests_name("page", tests, NULL, NULL);
}
