# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""What the hooks on functions add where a kernel has them, and what stands in where it does not."""
import json
import signal
import sys
import time

import uring
from lib import (
    PYTHON, TCPCHURN, Process, Server, Skip, Tracer, check, churn, compare, equal, get, hooked,
    netns_inode, ports, report, run, run_churn, scratch, seeing_accept, sysctl, traced, until,
)

TRACEPOINT = ["--attach", "tracepoint"]


def need(hook):
    """Skips where no flavour of that hook attaches (in the flavour that is tested)."""
    if not hooked(hook):
        raise Skip(f"no flavour of {hook} here")


def test_exact():
    """What each flavour has to count, in one trace, for each kernel's sake: opens, those that find
    no port, accepts of a listener from before the trace, and closes; and whose they are."""
    sysctl("net.ipv4.tcp_tw_reuse", 0)
    server = Server(listen="127.0.0.1:8080")
    ports(48000, 16)
    tracer = Tracer("report")
    truth = run_churn("-n", 40, "--connect", server.target())
    served = server.stop()
    result = tracer.finish()
    equal((truth["established"], served["accepted"]), (16, 16), "made by the generators")
    compare(result, {**truth, "accepted": served["accepted"]})
    equal(result.doc["unattributed"]["process"], 0, "without a process")
    client, = [row for row in result.rows("churn") if row["opens"]]
    destination, = client["destinations"]
    equal((destination["address"], destination["port"], destination["netns"]),
          ("127.0.0.1", 8080, netns_inode()), "destination")
    equal((destination["opens"], destination["failures"]), (16, {"EADDRNOTAVAIL": 24}),
          "of the destination")


def search_of(result):
    destination, = result.row("churn")["destinations"]
    return destination["port_search_ns"]


# --- the time that the port search took -----------------------------------------------------------


def test_port_search():
    need("inet_hash_connect")
    for family in [], ["-6"]:
        search = search_of(report(churn("-n", 23, *family)))
        equal(search["measured"], True, f"measured ({search})")
        check(0 < search["p50"] <= search["p99"] <= search["max"] < 1e9, f"order of {search}")


def test_port_search_within_connect():
    """The search is a part of what connect() takes, connection by connection."""
    need("inet_hash_connect")
    with traced() as lines:
        run_churn("-n", 23)
    took = [get(line, "tcpchurn.connect") for line in lines[0].named("connect")]
    equal(len(took), 23, "connect")
    for connect in took:
        check(0 < connect["port_search_ns"] < connect["duration_ns"], f"parts of {connect}")


def test_port_search_stands_in():
    """Tracepoints alone: the time to connect is given, and not as the search's."""
    result = report(churn("-n", 23), TRACEPOINT)
    destination, = result.row("churn")["destinations"]
    equal(destination["port_search_ns"]["measured"], False, "measured")
    equal(destination["port_search_ns"]["p50"], destination["connect_ns"]["p50"], "p50")


def test_port_search_gets_slow():
    """The first sign of exhaustion, long before an error: the search must look at more ports."""
    need("inet_hash_connect")
    sysctl("net.ipv4.tcp_tw_reuse", 0)
    ports(40000, 2000)
    early = search_of(report(churn("-n", 500, "--port", 80)))["p50"]
    tracer = Tracer("report")
    truth = run_churn("-n", 1510, "--port", 80)  # the other 1,500 ports, and 10 times none
    late = search_of(tracer.finish())
    equal(truth["errno"], {"EADDRNOTAVAIL": 10}, "errno")
    check(late["max"] > 3 * early, f"from {early} ns to {late}")


# --- failed searches ------------------------------------------------------------------------------

FAST_OPEN = """
import socket, sys
MSG_FASTOPEN = 0x20000000
errors = {}
for _ in range(int(sys.argv[2])):
    s = socket.socket()
    try:
        s.sendto(b"x", MSG_FASTOPEN, ("127.0.0.1", int(sys.argv[1])))
    except OSError as e:
        errors[e.errno] = errors.get(e.errno, 0) + 1
    s.close()
print(errors)
"""


def exhausted_lines(connect):
    """All 16 ports taken, then `connect` tries 7 times in its own way."""
    sysctl("net.ipv4.tcp_tw_reuse", 0)
    server = Server(listen="127.0.0.1:8080")
    ports(48000, 16)
    run_churn("-n", 16, "--connect", server.target())
    with traced() as lines:
        connect(server.port)
    failed = lines[0].named("connect_failed")
    equal(len(failed), 7, "connect_failed")
    equal(lines[0].values("connect_failed", "error.type"), ["EADDRNOTAVAIL"], "error")
    equal(lines[0].values("connect_failed", "tcpchurn.failure.cause"), ["ephemeral_exhausted"],
          "cause")
    return failed


def by_fast_open(port):
    equal(run([PYTHON, "-c", FAST_OPEN, str(port), "7"]).stdout.strip(), "{99: 7}", "errors")


def by_io_uring(port):
    program = [sys.executable, uring.__file__, "127.0.0.1", str(port), "7"]
    equal(run(program).stdout.strip(), "{99: 7}", "errors")


