/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Records -> recording -> the same records, and what a damaged recording does. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include <cmocka.h>

#include "user/source/record.h"
#include "user/source/recording.h"
#include "user/source/replay.h"

#include "tests/unit/transcript.h"

#define START_WALL 1709210096123456789ULL
#define START_MONO 5000000000ULL

static char path[64];

static int setup(void **state)
{
	int fd;

	(void)state;
	strcpy(path, "/tmp/test_record.XXXXXX");
	fd = mkstemp(path);
	if (fd < 0)
		return -1;
	close(fd);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	unlink(path);
	return 0;
}

static uint64_t next_random(uint64_t *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 7;
	*seed ^= *seed << 17;
	return *seed;
}

static void make_conn(struct churn_conn *c, uint64_t ts, uint64_t *seed)
{
	static const char *const comms[] = {"check.py", "\xff\xfe cut \xc3", "a\"b\\c\n\x1b[0m",
					    "fifteen bytes!!"};
	uint64_t r = next_random(seed);

	memset(c, 0, sizeof(*c));
	c->id = r & 1 ? next_random(seed) & ~CHURN_ID_OWN : 0;
	c->established_ns = r & 2 ? ts - r % 1000 : 0;
	c->open_ns = (c->established_ns ? c->established_ns : ts) - next_random(seed) % 1000000;
	if ((r & 0xf00) == 0) { /* clocks that do not add up must come through, too */
		c->established_ns = ts + 5;
		c->open_ns = ts + 50;
	}
	c->search_ns = r & 1024 ? (uint32_t)next_random(seed) : 0;
	c->stack = r & 4 ? 0xfeedfacecafebeefULL + r % 7 : 0;
	c->owner.tgid = r & 8 ? 100 + (uint32_t)(r >> 32) % 5 : 0;
	c->owner.start_ns = c->owner.tgid ? UINT64_MAX - c->owner.tgid : 0;
	c->owner.exec_id = (uint32_t)r % 3;
	c->tid = c->owner.tgid;
	c->netns = 4026531840U;
	c->family = r & 16 ? 6 : 4;
	c->role = r & 32 ? CHURN_SERVER : CHURN_CLIENT;
	c->attribution = (uint8_t)(r % 3);
	if (c->family == 6) {
		memset(c->local_addr, 0x20, 16);
		memset(c->peer_addr, 0xfe, 16);
	} else {
		memcpy(c->local_addr, "\0\0\0\0\0\0\0\0\0\0\xff\xff\x7f\0\0\1", 16);
		memcpy(c->peer_addr, "\0\0\0\0\0\0\0\0\0\0\xff\xff\0\0\0\0", 16);
	}
	c->local_port = (uint16_t)next_random(seed);
	c->peer_port = r & 64 ? 8888 : 443;
	c->initiator = (uint8_t)(r % CHURN_END__COUNT);
	snprintf(c->comm, sizeof(c->comm), "%s", comms[(r >> 20) % 4]);
}

static void send_open(const struct sink *to, uint64_t ts, uint64_t *seed)
{
	struct churn_open e = {.h = {ts, CHURN_CONNECT, sizeof(e)}};

	make_conn(&e.conn, ts, seed);
	e.h.type = e.conn.role == CHURN_SERVER ? CHURN_ACCEPT : CHURN_CONNECT;
	assert_int_equal(to->open(to->ctx, &e), 0);
}

static void send_end(const struct sink *to, uint64_t ts, uint64_t *seed)
{
	struct churn_end e = {.h = {ts, CHURN_CLOSE, sizeof(e)}};
	uint64_t r = next_random(seed);

	make_conn(&e.conn, ts, seed);
	e.h.type = r & 1 ? CHURN_FAILED : r & 128 ? CHURN_BIND_FAILED : CHURN_CLOSE;
	e.close_stack = r & 8 ? UINT64_MAX : 0;
	e.bytes_sent = next_random(seed);
	e.bytes_received = r % 3;
	e.idle_ns = next_random(seed);
	e.ending_ns = r & 16 ? ts - r % 5000 : 0;
	e.segs_out = UINT32_MAX;
	e.segs_in = (uint32_t)next_random(seed);
	e.data_segs_out = (uint32_t)r % 4;
	e.data_segs_in = (uint32_t)r % 5;
	e.error = r & 32 ? EADDRNOTAVAIL : 0;
	e.cause = (uint8_t)(r % CHURN_CAUSE__COUNT);
	e.time_wait = (uint8_t)(r % 4);
	assert_int_equal(to->end(to->ctx, &e), 0);
}

