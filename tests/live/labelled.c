/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Connections that carry their label: each goes to 127.x.y.z, where x.y.z is the serial of who made
 * it. So a tracer's every line can be held against what this program says at its end, a line for
 * each serial: serial, PID, connections made, connects failed, microseconds from its first
 * instruction. Every connection ends with a reset.
 *
 * usage: labelled PORT SERIAL TIMES HOW [PROCESSES [PER_SECOND]]
 *   plain             TIMES connections, one after another
 *   brief             the same, by a process that lives for 5 ms
 *   keep              TIMES at once, left to the end of the process
 *   forks, spawns     PROCESSES children, by fork() alone or by posix_spawn(), with a serial each:
 *                     some at once, plain, or so many PER_SECOND, brief
 *   same-pid          PROCESSES programs one after another, all with one PID
 *   exec              TIMES, kept open over execve() of itself with the next serial, plain
 *   handed            TIMES, closed here, kept open in a child that makes its own before it ends
 *   sites             TIMES, each from another stack; even_site() has SERIAL, odd_site() the next
 */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/sched.h>
#include <netinet/in.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define NOINLINE __attribute__((noinline))
#define AT_ONCE	 8
#define MAX_LATE 64 /* children that have not ended when the next one is due */
#define LIFE_NS	 5000000ULL
#define DEPTH	 15

static const char *program;
static uint16_t port;
static unsigned int serial, times, made, failed, per_second;
static uint64_t born_ns;
extern char **environ;

static void die(const char *what)
{
	perror(what);
	exit(2);
}

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

static void sleep_until(uint64_t ns)
{
	struct timespec ts = {.tv_sec = (time_t)(ns / 1000000000),
			      .tv_nsec = (long)(ns % 1000000000)};

	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &ts, NULL) == EINTR)
		;
}

/* In the caller, so that the caller is the call site. */
static inline __attribute__((always_inline)) int dial(unsigned int label)
{
	const struct linger reset = {.l_onoff = 1};
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)};
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	if (fd < 0)
		die("socket");
	to.sin_addr.s_addr = htonl(127U << 24 | label);
	if (connect(fd, (struct sockaddr *)&to, sizeof(to))) {
		failed++;
		close(fd);
		return -1;
	}
	made++;
	setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
	return fd;
}

static void hang_up(int fd)
{
	if (fd >= 0)
		close(fd);
}

/* One write: several processes share the file. */
static void say(unsigned int label)
{
	char line[80];
	int n = snprintf(line, sizeof(line), "%u %d %u %u %llu\n", label, getpid(), made, failed,
			 (unsigned long long)(now_ns() - born_ns) / 1000);

	if (write(STDOUT_FILENO, line, (size_t)n) != n)
		_exit(3);
	made = failed = 0;
}

static NOINLINE void plain(void)
{
	for (unsigned int i = 0; i < times; i++)
		hang_up(dial(serial));
}

static void brief(void)
{
	plain();
	sleep_until(born_ns + LIFE_NS);
}

static NOINLINE void keep(void)
{
	for (unsigned int i = 0; i < times; i++)
		dial(serial);
}

static void arguments(char *argv[6], char text[3][16], unsigned int label)
{
	snprintf(text[0], 16, "%u", port);
	snprintf(text[1], 16, "%u", label);
	snprintf(text[2], 16, "%u", times);
	argv[0] = (char *)program;
	for (int i = 0; i < 3; i++)
		argv[i + 1] = text[i];
	argv[4] = (char *)(per_second ? "brief" : "plain");
	argv[5] = NULL;
}

static void execute(unsigned int label)
{
	char *argv[6], text[3][16];

	arguments(argv, text, label);
	execv(program, argv);
	die("execv");
}

static void reap(unsigned int *running, unsigned int down_to)
{
	int status;

	while (*running > down_to) {
		if (wait(&status) < 0 || status)
			die("a child");
		--*running;
	}
}

/* Until child number i is due. */
static void make_room(unsigned int *running, unsigned int i)
{
	reap(running, per_second ? MAX_LATE : AT_ONCE);
	if (per_second)
		sleep_until(born_ns + i * 1000000000ULL / per_second);
	++*running;
}

static void forks(unsigned int nr)
{
	unsigned int running = 0;

	for (unsigned int i = 0; i < nr; i++) {
		pid_t pid;

		make_room(&running, i);
		pid = fork();
		if (pid < 0)
			die("fork");
		if (!pid) {
			born_ns = now_ns();
			serial += i;
			if (per_second)
				brief();
			else
				plain();
			say(serial);
			_exit(0);
		}
	}
	reap(&running, 0);
}

