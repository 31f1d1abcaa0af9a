/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The text files of /proc and of JIT compilers: mappings, perf maps and the names in them. */
#include "user/callsite/perf_map.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
/* After the four that it needs. */
#include <cmocka.h>

#include "user/callsite/jit_name.h"
#include "user/callsite/file_cache.h"
#include "user/callsite/maps.h"
#include "user/callsite/proc.h"
#include "user/callsite/process_maps.h"

static struct perf_map parse(const char *text)
{
	struct perf_map m = {};

	assert_int_equal(perf_map__add(&m, text, strlen(text)), 0);
	return m;
}

static void test_perf_map_lines(void **state)
{
	struct perf_map m = parse("2000 10 second\n"
				  "1000 100 first one\n"
				  "0x3000 0x20 third\n"
				  "1000 20 first again\n"
				  "4000 10 unfinished");

	(void)state;
	assert_null(perf_map__find(&m, 0xfff));
	assert_string_equal(perf_map__find(&m, 0x1000), "first again");
	assert_string_equal(perf_map__find(&m, 0x1020), "first one");
	assert_null(perf_map__find(&m, 0x1100));
	assert_string_equal(perf_map__find(&m, 0x200f), "second");
	assert_null(perf_map__find(&m, 0x2010));
	assert_string_equal(perf_map__find(&m, 0x301f), "third");
	assert_null(perf_map__find(&m, 0x4000));
	assert_null(perf_map__find(&m, UINT64_MAX));
	perf_map__clear(&m);
	assert_null(perf_map__find(&m, 0x1000));
}

static void test_perf_map_hostile(void **state)
{
	static const char *const texts[] = {
		"",
		"\n\n\n",
		"1000\n",
		"1000 \n",
		"1000 10\n",
		"1000 10 \n",
		"-1000 10 a\n",
		"1000 0 a\n",
		"ffffffffffffffff 10 a\n",
		"10000000000000000 10 a\n",
		"1000 100000000 a\n",
		"1000 ffffffffffffffff a\n",
		"zzzz 10 a\n",
		" 1000 10 a\n",
		"1000\t10\ta\n",
	};
	char nul[] = "1000 10 a\0b\n2000 10 c\n";
	struct perf_map m = {};
	char *line;

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		m = parse(texts[i]);
		assert_int_equal(m.nr, 0);
		perf_map__clear(&m);
	}
	line = malloc(1 << 20);
	memset(line, 'x', 1 << 20);
	memcpy(line, "1000 10 ", 8);
	memcpy(line + (1 << 20) - 12, "\n2000 10 ok\n", 12);
	assert_int_equal(perf_map__add(&m, line, 1 << 20), 0);
	assert_null(perf_map__find(&m, 0x1000));
	assert_string_equal(perf_map__find(&m, 0x2000), "ok");
	perf_map__clear(&m);
	free(line);

	assert_int_equal(perf_map__add(&m, nul, sizeof(nul) - 1), 0);
	assert_string_equal(perf_map__find(&m, 0x1000), "a");
	assert_string_equal(perf_map__find(&m, 0x2000), "c");
	perf_map__clear(&m);
}

static int read_own_map(struct perf_map *m)
{
	const struct churn_id id = {.tgid = (uint32_t)getpid()};
	int proc = proc__open(&id), err;

	assert_true(proc >= 0);
	err = perf_map__update(m, proc);
	close(proc);
	return err;
}

/* In the place of the file: a FIFO must not block, a device or a directory not be read. */
static void test_perf_map_file(void **state)
{
	struct perf_map m = {};
	char path[64];
	FILE *file;

	(void)state;
	snprintf(path, sizeof(path), "/tmp/perf-%d.map", getpid());
	assert_int_equal(read_own_map(&m), -ENOENT);
	assert_int_equal(mkfifo(path, 0600), 0);
	assert_int_equal(read_own_map(&m), -EACCES);
	unlink(path);
	assert_int_equal(symlink("/dev/zero", path), 0);
	assert_int_equal(read_own_map(&m), -EACCES);
	unlink(path);
	assert_int_equal(symlink("/proc/self/mem", path), 0);
	assert_true(read_own_map(&m) < 0 || !m.nr);
	perf_map__clear(&m);
	unlink(path);

	file = fopen(path, "w");
	assert_non_null(file);
	fputs("1000 10 a\n", file);
	fclose(file);
	assert_int_equal(read_own_map(&m), 0);
	assert_string_equal(perf_map__find(&m, 0x1000), "a");
	perf_map__clear(&m);
	if (!geteuid() && !chown(path, 12345, 12345))
		assert_int_equal(read_own_map(&m), -EACCES);
	unlink(path);
}