static void send_process(const struct sink *to)
{
	static const char *const argv[] = {"/usr/bin/python3", "ch\xff.py",	   "",
					   "--name=\"x\"\n\t", "\xf0\x9f\x90\x8d", NULL};
	struct process_identity p = {
		.id = {UINT64_MAX, 4194304, 3},
		.parent_tgid = 1,
		.uid = UINT32_MAX,
		.cgroup = UINT64_MAX - 1,
		.comm = "python3\xc3",
		.parent_comm = "systemd",
		.exe = (char *)"/usr/bin/python3.11 (deleted)",
		.argv = (char **)argv,
		.cgroup_path = (char *)"/system.slice/check.service",
		.container_id =
			(char *)"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
	};
	struct process_identity unknown = {.id = {5, 6, 7}, .kernel = true};

	assert_int_equal(to->process(to->ctx, &p), 0);
	assert_int_equal(to->process(to->ctx, &unknown), 0);
}

static void send_stack(const struct sink *to)
{
	static char text[] = "/srv/app/health.py", strange[] = "operator\"\"_x<\xff>";
	static struct frame frames[300];
	struct stack_trace s = {
		.id = 0xfeedfacecafebeefULL,
		.process = {UINT64_MAX, 4194304, 3},
		.nr = 300,
		.truncated = true,
		.language = "python",
		.frames = frames,
	};
	struct stack_trace empty = {.id = 1};
	uint32_t i;

	for (i = 0; i < 300; i++) {
		frames[i] = (struct frame){text, text, NULL, 42, i, 0, i % 2};
	}
	frames[7] = (struct frame){NULL, NULL, text, 0, UINT64_MAX, 0x1234, false};
	frames[8].function = strange;
	assert_int_equal(to->stack(to->ctx, &s), 0);
	assert_int_equal(to->stack(to->ctx, &empty), 0);
}

static void send_run(const struct sink *to, unsigned int nr, bool with_end)
{
	static const uint32_t pids[] = {1, 4194304, UINT32_MAX};
	const struct source_start start = {START_WALL, START_MONO, true, pids, 3};
	struct source_status status = {.lost = {1, 2, 3}, .in_progress = 4};
	uint64_t seed = 88172645463325252ULL;
	unsigned int i;

	assert_int_equal(to->start(to->ctx, &start), 0);
	send_process(to);
	send_stack(to);
	for (i = 0; i < nr; i++) {
		uint64_t ts = START_MONO + 1000000 + i * 7919ULL;

		send_open(to, ts, &seed);
		send_end(to, ts + 1, &seed);
		if (i == nr / 2) {
			status.now_ns = ts + 2;
			assert_int_equal(to->status(to->ctx, &status), 0);
		}
	}
	status.lost[CHURN_LOST__COUNT - 1] = UINT64_MAX;
	status.lost_user = 9;
	status.stopped = true;
	status.now_ns = START_MONO + 60000000000ULL;
	if (with_end)
		assert_int_equal(to->status(to->ctx, &status), 0);
}

static void record_run(unsigned int nr, bool with_end)
{
	const struct recorder_options opts = {.version = "1", .options = "record -O x"};
	struct recorder *r = recorder__open(path, &opts);
	struct sink to;

	assert_non_null(r);
	to = recorder__sink(r);
	send_run(&to, nr, with_end);
	assert_int_equal(recorder__close(r), 0);
}

