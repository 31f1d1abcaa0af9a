# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Python and native code in one process: C that calls back, and threads that Python knows not."""
import os

from cpython import OPENS, interpreters, prepare, program, this_python  # noqa: F401
from lib import Server, check, equal, report, scratch, sh

LIBRARY = r"""
#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

static volatile int sink;
static int times;
static unsigned short port;
static void (*call)(void);

__attribute__((noinline)) int dial_in_c(void)
{
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)};
	int s = socket(AF_INET, SOCK_STREAM, 0);

	to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	sink += connect(s, (struct sockaddr *)&to, sizeof(to)); /* here: C */
	close(s);
	usleep(4000);
	return sink;
}

static void *worker(void *arg)
{
	for (int i = 0; i < times; i++) {
		sink += dial_in_c();
		call();
	}
	return arg;
}

/* In a thread of its own, turn by turn: a connection from here, and whatever `back` does. */
void alternate(int nr, int to, void (*back)(void))
{
	pthread_t thread;

	times = nr;
	port = (unsigned short)to;
	call = back;
	pthread_create(&thread, NULL, worker, NULL);
	pthread_join(thread, NULL);
}

/* A callback from the same thread: Python, C, Python. */
void once(void (*back)(void))
{
	back();
	sink++;
}
"""
SCRIPT = """
import ctypes

library = ctypes.CDLL(sys.argv[2])
CALL = ctypes.CFUNCTYPE(None)


@CALL
def called_back():
    s = socket.socket()
    s.connect(("127.0.0.1", PORT))  # here
    s.close()
    time.sleep(0.004)


def start_threads(nr):
    for _ in range(nr):
        threading.Thread(target=time.sleep, args=(30,), daemon=True).start()


def through_c():
    library.once(called_back)


time.sleep(0.1)
start_threads(int(sys.argv[3]))
if sys.argv[4] == "alternate":
    library.alternate(30, PORT, called_back)
else:
    for _ in range(30):
        through_c()
time.sleep(0.3)  # to be looked at
os._exit(0)
"""


def build():
    path = os.path.join(scratch(), "libforeign.so")
    with open(path[:-3] + ".c", "w") as f:
        f.write(LIBRARY)
    sh("gcc", "-O2", "-g", "-fomit-frame-pointer", "-shared", "-fPIC", "-pthread", "-o", path,
       path[:-3] + ".c")
    return path


def sites_with(python, threads, how):
    server = Server()
    path, lines = program("import os\n" + SCRIPT)
    result = report([*python.command, path, str(server.port), build(), str(threads), how])
    row, = result.processes
    sites = {s["function"]: s for s in result.destination(row, server.port)["callsites"]
             if "function" in s}
    return result, sites, path, lines


def alternate(python, threads):
    """Each connection is from where it was made, whoever made the last one in that thread."""
    result, sites, path, lines = sites_with(python, threads, "alternate")
    what = f"{python.name}, {threads} threads"
    equal(result.totals["opens"], 2 * OPENS, f"{what}: opens")
    equal(sorted(sites), ["called_back", "dial_in_c"], f"{what}: call sites")
    ours, theirs = sites["called_back"], sites["dial_in_c"]
    equal((ours["file"], ours["line"]), (path, *lines), f"{what}: Python's line")
    line, = [n for n, text in enumerate(LIBRARY.splitlines(), 1) if "here: C" in text]
    equal((os.path.basename(theirs["file"]), theirs["line"]), ("libforeign.c", line),
          f"{what}: C's line")
    equal((ours["language"], theirs["language"]), ("python", "native"), f"{what}: languages")
    for site in ours, theirs:
        check(site["opens"] >= 0.9 * OPENS, f"{what}: {site['opens']} from {site['function']}")


def test_thread_of_c():
    alternate(this_python(), 0)


def test_thread_of_c_among_many():
    alternate(this_python(), 1000)


def test_thread_of_c_versions():
    for minor in 8, 10, 12, 13, 14:
        for python in interpreters(minor)[-1:]:
            alternate(python, 20)


def test_callback():
    """Python, C and Python again: the innermost Python function, with all its callers."""
    _, sites, path, lines = sites_with(this_python(), 0, "once")
    site = sites["called_back"]
    equal((site["file"], site["line"]), (path, *lines), "line")
    equal([f["function"] for f in site["stack"]], ["called_back", "through_c", "<module>"], "stack")
    check(site["opens"] >= 0.95 * OPENS, f"{site['opens']} opens")
