/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The symbolizer against programs built here with the system's compiler, which report their own
 * stacks. Needs no root: the programs are our children. */
#include "user/callsite/symbolizer.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
/* After the four that it needs. */
#include <cmocka.h>

#define MAX_CHILDREN 8

static const char program_source[] =
	"#include <dlfcn.h>\n"
	"#include <execinfo.h>\n"
	"#include <stdlib.h>\n"
	"#include <unistd.h>\n"
	"#define NOINLINE __attribute__((noinline))\n"
	"#define INLINE static inline __attribute__((always_inline))\n"
	"NOINLINE void report(void)\n"
	"{\n"
	"	void *pc[32];\n"
	"	long nr = backtrace(pc, 32);\n" /* program.c:10 */
	"	pc[0] = (char *)pc[0] - 1;\n"	/* into the call: pc[0] is exact */
	"	if (write(1, &nr, sizeof(nr)) > 0 && write(1, pc, nr * 8) > 0)\n"
	"		if (read(0, &nr, 1) < 0)\n"
	"			abort();\n"
	"}\n"
	"#line 100 \"deep.c\"\n"
	"INLINE void inner(int x)\n"
	"{\n"
	"	if (x)\n"
	"		report();\n" /* deep.c:103 */
	"	__asm__ volatile(\"\");\n"
	"}\n"
	"INLINE void middle(int x)\n"
	"{\n"
	"	inner(x);\n" /* deep.c:108 */
	"	__asm__ volatile(\"\");\n"
	"}\n"
	"#line 200 \"program.c\"\n"
	"NOINLINE void outer(int x)\n"
	"{\n"
	"	middle(x);\n" /* program.c:202 */
	"	__asm__ volatile(\"\");\n"
	"}\n"
	"#ifndef LIBRARY\n"
	"int main(int argc, char **argv)\n"
	"{\n"
	"	void (*entry)(int) = outer;\n"
	"	for (int i = 1; i < argc; i++) {\n"
	"		outer(argc);\n"
	"		if (argv[i][0] != '/')\n"
	"			continue;\n"
	"		entry = (void (*)(int))dlsym(dlopen(argv[i], RTLD_NOW), \"outer\");\n"
	"		if (!entry)\n"
	"			execl(argv[i], argv[i], NULL);\n"
	"		entry(argc);\n"
	"		return 0;\n"
	"	}\n"
	"	entry(argc);\n"
	"	return 0;\n"
	"}\n"
	"#endif\n";

struct child {
	pid_t pid;
	int in, out;
	struct churn_stack stack; /* its latest report */
};

struct fixture {
	char dir[64];
	struct symbolizer *symbolizer;
	struct child children[MAX_CHILDREN];
	int nr_children;
};

static void run(struct fixture *f, const char *command)
{
	char line[1024];

	snprintf(line, sizeof(line), "cd %s && %s", f->dir, command);
	if (system(line))
		fail_msg("failed: %s", line);
}

static int make_programs(void **state)
{
	static struct fixture f;
	char path[128];
	FILE *file;

	f = (struct fixture){.dir = "/tmp/test_symbolizer.XXXXXX"};
	if (!mkdtemp(f.dir))
		return -1;
	snprintf(path, sizeof(path), "%s/program.c", f.dir);
	file = fopen(path, "w");
	if (!file || fputs(program_source, file) < 0 || fclose(file))
		return -1;
	run(&f, "cc -O2 -g program.c -o pie -ldl");
	run(&f, "cc -O2 -g -no-pie program.c -o fixed -ldl");
	run(&f, "cc -O2 -gdwarf-4 -gsplit-dwarf program.c -o split -ldl");
	run(&f, "strip -o stripped pie");
	run(&f,
	    "objcopy -S --keep-symbol=report --keep-symbol=outer pie mini.elf && xz mini.elf && "
	    "objcopy --add-section .gnu_debugdata=mini.elf.xz stripped mini");
	run(&f, "cc -O2 -rdynamic -s program.c -o exported -ldl");
	run(&f, "cc -O2 -g -Wl,--build-id=none program.c -o linked -ldl");
	run(&f, "objcopy --only-keep-debug linked linked.debug && "
		"strip linked && objcopy --add-gnu-debuglink=linked.debug linked");
	run(&f, "cc -O2 -g -fPIC -shared -DLIBRARY program.c -o libprogram.so");
	*state = &f;
	return 0;
}