static void write_map_of(pid_t pid, const char *mode, const char *text)
{
	char path[64];
	FILE *file;

	snprintf(path, sizeof(path), "/tmp/perf-%d.map", pid);
	if (!mode) {
		unlink(path);
		mode = "w";
	}
	file = fopen(path, mode);
	assert_non_null(file);
	fputs(text, file);
	fclose(file);
}

static void write_map(const char *mode, const char *text)
{
	write_map_of(getpid(), mode, text);
}

static void expect_names(struct perf_map *m, const char *a, const char *b, const char *c)
{
	const char *const names[] = {a, b, c};

	assert_int_equal(read_own_map(m), 0);
	for (uint64_t i = 0; i < 3; i++) {
		const char *name = perf_map__find(m, (i + 1) * 0x1000);

		assert_true(!name == !names[i]);
		if (name)
			assert_string_equal(name, names[i]);
	}
}

/* It grows while it is read, and some programs write it all anew. */
static void test_perf_map_grows(void **state)
{
	struct perf_map m = {};
	const char *text;
	char path[64];

	(void)state;
	write_map(NULL, "");
	expect_names(&m, NULL, NULL, NULL);
	write_map("a", "2000 10 b\n");
	expect_names(&m, NULL, "b", NULL);
	write_map("a", "1000 10 a\n3000 10 unfin");
	expect_names(&m, "a", "b", NULL);
	write_map("a", "ished\n");
	expect_names(&m, "a", "b", "unfinished");
	text = m.text;
	expect_names(&m, "a", "b", "unfinished");
	assert_ptr_equal(m.text, text); /* nothing new: nothing is read */
	/* Other code at an address that had a name. */
	write_map("a", "2000 10 moved\n2800 10 more\n");
	expect_names(&m, "a", "moved", "unfinished");
	assert_int_equal(m.nr, 5);
	for (size_t i = 1; i < m.nr; i++)
		assert_true(m.at[i - 1].start <= m.at[i].start);
	/* Written anew: shorter, and longer than before. */
	write_map("w", "1000 10 only\n");
	expect_names(&m, "only", NULL, NULL);
	assert_int_equal(m.nr, 1);
	write_map("w", "3000 10 third\n1000 10 first\n2000 10 second\n");
	expect_names(&m, "first", "second", "third");
	assert_int_equal(m.nr, 3);
	/* Another file by that name, which begins like the first. */
	write_map(NULL, "3000 10 third\n1000 10 first\n2000 10 second\n2000 10 other\n");
	expect_names(&m, "first", "other", "third");
	assert_int_equal(m.nr, 4);
	write_map(NULL, "");
	expect_names(&m, NULL, NULL, NULL);
	perf_map__clear(&m);
	snprintf(path, sizeof(path), "/tmp/perf-%d.map", getpid());
	unlink(path);
}

/* As long as the one before, and the same at its end. */
static void test_perf_map_replaced(void **state)
{
	static const char filler[] =
		"9000 10 "
		"a long line that is the same at the end of both of the files that "
		"are told from each other by their number alone\n";
	struct perf_map m = {};
	char path[64], other[80];

	(void)state;
	write_map(NULL, "1000 10 first\n");
	write_map("a", filler);
	expect_names(&m, "first", NULL, NULL);
	snprintf(path, sizeof(path), "/tmp/perf-%d.map", getpid());
	snprintf(other, sizeof(other), "%s.old", path);
	assert_int_equal(rename(path, other), 0); /* its number is not given away */
	write_map("w", "1000 10 other\n");
	write_map("a", filler);
	expect_names(&m, "other", NULL, NULL);
	perf_map__clear(&m);
	unlink(path);
	unlink(other);
}

