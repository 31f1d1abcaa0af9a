/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "user/source/failure_log.h"

#define S   1000000000ULL
#define NOW (10000 * S)

static char dir[64];

static int set_up(void **state)
{
	(void)state;
	snprintf(dir, sizeof(dir), "/tmp/failure_log.XXXXXX");
	return mkdtemp(dir) ? 0 : -1;
}

static unsigned int files(void)
{
	DIR *d = opendir(dir);
	unsigned int nr = 0;
	struct dirent *e;

	while (d && (e = readdir(d)))
		nr += !strncmp(e->d_name, "failures-", 9);
	if (d)
		closedir(d);
	return nr;
}

static int tear_down(void **state)
{
	char command[128];

	(void)state;
	snprintf(command, sizeof(command), "rm -r %s", dir);
	return system(command);
}

static const char *log_of(pid_t pid)
{
	static char path[128];

	snprintf(path, sizeof(path), "%s/failures-%d", dir, (int)pid);
	return path;
}

static struct failure_sum sum(uint32_t netns, uint64_t within_ns)
{
	struct failure_sum s;

	assert_int_equal(failure_log_read(&s, dir, netns, NOW - within_ns, NOW), 0);
	return s;
}

static void test_nobody(void **state)
{
	struct failure_sum s;

	(void)state;
	assert_false(sum(0, 60 * S).traced);
	assert_int_equal(failure_log_read(&s, "/nowhere/at/all", 0, 0, NOW), 0);
	assert_false(s.traced);
}

/* Who begins looks for what others left, and must not take what another just begins for that. */
static void test_begin_at_once(void **state)
{
	struct failure_log *l;
	pid_t child = fork();
	int status;

	(void)state;
	if (!child)
		prctl(PR_SET_PDEATHSIG, SIGKILL);
	while (!child)
		failure_log__free(failure_log__open(dir, 0));
	for (int i = 0; i < 500; i++) {
		l = failure_log__open(dir, 0);
		assert_non_null(l);
		assert_int_equal(access(log_of(getpid()), R_OK), 0);
		failure_log__free(l);
	}
	kill(child, SIGKILL);
	assert_int_equal(waitpid(child, &status, 0), child);
}

static void test_counts(void **state)
{
	struct failure_log *l = failure_log__open(dir, 0);
	struct failure_sum s;

	(void)state;
	assert_non_null(l);
	assert_false(sum(0, 60 * S).traced); /* not started */
	failure_log__start(l, NOW - 40 * S);
	for (int i = 0; i < 7; i++)
		failure_log__connect(l, 1, NOW - 30 * S + i);
	failure_log__bind(l, 1, NOW - 30 * S + 1);
	failure_log__connect(l, 2, NOW - 30 * S);
	failure_log__connect(l, 1, NOW - 5 * S);
	failure_log__set_lost(l, 3);
	s = sum(1, 60 * S);
	assert_true(s.traced);
	assert_int_equal(s.connects, 8);
	assert_int_equal(s.binds, 1);
	assert_int_equal(s.lost, 3);
	assert_int_equal(s.covered_ns, 40 * S);
	s = sum(1, 10 * S);
	assert_int_equal(s.connects, 1);
	assert_int_equal(s.binds, 0);
	assert_int_equal(s.covered_ns, 10 * S);
	assert_int_equal(sum(0, 60 * S).connects, 9);
	assert_int_equal(sum(3, 60 * S).connects, 0);
	failure_log__free(l);
	assert_false(sum(0, 60 * S).traced);
	assert_int_equal(files(), 0);
}

/* A trace of one namespace knows nothing of others, nor of all. */
static void test_one_namespace(void **state)
{
	struct failure_log *l = failure_log__open(dir, 7);

	(void)state;
	failure_log__start(l, NOW - 40 * S);
	assert_true(sum(7, S).traced);
	assert_false(sum(8, S).traced);
	assert_false(sum(0, S).traced);
	failure_log__free(l);
}

/* Of more than there is room for the oldest are forgotten, and it is said how far back it goes. */
static void test_overwritten(void **state)
{
	struct failure_log *l = failure_log__open(dir, 0);
	struct failure_sum s;

	(void)state;
	failure_log__start(l, NOW - 9000 * S);
	for (uint64_t i = 9000; i > 0; i--)
		failure_log__connect(l, 1, NOW - i * S);
	s = sum(1, 9000 * S);
	assert_int_equal(s.connects, 4096);
	assert_int_equal(s.covered_ns, 4096 * S);
	assert_int_equal(sum(1, 100 * S).connects, 100);
	failure_log__free(l);
}

/* A trace that has seen a failure, in a process of its own. */
static pid_t trace(void)
{
	struct failure_log *l;
	int ready[2];
	char byte;
	pid_t pid;

	assert_int_equal(pipe(ready), 0);
	pid = fork();
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		l = failure_log__open(dir, 0);
		failure_log__start(l, NOW - S);
		failure_log__connect(l, 1, NOW - S);
		if (write(ready[1], "x", 1) == 1)
			pause();
		_exit(1);
	}
	assert_int_equal(read(ready[0], &byte, 1), 1);
	close(ready[0]);
	close(ready[1]);
	return pid;
}

static void end(pid_t pid)
{
	int status;

	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, &status, 0), pid);
}

