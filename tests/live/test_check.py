# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""The monitor's line: status, performance data, and UNKNOWN for whatever cannot be judged."""
import re
import signal
import socket
import time

from lib import (
    TCPCHURN, Netns, Tracer, alone, check, equal, netns_inode, ports, run, run_churn, sysctl,
    until,
)
from test_ports import LOW, Taken, listener

OK, WARNING, CRITICAL, UNKNOWN = range(4)
STATUS = "OK", "WARNING", "CRITICAL", "UNKNOWN"
LINE = re.compile(
    r"^TCPCHURN (OK|WARNING|CRITICAL|UNKNOWN) - ([^|\n]+)"
    r"(?: \|((?: [a-z_]+=[\d.]+%?(?:;[\d.]*){1,4})+))?\n$")


def line(expect, *options, scope=True, command=()):
    """The text and the performance data of one line."""
    scope = ["-N", str(netns_inode())] if scope else []
    done = run([*command, TCPCHURN, "check", *scope, *options], expect=expect)
    found = LINE.match(done.stdout)
    check(found, f"a plugin's line: {done.stdout!r}")
    equal(found.group(1), STATUS[expect], "status")
    data = dict(item.split("=") for item in (found.group(3) or "").split())
    return found.group(2), {k: v.split(";") for k, v in data.items()}


def test_thresholds():
    alone()
    ports(LOW, 20)
    taken = Taken("127.0.0.1", listener("127.0.0.1"))
    for used in range(1, 21):
        check(taken.one(), "connection")
        expect = OK if used < 10 else WARNING if used < 16 else CRITICAL
        text, data = line(expect)
        equal(data["used"], [f"{used * 5:.1f}%", "50", "80", "0", "100"], "used")
        equal(data["free"], [str(20 - used), "", "", "0", "20"], "free")
    check("no port is free from 127.0.0.1 to 127.0.0.1:7000" in text, text)


def test_own_thresholds():
    alone()
    ports(LOW, 20)
    taken = Taken("127.0.0.1", listener("127.0.0.1"))
    for _ in range(5):
        taken.one()
    line(OK, "-w", "26%", "-c", "30%")
    line(WARNING, "-w", "25%", "-c", "30%")
    line(CRITICAL, "-w", "20", "-c", "25")


def test_full_is_critical_whatever_was_said():
    alone()
    ports(LOW, 4)
    taken = Taken("127.0.0.1", listener("127.0.0.1"))
    taken.all()
    line(CRITICAL, "-w", "100%", "-c", "100%")


def test_worst_comes_first():
    alone()
    ports(LOW, 20)
    few, many = (Taken(a, listener(a)) for a in ("127.0.0.2", "127.0.0.3"))
    for _ in range(3):
        few.one()
    for _ in range(12):
        many.one()
    text, data = line(WARNING)
    check("127.0.0.3:7000" in text and "127.0.0.2" not in text, text)
    equal(data["pools"][0], "2", "pools")


def test_time_wait_that_can_be_taken_over():
    """Of 20 ports 15 are in TIME_WAIT: an alarm only where connect() cannot have them."""
    alone()
    for mode, expect in (2, OK), (0, WARNING):
        ports(LOW + 100 * mode, 20)
        sysctl("net.ipv4.tcp_tw_reuse", 2)
        run_churn("-n", 15, "--port", 8080 + mode)
        sysctl("net.ipv4.tcp_tw_reuse", mode)
        time.sleep(1.5)  # they are old enough then
        line(expect)


def test_leak():
    alone()
    server = listener("127.0.0.1")
    clients = [socket.create_connection(("127.0.0.1", 7000)) for _ in range(5)]
    accepted = [server.accept()[0] for _ in clients]
    for c in clients[:4]:
        c.close()
    for a in accepted[:4]:
        equal(a.recv(1), b"", "end of stream")
    _, data = line(OK)
    equal(data["close_wait"][0], "4", "close_wait")
    line(OK, "--leak-warning", "5", "--leak-critical", "6")
    text, data = line(WARNING, "--leak-warning", "4", "--leak-critical", "5")
    check("4 sockets in CLOSE_WAIT in netns " in text, text)
    equal(data["close_wait"], ["4", "4", "5", "0"], "close_wait")
    line(CRITICAL, "--leak-warning", "1", "--leak-critical", "4")
    line(CRITICAL, "--leak-critical", "4")