static void spawns(unsigned int nr)
{
	unsigned int running = 0;
	char *argv[6], text[3][16];
	pid_t pid;

	for (unsigned int i = 0; i < nr; i++) {
		make_room(&running, i);
		arguments(argv, text, serial + i);
		if (posix_spawn(&pid, program, NULL, NULL, argv, environ))
			die("posix_spawn");
	}
	reap(&running, 0);
}

/* clone3(2) may choose the PID: the one of the child before. */
static void same_pid(unsigned int nr)
{
	unsigned int running = 1;
	pid_t same = 0;

	for (unsigned int i = 0; i < nr; i++) {
		struct clone_args how = {.exit_signal = SIGCHLD};
		long pid;

		if (same) {
			how.set_tid = (uintptr_t)&same;
			how.set_tid_size = 1;
		}
		pid = syscall(SYS_clone3, &how, sizeof(how));
		/* Somebody else's by now: then another one. */
		if (pid < 0 && errno == EEXIST) {
			same = 0;
			i--;
			continue;
		}
		if (pid < 0)
			die("clone3");
		if (!pid)
			execute(serial + i);
		same = (pid_t)pid;
		running = 1;
		reap(&running, 0);
	}
}

static void handed(void)
{
	int *fds = calloc(times, sizeof(*fds));
	unsigned int running = 1;
	pid_t pid;

	for (unsigned int i = 0; fds && i < times; i++)
		fds[i] = dial(serial);
	pid = fork();
	if (pid < 0)
		die("fork");
	if (!pid) {
		made = failed = 0;
		serial++;
		plain();
		usleep(50000);
		say(serial);
		_exit(0);
	}
	for (unsigned int i = 0; fds && i < times; i++)
		hang_up(fds[i]);
	reap(&running, 0);
	free(fds);
}

/* --- many stacks ------------------------------------------------------------------------------ */

static volatile unsigned int sink;

static NOINLINE void even_site(void)
{
	hang_up(dial(serial));
	sink++;
}

static NOINLINE void odd_site(void)
{
	hang_up(dial(serial + 1));
	sink += 2;
}

static NOINLINE void left(unsigned int path, int depth);
static NOINLINE void right(unsigned int path, int depth);

static inline __attribute__((always_inline)) void walk(unsigned int path, int depth)
{
	if (!depth && path & 1)
		odd_site();
	else if (!depth)
		even_site();
	else if (path >> depth & 1)
		right(path, depth - 1);
	else
		left(path, depth - 1);
}

static NOINLINE void left(unsigned int path, int depth)
{
	walk(path, depth);
	sink += 3;
}

static NOINLINE void right(unsigned int path, int depth)
{
	walk(path, depth);
	sink += 4;
}

/* How many there were from each of the two. */
static void sites(void)
{
	unsigned int made_before, odd = 0, odd_failed = 0, failed_before;

	for (unsigned int i = 0; i < times; i++) {
		made_before = made;
		failed_before = failed;
		walk(i % (1U << (DEPTH + 1)), DEPTH);
		odd += i & 1 ? made - made_before : 0;
		odd_failed += i & 1 ? failed - failed_before : 0;
	}
	made -= odd;
	failed -= odd_failed;
	say(serial);
	made = odd;
	failed = odd_failed;
	say(serial + 1);
}

int main(int argc, char **argv)
{
	unsigned int nr = argc > 5 ? (unsigned int)atoi(argv[5]) : 1;
	const char *how = argc > 4 ? argv[4] : "";
	struct rlimit files;

	if (argc < 5) {
		fprintf(stderr, "usage: labelled PORT SERIAL TIMES HOW [PROCESSES [PER_SECOND]]\n");
		return 64;
	}
	born_ns = now_ns();
	per_second = argc > 6 ? (unsigned int)atoi(argv[6]) : 0;
	program = argv[0];
	port = (uint16_t)atoi(argv[1]);
	serial = (unsigned int)atoi(argv[2]);
	times = (unsigned int)atoi(argv[3]);
	if (!getrlimit(RLIMIT_NOFILE, &files)) {
		files.rlim_cur = files.rlim_max;
		setrlimit(RLIMIT_NOFILE, &files);
	}
	if (!strcmp(how, "forks"))
		forks(nr);
	else if (!strcmp(how, "spawns"))
		spawns(nr);
	else if (!strcmp(how, "same-pid"))
		same_pid(nr);
	else if (!strcmp(how, "sites"))
		sites();
	else if (!strcmp(how, "handed"))
		handed();
	else if (!strcmp(how, "plain"))
		plain();
	else if (!strcmp(how, "brief"))
		brief();
	else
		keep();
	if (made || failed)
		say(serial);
	if (!strcmp(how, "exec"))
		execute(serial + 1);
	return 0;
}