static int replay_into(struct transcript *t, struct replay_stats *stats)
{
	struct sink to = transcript_sink(t);

	return replay__run(path, &to, NULL, stats);
}

static char *slurp(size_t *len)
{
	gzFile f = gzopen(path, "rb");
	char *text = malloc(TEXT_SIZE);
	int n;

	assert_non_null(f);
	assert_non_null(text);
	n = gzread(f, text, TEXT_SIZE);
	assert_true(n > 0 && n < TEXT_SIZE);
	gzclose(f);
	*len = (size_t)n;
	return text;
}

static void spill(const char *data, size_t len)
{
	FILE *f = fopen(path, "wb");

	assert_non_null(f);
	assert_int_equal(fwrite(data, 1, len, f), len);
	fclose(f);
}

static char *read_raw(size_t *len)
{
	FILE *f = fopen(path, "rb");
	char *data = malloc(TEXT_SIZE);

	assert_non_null(f);
	assert_non_null(data);
	*len = fread(data, 1, TEXT_SIZE, f);
	fclose(f);
	return data;
}

/* Shows the first line that differs, not megabytes. */
static void assert_same(const char *want, const char *got)
{
	size_t line = 0, i;

	for (i = 0; want[i] && want[i] == got[i]; i++) {
		if (want[i] == '\n')
			line = i + 1;
	}
	if (want[i] != got[i])
		fail_msg("want %.500s\ngot  %.500s", want + line, got + line);
}

static void replays_the_same_records(void **state)
{
	struct transcript want = {.text = malloc(TEXT_SIZE)}, got = {.text = malloc(TEXT_SIZE)};
	struct sink to = transcript_sink(&want);
	struct replay_stats stats;

	(void)state;
	send_run(&to, 2000, true);
	record_run(2000, true);
	assert_int_equal(replay_into(&got, &stats), 0);
	assert_same(want.text, got.text);
	assert_int_equal(stats.bad_lines, 0);
	assert_int_equal(stats.events, 4000);
	assert_true(stats.complete);
	assert_int_equal(stats.start_wall_ns, START_WALL);
	assert_int_equal(stats.duration_ns, 60000000000ULL);
	free(want.text);
	free(got.text);
}

static void replays_plain_text(void **state)
{
	struct transcript t = {0};
	struct replay_stats stats;
	size_t len;
	char *text;

	(void)state;
	record_run(10, true);
	text = slurp(&len);
	spill(text, len - 1); /* without its last newline */
	assert_int_equal(replay_into(&t, &stats), 0);
	assert_int_equal(stats.bad_lines, 0);
	assert_int_equal(stats.events, 20);
	assert_true(stats.complete);
	free(text);
}

/* Contexts beyond the table's size come again and again. */
static void survives_many_contexts(void **state)
{
	struct transcript t = {0};
	struct replay_stats stats;
	const struct recorder_options opts = {0};
	const struct source_start start = {START_WALL, START_MONO, false, NULL, 0};
	struct recorder *r = recorder__open(path, &opts);
	struct sink to = recorder__sink(r);
	uint32_t i;

	(void)state;
	to.start(to.ctx, &start);
	for (i = 0; i < 3 * RECORDING_CONTEXTS; i++) {
		struct churn_open e = {.h = {START_MONO + i, CHURN_CONNECT, sizeof(e)}};

		e.conn.role = CHURN_CLIENT;
		e.conn.owner.tgid = 1 + i % (RECORDING_CONTEXTS + 99);
		assert_int_equal(to.open(to.ctx, &e), 0);
	}
	assert_int_equal(recorder__close(r), 0);
	assert_int_equal(replay_into(&t, &stats), 0);
	assert_int_equal(stats.bad_lines, 0);
	assert_int_equal(t.opens, 3 * RECORDING_CONTEXTS);
}

