/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What people and programs read: the trace lines and the report of an incident made here. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define JSMN_STATIC
#define JSMN_STRICT
#include <jsmn.h>

#include "user/model/findings.h"
#include "user/source/record.h"
#include "user/source/replay.h"
#include "user/view/describe.h"
#include "user/view/paragraph.h"
#include "user/view/report.h"
#include "user/view/trace.h"

#define START_WALL 1709210096000000000ULL
#define START_MONO 5000000000ULL
#define SECOND	   1000000000ULL
#define STACK	   0xfeedULL
#define LOOPBACK   "\0\0\0\0\0\0\0\0\0\0\xff\xff\x7f\0\0\1"
#define LONG_IPV6  "\x20\x01\x0d\xb8\xaa\xaa\xbb\xbb\xcc\xcc\xdd\xdd\xee\xee\xff\xff"

/* --- an incident ------------------------------------------------------------------------------ */

static void send_process(const struct sink *to, uint32_t pid, const char *script,
			 const char *parent)
{
	char exe[] = "/usr/bin/python3", name[64];
	char *argv[] = {exe, name, NULL};
	struct process_identity p = {
		.id = {1, pid, 1}, .parent_tgid = 700, .uid = 1000, .exe = exe, .argv = argv};

	snprintf(name, sizeof(name), "/srv/app/%s", script);
	snprintf(p.comm, sizeof(p.comm), "%.15s", script);
	snprintf(p.parent_comm, sizeof(p.parent_comm), "%s", parent);
	assert_int_equal(to->process(to->ctx, &p), 0);
}

static void send_stack(const struct sink *to)
{
	char libc[] = "/usr/lib/x86_64-linux-gnu/libc.so.6", connect[] = "__connect";
	char file[] = "/srv/app/health.py", function[] = "check_health", main_name[] = "<module>";
	struct frame frames[] = {
		{.function = connect, .module = libc, .pc = 1},
		{.function = function, .file = file, .line = 42, .pc = 2},
		{.function = main_name, .file = file, .line = 99, .pc = 3},
	};
	struct stack_trace s = {STACK, {1, 812, 1}, 3, false, "python", frames};

	assert_int_equal(to->stack(to->ctx, &s), 0);
}

static struct churn_conn make_conn(uint64_t cookie, uint32_t pid, uint8_t role, uint64_t ts)
{
	struct churn_conn c = {
		.id = cookie,
		.open_ns = ts - 50000,
		.established_ns = ts,
		.stack = role == CHURN_CLIENT ? STACK : 0,
		.owner = {1, pid, 1},
		.tid = pid,
		.netns = 4026531840U,
		.local_port = (uint16_t)(32768 + cookie % 28000),
		.peer_port = 8888,
		.family = 4,
		.role = role,
		.attribution = CHURN_OWNER_EXACT,
		.comm = "check.py",
	};

	memcpy(c.local_addr, LOOPBACK, 16);
	memcpy(c.peer_addr, LOOPBACK, 16);
	if (role == CHURN_SERVER) {
		c.peer_port = c.local_port;
		c.local_port = 8888;
		memcpy(c.comm, "server.py", 10);
	}
	return c;
}