/* Its file stays and is not believed; the next one removes it. */
static void test_killed(void **state)
{
	pid_t pid = trace();
	struct failure_log *l;

	(void)state;
	assert_true(sum(0, 10 * S).traced);
	end(pid);
	assert_int_equal(files(), 1);
	assert_false(sum(0, 10 * S).traced);
	l = failure_log__open(dir, 0);
	assert_int_equal(files(), 1);
	failure_log__free(l);
	assert_int_equal(files(), 0);
}

/* What whoever may only read can lock it by. */
static int flock_as_reader(pid_t pid)
{
	int fd = open(log_of(pid), O_RDONLY);

	assert_true(fd >= 0);
	assert_int_equal(flock(fd, LOCK_EX | LOCK_NB), 0);
	return fd;
}

/* No lock of a reader's makes it look alive, nor keeps it there. */
static void test_killed_and_locked_by_a_reader(void **state)
{
	struct flock whole = {.l_type = F_RDLCK, .l_whence = SEEK_SET};
	pid_t pid = trace();
	int fd;

	(void)state;
	end(pid);
	fd = flock_as_reader(pid);
	assert_false(sum(0, 10 * S).traced);
	assert_int_equal(fcntl(fd, F_OFD_SETLK, &whole), 0);
	assert_false(sum(0, 10 * S).traced);
	whole.l_type = F_WRLCK;
	assert_int_equal(fcntl(fd, F_OFD_SETLK, &whole), -1);
	assert_int_equal(errno, EBADF);
	failure_log__free(failure_log__open(dir, 0));
	assert_int_equal(files(), 0);
	close(fd);
}

/* A reader's locks do not hide a trace that lives, either. */
static void test_alive_and_locked_by_a_reader(void **state)
{
	struct flock whole = {.l_type = F_RDLCK, .l_whence = SEEK_SET};
	pid_t pid = trace();
	int fd = flock_as_reader(pid);

	(void)state;
	assert_int_equal(fcntl(fd, F_OFD_SETLK, &whole), -1);
	failure_log__free(failure_log__open(dir, 0));
	assert_true(sum(0, 10 * S).traced);
	close(fd);
	end(pid);
}

/* What others may write, or own, is not believed. */
static void test_not_ours_alone(void **state)
{
	struct failure_log *l = failure_log__open(dir, 0);
	const char *path = log_of(getpid());

	(void)state;
	failure_log__start(l, NOW - S);
	for (mode_t mode = 0; mode < 01000; mode++) {
		assert_int_equal(chmod(path, mode | 0600), 0);
		assert_int_equal(sum(0, 10 * S).traced, !(mode & 022));
	}
	assert_int_equal(chmod(path, 0644), 0);
	if (!geteuid()) {
		assert_int_equal(chown(path, 65534, 0), 0);
		assert_false(sum(0, 10 * S).traced);
		assert_int_equal(chown(path, 0, 0), 0);
	}
	assert_true(sum(0, 10 * S).traced);
	failure_log__free(l);
}

/* What others may have put there, locked as a trace's is. */
static void test_foreign_files(void **state)
{
	struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
	int fd;

	(void)state;
	fd = open(log_of(1), O_WRONLY | O_CREAT, 0644);
	assert_int_equal(write(fd, "short", 5), 5);
	assert_int_equal(fcntl(fd, F_OFD_SETLK, &whole), 0);
	assert_int_equal(symlink("/etc/passwd", log_of(2)), 0);
	assert_int_equal(mkdir(log_of(3), 0755), 0);
	assert_false(sum(0, 10 * S).traced);
	close(fd);
}

/* Of a tracer that lays it out otherwise. */
static void test_other_layout(void **state)
{
	struct failure_log *l = failure_log__open(dir, 0);
	int fd = open(log_of(getpid()), O_WRONLY);

	(void)state;
	failure_log__start(l, NOW - S);
	assert_true(sum(0, 10 * S).traced);
	assert_int_equal(pwrite(fd, "x", 1, 0), 1);
	assert_false(sum(0, 10 * S).traced);
	close(fd);
	failure_log__free(l);
}

/* One that lives, but is not what a trace of this version writes, or not all of it. */
static void test_damaged(void **state)
{
	struct failure_log *l = failure_log__open(dir, 0);
	const char *path = log_of(getpid());
	struct stat st;
	int fd;

	(void)state;
	failure_log__start(l, NOW - S);
	assert_true(sum(0, 10 * S).traced);
	assert_int_equal(stat(path, &st), 0);
	for (off_t size = st.st_size - 1; size <= st.st_size + 1; size++) {
		assert_int_equal(truncate(path, size), 0);
		assert_int_equal(sum(0, 10 * S).traced, size == st.st_size);
	}
	assert_int_equal(truncate(path, st.st_size), 0);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	assert_int_equal(pwrite(fd, "x", 1, 0), 1);
	close(fd);
	assert_false(sum(0, 10 * S).traced);
	failure_log__free(l);
}

static void test_no_directory(void **state)
{
	(void)state;
	assert_null(failure_log__open("/proc/none", 0));
	assert_int_equal(errno, ENOENT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_nobody, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_begin_at_once, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_counts, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_one_namespace, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_overwritten, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_killed, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_killed_and_locked_by_a_reader, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(test_alive_and_locked_by_a_reader, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(test_not_ours_alone, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_foreign_files, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_other_layout, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_damaged, set_up, tear_down),
		cmocka_unit_test(test_no_directory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
