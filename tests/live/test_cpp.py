# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""C++: templates, methods, lambdas, connections made while an exception is handled or unwound."""
import os

from lib import Server, check, equal, report, scratch, sh

OPENS = 20
SOURCE = r"""
#include <arpa/inet.h>
#include <cstdlib>
#include <functional>
#include <netinet/in.h>
#include <stdexcept>
#include <string>
#include <sys/socket.h>
#include <unistd.h>

static sockaddr_in to;
static volatile int sink;

namespace shop {

struct Socket {
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	__attribute__((noinline)) void dial()
	{
		sink = connect(fd, (sockaddr *)&to, sizeof(to)) + 1;
	}
	~Socket() { close(fd); usleep(5000); }
};

template <typename T> struct Client {
	__attribute__((noinline)) T ask(T value)
	{
		Socket s;
		s.dial(); /* here: template */
		return value;
	}
};

__attribute__((noinline)) void fail() { throw std::runtime_error("no"); }

__attribute__((noinline)) void caught()
{
	try {
		fail();
	} catch (const std::exception &) {
		Socket s;
		s.dial(); /* here: caught */
		sink = 1;
	}
}

struct Farewell { /* a destructor that runs while the stack is unwound */
	__attribute__((noinline)) ~Farewell()
	{
		Socket s;
		s.dial(); /* here: unwinding */
		sink = 1;
	}
};

__attribute__((noinline)) void unwinding()
{
	Farewell f;
	fail();
}

} // namespace shop

__attribute__((noinline)) static void each(const std::function<void()> &what)
{
	for (int i = 0; i < 20; i++)
		what(); /* here: each */
}

int main(int, char **argv)
{
	to.sin_family = AF_INET;
	to.sin_port = htons(atoi(argv[1]));
	to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	usleep(100000);
	each([] { shop::Client<std::string>().ask("x"); });
	each([] { shop::caught(); });
	each([] {
		try {
			shop::unwinding();
		} catch (...) {
		}
	});
	usleep(200000);
}
"""


def line_of(comment):
    line, = [n for n, text in enumerate(SOURCE.splitlines(), 1) if f"here: {comment} */" in text]
    return line


def test_patterns():
    """The caller of dial(), three times another one, each with the way to main()."""
    path = os.path.join(scratch(), "shop")
    with open(path + ".cc", "w") as f:
        f.write(SOURCE)
    sh("g++", "-O2", "-g", "-fomit-frame-pointer", "-o", path, path + ".cc")
    server = Server()
    result = report(["sh", "-c", 'exec "$0" "$@"', path, str(server.port)],
                    options=["--callsite-skip", "*Socket*dial*"])
    equal(result.totals["opens"], 3 * OPENS, "opens")
    row, = result.processes
    sites = {(s["function"], s["line"]): s
             for s in result.destination(row, server.port)["callsites"] if "function" in s}
    lines = {line: name for name, line in sites}
    for comment, part in ("template", "ask"), ("caught", "caught"), ("unwinding", "Farewell"):
        check(part in lines.get(line_of(comment), ""), f"{comment}: {sorted(sites)}")
    equal(len(sites), 3, f"call sites: {sorted(sites)}")
    for (name, _), site in sites.items():
        check(site["opens"] >= 0.9 * OPENS, f"{site['opens']} opens from {name}")
        functions = [f.get("function") or "" for f in site["stack"]]
        check("main" in functions, f"{name}: stack {functions}")
        check(any(f.startswith("each") for f in functions), f"{name}: stack {functions}")