static int remove_programs(void **state)
{
	char line[128];
	struct fixture *f = *state;

	snprintf(line, sizeof(line), "rm -rf %s", f->dir);
	return system(line);
}

static int begin(void **state)
{
	struct fixture *f = *state;

	f->nr_children = 0;
	f->symbolizer = symbolizer__new(NULL);
	return f->symbolizer ? 0 : -1;
}

static void end_child(struct child *c)
{
	if (c->pid <= 0)
		return;
	kill(c->pid, SIGKILL);
	waitpid(c->pid, NULL, 0);
	close(c->in);
	close(c->out);
	c->pid = 0;
}

static int end(void **state)
{
	struct fixture *f = *state;

	while (f->nr_children)
		end_child(&f->children[--f->nr_children]);
	symbolizer__free(f->symbolizer);
	return 0;
}

static void read_all(int fd, void *buf, size_t size)
{
	size_t at = 0;

	while (at < size) {
		ssize_t n = read(fd, (char *)buf + at, size - at);

		assert_true(n > 0);
		at += (size_t)n;
	}
}

static void read_report(struct child *c)
{
	uint64_t nr;

	read_all(c->out, &nr, sizeof(nr));
	assert_in_range(nr, 2, 32);
	read_all(c->out, c->stack.pc, nr * sizeof(uint64_t));
	c->stack.nr = (uint16_t)nr;
}

static void next_report(struct child *c)
{
	assert_int_equal(write(c->in, "", 1), 1);
	read_report(c);
}

static struct child *start(struct fixture *f, const char *name, const char *arg1, const char *arg2)
{
	struct child *c = &f->children[f->nr_children++];
	int in[2], out[2];
	char path[128];

	assert_in_range(f->nr_children, 1, MAX_CHILDREN);
	snprintf(path, sizeof(path), "%s/%s", f->dir, name);
	assert_int_equal(pipe2(in, O_CLOEXEC), 0);
	assert_int_equal(pipe2(out, O_CLOEXEC), 0);
	*c = (struct child){.pid = fork(), .in = in[1], .out = out[0]};
	if (!c->pid) {
		dup2(in[0], 0);
		dup2(out[1], 1);
		execl(path, path, arg1, arg1 ? arg2 : NULL, NULL);
		_exit(1);
	}
	close(in[0]);
	close(out[1]);
	c->stack.process.tgid = (uint32_t)c->pid;
	read_report(c);
	return c;
}

static void assert_place(const struct frame *f, const char *function, const char *file,
			 uint32_t line)
{
	assert_non_null(f->function);
	assert_string_equal(f->function, function);
	if (!file) {
		assert_null(f->file);
		return;
	}
	assert_non_null(f->file);
	assert_non_null(strstr(f->file, file));
	assert_int_equal(f->line, line);
}

/* report <- inner <- middle <- outer: the last three are one physical frame. */
static void assert_full_stack(const struct stack_trace *t, const char *module)
{
	assert_true(t->nr >= 5);
	assert_place(&t->frames[0], "report", "program.c", 10);
	assert_place(&t->frames[1], "inner", "deep.c", 103);
	assert_place(&t->frames[2], "middle", "deep.c", 108);
	assert_place(&t->frames[3], "outer", "program.c", 202);
	assert_false(t->frames[0].inlined);
	assert_true(t->frames[1].inlined);
	assert_true(t->frames[2].inlined);
	assert_false(t->frames[3].inlined);
	assert_true(t->frames[1].pc == t->frames[3].pc);
	assert_non_null(strstr(t->frames[3].module, module));
	assert_string_equal(t->language, "native");
}

static void assert_resolves(struct fixture *f, struct child *c, const char *module)
{
	struct stack_trace t;

	assert_int_equal(symbolizer__resolve(f->symbolizer, &c->stack, &t), 0);
	assert_full_stack(&t, module);
	stack_trace__clear(&t);
}

