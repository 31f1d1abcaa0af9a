/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A program that lies to whoever looks at its memory: test_forged.py builds and runs it.
 * usage: forge PORT HOW [TIMES]: TIMES connections, each from a stack, or below the structures of a
 * CPython 3.11, that are as HOW says. Those of "python" are sound: the others differ in one thing.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#define NOINLINE __attribute__((noinline, noclone))
#define EXPORT	 __attribute__((visibility("default"), used))
#define WILD	 0x00007ffffffff000ULL /* the user's, and never mapped */
#define KERNEL	 0xffff888000000000ULL
#define MAX_TEXT 4096

static struct sockaddr_in to;
static volatile int sink;

/* --- the interpreter -------------------------------------------------------------------------- */

EXPORT uint64_t _PyRuntime[64];
EXPORT uint64_t PyCode_Type[8];
EXPORT uint64_t Py_Version = 0x030b02f0;

static uint64_t interpreter[16], thread[32], other_thread[32], cframe[4], frames[2][16], code[64];

struct text {
	uint64_t refs, type, length, hash;
	uint32_t state;
	uint8_t pad[12];
	char ascii[MAX_TEXT];
};

struct bytes {
	uint64_t refs, type, length, hash;
	uint8_t content[64];
};

static struct text name, file;
static struct bytes lines;

static void set_text(struct text *t, const char *from)
{
	t->length = strlen(from);
	t->state = 1 << 2 | 1 << 5 | 1 << 6; /* one byte a character, compact, ASCII */
	strcpy(t->ascii, from);
}

static uint64_t at(const void *p)
{
	return (uint64_t)(uintptr_t)p;
}

/* Words of Include/internal/pycore_runtime.h and others, as python_layout.c has them. */
static void forge_python(void)
{
	_PyRuntime[40 / 8] = at(interpreter);
	interpreter[16 / 8] = at(thread);
	thread[152 / 8] = (uint64_t)pthread_self();
	thread[56 / 8] = at(cframe);
	cframe[8 / 8] = at(frames[0]);
	for (int i = 0; i < 2; i++) {
		frames[i][32 / 8] = at(code);
		frames[i][56 / 8] = at(code) + 184 + 2;
	}
	frames[0][48 / 8] = at(frames[1]);
	code[8 / 8] = at(PyCode_Type);
	((uint32_t *)code)[72 / 4] = 7;
	code[112 / 8] = at(&file);
	code[120 / 8] = code[128 / 8] = at(&name);
	code[136 / 8] = at(&lines);
	set_text(&name, "forged");
	set_text(&file, "/srv/forged.py");
	lines.length = 2;
	lines.content[0] = 0x80 | 10 << 3 | 7; /* the first line, eight instructions */
}

/* --- what is wrong with it -------------------------------------------------------------------- */

static void *flip(void *arg)
{
	for (;;) {
		code[120 / 8] = code[128 / 8] = WILD;
		name.length = ~0ULL;
		frames[0][48 / 8] = at(frames[0]);
		thread[8 / 8] = at(thread);
		_PyRuntime[40 / 8] = KERNEL;
		usleep(50);
		forge_python();
		frames[0][48 / 8] = at(frames[1]);
		usleep(50);
	}
	return arg;
}

static void spoil(const char *how)
{
	pthread_t flipper;

	if (!strcmp(how, "frames-loop"))
		frames[1][48 / 8] = at(frames[0]);
	else if (!strcmp(how, "threads-loop"))
		thread[152 / 8] = 1, thread[8 / 8] = at(other_thread),
			     other_thread[8 / 8] = at(thread);
	else if (!strcmp(how, "interpreters-loop"))
		interpreter[16 / 8] = 0, interpreter[0] = at(interpreter);
	else if (!strcmp(how, "name-huge"))
		name.length = 1ULL << 62;
	else if (!strcmp(how, "name-long"))
		memset(name.ascii, 'x', MAX_TEXT), name.length = MAX_TEXT;
	else if (!strcmp(how, "name-wild"))
		code[120 / 8] = code[128 / 8] = WILD;
	else if (!strcmp(how, "name-escapes"))
		set_text(&name, "a\033[2J\033]0;owned\007\r\nb\001");
	else if (!strcmp(how, "lines-huge"))
		lines.length = 1ULL << 40;
	else if (!strcmp(how, "lines-rubbish"))
		lines.length = 60, memset(lines.content, 0xff, 60);
	else if (!strcmp(how, "code-wild"))
		frames[0][32 / 8] = WILD, frames[1][32 / 8] = KERNEL;
	else if (!strcmp(how, "code-no-code"))
		code[8 / 8] = at(&name);
	else if (!strcmp(how, "frame-wild"))
		cframe[8 / 8] = WILD;
	else if (!strcmp(how, "frame-kernel"))
		frames[0][48 / 8] = KERNEL;
	else if (!strcmp(how, "thread-wild"))
		interpreter[16 / 8] = WILD;
	else if (!strcmp(how, "flipping"))
		pthread_create(&flipper, NULL, flip, NULL);
}

