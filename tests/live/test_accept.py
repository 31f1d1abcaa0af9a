# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Where a connection was accepted: function, file and line of real servers, and of what they leak.

accept() is seen by fexit or a kretprobe, and where there is neither with --accepts, by tracepoints
of the system calls.
"""
import gzip
import json
import os
import socket
import sys
import time

from lib import (
    PYTHON, TCPCHURN, Process, Skip, Tracer, become_leaks, check, equal, get, run, scratch,
    seeing_accept, sh, tracefs, wait_for_census,
)
import uring

CFLAGS = ["-O2", "-g", "-fomit-frame-pointer", "-Wall", "-Wextra", "-Werror"]
PORT = 7071

# Accepts by accept(), then by accept4(), as often as told, and keeps or closes. Reads what comes.
SERVER_C = r"""
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define NOINLINE __attribute__((noinline, noclone))

static volatile int sink; /* keeps calls from becoming jumps */

NOINLINE static int take_plain(int listener)
{
	int s = accept(listener, NULL, NULL); /* here: plain */

	return s + sink;
}

NOINLINE static int take_four(int listener)
{
	int s = accept4(listener, NULL, NULL, SOCK_CLOEXEC); /* here: four */

	return s + sink;
}

NOINLINE static int serve(int listener, int i, int plain)
{
	int s = i < plain ? take_plain(listener) : take_four(listener);
	char buf[16];

	while (read(s, buf, sizeof(buf)) > 0)
		sink = 0;
	return s + sink;
}

int main(int argc, char **argv)
{
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(PORT)};
	int listener = socket(AF_INET, SOCK_STREAM, 0), plain = atoi(argv[1]), four = atoi(argv[2]);
	int one = 1;

	at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (argc != 4 || bind(listener, (struct sockaddr *)&at, sizeof(at)) ||
	    listen(listener, 64))
		return 1;
	puts("ready");
	fflush(stdout);
	for (int i = 0; i < plain + four; i++) {
		int s = serve(listener, i, plain);

		if (!strcmp(argv[3], "close"))
			close(s);
	}
	puts("served");
	fflush(stdout);
	sleep(30);
	return 0;
}
"""

# Leaks in a function of its own, and opens a connection itself each time.
SERVER_PY = """
import socket, sys, time
kept = []
def handle_client(listener, fix):
    connection, _ = listener.accept()
    connection.recv(10)
    connection.recv(10)
    if fix:
        connection.close()
    else:
        kept.append(connection)
def ask_backend():
    with socket.create_connection(("127.0.0.1", 7072)) as backend:
        backend.sendall(b"x")
def main():
    listener = socket.create_server(("127.0.0.1", 7071))
    print("ready", flush=True)
    for _ in range(int(sys.argv[1])):
        handle_client(listener, sys.argv[2] == "close")
        ask_backend()
    print("served", flush=True)
    time.sleep(30)
main()
"""


def line_of(source, text):
    return next(nr for nr, line in enumerate(source.splitlines(), 1) if text in line)


def write(name, text):
    path = os.path.join(scratch(), name)
    with open(path, "w") as f:
        f.write(text)
    return path


def c_server(*args):
    source = write("server.c", SERVER_C)
    program = os.path.join(scratch(), "server")
    sh("gcc", *CFLAGS, f"-DPORT={PORT}", "-o", program, source)
    server = Process([program, *map(str, args)])
    server.wait_text(server.out_path, "^ready")
    time.sleep(0.3)  # a new program's files are still being read
    return server


def python_server(*args):
    server = Process([PYTHON, write("front.py", SERVER_PY), *map(str, args)])
    server.wait_text(server.out_path, "^ready")
    time.sleep(0.3)
    return server


def ask(server, nr):
    """Until all have been served."""
    for _ in range(nr):
        with socket.create_connection(("127.0.0.1", PORT), 5) as client:
            client.sendall(b"x")
    server.wait_text(server.out_path, "^served")


def ask_c_server(plain, four, how):
    server = c_server(plain, four, how)
    ask(server, plain + four)
    return server


def service(row):
    found, = [s for s in row["services"] if s["port"] == PORT]
    return found


def sites(thing):
    """{(function, file, line): accepts} of a service."""
    return {(c.get("function"), os.path.basename(c.get("file", "")), c.get("line")): c["accepts"]
            for c in thing["callsites"]}


def followed(verb, *options):
    """A tracer that sees accept() in whatever way there is here."""
    return Tracer(verb, *seeing_accept(), *options)


def leak_of(result):
    found, = result.findings("close-wait-leak")
    return found


def test_native():
    """A C server without frame pointers, by accept() and accept4(): both lines, each its count."""
    tracer = followed("report")
    server = ask_c_server(12, 8, "keep")
    become_leaks()
    result = tracer.finish()
    row = result.row("server")
    lines = {name: line_of(SERVER_C, f"/* here: {name} */") for name in ("plain", "four")}
    equal(sites(service(row)), {("take_plain", "server.c", lines["plain"]): 12,
                                ("take_four", "server.c", lines["four"]): 8}, "accept sites")
    stack = [f["function"] for f in service(row)["callsites"][0]["stack"]]
    equal(stack[stack.index("take_plain"):][:3], ["take_plain", "serve", "main"], "stack")
    found = leak_of(result)
    equal((get(found, "process.pid"), found["callsite"]["function"], found["callsite"]["line"]),
          (server.pid, "take_plain", lines["plain"]), "whose leak")
    for name, nr in ("plain", 12), ("four", 8):
        text = f"{nr} of the 20 were accepted in take_{name} (server.c:{lines[name]})"
        check(text in found["evidence"], f"{text!r} in {found['evidence']}")
    equal(result.doc["unattributed"]["callsite"], 0, "opens without a call site")


def by_tracepoints(verb):
    """A tracer that has nothing else."""
    if tuple(map(int, os.uname().release.split(".")[:2])) < (5, 12):
        raise Skip("accept() is not seen before 5.12")
    tracefs()
    return Tracer(verb, "--attach", "tracepoint", "--accepts")


def test_python():
    """A leak in a Python function; what that function's program opens itself keeps its own line."""
    python_leak(followed("report"))