def test_exhausted_fast_open():
    """sendto() that connects: there is no connect(2) to see."""
    exhausted_lines(by_fast_open)


def test_exhausted_io_uring():
    if not uring.available():
        raise Skip("no io_uring here")
    exhausted_lines(by_io_uring)


def test_exhausted_io_uring_timed():
    need("inet_hash_connect")
    if not uring.available():
        raise Skip("no io_uring here")
    for line in exhausted_lines(by_io_uring):
        check(get(line, "tcpchurn.connect.port_search_ns", 0) > 0, f"search of {line}")


def test_not_exhausted_io_uring():
    """The control: the same way to connect, with ports."""
    if not uring.available():
        raise Skip("no io_uring here")
    server = Server()
    with traced() as lines:
        done = run([sys.executable, uring.__file__, "127.0.0.1", str(server.port), "7"])
    equal(done.stdout.strip(), "{}", "errors")
    equal(lines[0].named("connect_failed"), [], "connect_failed")
    equal(len(lines[0].named("connect", role="client")), 7, "connect")


DEFERRED = """
import socket, sys
s = socket.socket()
s.setsockopt(socket.IPPROTO_TCP, 30, 1)  # TCP_FASTOPEN_CONNECT
s.connect(("127.0.0.1", int(sys.argv[1])))
s.send(b"x")
s.close()
s = socket.socket()
s.setsockopt(socket.IPPROTO_TCP, 30, 1)
s.connect(("127.0.0.1", int(sys.argv[1])))
s.close()
"""
FAST_OPEN_SERVER = """
import socket
s = socket.socket()
s.setsockopt(socket.IPPROTO_TCP, 23, 16)  # TCP_FASTOPEN
s.bind(("127.0.0.1", 0))
s.listen(16)
print("ready", s.getsockname()[1], flush=True)
while True:
    c, _ = s.accept()
    while c.recv(100):
        pass
    c.close()
"""


def test_deferred_and_given_up():
    """With a cookie, connect() only takes a port, and the SYN would leave with the first write. A
    program that closes before that failed for no want of ports."""
    need("inet_hash_connect")
    sysctl("net.ipv4.tcp_fastopen", 3)
    server = Process([PYTHON, "-c", FAST_OPEN_SERVER])
    port = server.wait_text(server.out_path, r"^ready (\d+)").group(1)
    run([PYTHON, "-c", DEFERRED, port])  # to get the cookie; the second has it
    with traced() as lines:
        run([PYTHON, "-c", DEFERRED, port])
    causes = lines[0].values("connect_failed", "tcpchurn.failure.cause")
    equal(causes, ["aborted"], "cause")
    equal(lines[0].values("connect_failed", "error.type"), [None], "error")


# --- who accepts ----------------------------------------------------------------------------------

PREFORK = """
import os, socket, sys
s = socket.socket()
s.bind(("127.0.0.1", 0))
s.listen(128)
for _ in range(3):
    if not os.fork():
        while True:
            c, _ = s.accept()
            os.write(1, b"accepted %d %d\\n" % (os.getpid(), c.getpeername()[1]))
            c.recv(1)
            c.sendall(b"x")
            c.recv(1)
            c.close()
print("ready", s.getsockname()[1], flush=True)
os.wait()
"""


def prefork():
    server = Process([PYTHON, "-c", PREFORK])
    return server, server.wait_text(server.out_path, r"^ready (\d+)").group(1)


def accepted(server):
    """What the workers say: source port -> PID."""
    lines = [line.split() for line in server.out.splitlines() if line.startswith("accepted")]
    return {int(port): int(pid) for _, pid, port in lines}


def test_accept_prefork():
    """Each connection belongs to the worker that accepted it, from its accept on."""
    with traced(*seeing_accept()) as lines:
        server, port = prefork()
        run_churn("-n", 23, "-t", 4, "--connect", f"127.0.0.1:{port}")
    truth = accepted(server)
    equal(len(truth), 23, "accepted by the workers")
    found = lines[0].named("accept")
    seen = {get(x, "network.peer.port"): get(x, "process.pid") for x in found}
    equal(seen, truth, "accepted")
    equal({get(x, "tcpchurn.attribution") for x in found}, {"exact"}, "attribution")


def test_accept_filter():
    """-p follows one worker: its connections, and no sibling's."""
    options = seeing_accept()
    server, port = prefork()
    worker = int(run(["cat", f"/proc/{server.pid}/task/{server.pid}/children"]).stdout.split()[0])
    with traced("-p", worker, *options) as lines:
        run_churn("-n", 40, "-t", 4, "--connect", f"127.0.0.1:{port}")
    mine = {port for port, pid in accepted(server).items() if pid == worker}
    seen = {get(x, "network.peer.port") for x in lines[0].named("accept")}
    equal(seen, mine, "accepted by the worker")
    equal(lines[0].values("accept", "process.pid"), [worker] if mine else [], "process")


SILENT = """
import socket, time
s = socket.socket()
s.bind(("127.0.0.1", 0))
s.listen(16)
print("ready", s.getsockname()[1], flush=True)
time.sleep(60)
"""