static void send_connection(const struct sink *to, uint64_t nr, uint64_t ts)
{
	struct churn_conn client = make_conn(2 * nr + 2, 812 + (uint32_t)nr % 3, CHURN_CLIENT, ts);
	struct churn_conn server = make_conn(2 * nr + 3, 900, CHURN_SERVER, ts);
	struct churn_open open = {.h = {ts, CHURN_CONNECT, sizeof(open)}, .conn = client};
	struct churn_end end = {
		.h = {ts + 2100000, CHURN_CLOSE, sizeof(end)},
		.conn = client,
		.close_stack = STACK,
		.bytes_sent = 120,
		.bytes_received = 1234,
		.data_segs_out = 1,
		.data_segs_in = 1,
		.segs_out = 5,
		.segs_in = 4,
		.time_wait = CHURN_TIME_WAIT_LOCAL,
	};

	server.local_port = 8888;
	server.peer_port = client.local_port;
	assert_int_equal(to->open(to->ctx, &open), 0);
	open = (struct churn_open){.h = {ts + 1, CHURN_ACCEPT, sizeof(open)}, .conn = server};
	assert_int_equal(to->open(to->ctx, &open), 0);
	end.conn.initiator = CHURN_END_LOCAL;
	assert_int_equal(to->end(to->ctx, &end), 0);
	end.h.ts_ns++;
	end.conn = server;
	end.conn.initiator = CHURN_END_PEER;
	end.time_wait = CHURN_TIME_WAIT_PEER;
	end.close_stack = 0;
	assert_int_equal(to->end(to->ctx, &end), 0);
}

static void send_failure(const struct sink *to, uint64_t nr, uint64_t ts)
{
	struct churn_conn c = make_conn(100000 + nr, 950, CHURN_CLIENT, ts);
	struct churn_end end = {.h = {ts, CHURN_FAILED, sizeof(end)},
				.error = EADDRNOTAVAIL,
				.cause = CHURN_CAUSE_EPHEMERAL_EXHAUSTED};

	c.established_ns = 0;
	c.local_port = 0;
	c.stack = 0;
	memcpy(c.comm, "dns\x1b[31m", 9);
	end.conn = c;
	assert_int_equal(to->end(to->ctx, &end), 0);
}

static void send_far_away(const struct sink *to, uint64_t ts)
{
	struct churn_conn c = make_conn(200000, 950, CHURN_CLIENT, ts);
	struct churn_open open = {.h = {ts, CHURN_CONNECT, sizeof(open)}};

	c.family = 6;
	c.peer_port = 65535;
	memcpy(c.local_addr, LONG_IPV6, 16);
	memcpy(c.peer_addr, LONG_IPV6, 16);
	open.conn = c;
	assert_int_equal(to->open(to->ctx, &open), 0);
}

static void send_incident(const struct sink *to)
{
	const struct source_start start = {START_WALL, START_MONO, false, NULL, 0};
	struct source_status status = {.in_progress = 2, .now_ns = START_MONO + 10 * SECOND};
	uint64_t i;

	assert_int_equal(to->start(to->ctx, &start), 0);
	for (i = 0; i < 3; i++)
		send_process(to, 812 + (uint32_t)i, "check.py", "supervisor");
	send_process(to, 900, "server.py", "systemd");
	send_process(to, 950, "dns.py", "systemd");
	send_stack(to);
	for (i = 0; i < 413; i++)
		send_connection(to, i, START_MONO + i * 24000000 + 60000);
	for (i = 0; i < 27; i++)
		send_failure(to, i, START_MONO + 9 * SECOND + i * 1000000);
	send_far_away(to, START_MONO + 9900000000ULL);
	status.lost[CHURN_LOST_RING_CLOSE] = 1234;
	status.stopped = true;
	assert_int_equal(to->status(to->ctx, &status), 0);
}

/* --- help ------------------------------------------------------------------------------------- */

/* Runs the incident through a trace view; the text is to be freed. */
static char *trace_incident(const struct trace_view_options *opts, struct trace_view **view)
{
	char *text = NULL;
	size_t len = 0;
	FILE *tmp = tmpfile();
	struct trace_view *v;
	struct sink to;

	assert_non_null(tmp);
	v = trace_view__new(tmp, opts);
	assert_non_null(v);
	to = trace_view__sink(v);
	send_incident(&to);
	len = (size_t)ftell(tmp);
	rewind(tmp);
	text = calloc(1, len + 1);
	assert_non_null(text);
	assert_int_equal(fread(text, 1, len, tmp), len);
	fclose(tmp);
	if (view)
		*view = v;
	else
		trace_view__free(v);
	return text;
}