/* Of a file that claims to be huge the end is read; of too many lines, so many. */
static void test_perf_map_huge(void **state)
{
	static const char line[] = "1 1 a\n", end[] = "\n1000 10 end\n";
	const size_t nr = (2U << 20) + 10, len = sizeof(line) - 1;
	struct perf_map m = {};
	char path[64], *text;
	int fd;

	(void)state;
	snprintf(path, sizeof(path), "/tmp/perf-%d.map", getpid());
	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, end, sizeof(end) - 1, 1L << 40), sizeof(end) - 1);
	close(fd);
	expect_names(&m, "end", NULL, NULL);
	perf_map__clear(&m);
	unlink(path);

	text = malloc(nr * len);
	assert_non_null(text);
	for (size_t i = 0; i < nr; i++)
		memcpy(text + i * len, line, len);
	assert_int_equal(perf_map__add(&m, text, nr * len), 0);
	assert_int_equal(m.nr, nr - 10);
	perf_map__clear(&m);
	free(text);
}

/* A process goes on as another program, which generates code of its own. */
static void test_perf_map_of_the_next_program(void **state)
{
	struct file_cache *files = file_cache__new(8);
	struct churn_id id = {0};
	struct process_maps *p;
	char path[64], byte;
	int in[2], out[2];
	pid_t pid;

	(void)state;
	assert_int_equal(pipe2(in, O_CLOEXEC) | pipe2(out, O_CLOEXEC), 0);
	pid = fork();
	if (!pid) {
		dup2(in[0], 0);
		dup2(out[1], 1);
		execl("/bin/sh", "sh", "-c", "echo; read x; exec cat", NULL);
		_exit(1);
	}
	assert_int_equal(read(out[0], &byte, 1), 1);
	id.tgid = (uint32_t)pid;
	write_map_of(pid, NULL, "1000 10 before\n");
	p = process_maps__new(&id, files);
	assert_non_null(p);
	assert_string_equal(process_maps__jit_name(p, 0x1000), "before");
	assert_int_equal(write(in[1], "\n.", 2), 2);
	assert_int_equal(read(out[0], &byte, 1), 1); /* from cat */
	write_map_of(pid, "w", "1000 10 other\n");
	usleep(50000); /* what is younger is not looked at again */
	assert_string_equal(process_maps__jit_name(p, 0x1000), "before");
	process_maps__free(p);
	file_cache__free(files);
	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	snprintf(path, sizeof(path), "/tmp/perf-%d.map", pid);
	unlink(path);
}

static void test_jit_names(void **state)
{
	static const struct {
		const char *name, *function, *file;
		uint32_t line;
	} names[] = {
		{"JS:*fetch file:///srv/app.mjs:10:20", "fetch", "/srv/app.mjs", 10},
		{"LazyCompile:~poll /srv/my app.js:7:1", "poll", "/srv/my app.js", 7},
		{"JS:^get body /srv/app.js:7:1", "get body", "/srv/app.js", 7},
		{"JS:'connect node:net:1034:17", "connect", "node:net", 1034},
		{"Script:~ /srv/app.js:1:1", "(anonymous)", "/srv/app.js", 1},
		{"JS:*f", "JS:*f", NULL, 0},
		{"JS:", "JS:", NULL, 0},
		{"JS:*f x:1", "JS:*f x:1", NULL, 0},
		{"JS:*f :1:2", "f", "", 1},
		{"JS:*f x:99999999999:1", "JS:*f x:99999999999:1", NULL, 0},
		{"Builtin:CallFunction", "Builtin:CallFunction", NULL, 0},
		{"Lorg/app/Main;::dial", "Lorg/app/Main;::dial", NULL, 0},
	};
	struct location at;

	(void)state;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		assert_int_equal(jit_name__parse(names[i].name, &at), 0);
		assert_string_equal(at.function, names[i].function);
		assert_true(!at.file == !names[i].file);
		if (at.file)
			assert_string_equal(at.file, names[i].file);
		assert_int_equal(at.line, names[i].line);
		location__clear(&at);
	}
}