static void test_builds(void **state)
{
	static const char *const names[] = {"pie", "fixed", "linked"};
	struct fixture *f = *state;

	for (int i = 0; i < 3; i++)
		assert_resolves(f, start(f, names[i], NULL, NULL), names[i]);
}

static void test_frames_of_libc(void **state)
{
	struct fixture *f = *state;
	struct child *c = start(f, "pie", NULL, NULL);
	struct stack_trace t;

	assert_int_equal(symbolizer__resolve(f->symbolizer, &c->stack, &t), 0);
	assert_place(&t.frames[4], "main", "program.c", 219);
	assert_non_null(strstr(t.frames[5].module, "libc"));
	assert_non_null(strstr(t.frames[5].function, "libc_start"));
	assert_int_equal(stack_trace__application_frame(&t, NULL, 0), 0);
	stack_trace__clear(&t);
}

static void test_stripped(void **state)
{
	struct fixture *f = *state;
	struct child *c = start(f, "stripped", NULL, NULL);
	struct stack_trace t;

	assert_int_equal(symbolizer__resolve(f->symbolizer, &c->stack, &t), 0);
	for (int i = 0; i < 3; i++) {
		assert_null(t.frames[i].function);
		assert_null(t.frames[i].file);
		assert_non_null(strstr(t.frames[i].module, "stripped"));
		assert_true(t.frames[i].offset);
	}
	assert_int_equal(stack_trace__application_frame(&t, NULL, 0), 0);
	stack_trace__clear(&t);
}

static void test_exported_names(void **state)
{
	struct fixture *f = *state;
	struct child *c = start(f, "exported", NULL, NULL);
	struct stack_trace t;

	assert_int_equal(symbolizer__resolve(f->symbolizer, &c->stack, &t), 0);
	assert_place(&t.frames[0], "report", NULL, 0);
	assert_place(&t.frames[1], "outer", NULL, 0);
	assert_place(&t.frames[2], "main", NULL, 0);
	stack_trace__clear(&t);
}

static void test_mini_debug_info(void **state)
{
	struct fixture *f = *state;
	struct child *c = start(f, "mini", NULL, NULL);
	struct stack_trace t;

	assert_int_equal(symbolizer__resolve(f->symbolizer, &c->stack, &t), 0);
	assert_place(&t.frames[0], "report", NULL, 0);
	assert_place(&t.frames[1], "outer", NULL, 0);
	assert_null(t.frames[2].function); /* main: it has none in there */
	stack_trace__clear(&t);
}

/* The .dwo file is not opened: the line is there, what is inlined is not. */
static void test_split_dwarf(void **state)
{
	struct fixture *f = *state;
	struct child *c = start(f, "split", NULL, NULL);
	struct stack_trace t;

	assert_int_equal(symbolizer__resolve(f->symbolizer, &c->stack, &t), 0);
	assert_place(&t.frames[0], "report", "program.c", 10);
	assert_place(&t.frames[1], "outer", "deep.c", 103);
	assert_place(&t.frames[2], "main", "program.c", 219);
	stack_trace__clear(&t);
}

static void test_library_loaded_later(void **state)
{
	struct fixture *f = *state;
	struct child *c;
	char path[128];

	snprintf(path, sizeof(path), "%s/libprogram.so", f->dir);
	c = start(f, "pie", path, NULL);
	assert_int_equal(symbolizer__prepare(f->symbolizer, &c->stack.process), 0);
	assert_resolves(f, c, "pie");
	next_report(c);
	usleep(250000); /* misses are looked into 5 times a second at the most */
	assert_resolves(f, c, "libprogram.so");
}

static void test_gone_after_prepare(void **state)
{
	struct fixture *f = *state;
	struct child *c = start(f, "pie", NULL, NULL);

	assert_int_equal(symbolizer__prepare(f->symbolizer, &c->stack.process), 0);
	end_child(c);
	assert_resolves(f, c, "pie");
}