def test_nothing_to_see():
    alone()
    text, _ = line(OK)
    check("no port pool" in text, text)


def test_other_namespace():
    alone()
    other = Netns("other")
    _, data = line(OK, "-N", other.name, scope=False)
    equal(data["pools"][0], "0", "pools")


def test_unprivileged():
    alone()
    ports(LOW, 20)
    taken = Taken("127.0.0.1", listener("127.0.0.1"))
    for _ in range(17):
        taken.one()
    user = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--"]
    text, _ = line(CRITICAL, scope=False, command=user)
    check("partial" in text, text)
    other = Netns("other")
    text, data = line(UNKNOWN, "-N", other.name, scope=False, command=user)
    check("not permitted" in text, text)
    equal(data, {}, "performance data")


def fail_connects(number):
    """connect() without a free port, so many times; afterwards there are ports enough."""
    ports(LOW, 4)
    taken = Taken("127.0.0.1", listener("127.0.0.1"))
    taken.all()
    # The one that found out is a failure, too.
    for _ in range(number - 1):
        check(not taken.one(), "a connection without a port")
    ports(LOW, 100)


def failed(data):
    return int(data["failed"][0])


def test_failures_of_a_trace():
    """Exactly those of the last --since, in this namespace, for as long as the trace runs."""
    alone()
    _, data = line(OK)
    check("failed" not in data, f"nobody traces: {data}")
    tracer = Tracer("trace")
    _, data = line(OK)
    equal(data["failed"], ["0", "", "0", "0"], "failures")
    fail_connects(23)
    scope = ["-N", str(netns_inode())]
    until(lambda: "failed=23;" in run([TCPCHURN, "check", *scope], expect=None).stdout, 2,
          "23 failures")
    text, _ = line(CRITICAL, "--since", "1m")
    check(re.match(r"23 connects failed for want of a port in the last \d", text), text)
    time.sleep(3.5)
    text, data = line(OK, "--since", "2s")
    equal(failed(data), 0, "failures of the last 2 s")
    check("connects failed" not in text, text)
    text, data = line(CRITICAL, "--since", "1m")
    equal(failed(data), 23, "failures of the last minute, with ports enough by now")
    other = Netns("other")
    _, data = line(OK, "-N", other.name, scope=False)
    check("failed" not in data, f"the other namespace is not traced: {data}")
    tracer.finish()
    _, data = line(OK)
    check("failed" not in data, f"nobody traces any more: {data}")


def test_trace_that_was_killed():
    """What a killed trace left says nothing about now; --traced makes that an alarm."""
    alone()
    tracer = Tracer("trace")
    line(OK, "--traced")
    tracer.stop(signal.SIGKILL, expect=-signal.SIGKILL)
    fail_connects(2)
    _, data = line(OK)
    check("failed" not in data, f"nobody traces any more: {data}")
    text, _ = line(UNKNOWN, "--traced")
    check("no trace of tcpchurn is running" in text, text)


def test_trace_of_some_is_none():
    """A filtered trace sees some failures only: it is not believed."""
    alone()
    tracer = Tracer("trace", "-P", "7000")
    fail_connects(2)
    _, data = line(OK)
    check("failed" not in data, f"a filtered trace: {data}")
    tracer.finish()


def test_unknown():
    alone()
    for options in (
        ["-w", "101%"], ["-w", "-1"], ["-c", "x"], ["-w"], ["-w", "90%", "-c", "80%"], ["--what"],
        ["-w", "1e1"], ["--leak-warning", "0"], ["--leak-warning", "3", "--leak-critical", "2"],
        ["-N", "there-is-none"], ["-N", "4294967295"], ["word"], ["-w", ""], ["-w", "5%%"],
        ["--since", "0"], ["--since", "2h"],
    ):
        line(UNKNOWN, *options, scope=False)
