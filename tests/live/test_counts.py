# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""What was made is what is counted: 23 connections in, 23 opens, accepts and closes out."""
from lib import (
    PYTHON, Process, Server, Tracer, churn, check, compare, equal, get, netns_inode, oracle,
    ports, report, run_churn, sh, sysctl,
)


def exact(*args, made=None):
    """A report on a churn with its own server, compared with what the churn counted."""
    result = report(churn(*args))
    truth = oracle(result.stdout)
    if made is not None:
        equal(truth["established"], made, "made by the generator")
    compare(result, truth)
    return result, truth


def only_destination(result, name="churn"):
    row = result.row(name)
    equal(len(row["destinations"]), 1, "destinations")
    return row["destinations"][0]


def test_ipv4():
    result, truth = exact("-n", 23, made=23)
    destination = only_destination(result)
    equal(destination["address"], "127.0.0.1", "address")
    equal(destination["port"], truth["port"], "port")
    equal(destination["opens"], 23, "opens of the destination")
    equal(destination["netns"], netns_inode(), "netns")
    equal(destination["failures"], {}, "failures of the destination")


def test_ipv6():
    result, truth = exact("-n", 23, "-6", made=23)
    destination = only_destination(result)
    equal((destination["address"], destination["port"]), ("::1", truth["port"]), "destination")


def test_mapped():
    result, truth = exact("-n", 23, "--mapped", made=23)
    destination = only_destination(result)
    equal((destination["address"], destination["port"]), ("127.0.0.1", truth["port"]), "unwrapped")


SELF_CONNECT = """
import socket
for _ in range(23):
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        s.connect(s.getsockname())
        s.sendall(b"x")
        assert s.recv(1) == b"x"
"""


def test_simultaneous_open():
    """A socket that connects to itself passes through SYN_RECV, as an accepted one does."""
    tracer = Tracer("report")
    sh(PYTHON, "-c", SELF_CONNECT)
    totals = tracer.finish().totals
    equal([totals[name] for name in ("opens", "accepts", "closes")], [23, 0, 23], "totals")


def test_nothing():
    """The control: a command that opens nothing, beside one that does."""
    server = Server()
    noise = Process(churn("-n", 0, "-r", 200, "-d", 30, "--connect", server.target()))
    result = report(["/bin/sleep", "0.5"])
    noise.stop()
    for name in "opens", "accepts", "closes", "failures", "short_lived", "avoidable":
        equal(result.totals[name], 0, name)
    equal(result.processes, [], "processes")
    equal(result.findings(), [], "findings")


def test_threads():
    result, _ = exact("-n", 100, "-t", 4, made=100)
    equal(result.row("churn")["opens"], 100, "opens of the row")


def test_forked_processes():
    """fork() without exec: children of one program are one row."""
    result, _ = exact("-n", 40, "--processes", 4, made=40)
    equal(sum(row["opens"] for row in result.rows("churn")), 40, "opens of all rows")


def test_executed_processes():
    result, _ = exact("-n", 40, "--exec-each", made=40)
    rows = result.rows("churn")
    equal(sum(row["opens"] for row in rows), 40, "opens of all rows")


def test_nonblocking():
    exact("-n", 23, "--nonblock", made=23)


def test_reset():
    exact("-n", 23, "--rst", made=23)


def test_server_closes():
    exact("-n", 23, "--server-closes", made=23)


def test_no_payload():
    exact("-n", 23, "--bytes", 0, made=23)


def test_held():
    """All 23 are there at once: those that were idle by then, on a slow machine, were avoidable."""
    result, _ = exact("-n", 23, "--hold-for", 0.2, made=23)
    row, = result.rows("churn")
    peak = only_destination(result)["concurrency_peak"]
    equal(peak + row["avoidable"], 23, "peak and avoidable opens")
    check(peak > 1, f"a peak of {peak}")


def test_one_at_a_time():
    """The control of test_held; closed by RST, which no handshake follows."""
    result, _ = exact("-n", 23, "--rst", made=23)
    equal(only_destination(result)["concurrency_peak"], 1, "peak")


def test_bound_first():
    exact("-n", 23, "--bind-first", made=23)


def test_bound_late():
    exact("-n", 23, "--bind-no-port", made=23)


def test_refused():
    result, truth = exact("-n", 23, "--refused", made=0)
    destination = only_destination(result)
    equal(destination["failures"], {"ECONNREFUSED": 23}, "failures")
    equal((destination["address"], destination["port"]), ("127.0.0.1", truth["port"]),
          "destination")
    equal(result.row("churn")["failures"], {"ECONNREFUSED": 23}, "failures of the row")


def test_exhausted():
    sysctl("net.ipv4.tcp_tw_reuse", 0)
    ports(48000, 16)
    result, _ = exact("-n", 40, "--port", 8080, made=16)
    equal(only_destination(result)["failures"], {"EADDRNOTAVAIL": 24}, "failures")


def test_saturating():
    result, truth = exact("-n", 20000, "-t", 2, "--server-threads", 2, "--rst", made=20000)
    equal(result.row("churn")["opens"], 20000, "opens of the row")


def test_only_the_command():
    """Two of the same program at the same time, one of them ours."""
    server = Server()
    noise = Process(churn("-n", 0, "-r", 300, "-d", 30, "--connect", server.target()))
    result = report(churn("-n", 23, "-r", 50, "--connect", server.target()))
    noise.stop()
    compare(result, oracle(result.stdout), servers=False)
    check(oracle(noise.out)["established"] > 23, "the noise was silent")


def test_everybody():
    """The control: without a command both are counted."""
    server = Server()
    tracer = Tracer("report")
    one = run_churn("-n", 23, "--connect", server.target())
    two = run_churn("-n", 19, "--connect", server.target())
    served = server.stop()
    result = tracer.finish()
    equal(result.totals["opens"], one["established"] + two["established"], "opens")
    equal(result.totals["accepts"], served["accepted"], "accepts")
    equal(result.totals["closes"], 84, "closes")


def test_before_the_first_instruction():
    """The first thing the command does is counted, and so is what outlives it."""
    server = Server()
    one = " ".join(churn("-n", 1, "--connect", server.target()))
    result = report(["/bin/sh", "-c", f"{one}; (sleep 0.5; {one}) & exit 0"])
    equal(result.totals["opens"], 2, "opens")
    equal(result.totals["closes"], 2, "closes")


def test_exit_of_the_command():
    """The command's output is its own, and the document is one."""
    result = report([PYTHON, "-c", "print('hello')"])
    equal(result.stdout, "hello\n", "stdout")
    equal(get(result.doc, "event.name"), "report", "event")