static char *report_incident(enum view_format format, const struct report_options *more)
{
	const struct trace_view_options trace = {.format = VIEW_FOLDED};
	struct report_options opts = *more;
	struct findings findings;
	struct trace_view *v;
	char *text = NULL;
	size_t len = 0;
	FILE *out;

	free(trace_incident(&trace, &v));
	opts.start_wall_ns = START_WALL;
	opts.duration_ns = 10 * SECOND;
	assert_int_equal(model__seal(trace_view__model(v)), 0);
	assert_int_equal(findings__draw(&findings, trace_view__model(v), opts.duration_ns, NULL),
			 0);
	out = open_memstream(&text, &len);
	assert_non_null(out);
	assert_int_equal(report__print(out, format, trace_view__model(v), &findings, &opts), 0);
	fclose(out);
	findings__clear(&findings);
	trace_view__free(v);
	if (getenv("SHOW"))
		fputs(text, stdout);
	return text;
}

static void assert_has(const char *text, const char *part)
{
	if (!strstr(text, part))
		fail_msg("no \"%s\" in:\n%.6000s", part, text);
}

static void assert_has_not(const char *text, const char *part)
{
	if (strstr(text, part))
		fail_msg("\"%s\" in:\n%.6000s", part, text);
}

/* Every line of the text is a JSON object. Returns how many. */
static unsigned int assert_json(const char *text)
{
	static jsmntok_t tokens[65536];
	unsigned int lines = 0;

	while (*text) {
		const char *end = strchr(text, '\n');
		jsmn_parser parser;

		assert_non_null(end);
		jsmn_init(&parser);
		assert_true(jsmn_parse(&parser, text, (size_t)(end - text), tokens, 65536) > 0);
		assert_int_equal(tokens[0].type, JSMN_OBJECT);
		assert_int_equal(tokens[0].end, end - text);
		lines++;
		text = end + 1;
	}
	return lines;
}

static void assert_narrow(const char *text, unsigned int width)
{
	char line[4096];

	while (*text) {
		size_t len = strcspn(text, "\n");

		assert_true(len < sizeof(line));
		memcpy(line, text, len);
		line[len] = '\0';
		if (text_columns(line) > width)
			fail_msg("%u columns: %s", text_columns(line), line);
		text += len + (text[len] == '\n');
	}
}

/* --- tests ------------------------------------------------------------------------------------ */

static void traces_json_lines(void **state)
{
	const struct trace_view_options opts = {.format = VIEW_JSON, .stacks = true};
	char *text = trace_incident(&opts, NULL);

	(void)state;
	if (getenv("SHOW"))
		puts(text);
	assert_int_equal(assert_json(text), 413 * 4 + 27 + 1 + 2);
	assert_has(
		text,
		"{\"schema\":\"tcpchurn/1\",\"event\":{\"name\":\"connect\"},"
		"\"time\":\"2024-02-29T12:34:56.000060000Z\",\"process\":{\"pid\":812,"
		"\"parent_pid\":700,\"executable\":{\"name\":\"python3\",\"path\":"
		"\"/usr/bin/python3\"},\"command_line\":\"/usr/bin/python3 /srv/app/check.py\","
		"\"user\":{\"id\":1000}},\"thread\":{\"id\":812,\"name\":\"check.py\"},"
		"\"network\":{\"transport\":\"tcp\",\"type\":\"ipv4\",\"local\":{\"address\":"
		"\"127.0.0.1\",\"port\":32770},\"peer\":{\"address\":\"127.0.0.1\",\"port\":8888}},"
		"\"code\":{\"function\":{\"name\":\"check_health\"},\"file\":{\"path\":"
		"\"/srv/app/health.py\"},\"line\":{\"number\":42},\"stacktrace\":");
	assert_has(text, "\"reuse\":{\"avoidable\":true}");
	assert_has(text, "\"attribution\":\"exact\"");
	assert_has(text, "\"connection\":{\"lifetime_ns\":2100000,\"bytes_sent\":120,"
			 "\"bytes_received\":1234,\"segments_out\":5,\"segments_in\":4},"
			 "\"close\":{\"initiator\":\"local\"},\"time_wait\":{\"owner\":\"local\"},"
			 "\"closesite\":{\"function\":\"check_health\"");
	assert_has(text, "\"error\":{\"type\":\"EADDRNOTAVAIL\"}");
	assert_has(text, "\"failure\":{\"cause\":\"ephemeral_exhausted\"}");
	assert_has(text, "dns\\u001b[31m");
	assert_has(text, "\"lost\":{\"events\":1234,\"reason\":\"ring_close\"}");
	assert_has(text, "\"event\":{\"name\":\"summary\"}");
	assert_has(text,
		   "\"totals\":{\"opens\":414,\"accepts\":413,\"closes\":826,\"failures\":27,");
	assert_has_not(text, "\"port\":0");
	free(text);
}