def test_python_by_tracepoints():
    python_leak(by_tracepoints("report"))


def python_leak(tracer):
    backend = socket.create_server(("127.0.0.1", 7072), backlog=64)
    server = python_server(15, "keep")
    ask(server, 15)
    become_leaks()
    result = tracer.finish()
    backend.close()
    row, = [p for p in result.processes if get(p, "process.pid") == server.pid]
    where = ("handle_client", "front.py", line_of(SERVER_PY, "listener.accept()"))
    equal(sites(service(row)), {where: 15}, "accept sites")
    found = leak_of(result)
    equal((get(found, "process.pid"), found["callsite"]["function"], found["callsite"]["line"]),
          (server.pid, where[0], where[2]), "whose leak")
    text = f"all 15 were accepted in handle_client (front.py:{where[2]})"
    check(text in found["evidence"], f"{text!r} in {found['evidence']}")
    opened = result.destination(row, 7072)
    equal([(c["function"], c["line"], c["opens"]) for c in opened["callsites"]],
          [("ask_backend", line_of(SERVER_PY, "create_connection"), 15)], "where it opens")
    for f in result.findings():
        if f["id"] in ("function-local-client", "connection-per-request"):
            check("handle_client" not in json.dumps(f), f"accept() taken for an open: {f}")


def test_server_closes():
    """The control: the same places, no leak, and no client that a server would be taken for."""
    tracer = followed("report")
    server = ask_c_server(40, 0, "close")
    become_leaks()
    result = tracer.finish()
    row = result.row("server")
    where = ("take_plain", "server.c", line_of(SERVER_C, "/* here: plain */"))
    equal(sites(service(row)), {where: 40}, "accept sites")
    equal(result.findings("close-wait-leak"), [], "leaks")
    about = [f["id"] for f in result.findings() if get(f, "process.pid") == server.pid]
    equal(about, [], "findings about the server")
    equal((row["opens"], row["avoidable"], row["destinations"]), (0, 0, []), "opens of the server")


def test_lines():
    """Each accept names who, and where; with --no-callsites only who."""
    for options in (), ("--no-callsites",):
        tracer = followed("trace", *options)
        server = ask_c_server(5, 5, "close")
        lines = tracer.finish()
        server.stop(expect=None)
        accepts = lines.named("accept", lport=PORT)
        equal([get(line, "process.pid") for line in accepts], [server.pid] * 10, "who accepts")
        equal({get(line, "tcpchurn.attribution") for line in accepts}, {"exact"}, "attribution")
        names = sorted(str(get(line, "code.function.name")) for line in accepts)
        expected = ["None"] * 10 if options else ["take_four"] * 5 + ["take_plain"] * 5
        equal(names, expected, f"functions with {options}")
        equal(len(lines.named("close", role="server")), 10, "closes")