def silent():
    server = Process([PYTHON, "-c", SILENT])
    return server, server.wait_text(server.out_path, r"^ready (\d+)").group(1)


def test_unaccepted():
    """A connection that nobody accepts is told after a second, with the listener as its owner."""
    server, port = silent()
    tracer = Tracer("trace")
    client = Process(churn("-n", 3, "-t", 3, "--connect", f"127.0.0.1:{port}"))
    until(lambda: tracer.out.count('"accept"') == 3, 5, "three accepts")
    lines = tracer.finish()
    equal(lines.values("accept", "process.pid"), [server.pid], "process")
    equal(lines.values("accept", "tcpchurn.attribution"), ["listener"], "attribution")
    client.stop(signal.SIGKILL, expect=None)


def test_unaccepted_at_the_end():
    """A trace that ends before that second tells it, too."""
    server, port = silent()
    tracer = Tracer("report")
    client = Process(churn("-n", 3, "-t", 3, "--connect", f"127.0.0.1:{port}"))
    time.sleep(0.3)
    result = tracer.finish()
    equal([result.totals[key] for key in ("opens", "accepts")], [3, 3], "totals")
    client.stop(signal.SIGKILL, expect=None)


def test_accept_before_the_trace():
    """A worker that sleeps in accept() when the trace begins: its connection is told as long as it
    lives."""
    server, port = prefork()
    time.sleep(0.3)
    tracer = Tracer("trace")
    client = Process(churn("-n", 1, "--bytes", 0, "--hold-for", 20,
                           "--connect", f"127.0.0.1:{port}"))
    tracer.wait_text(tracer.out_path, '"accept"', seconds=5)
    equal(len(tracer.finish().named("accept")), 1, "accept")
    client.stop(signal.SIGKILL, expect=None)


def test_unaccepted_and_gone():
    """Or when it ends."""
    with traced() as lines:
        server, port = silent()
        client = Process(churn("-n", 3, "-t", 3, "--connect", f"127.0.0.1:{port}"))
        time.sleep(0.5)
        server.stop(signal.SIGKILL, expect=-signal.SIGKILL)
        client.wait(expect=None)
    equal(len(lines[0].named("accept")), 3, "accept")
    equal(lines[0].values("accept", "process.pid"), [server.pid], "process")
    equal(len(lines[0].named("close", role="server")), 3, "close")


# --- bind(port 0) ---------------------------------------------------------------------------------


def test_bind_failures():
    need("inet_csk_get_port")
    server = Server()
    ports(48000, 16)
    tracer = Tracer("report")
    truth = run_churn("-n", 23, "--bind-first", "--hold", "--connect", server.target())
    result = tracer.finish()
    equal(truth["bind_failed"], 7, "bind() that failed")
    equal([result.totals[key] for key in ("opens", "failures", "bind_failures")], [16, 0, 7],
          "totals")
    equal(sum(r["bind_failures"] for r in result.rows("churn")), 7, "bind failures of churn")


def test_bind_failures_lines():
    need("inet_csk_get_port")
    server = Server()
    ports(48000, 16)
    with traced() as lines:
        client = Process(churn("-n", 23, "--bind-first", "--hold", "--connect", server.target()))
        client.wait()
    equal(len(lines[0].named("bind_failed")), 7, "bind_failed")
    for path, value in [("error.type", "EADDRINUSE"), ("process.pid", client.pid),
                        ("tcpchurn.failure.cause", "bind_exhausted"),
                        ("network.local.address", "127.0.0.1"), ("network.peer", None),
                        ("code.function.name", "bind_source")]:
        equal(lines[0].values("bind_failed", path), [value], path)


def test_no_bind_failures():
    """The controls: bind(port 0) that works, and a port of its own that is taken."""
    server = Server()
    with traced() as lines:
        run_churn("-n", 7, "--bind-first", "--connect", server.target())
        run(churn("-n", 1, "--port", server.port), expect=2)
    equal(lines[0].named("bind_failed"), [], "bind_failed")
    equal(len(lines[0].named("connect", role="client")), 7, "connect")


# --- forced ---------------------------------------------------------------------------------------


def test_forced():
    """Each flavour counts the same 23 connections, or says in one line that it cannot be had."""
    for flavour in "tracepoint", "fentry", "kprobe":
        path = f"{scratch()}/{flavour}.json"
        done = run([TCPCHURN, "report", "-j", "-O", path, "--attach", flavour, "--",
                    *churn("-n", 23)], expect=None)
        if done.returncode == 0:
            with open(path) as f:
                totals = json.load(f)["totals"]
            equal([totals[k] for k in ("opens", "accepts", "closes", "failures")], [23, 23, 46, 0],
                  flavour)
            continue
        check(flavour != "tracepoint", done.stderr)
        equal(done.returncode, 69, f"exit ({done.stderr})")
        equal(len(done.stderr.strip().splitlines()), 1, f"lines of {done.stderr!r}")
        check("--attach" in done.stderr and "inet_hash_connect" in done.stderr, done.stderr)