static void traces_a_table(void **state)
{
	const struct trace_view_options opts = {.format = VIEW_TABLE, .seconds = true};
	char *text = trace_incident(&opts, NULL);

	(void)state;
	if (getenv("SHOW"))
		puts(text);
	assert_int_equal(strncmp(text, "TIME(s)    EVENT   PID     COMM ", 32), 0);
	assert_has(text, "connect 812     check.py 127.0.0.1:32770 127.0.0.1:8888      0.050  "
			 "check_health (health.py:42)");
	assert_has(text, "by us, 120 B out, 1,234 B in");
	assert_has(text, "EADDRNOTAVAIL, no free source port");
	assert_has(text, "[2001:db8:aaaa:bbbb:cccc:dddd:eeee:ffff]:65535");
	assert_has_not(text, "\x1b");
	free(text);
}

static void traces_csv(void **state)
{
	const struct trace_view_options opts = {.format = VIEW_CSV};
	char *text = trace_incident(&opts, NULL);

	(void)state;
	assert_int_equal(strncmp(text, "time,event,pid,comm,", 20), 0);
	assert_has(text, "2024-02-29T12:34:56.000060000Z,connect,812,check.py,check.py,client,"
			 "127.0.0.1,32770,127.0.0.1,8888,50000,,,,,,,check_health,"
			 "/srv/app/health.py,42,\n");
	free(text);
}

static void folds_stacks(void **state)
{
	const struct trace_view_options opts = {.format = VIEW_FOLDED};
	char *text = trace_incident(&opts, NULL);

	(void)state;
	assert_has(text, "check.py;<module>;check_health;__connect 413\n");
	assert_has(text, "dns.py;[unknown] 27\n");
	free(text);
}

static void begins_with_the_verdict(void **state)
{
	const struct report_options opts = {0};
	char *text = report_incident(VIEW_TABLE, &opts);
	const char *table = strstr(text, "PROCESS / destination");
	unsigned int lines = 0;
	const char *p;

	(void)state;
	assert_int_equal(strncmp(text, "critical: dns.py cannot connect to 127.0.0.1:8888:", 50),
			 0);
	assert_has(text, "\ncheck.py [3 processes of supervisor] opens 41.3/s to 127.0.0.1:8888 "
			 "(server.py, pid 900): 413 in\n  10 s, 410 avoidable with a "
			 "pool of 1 each, median life 2.1 ms, all closed by us: if kept up, about\n"
			 "  2,478 ports in TIME_WAIT\n");
	assert_has(text, "  from check_health (health.py:42)\n");
	assert_has(text, "dns.py [pid 950] cannot connect to 127.0.0.1:8888: "
			 "27 x EADDRNOTAVAIL, no free source port\n");
	assert_non_null(table);
	for (p = text; p < table; p++)
		lines += *p == '\n';
	assert_true(lines <= 10);
	free(text);
}

