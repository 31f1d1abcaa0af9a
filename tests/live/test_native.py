# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Function, file and line of C programs without frame pointers; stacks as eu-stack has them."""
import os
import re
import shutil
import signal
import time

from lib import (
    TCPCHURN, Process, Server, Skip, Tracer, blackhole, check, equal, get, report, run, scratch,
    sh, until,
)

OPENS = 30
CFLAGS = ["-O2", "-g", "-fomit-frame-pointer", "-pthread", "-Wall", "-Wextra", "-Werror"]
SOURCE = r"""
#include <alloca.h>
#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define NOINLINE __attribute__((noinline, noclone))

static struct sockaddr_in to;
static volatile int sink; /* keeps calls from becoming jumps */

NOINLINE static int dial(int n)
{
	int s = socket(AF_INET, SOCK_STREAM, 0);

	if (connect(s, (struct sockaddr *)&to, sizeof(to))) /* here: dial */
		sink++;
	close(s);
	usleep(8000);
	return n + sink;
}

NOINLINE static int third(int n)
{
	return dial(n) + sink; /* here: third */
}

/* Alike but for what they return: two ways to third() that differ in one address. */
NOINLINE static int left(int n)
{
	return third(n) + sink;
}

NOINLINE static int right(int n)
{
	return third(n) - sink;
}

NOINLINE static int second(int n)
{
	return third(n + 1) + sink; /* here: second */
}

NOINLINE static int first(int n)
{
	return second(n + 1) + sink; /* here: first */
}

NOINLINE static int dive(int depth)
{
	if (!depth)
		return dial(0) + sink; /* here: bottom */
	return dive(depth - 1) + sink; /* here: dive */
}

/* A frame whose size is known at run time only. */
NOINLINE static int variable(int n)
{
	char array[n * 16 + 1], *more = alloca((size_t)n * 32 + 1);

	memset(array, n, sizeof(array));
	memset(more, n, (size_t)n * 32 + 1);
	n = second(n); /* here: variable */
	return n + array[sizeof(array) / 2] + more[1] + sink;
}

/* A frame that is aligned at run time. */
NOINLINE static int aligned(int n)
{
	char array[256] __attribute__((aligned(128)));

	memset(array, n, sizeof(array));
	__asm__ volatile("" : : "r"(array) : "memory");
	n = variable(n); /* here: aligned */
	return n + array[n & 255] + sink;
}

static void *worker(void *arg)
{
	(void)arg;
	for (int i = 0; i < 30; i++)
		sink += first(i); /* here: worker */
	return NULL;
}

int main(int argc, char **argv)
{
	const char *how = argv[3];
	int times = argc > 4 ? atoi(argv[4]) : 30;
	pthread_t thread;

	to.sin_family = AF_INET;
	to.sin_port = htons((unsigned short)atoi(argv[2]));
	inet_pton(AF_INET, argv[1], &to.sin_addr);
	usleep(50000);
	if (!strcmp(how, "thread")) {
		pthread_create(&thread, NULL, worker, NULL);
		pthread_join(thread, NULL);
		return 0;
	}
	for (int i = 0; i < times; i++) {
		if (!strcmp(how, "nested"))
			sink += first(i); /* here: main nested */
		else if (!strcmp(how, "deep"))
			sink += dive(300);
		else if (!strcmp(how, "twins"))
			sink += i % 3 ? right(i) : left(i);
		else if (!strcmp(how, "variable"))
			sink += variable(i + 1); /* here: main variable */
		else
			sink += aligned(i % 5 + 1); /* here: main aligned */
	}
	return 0;
}
"""


def line_of(comment):
    lines = [n for n, line in enumerate(SOURCE.splitlines(), 1) if f"/* here: {comment} */" in line]
    equal(len(lines), 1, f"lines of {comment!r}")
    return lines[0]


def build(*flags, compiler="gcc"):
    path = os.path.join(scratch(), "native")
    with open(path + ".c", "w") as f:
        f.write(SOURCE)
    sh(compiler, *CFLAGS, *flags, "-o", path, path + ".c")
    return path