static void reads_a_cut_recording(void **state)
{
	struct replay_stats stats;
	size_t len, cut;
	char *data;

	(void)state;
	record_run(2000, true);
	data = read_raw(&len);
	for (cut = len - 1; cut > len / 2; cut -= len / 20) {
		struct transcript t = {0};

		spill(data, cut);
		assert_int_equal(replay_into(&t, &stats), 0);
		assert_true(stats.bad_lines >= 1 && stats.bad_lines <= 2);
		assert_true(t.last.stopped);
		assert_int_equal(t.last.lost_user, stats.bad_lines + (stats.complete ? 9 : 0));
	}
	free(data);
}

static void counts_bad_lines(void **state)
{
	static const char *const lines[] = {
		"nonsense",
		"{}",
		"[1,2]",
		"{\"schema\":\"other/1\",\"event\":{\"name\":\"close\"}}",
		"{\"schema\":\"tcpchurn/1\",\"event\":{\"name\":\"connect\"}}",
		"{\"schema\":\"tcpchurn/1\",\"event\":\"connect\"}",
		"{\"schema\":\"tcpchurn/1\",\"event\":{\"name\":\"hello\"}}",
		"{\"schema\":\"tcpchurn/1\",\"event\":{\"name\":\"connect\"},"
		"\"time\":\"2024-02-29T12:34:57.000000000Z\",\"tcpchurn\":{\"context\":7}}",
		"{\"schema\":\"tcpchurn/1\",\"event\":{\"name\":\"context\"},"
		"\"tcpchurn\":{\"context\":3,\"errno\":70000}}",
		"{\"schema\":\"tcpchurn/1\",\"event\":{\"name\":\"context\"},"
		"\"thread\":{\"name\":\"a name of more than 16\"},\"tcpchurn\":{\"context\":3}}",
		"{\"schema\":\"tcpchurn/1\",\"event\":{\"name\":\"context\"},"
		"\"network\":{\"peer\":{\"port\":65536}},\"tcpchurn\":{\"context\":3}}",
		"{\"schema\":\"tcpchurn/1\",\"event\":{\"name\":\"process\"},"
		"\"process\":{\"pid\":-1}}",
	};
	struct transcript t = {0};
	struct replay_stats stats;
	size_t len, i;
	char *text;
	FILE *f;

	(void)state;
	record_run(10, true);
	text = slurp(&len);
	f = fopen(path, "wb");
	for (i = 0; i < sizeof(lines) / sizeof(lines[0]); i++)
		fprintf(f, "%s\n", lines[i]);
	fwrite(text, 1, len, f);
	for (i = 0; i < sizeof(lines) / sizeof(lines[0]); i++)
		fprintf(f, "%s\n", lines[i]);
	for (i = 0; i < 3 * 1024 * 1024; i++)
		fputc('x', f);
	fprintf(f, "\n%s", lines[0]);
	fclose(f);
	assert_int_equal(replay_into(&t, &stats), 0);
	/* One of those in front passes for a start: then so does not the real one. */
	assert_true(stats.bad_lines >= 2 * sizeof(lines) / sizeof(lines[0]) + 2);
	assert_int_equal(t.opens + t.ends, 20);
	assert_int_equal(t.last.lost_user, stats.bad_lines + 9);
	free(text);
}

static void refuses_what_is_no_recording(void **state)
{
	struct transcript t = {0};
	struct replay_stats stats;

	(void)state;
	spill("", 0);
	assert_int_equal(replay_into(&t, &stats), -EBADMSG);
	spill("hello\nworld\n", 12);
	assert_int_equal(replay_into(&t, &stats), -EBADMSG);
	spill("\x1f\x8b\x08garbage", 10);
	assert_int_equal(replay_into(&t, &stats), -EBADMSG);
	assert_int_equal(t.statuses, 0);
	unlink(path);
	assert_int_equal(replay_into(&t, &stats), -ENOENT);
	assert_int_equal(mkdir(path, 0700), 0);
	assert_int_equal(replay_into(&t, &stats), -EISDIR);
	rmdir(path);
}