static void reports_a_table(void **state)
{
	static const unsigned int widths[] = {0, 60, 80, 100, 200};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(widths) / sizeof(widths[0]); i++) {
		struct report_options opts = {.width = widths[i], .stacks = i & 1};
		char *text = report_incident(VIEW_TABLE, &opts);

		assert_narrow(text, widths[i] && widths[i] < 100 ? widths[i] : 100);
		assert_has(text, "ACCEPTED BY");
		assert_has(text, "FINDINGS");
		assert_has(text, "NOT IN THESE NUMBERS");
		assert_has(text, "1,234 lost: closes: ring buffer full");
		assert_has(text, "2 connects in progress at the end, neither established nor");
		assert_has_not(text, "\x1b");
		if (widths[i] >= 100)
			assert_has(text, "[2001:db8:aaaa:bbbb:cccc:dddd:eeee:ffff]:65535");
		free(text);
	}
}

static void turns_by_callsite_and_destination(void **state)
{
	struct report_options opts = {.by = REPORT_BY_CALLSITE};
	char *text = report_incident(VIEW_TABLE, &opts);

	(void)state;
	assert_has(text, "CALL SITE / process to destination");
	assert_narrow(text, 100);
	free(text);
	opts.by = REPORT_BY_DESTINATION;
	text = report_incident(VIEW_TABLE, &opts);
	assert_has(text, "DESTINATION / process");
	assert_narrow(text, 100);
	free(text);
	text = report_incident(VIEW_JSON, &opts);
	assert_has(text, "\"by_destination\":[{\"netns\":4026531840,\"address\":\"127.0.0.1\","
			 "\"port\":8888,");
	free(text);
}

static void reports_json(void **state)
{
	const struct report_options opts = {0};
	char *text = report_incident(VIEW_JSON, &opts);

	(void)state;
	assert_int_equal(assert_json(text), 1);
	assert_has(text, "\"event\":{\"name\":\"report\"}");
	assert_has(text, "\"window\":{\"start\":\"2024-02-29T12:34:56.000000000Z\","
			 "\"duration_ns\":10000000000}");
	assert_has(text, "\"totals\":{\"opens\":414,");
	assert_has(text, "\"lost\":{\"events\":1234,\"by_reason\":{\"ring_close\":1234}}");
	assert_has(text, "\"in_progress\":2,\"orphan_closes\":0,"
			 "\"older_closes\":0,\"corrected\":0}");
	assert_has(text, "\"process_count\":3,\"pids\":[812,813,814]");
	assert_has(text, "\"failures\":{\"EADDRNOTAVAIL\":27}");
	assert_has(text, "\"pools\":[]");
	assert_has(text, "\"findings\":[{\"id\":");
	assert_has(text, "\"services\":[{\"netns\":4026531840,\"port\":8888,\"accepts\":413");
	free(text);
}

/* A recording loses nothing that a view shows. */
static void reports_a_recording_like_the_run(void **state)
{
	static const struct report_options ropts = {.duration_ns = 10 * SECOND};
	const struct trace_view_options opts = {.format = VIEW_JSON, .stacks = true};
	const struct recorder_options rec = {.version = "1"};
	char path[] = "/tmp/test_view.XXXXXX", *want = trace_incident(&opts, NULL), *report[2],
	     *got;
	struct replay_stats stats;
	struct trace_view *v[2];
	struct recorder *r;
	struct sink to;
	size_t len;
	int fd = mkstemp(path), i;
	FILE *tmp = tmpfile(), *out;

	(void)state;
	assert_true(fd >= 0);
	close(fd);
	r = recorder__open(path, &rec);
	assert_non_null(r);
	to = recorder__sink(r);
	send_incident(&to);
	assert_int_equal(recorder__close(r), 0);
	v[1] = trace_view__new(tmp, &opts);
	to = trace_view__sink(v[1]);
	assert_int_equal(replay__run(path, &to, NULL, &stats), 0);
	unlink(path);
	len = (size_t)ftell(tmp);
	got = calloc(1, len + 1);
	rewind(tmp);
	assert_int_equal(fread(got, 1, len, tmp), len);
	fclose(tmp);
	assert_string_equal(got, want);
	free(trace_incident(&opts, &v[0]));
	for (i = 0; i < 2; i++) {
		out = open_memstream(&report[i], &len);
		assert_int_equal(model__seal(trace_view__model(v[i])), 0);
		assert_int_equal(report_json__print(out, trace_view__model(v[i]), NULL, &ropts), 0);
		fclose(out);
		trace_view__free(v[i]);
	}
	assert_string_equal(report[0], report[1]);
	free(report[0]);
	free(report[1]);
	free(want);
	free(got);
}