static void test_gone_before_prepare(void **state)
{
	struct fixture *f = *state;
	struct child *c = start(f, "pie", NULL, NULL);
	struct stack_trace t;

	end_child(c);
	assert_int_equal(symbolizer__prepare(f->symbolizer, &c->stack.process), -ESRCH);
	assert_int_equal(symbolizer__resolve(f->symbolizer, &c->stack, &t), 0);
	assert_int_equal(t.nr, c->stack.nr);
	for (uint32_t i = 0; i < t.nr; i++) {
		assert_true(t.frames[i].pc == c->stack.pc[i]);
		assert_null(t.frames[i].function);
		assert_null(t.frames[i].module);
	}
	stack_trace__clear(&t);
}

static uint64_t start_ns(pid_t pid)
{
	unsigned long long ticks = 0;
	char path[64];
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	file = fopen(path, "r");
	assert_non_null(file);
	assert_int_equal(fscanf(file,
				"%*d (%*[^)]) %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u "
				"%*u %*u %*d %*d %*d %*d %*d %*d %llu",
				&ticks),
			 1);
	fclose(file);
	return ticks * (1000000000ULL / (uint64_t)sysconf(_SC_CLK_TCK));
}

static void test_pid_reuse(void **state)
{
	struct fixture *f = *state;
	struct child *c = start(f, "pie", NULL, NULL);
	struct churn_id id = c->stack.process;

	id.start_ns = start_ns(c->pid) + 3000000; /* finer than a tick */
	assert_int_equal(symbolizer__prepare(f->symbolizer, &id), 0);
	id.start_ns += 1000000000;
	assert_int_equal(symbolizer__prepare(f->symbolizer, &id), -ESRCH);
	id.start_ns -= 2000000000;
	assert_int_equal(symbolizer__prepare(f->symbolizer, &id), -ESRCH);
}

/* "pie", until it has become "fixed"; *before: a stack of its time before that. */
static struct child *start_other(struct fixture *f, struct churn_stack *before)
{
	struct child *c;
	char path[128];

	snprintf(path, sizeof(path), "%s/fixed", f->dir);
	c = start(f, "pie", "x", path);
	assert_int_equal(symbolizer__prepare(f->symbolizer, &c->stack.process), 0);
	next_report(c);
	*before = c->stack;
	next_report(c);
	return c;
}

/* After execve() the old stacks keep their names and the new ones get the new program's. */
static void test_exec(void **state)
{
	struct fixture *f = *state;
	struct child *c;
	struct churn_stack before;
	struct stack_trace t;

	c = start_other(f, &before);
	c->stack.process.exec_id++;
	assert_resolves(f, c, "fixed");
	assert_int_equal(symbolizer__resolve(f->symbolizer, &before, &t), 0);
	assert_full_stack(&t, "pie");
	stack_trace__clear(&t);

	before.process.exec_id--;
	assert_int_equal(symbolizer__prepare(f->symbolizer, &before.process), -ESRCH);
}

/* The same where nothing was seen of the new program yet: what /proc shows is not the old one's. */
static void test_exec_unseen(void **state)
{
	struct churn_stack before, unmapped = {.h.type = CHURN_STACK, .nr = 1, .pc = {0x1000}};
	struct fixture *f = *state;
	struct stack_trace t;

	start_other(f, &before);
	usleep(250000);
	unmapped.process = before.process;
	assert_int_equal(symbolizer__resolve(f->symbolizer, &unmapped, &t), 0); /* looks again */
	assert_null(t.frames[0].function);
	stack_trace__clear(&t);
	assert_int_equal(symbolizer__resolve(f->symbolizer, &before, &t), 0);
	assert_full_stack(&t, "pie");
	stack_trace__clear(&t);
}

/* Through map_files where that is permitted, and else not at all: never from another file. */
static void assert_right_or_unknown(struct fixture *f, struct child *c)
{
	struct stack_trace t;

	assert_int_equal(symbolizer__resolve(f->symbolizer, &c->stack, &t), 0);
	if (!geteuid())
		assert_full_stack(&t, "victim");
	else
		assert_null(t.frames[0].function);
	stack_trace__clear(&t);
}

static void test_deleted(void **state)
{
	struct fixture *f = *state;
	struct child *c;

	run(f, "cp pie victim");
	c = start(f, "victim", NULL, NULL);
	run(f, "rm victim");
	assert_right_or_unknown(f, c);
}