/* --- stacks ----------------------------------------------------------------------------------- */

static long raw_connect(int s)
{
	long result;

	__asm__ volatile("syscall"
			 : "=a"(result)
			 : "0"((long)SYS_connect), "D"((long)s), "S"(&to), "d"(sizeof(to))
			 : "rcx", "r11", "memory");
	return result;
}

/* With that stack pointer and frame pointer during the call. */
static long connect_at(int s, uint64_t sp, uint64_t fp)
{
	register uint64_t new_sp __asm__("r12") = sp, new_fp __asm__("r13") = fp;
	long result;

	__asm__ volatile("mov %%rsp, %%r14\n\tmov %%rbp, %%r15\n\t"
			 "mov %%r12, %%rsp\n\tmov %%r13, %%rbp\n\tsyscall\n\t"
			 "mov %%r14, %%rsp\n\tmov %%r15, %%rbp"
			 : "=a"(result)
			 : "0"((long)SYS_connect), "D"((long)s), "S"(&to), "d"(sizeof(to)),
			   "r"(new_sp), "r"(new_fp)
			 : "rcx", "r11", "r14", "r15", "memory");
	return result;
}

static uint64_t area[65536 / 8];

/* Words that all lead somewhere: to themselves, to each other, into code, nowhere. */
static uint64_t forge_stack(const char *how, int turn)
{
	uint64_t n = sizeof(area) / 8;

	for (uint64_t i = 0; i < n; i++) {
		if (!strcmp(how, "stack-loop"))
			area[i] = at(&area[i / 2]);
		else if (!strcmp(how, "stack-code"))
			area[i] = at((void *)raw_connect) + (i * 7 + (uint64_t)turn) % 4096;
		else if (!strcmp(how, "stack-random"))
			area[i] =
				(uint64_t)rand() << 33 ^ (uint64_t)rand() << 11 ^ (uint64_t)rand();
		else
			area[i] = i % 2 ? WILD + i : KERNEL + i;
	}
	return at(area);
}

NOINLINE static int connect_from(const char *how, int s, int turn)
{
	void *edge;

	if (!strcmp(how, "stack-unmapped"))
		return connect_at(s, WILD, WILD) != 0;
	if (!strcmp(how, "stack-null"))
		return connect_at(s, 0, 0) != 0;
	if (!strcmp(how, "stack-kernel"))
		return connect_at(s, KERNEL, KERNEL) != 0;
	if (!strcmp(how, "stack-edge")) { /* the last bytes before a hole */
		edge = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		munmap((char *)edge + 4096, 4096);
		return connect_at(s, at(edge) + 4096 - 4, at(edge) + 4096 - 8) != 0;
	}
	if (!strncmp(how, "stack-", 6))
		return connect_at(s, forge_stack(how, turn) + 4096, at(area) + 8192) != 0;
	return connect(s, (struct sockaddr *)&to, sizeof(to)) != 0;
}

NOINLINE static int dive(int depth, const char *how, int s)
{
	return depth ? dive(depth - 1, how, s) + sink : connect_from(how, s, 0) + sink;
}

static void dial(const char *how, int turn)
{
	int s = socket(AF_INET, SOCK_STREAM, 0);

	if (!strcmp(how, "deep"))
		sink += dive(10000, how, s);
	else
		sink += connect_from(how, s, turn);
	close(s);
	usleep(2000);
}

static void *worker(void *how)
{
	dial(how, 0);
	pause(); /* all of them are there at the same time */
	return NULL;
}

static void start_workers(const char *how, int nr)
{
	pthread_attr_t small;
	pthread_t thread_id;

	pthread_attr_init(&small);
	pthread_attr_setstacksize(&small, 65536);
	for (int i = 0; i < nr; i++)
		sink += pthread_create(&thread_id, &small, worker, (void *)(uintptr_t)how);
	sleep(1);
}

int main(int argc, char **argv)
{
	const char *how = argv[2];
	int times = argc > 3 ? atoi(argv[3]) : 30;

	to.sin_family = AF_INET;
	to.sin_port = htons((unsigned short)atoi(argv[1]));
	to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	forge_python();
	if (!strncmp(how, "stack-", 6) || !strcmp(how, "deep") || !strcmp(how, "threads"))
		memset(_PyRuntime, 0, sizeof(_PyRuntime));
	spoil(how);
	usleep(100000);
	if (!strcmp(how, "threads"))
		start_workers(how, times);
	else
		for (int i = 0; i < times; i++)
			dial(how, i);
	return 0;
}