static void reports_csv(void **state)
{
	const struct report_options opts = {.no_header = true};
	char *text = report_incident(VIEW_CSV, &opts);

	(void)state;
	assert_int_equal(strncmp(text, "check.py,,3,,4026531840,127.0.0.1,8888,check_health,", 52),
			 0);
	free(text);
}

static void reports_nothing(void **state)
{
	const struct report_options opts = {.start_wall_ns = START_WALL, .duration_ns = SECOND};
	struct model *m = model__new(&model_default_options);
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	(void)state;
	assert_non_null(m);
	assert_int_equal(model__seal(m), 0);
	assert_int_equal(report_table__print(out, m, NULL, &opts), 0);
	fflush(out);
	assert_string_equal(text, "No connection was opened, accepted or refused in 1 s.\n");
	rewind(out);
	assert_int_equal(report_json__print(out, m, NULL, &opts), 0);
	fclose(out);
	assert_has(text, "\"processes\":[],\"time_wait\":[],\"pools\":[],\"findings\":[]}\n");
	free(text);
	model__free(m);
}

static void says_when_the_reader_has_gone(void **state)
{
	const struct report_options opts = {.duration_ns = SECOND};
	struct model *m = model__new(&model_default_options);
	FILE *full = fopen("/dev/full", "w");

	(void)state;
	assert_non_null(m);
	if (!full)
		skip();
	assert_int_equal(model__seal(m), 0);
	assert_int_equal(report_json__print(full, m, NULL, &opts), -ENOSPC);
	fclose(full);
	model__free(m);
}

static void shortens_in_the_middle(void **state)
{
	char a[] = "a_very_long_function_name",
	     b[] = "\xc3\xa4\xc3\xb6\xc3\xbc\xc3\x9f\xc3\xa9\xc3\xa8";
	char c[] = "short";

	(void)state;
	assert_string_equal(text_shorten(a, 10), "a_ve...ame");
	assert_string_equal(text_shorten(b, 5), "\xc3\xa4...\xc3\xa8");
	assert_string_equal(text_shorten(c, 5), "short");
	assert_string_equal(text_shorten(c, 2), "sh");
}

static void wraps_paragraphs(void **state)
{
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	(void)state;
	put_paragraph(out, 20, "  fix ", 6,
		      "keep one connection abcdefghijklmnopqrstuvwxyz \x1b[0m");
	fclose(out);
	assert_narrow(text, 20);
	assert_string_equal(text, "  fix keep one\n      connection\n      abcdefghijklmn\n"
				  "      opqrstuvwxyz\n      ?[0m\n");
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(traces_json_lines),
		cmocka_unit_test(traces_a_table),
		cmocka_unit_test(traces_csv),
		cmocka_unit_test(folds_stacks),
		cmocka_unit_test(begins_with_the_verdict),
		cmocka_unit_test(reports_a_table),
		cmocka_unit_test(turns_by_callsite_and_destination),
		cmocka_unit_test(reports_json),
		cmocka_unit_test(reports_csv),
		cmocka_unit_test(reports_a_recording_like_the_run),
		cmocka_unit_test(reports_nothing),
		cmocka_unit_test(says_when_the_reader_has_gone),
		cmocka_unit_test(shortens_in_the_middle),
		cmocka_unit_test(wraps_paragraphs),
	};

	return cmocka_run_group_tests_name("view", tests, NULL, NULL);
}