def test_recording():
    """A recording holds it all: the report of it is that of the trace."""
    tracer = followed("record")
    server = python_server(15, "keep")
    backend = socket.create_server(("127.0.0.1", 7072), backlog=64)
    ask(server, 15)
    wait_for_census(tracer)
    become_leaks()
    recording = tracer.finish()
    backend.close()
    done = run([TCPCHURN, "report", "-j", "-i", recording])
    document = json.loads(done.stdout)
    where = ("handle_client", "front.py", line_of(SERVER_PY, "listener.accept()"))
    row, = [p for p in document["processes"] if get(p, "process.pid") == server.pid]
    equal(sites(service(row)), {where: 15}, "accept sites")
    found, = [f for f in document["findings"] if f["id"] == "close-wait-leak"]
    equal((found["callsite"]["function"], found["callsite"]["line"]), (where[0], where[2]),
          "whose leak")
    text = f"all 15 were accepted in handle_client (front.py:{where[2]})"
    check(text in found["evidence"], f"{text!r} in {found['evidence']}")
    leaks_of_recording(recording, server.pid, where, found["callsite"])


def leaks_of(recording, pid, *options):
    done = json.loads(run([TCPCHURN, "leaks", "-j", "-i", recording, *options]).stdout)
    return [leak for leak in done["leaks"] if get(leak, "process.pid") == pid]


def leaks_of_recording(recording, pid, where, callsite):
    """What leaks -i tells is what the report tells."""
    leak, = leaks_of(recording, pid)
    equal((get(leak, "process.pid"), leak["state"], leak["count"], leak["local"]),
          (pid, "close_wait", 15, {"address": "127.0.0.1", "port": PORT}), "the leak")
    site, = leak["callsites"]
    equal(leak["callsite"]["id"], site["id"], "the call site")
    equal((leak["traced"], site["count"], get(site, "process.pid")), (15, 15, pid), "from where")
    equal({key: site[key] for key in callsite}, callsite, "its call site")
    check(os.path.basename(site["file"]) == where[1], site)
    text = run([TCPCHURN, "leaks", "-i", recording]).stdout
    check(f"all 15 were accepted in handle_client (front.py:{where[2]})" in text, text)
    check("Nothing was traced" not in text, text)
    equal(leaks_of(recording, pid, "--min-age", "1h"), [], "leaks of an hour ago")
    run([TCPCHURN, "leaks", "-N", "self", "-i", recording], expect=64)
    run([TCPCHURN, "leaks", "-i", recording + ".none"], expect=66)
    damaged = os.path.join(scratch(), "damaged.json")
    with gzip.open(recording, "rt") as f:
        lines = f.readlines()
    for kept in [x for x in lines if not ('"sockets"' in x and '"network"' in x)], ["{nonsense\n"]:
        with open(damaged, "w") as f:
            f.writelines(kept)
        done = run([TCPCHURN, "leaks", "-j", "-i", damaged], expect=66)
        equal(done.stdout, "", "leaks of a damaged recording")


def test_recording_of_closing_server():
    """The control: what is closed is no leak, nor a young one, of which one census is enough."""
    tracer = followed("record")
    ask_c_server(15, 0, "close")
    recording = tracer.finish()
    done = json.loads(run([TCPCHURN, "leaks", "-j", "-i", recording]).stdout)
    equal((done["leaks"], done["young"]), ([], 0), "leaks")


def test_not_traced():
    """The control: without --accepts, where only tracepoints are to be had. It is said."""
    tracer = Tracer("report", "--attach", "tracepoint")
    ask_c_server(8, 0, "keep")
    become_leaks()
    result = tracer.finish()
    equal(service(result.row("server"))["callsites"], [], "accept sites")
    found = leak_of(result)
    check("callsite" not in found, f"a call site from nowhere: {found.get('callsite')}")
    check(any(c.startswith("where 8 of them were accepted is not known: accept() is not traced")
              and "--accepts" in c for c in found["counter_evidence"]), found["counter_evidence"])


def test_not_to_be_had():
    """Asked for in vain: said, with the reason, instead of a report without it."""
    tracefs(empty=True)
    done = run([TCPCHURN, "report", "--attach", "tracepoint", "--accepts", "-d", "1s"], expect=69)
    check("inet_csk_accept" in done.stderr and "tracefs" in done.stderr, done.stderr)


def test_io_uring():
    """What passes by the system call is the listener's in the end, and nobody's line."""
    if not uring.available():
        raise Skip("no io_uring here")
    tracer = by_tracepoints("trace")
    server = Process([sys.executable, uring.__file__, "accept", str(PORT), "3"])
    server.wait_text(server.out_path, "^ready")
    ask(server, 3)
    time.sleep(1.5)  # what nobody accepts is told after a second
    lines = tracer.finish()
    accepts = lines.named("accept", lport=PORT)
    equal([get(line, "process.pid") for line in accepts], [server.pid] * 3, "who listens")
    equal({get(line, "tcpchurn.attribution") for line in accepts}, {"listener"}, "attribution")
    equal({get(line, "code.function.name") for line in accepts}, {None}, "functions")