static void test_replaced(void **state)
{
	struct fixture *f = *state;
	struct child *c;

	run(f, "cp pie victim");
	c = start(f, "victim", NULL, NULL);
	run(f, "cp exported other && mv other victim");
	assert_right_or_unknown(f, c);
}

static void test_bounds(void **state)
{
	const struct symbolizer_options one = {.max_files = 1, .max_processes = 1};
	struct fixture *f = *state;
	struct child *a = start(f, "pie", NULL, NULL), *b = start(f, "fixed", NULL, NULL);

	symbolizer__free(f->symbolizer);
	f->symbolizer = symbolizer__new(&one);
	assert_non_null(f->symbolizer);
	for (int i = 0; i < 3; i++) {
		assert_resolves(f, a, "pie");
		assert_resolves(f, b, "fixed");
	}
}

static void test_no_process(void **state)
{
	struct fixture *f = *state;
	const struct churn_stack stack = {.nr = 2, .pc = {0, UINT64_MAX}, .truncated = 1};
	const struct churn_stack empty = {};
	struct stack_trace t;

	assert_int_equal(symbolizer__resolve(f->symbolizer, &stack, &t), 0);
	assert_int_equal(t.nr, 2);
	assert_true(t.truncated);
	assert_true(t.frames[1].pc == UINT64_MAX);
	stack_trace__clear(&t);
	assert_int_equal(symbolizer__resolve(f->symbolizer, &empty, &t), 0);
	assert_int_equal(t.nr, 0);
	stack_trace__clear(&t);
}

/* A debuginfod server in the environment is left alone. */
static void test_no_network(void **state)
{
	struct fixture *f = *state;
	struct sockaddr_in addr = {.sin_family = AF_INET};
	socklen_t len = sizeof(addr);
	char url[64];
	int fd;

	addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	assert_int_equal(listen(fd, 1), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&addr, &len), 0);
	snprintf(url, sizeof(url), "http://127.0.0.1:%d", ntohs(addr.sin_port));
	setenv("DEBUGINFOD_URLS", url, 1);
	test_stripped(state);
	assert_int_equal(accept(fd, NULL, NULL), -1);
	assert_int_equal(errno, EAGAIN);
	unsetenv("DEBUGINFOD_URLS");
	close(fd);
	(void)f;
}

/* Generated code of our own, named by a perf map of our own. */
static void test_perf_map(void **state)
{
	struct fixture *f = *state;
	struct churn_stack stack = {.nr = 2, .process.tgid = (uint32_t)getpid()};
	void *code = mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	uint64_t at = (uint64_t)(uintptr_t)code;
	struct stack_trace t;
	char path[64];
	FILE *file;

	assert_ptr_not_equal(code, MAP_FAILED);
	snprintf(path, sizeof(path), "/tmp/perf-%d.map", getpid());
	file = fopen(path, "w");
	assert_non_null(file);
	fprintf(file, "%llx 40 poll\n%llx 10 fetch\n", (unsigned long long)at,
		(unsigned long long)at + 0x100);
	fclose(file);
	stack.pc[0] = at + 0x100;
	stack.pc[1] = at + 0x40; /* a return address: inside by one */
	assert_int_equal(symbolizer__resolve(f->symbolizer, &stack, &t), 0);
	unlink(path);
	munmap(code, 4096);
	assert_place(&t.frames[0], "fetch", NULL, 0);
	assert_place(&t.frames[1], "poll", NULL, 0);
	assert_string_equal(t.frames[0].module, "[jit]");
	assert_string_equal(t.language, "jit");
	stack_trace__clear(&t);
}

#define live_test(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		live_test(test_builds),
		live_test(test_frames_of_libc),
		live_test(test_stripped),
		live_test(test_mini_debug_info),
		live_test(test_exported_names),
		live_test(test_split_dwarf),
		live_test(test_library_loaded_later),
		live_test(test_gone_after_prepare),
		live_test(test_gone_before_prepare),
		live_test(test_pid_reuse),
		live_test(test_exec),
		live_test(test_exec_unseen),
		live_test(test_deleted),
		live_test(test_replaced),
		live_test(test_bounds),
		live_test(test_no_process),
		live_test(test_no_network),
		live_test(test_perf_map),
	};

	return cmocka_run_group_tests(tests, make_programs, remove_programs);
}