def places(stack, functions):
    """(function, line) of the program's own frames."""
    return [(f.get("function"), f.get("line")) for f in stack if f.get("function") in functions]


OWN = {"dial", "third", "second", "first", "dive", "variable", "aligned", "worker", "main"}
NESTED = ["dial", "third", "second"]


def opened(program, how):
    """The only call site of the program's opens, found for at least 95 % of them."""
    server = Server()
    result = report([program, server.address, str(server.port), how])
    equal(result.totals["opens"], OPENS, "opens")
    row, = result.processes
    sites = [s for s in result.destination(row, server.port)["callsites"] if "function" in s]
    equal(len(sites), 1, f"call sites in {sites}")
    site = sites[0]
    equal(site["function"], "dial", "function")
    equal(os.path.basename(site["file"]), "native.c", "file")
    equal(site["line"], line_of("dial"), "line")
    equal(site["language"], "native", "language")
    check(site["opens"] >= 0.95 * OPENS, f"{site['opens']} of {OPENS} opens with a call site")
    return site["stack"]


def expect(program, how, callers):
    stack = opened(program, how)
    wanted = [(name, line_of(name)) for name in NESTED] + [
        (caller.split()[0], line_of(caller)) for caller in callers]
    equal(places(stack, OWN), wanted, "stack")


def test_nested():
    expect(build(), "nested", ["first", "main nested"])


def test_thread():
    expect(build(), "thread", ["first", "worker"])


def test_variable_frames():
    expect(build(), "variable", ["variable", "main variable"])


def test_aligned_frames():
    expect(build(), "aligned", ["variable", "aligned", "main aligned"])


def test_static():
    expect(build("-static"), "nested", ["first", "main nested"])


def test_static_variable():
    expect(build("-static"), "aligned", ["variable", "aligned", "main aligned"])


def test_no_pie():
    expect(build("-no-pie"), "nested", ["first", "main nested"])


def test_deep():
    """300 deep: of what is there, the innermost frames are right, and none is skipped."""
    stack = opened(build(), "deep")
    own = places(stack, OWN)
    check(len(own) > 64, f"{len(own)} frames of the program")
    equal(own[:2], [("dial", line_of("dial")), ("dive", line_of("bottom"))], "innermost")
    equal(set(own[2:]) - {("main", own[-1][1])}, {("dive", line_of("dive"))}, "the others")


def test_no_debug_information():
    """The control: without it the symbol table still has the function, and no line is made up."""
    server = Server()
    program = build("-g0")
    result = report([program, server.address, str(server.port), "nested"])
    row, = result.processes
    sites = result.destination(row, server.port)["callsites"]
    equal({s.get("function") for s in sites}, {"dial"}, "functions")
    check(all("line" not in s and "file" not in s for s in sites), f"a line in {sites}")


def folded(program, *args):
    """report -o folded of a run: [(frames, count)]."""
    text = run([TCPCHURN, "report", "-o", "folded", "--", program, *args]).stdout
    lines = [line.rsplit(" ", 1) for line in text.splitlines()]
    return [(frames.split(";"), int(count)) for frames, count in lines]


def test_twins():
    """Stacks that differ in one return address are told apart, and each has its own count."""
    server = Server()
    lines = folded(build(), server.address, str(server.port), "twins", "180")
    ways = {"left": 0, "right": 0}
    for frames, count in lines:
        for way in ways.keys() & set(frames):
            equal([f for f in frames if f in OWN], ["main", "third", "dial"], f"{way}, own frames")
            ways[way] += count
    equal(sum(count for _, count in lines), 180, f"opens in {lines}")
    check(ways["left"] <= 60 and ways["right"] <= 120, f"more than there were: {lines}")
    check(sum(ways.values()) >= 0.95 * 180, f"fewer than 95 %: {lines}")


def eu_stack(pid):
    """Function names of the first thread, as eu-stack has them."""
    text = run(["eu-stack", "-p", str(pid)], expect=None).stdout
    first = (text.split("TID", 2) + [""])[1]
    return re.findall(r"^#\d+\s+0x[0-9a-f]+(?: - \d+)?[ \t]*(.*)$", first, re.M)