static void test_java_names(void **state)
{
	static const char *const names[][2] = {
		{"void Shop.dial()", "Shop.dial"},
		{"int sun.nio.ch.Net.connect0(boolean, java.io.FileDescriptor, int)",
		 "sun.nio.ch.Net.connect0"},
		{"void java.net.Socket.<init>(java.lang.String, int)", "java.net.Socket.<init>"},
		{"java.lang.Object Shop$$Lambda$14/0x00000008000cc.apply(java.lang.Object)",
		 "Shop$$Lambda$14/0x00000008000cc.apply"},
		{"StubRoutines (1)", "StubRoutines (1)"},
		{"I2C/C2I adapters", "I2C/C2I adapters"},
		{"Interpreter", "Interpreter"},
		{"(", "("},
		{"()", "()"},
		{" (", " ("},
		{"", ""},
	};
	struct location at;

	(void)state;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		assert_int_equal(jit_name__parse_java(names[i][0], &at), 0);
		assert_string_equal(at.function, names[i][1]);
		assert_null(at.file);
		location__clear(&at);
	}
}

static void test_maps(void **state)
{
	char text[] = "00400000-00401000 r--p 00000000 fe:01 42 /usr/bin/app\n"
		      "00401000-00403000 r-xp 00001000 fe:01 42 /usr/bin/app\n"
		      "00500000-00501000 rw-p 00000000 00:00 0\n"
		      "7f0000000000-7f0000002000 r-xp 00000000 00:00 0 \n"
		      "7f0000100000-7f0000102000 r-xp 00004000 00:1f 7   /tmp/a b (deleted)\n"
		      "7f0000103000-7f0000101000 r-xp 00004000 00:1f 7 /backwards\n"
		      "nonsense\n"
		      "7fff00000000-7fff00001000 r-xp 00000000 00:00 0    [vdso]\n";
	struct maps m;

	(void)state;
	assert_int_equal(maps__parse(&m, text), 0);
	assert_int_equal(m.nr, 4);
	assert_null(maps__find(&m, 0x400fff));
	assert_string_equal(maps__find(&m, 0x401000)->path, "/usr/bin/app");
	assert_int_equal(maps__find(&m, 0x402fff)->offset, 0x1000);
	assert_int_equal(maps__find(&m, 0x402fff)->inode, 42);
	assert_int_equal(maps__find(&m, 0x402fff)->major, 0xfe);
	assert_null(maps__find(&m, 0x403000));
	assert_null(maps__find(&m, 0x7f0000000000)->path);
	assert_string_equal(maps__find(&m, 0x7f0000101fff)->path, "/tmp/a b");
	assert_string_equal(maps__find(&m, 0x7fff00000000)->path, "[vdso]");
	assert_null(maps__find(&m, UINT64_MAX));
	maps__clear(&m);
	assert_null(maps__find(&m, 0x401000));
}

/* Links lead nowhere but into the root. */
static void test_open_in_root(void **state)
{
	char dir[] = "/tmp/test_root.XXXXXX", path[64];
	int root, fd;

	(void)state;
	assert_non_null(mkdtemp(dir));
	root = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	assert_true(root >= 0);
	snprintf(path, sizeof(path), "%s/out", dir);
	assert_int_equal(symlink("/etc/passwd", path), 0);
	assert_int_equal(proc__open_in_root(root, "/out", NULL), -ENOENT);
	assert_int_equal(proc__open_in_root(root, "../../etc/passwd", NULL), -ENOENT);
	assert_int_equal(proc__open_in_root(root, "/", NULL), -EACCES);
	unlink(path);
	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	close(fd);
	fd = proc__open_in_root(root, "/../out", NULL);
	assert_true(fd >= 0);
	close(fd);
	close(root);
	unlink(path);
	rmdir(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_perf_map_lines),
		cmocka_unit_test(test_perf_map_hostile),
		cmocka_unit_test(test_perf_map_file),
		cmocka_unit_test(test_perf_map_grows),
		cmocka_unit_test(test_perf_map_replaced),
		cmocka_unit_test(test_perf_map_huge),
		cmocka_unit_test(test_perf_map_of_the_next_program),
		cmocka_unit_test(test_jit_names),
		cmocka_unit_test(test_java_names),
		cmocka_unit_test(test_maps),
		cmocka_unit_test(test_open_in_root),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
