# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Programs with musl, whose libc has no call frame information: whole stacks, by the order in which
the program calls its functions."""
import os
import shutil

from lib import TCPCHURN, Server, Skip, check, equal, run, scratch, sh

OPENS = 20
SOURCE = r"""
#include <arpa/inet.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define NOINLINE __attribute__((noinline, noclone))

static struct sockaddr_in to;
static volatile int sink;

NOINLINE static int dial(int n)
{
	int s = socket(AF_INET, SOCK_STREAM, 0);

	sink += connect(s, (struct sockaddr *)&to, sizeof(to));
	close(s);
	usleep(8000);
	return n + sink;
}

NOINLINE static int third(int n)
{
	return dial(n) + sink;
}

/* A frame whose size is known at run time only. */
NOINLINE static int variable(int n)
{
	char *memory = __builtin_alloca(n * 100);

	memset(memory, n, n * 100);
	return third(memory[n]) + sink;
}

static int compare(const void *a, const void *b)
{
	if (*(int *)a == 7 && *(int *)b == 1)
		sink += third(1);
	return *(int *)a < *(int *)b ? -1 : *(int *)a > *(int *)b;
}

NOINLINE static int sorted(int n)
{
	int values[] = {7, 1};

	qsort(values, 2, sizeof(int), compare);
	return values[0] + n;
}

static void *worker(void *arg)
{
	for (int i = 0; i < 20; i++)
		sink += variable(i + 1);
	return arg;
}

int main(int argc, char **argv)
{
	pthread_t thread;

	to.sin_family = AF_INET;
	to.sin_port = htons(atoi(argv[1]));
	to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	usleep(100000);
	if (!strcmp(argv[2], "thread")) {
		pthread_create(&thread, NULL, worker, NULL);
		pthread_join(thread, NULL);
	} else if (!strcmp(argv[2], "sorted")) {
		for (int i = 0; i < 20; i++)
			sink += sorted(i);
	} else {
		worker(NULL);
	}
	usleep(300000);
	return argc > 9;
}
"""
OWN = {"main", "worker", "variable", "third", "dial", "sorted", "compare"}


def stacks(how, *flags):
    """[(own functions and libc's qsort and connect, outermost first; frames in all; opens)]"""
    compiler = shutil.which("musl-gcc")
    if not compiler:
        raise Skip("no musl-gcc: tools/install-deps.sh check")
    server = Server()
    path = os.path.join(scratch(), "musl")
    with open(path + ".c", "w") as f:
        f.write(SOURCE)
    sh(compiler, "-O2", "-fomit-frame-pointer", "-pthread", *flags, "-o", path, path + ".c")
    text = run([TCPCHURN, "report", "-o", "folded", "--", path, str(server.port), how]).stdout
    found = []
    for line in text.splitlines():
        frames, count = line.rsplit(" ", 1)
        frames = frames.split(";")[1:]
        found.append(([f for f in frames if f in OWN | {"connect"}], frames, int(count)))
    equal(sum(count for _, _, count in found), OPENS, "opens")
    return found


def expect(how, functions, *flags):
    found = stacks(how, *flags)
    right = sum(count for own, _, count in found if own == functions)
    # Of those that came before the first was understood, nothing but their place may be missing.
    check(right >= 0.95 * OPENS, f"{right} of {OPENS} with {functions}: {found}")
    for own, frames, _ in found:
        check(own in ([], functions), f"{own} in {frames}")


LOOP = ["main", "worker", "variable", "third", "dial", "connect"]
THREAD = LOOP[1:]
SORTED = ["main", "sorted", "compare", "third", "dial", "connect"]


def test_dynamic():
    expect("loop", LOOP)


def test_dynamic_thread():
    """With threads connect() is a cancellation point: two more frames without information."""
    expect("thread", THREAD)


def test_dynamic_callback():
    """libc's own frames in the middle of the stack: qsort() and what it calls."""
    expect("sorted", SORTED)


def test_static():
    expect("loop", LOOP, "-static")


def test_static_thread():
    expect("thread", THREAD, "-static")


def test_static_callback():
    expect("sorted", SORTED, "-static")


def test_no_information_at_all():
    """The program has none, either. What the code says is enough; -fno-... leaves no .eh_frame."""
    expect("sorted", SORTED, "-static", "-fno-asynchronous-unwind-tables", "-fno-unwind-tables")


def test_alloca_without_information():
    expect("loop", LOOP, "-fno-asynchronous-unwind-tables", "-fno-unwind-tables")