def clean(name):
    """One name for the many that libc has for one address."""
    name = (name or "").split("@")[0].strip()
    return re.sub(r"^(__libc_|__)?(.*?)(_impl)?$", r"\2", name)


def blocked(address, how, *flags):
    """What eu-stack saw while it was blocked, and what the tracer says of the same connect()."""
    if not shutil.which("eu-stack"):
        raise Skip("no eu-stack: tools/install-deps.sh check")
    program = build(*flags)
    tracer = Tracer("report")
    victim = Process([program, address, "81", how, "1"])
    seen = []

    def there():
        seen[:] = eu_stack(victim.pid)
        return seen and clean(seen[0]) == "connect"

    time.sleep(0.1)
    until(there, 5, "blocked in connect()")
    time.sleep(0.5)  # on a busy machine the tracer may not have looked yet
    victim.stop(signal.SIGTERM, expect=-signal.SIGTERM)
    result = tracer.finish()
    equal(result.totals["failures"], 1, "failures")
    site, = result.destination(result.row("native"), 81)["callsites"]
    check("stack" in site, f"no stack: {site}, lost {result.lost}, {tracer.err}")
    return [clean(name) for name in seen], [clean(get(f, "function")) for f in site["stack"]]


def same_frames(how, *flags):
    seen, stack = blocked(blackhole(), how, *flags)
    equal(stack, seen, "stack, beside eu-stack's")
    check(stack[0] == "connect" and "main" in stack, f"the stack: {stack}")


def test_like_eu_stack():
    same_frames("nested")


def test_like_eu_stack_variable():
    same_frames("variable")


def test_like_eu_stack_aligned():
    same_frames("aligned")


def test_like_eu_stack_static():
    same_frames("aligned", "-static")


def test_like_eu_stack_no_pie():
    same_frames("nested", "-no-pie")


def test_unlike_eu_stack():
    """The control: what is compared tells one way to dial() from another."""
    address = blackhole()
    _, nested = blocked(address, "nested")
    seen, _ = blocked(address, "variable")
    check(nested != seen, f"the same stack for both: {seen}")
    equal(nested[:4], seen[:4], "the innermost four")


LARGE_FRAMES = r"""
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define NOINLINE __attribute__((noinline, noclone))

static struct sockaddr_in to;
static volatile int sink;

NOINLINE static void dial(void)
{
	int s = socket(AF_INET, SOCK_STREAM, 0);

	if (connect(s, (struct sockaddr *)&to, sizeof(to)))
		sink++;
	close(s);
	usleep(8000);
	sink++;
}

#define LARGE(name, callee)                             \
	NOINLINE static void name(void)                 \
	{                                               \
		volatile char buffer[12000];            \
							\
		memset((char *)buffer, 1, sizeof(buffer)); \
		callee();                               \
		sink += buffer[sink % 12000];           \
	}
LARGE(third, dial)
LARGE(second, third)
LARGE(first, second)

int main(int argc, char **argv)
{
	if (argc < 3)
		return 2;
	to.sin_family = AF_INET;
	to.sin_port = htons(atoi(argv[2]));
	inet_aton(argv[1], &to.sin_addr);
	for (int i = 0; i < 200; i++)
		first();
	return 0;
}
"""


def test_frames_larger_than_the_copy():
    """What lies beyond the part of a stack that is copied is learnt as well, frame by frame: then
    the stack is whole, and nothing is copied any more."""
    source = os.path.join(scratch(), "large.c")
    with open(source, "w") as f:
        f.write(LARGE_FRAMES)
    program = os.path.join(scratch(), "large")
    sh("gcc", *CFLAGS, "-o", program, source)
    server = Server()
    stacks = folded(program, server.address, str(server.port))
    equal(sum(count for _, count in stacks), 200, "opens")
    whole = sum(count for frames, count in stacks
                if [f for f in frames if f in ("main", "first", "second", "third", "dial")] ==
                ["main", "first", "second", "third", "dial"])
    check(whole >= 100, f"{whole} of 200 stacks down to main: {stacks}")
