# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Why a connect() failed: errno, cause and destination of each, counted exactly."""
import ctypes
import errno
import signal
import socket
import time

from lib import (
    Process, Server, blackhole, churn, equal, get, ports, run_churn, sysctl, traced, unreachable,
)


def expect_failures(lines, count, error, cause, address, port):
    failed = lines.named("connect_failed")
    equal(len(failed), count, "connect_failed")
    equal(lines.values("connect_failed", "error.type"), [error] if count else [], "error")
    equal(lines.values("connect_failed", "tcpchurn.failure.cause"), [cause], "cause")
    equal(lines.values("connect_failed", "network.peer.address"), [address], "address")
    equal(lines.values("connect_failed", "network.peer.port"), [port], "port")
    equal(lines.values("connect_failed", "process.executable.name"), ["churn"], "process")


def test_none():
    """The control: connections that succeed leave no failure behind."""
    with traced() as lines:
        run_churn("-n", 23)
    equal(lines[0].named("connect_failed"), [], "connect_failed")
    equal(len(lines[0].named("connect")), 23, "connect")


def test_refused():
    with traced() as lines:
        truth = run_churn("-n", 23, "--refused")
    expect_failures(lines[0], 23, "ECONNREFUSED", "refused", "127.0.0.1", truth["port"])
    equal(lines[0].named("connect"), [], "connect")


def test_refused_ipv6():
    with traced() as lines:
        truth = run_churn("-n", 7, "--refused", "-6")
    expect_failures(lines[0], 7, "ECONNREFUSED", "refused", "::1", truth["port"])


def test_refused_nonblocking():
    with traced() as lines:
        truth = run_churn("-n", 7, "--refused", "--nonblock")
    expect_failures(lines[0], 7, "ECONNREFUSED", "refused", "127.0.0.1", truth["port"])


def test_timeout():
    address = blackhole()
    sysctl("net.ipv4.tcp_syn_retries", 1)
    with traced() as lines:
        truth = run_churn("-n", 5, "-t", 5, "--connect", f"{address}:81")
    equal(truth["errno"], {"ETIMEDOUT": 5}, "errno")
    expect_failures(lines[0], 5, "ETIMEDOUT", "timeout", address, 81)


def test_unreachable():
    address = unreachable()
    with traced() as lines:
        truth = run_churn("-n", 5, "-t", 5, "--connect", f"{address}:82")
    equal(truth["errno"], {"EHOSTUNREACH": 5}, "errno")
    expect_failures(lines[0], 5, "EHOSTUNREACH", "unreachable", address, 82)


def test_exhausted():
    sysctl("net.ipv4.tcp_tw_reuse", 0)
    ports(48000, 16)
    with traced() as lines:
        truth = run_churn("-n", 40, "--port", 8080)
    equal(truth["errno"], {"EADDRNOTAVAIL": 24}, "errno")
    expect_failures(
        lines[0], 24, "EADDRNOTAVAIL", "ephemeral_exhausted", "127.0.0.1", truth["port"]
    )
    equal(len(lines[0].named("connect")), 16, "connect")


def test_exhausted_ipv6():
    sysctl("net.ipv4.tcp_tw_reuse", 0)
    ports(48000, 16)
    with traced() as lines:
        truth = run_churn("-n", 40, "-6", "--port", 8080)
    expect_failures(lines[0], 24, "EADDRNOTAVAIL", "ephemeral_exhausted", "::1", truth["port"])


def test_tuple_in_use():
    """The second and third connection from an explicit port meet the first one, still open."""
    with traced() as lines:
        truth = run_churn("-n", 3, "--bind-port", 5555, "--hold")
    equal(truth["errno"], {"EADDRNOTAVAIL": 2}, "errno")
    expect_failures(lines[0], 2, "EADDRNOTAVAIL", "tuple_in_use", "127.0.0.1", truth["port"])
    equal(lines[0].values("connect_failed", "network.local.port"), [5555], "source port")


def test_abandoned():
    """A non-blocking connect() that its program gives up after 200 ms."""
    address = blackhole()
    with traced() as lines:
        truth = run_churn("-n", 3, "--timeout", 200, "--connect", f"{address}:83")
    equal(truth["abandoned"], 3, "abandoned")
    failed = lines[0].named("connect_failed")
    equal(len(failed), 3, "connect_failed")
    equal(lines[0].values("connect_failed", "tcpchurn.failure.cause"), ["aborted"], "cause")
    for line in failed:
        took = get(line, "tcpchurn.connect.duration_ns", 0)
        equal(0.19e9 < took < 1e9, True, f"duration of {took} ns is about 200 ms")


def test_not_abandoned():
    """The control: the same timeout against a server that answers."""
    server = Server()
    with traced() as lines:
        run_churn("-n", 3, "--timeout", 200, "--connect", server.target())
    equal(lines[0].named("connect_failed"), [], "connect_failed")
    equal(len(lines[0].named("connect")), 3, "connect")


def test_killed():
    address = blackhole()
    with traced() as lines:
        victim = Process(churn("-n", 4, "-t", 4, "--connect", f"{address}:84"))
        time.sleep(0.5)
        victim.stop(signal.SIGKILL, expect=-signal.SIGKILL)
    equal(len(lines[0].named("connect_failed")), 4, "connect_failed")
    equal(lines[0].values("connect_failed", "tcpchurn.failure.cause"), ["aborted"], "cause")
    equal(lines[0].values("connect_failed", "process.pid"), [victim.pid], "process")


def dissolve(s):
    """The socket may connect again. Until then it remembers that it was reset."""
    equal(ctypes.CDLL(None).connect(s.fileno(), bytes(16), 16), 0, "connect() to AF_UNSPEC")


def test_exhausted_after_reset():
    """A socket that was connected before: its error is of then."""
    sysctl("net.ipv4.tcp_tw_reuse", 0)
    ports(48000, 2)
    server = Server(listen="127.0.0.1:7075")
    with traced() as lines:
        s = socket.create_connection((server.address, server.port))
        dissolve(s)
        others = [socket.create_connection((server.address, server.port)) for _ in range(2)]
        equal(s.connect_ex((server.address, server.port)), errno.EADDRNOTAVAIL, "connect() again")
        for other in others:
            other.close()
    failed = lines[0].named("connect_failed")
    equal([get(line, "tcpchurn.failure.cause") for line in failed], ["ephemeral_exhausted"], "cause")
    equal([get(line, "error.type") for line in failed], ["EADDRNOTAVAIL"], "error")


TCP_FASTOPEN_CONNECT = 30


def test_fastopen_without_data():
    """connect() says that it is done, the SYN waits for data, and none come: it is given up."""
    sysctl("net.ipv4.tcp_fastopen", 0x3)
    listener = socket.create_server(("127.0.0.1", 0))
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_FASTOPEN, 5)
    with traced() as lines:
        for data in b"cookie", b"data", b"":
            with socket.socket() as s:
                s.setsockopt(socket.IPPROTO_TCP, TCP_FASTOPEN_CONNECT, 1)
                s.connect(listener.getsockname())
                if data:
                    s.sendall(data)
                    listener.accept()[0].close()
    failed = lines[0].named("connect_failed")
    equal([get(line, "tcpchurn.failure.cause") for line in failed], ["aborted"], "cause")
    equal(len(lines[0].named("connect")), 2, "connect")