static void passes_on_what_the_sink_returns(void **state)
{
	struct transcript t = {.err = -EPIPE};
	struct replay_stats stats;
	volatile sig_atomic_t stop = 1;
	struct sink to = transcript_sink(&t);

	(void)state;
	record_run(10, true);
	assert_int_equal(replay_into(&t, &stats), -EPIPE);
	assert_int_equal(t.processes, 1);
	t.err = 0;
	assert_int_equal(replay__run(path, &to, &stop, &stats), 0);
	assert_int_equal(t.opens, 0);
	assert_true(t.last.stopped);
}

/* Damage anywhere, compressed or not: no crash, and never more than was recorded. */
static void survives_flipped_bits(void **state)
{
	uint64_t seed = 2463534242ULL;
	size_t len, text_len;
	char *data, *text;
	int i;

	(void)state;
	record_run(300, true);
	data = read_raw(&len);
	text = slurp(&text_len);
	for (i = 0; i < 400; i++) {
		char *from = i & 1 ? data : text;
		size_t size = i & 1 ? len : text_len;
		char *copy = malloc(size);
		int flips = 1 + (int)(next_random(&seed) % 30);
		struct transcript t = {0};
		struct replay_stats stats;
		int err;

		memcpy(copy, from, size);
		while (flips--)
			copy[next_random(&seed) % size] ^= (char)(1 << next_random(&seed) % 8);
		spill(copy, size);
		err = replay_into(&t, &stats);
		assert_true(err == 0 || err == -EBADMSG);
		assert_true(t.opens <= 301 && t.ends <= 301);
		free(copy);
	}
	free(data);
	free(text);
}

static void never_follows_a_link(void **state)
{
	const struct recorder_options opts = {0};
	char target[80];
	struct stat st;

	(void)state;
	snprintf(target, sizeof(target), "%s.target", path);
	spill("keep", 4);
	assert_int_equal(rename(path, target), 0);
	assert_int_equal(symlink(target, path), 0);
	assert_null(recorder__open(path, &opts));
	assert_int_equal(errno, ELOOP);
	assert_int_equal(stat(target, &st), 0);
	assert_int_equal(st.st_size, 4);
	unlink(target);
	unlink(path);
	record_run(1, true);
	assert_int_equal(chmod(path, 0644), 0);
	record_run(1, true);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
}

static void ends_on_a_full_disk(void **state)
{
	const struct recorder_options opts = {0};
	const struct source_start start = {START_WALL, START_MONO, false, NULL, 0};
	struct recorder *r = recorder__open("/dev/full", &opts);
	struct churn_open e = {.h = {START_MONO, CHURN_CONNECT, sizeof(e)}};
	struct sink to;
	int i, err = 0;

	(void)state;
	if (!r)
		skip();
	to = recorder__sink(r);
	assert_int_equal(to.start(to.ctx, &start), 0);
	for (i = 0; !err && i < 1000000; i++) {
		e.conn.id = (uint64_t)i * 0x9e3779b97f4a7c15ULL;
		err = to.open(to.ctx, &e);
	}
	assert_int_equal(err, -ENOSPC);
	assert_int_equal(to.open(to.ctx, &e), -ENOSPC);
	assert_int_equal(recorder__close(r), -ENOSPC);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(replays_the_same_records, setup, teardown),
		cmocka_unit_test_setup_teardown(replays_plain_text, setup, teardown),
		cmocka_unit_test_setup_teardown(survives_many_contexts, setup, teardown),
		cmocka_unit_test_setup_teardown(reads_a_cut_recording, setup, teardown),
		cmocka_unit_test_setup_teardown(counts_bad_lines, setup, teardown),
		cmocka_unit_test_setup_teardown(refuses_what_is_no_recording, setup, teardown),
		cmocka_unit_test_setup_teardown(passes_on_what_the_sink_returns, setup, teardown),
		cmocka_unit_test_setup_teardown(survives_flipped_bits, setup, teardown),
		cmocka_unit_test_setup_teardown(never_follows_a_link, setup, teardown),
		cmocka_unit_test_setup_teardown(ends_on_a_full_disk, setup, teardown),
	};

	return cmocka_run_group_tests_name("record", tests, NULL, NULL);
}
