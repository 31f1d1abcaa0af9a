# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Sockets with a range of their own (IP_LOCAL_PORT_RANGE), against the kernel's own answer."""
import errno
import os
import socket
import struct

from lib import Skip, check, equal, ports, sysctl
from test_ports import LOW, SERVER_PORT, family, listener, look

IP_LOCAL_PORT_RANGE = 51  # <linux/in.h>, since 6.1
BY_TWO = tuple(map(int, os.uname().release.split("-")[0].split(".")[:2])) < (6, 8)


def connect(address, low=0, high=0):
    """From that range; None: no port is free."""
    s = socket.socket(family(address))
    if low or high:
        try:
            s.setsockopt(socket.IPPROTO_IP, IP_LOCAL_PORT_RANGE,
                         struct.pack("=I", low | high << 16))
        except OSError as error:
            raise Skip(f"IP_LOCAL_PORT_RANGE: {error}") from error
    try:
        s.connect((address, SERVER_PORT))
        return s
    except OSError as error:
        s.close()
        equal(error.errno, errno.EADDRNOTAVAIL, "errno")
        return None


def pools_of(address, *options):
    """The pool of all, and those of sockets with a range, by range."""
    found = [p for p in look(*options)["pools"] if p["peer"] == address]
    own = {(p["range"]["low"], p["range"]["high"]): p for p in found if p.get("socket_range")}
    general, = [p for p in found if not p.get("socket_range")]
    return general, own


def walk(address, low, high, expected, effective=None, general=100):
    """Takes all ports of a range one by one: free is right at every step."""
    server, clients, accepted = listener(address), [], []
    for step in range(1, expected + 1):
        clients.append(connect(address, low, high))
        check(clients[-1], f"connection {step} of {expected}")
        accepted.append(server.accept()[0])
        everybody, own = pools_of(address)
        equal(list(own), [effective or (low, high)], "ranges")
        pool, = own.values()
        equal((pool["capacity"], pool["free"]), (expected, expected - step), "capacity, free")
        equal(pool["used"]["established"], step, "established")
        equal(sum(h["established"] for h in pool["holders"]), step, "held")
        equal((everybody["capacity"], everybody["free"]), (general, general - step), "of all")
    equal(connect(address, low, high), None, "one more")
    return clients, accepted


def test_even_range():
    ports(LOW, 100)
    walk("127.0.0.1", LOW + 10, LOW + 17, 8)


def test_odd_range():
    """It loses none; but before 6.8 one, as the range of the namespace does."""
    ports(LOW, 100)
    walk("127.0.0.1", LOW + 10, LOW + 14, 5 - BY_TWO)


def test_one_port():
    ports(LOW, 100)
    walk("127.0.0.1", LOW + 11, LOW + 11, 1)


def test_ipv6():
    ports(LOW, 100)
    walk("::1", LOW + 10, LOW + 13, 4)


def test_reserved():
    ports(LOW, 100)
    sysctl("net.ipv4.ip_local_reserved_ports", f"{LOW + 12}")
    walk("127.0.0.1", LOW + 10, LOW + 13, 3, general=99)


def test_bounds_outside_are_passed_over():
    """Of a range that is not all in that of the namespace only the bound within counts."""
    ports(LOW, 8)
    walk("127.0.0.1", LOW - 100, LOW + 3, 4, effective=(LOW, LOW + 3), general=8)


def test_others_take_from_it():
    """Sockets without a range take its ports, too; the rest of theirs stays free to them."""
    ports(LOW, 8)
    server, first = listener("127.0.0.1"), connect("127.0.0.1", LOW, LOW + 3)
    others, accepted = [], [server.accept()[0]]
    while len(others) < 7:
        others.append(connect("127.0.0.1"))
        check(others[-1], "a connection without a range")
        accepted.append(server.accept()[0])
        inside = [s for s in others if s.getsockname()[1] <= LOW + 3]
        _, own = pools_of("127.0.0.1")
        equal(own[LOW, LOW + 3]["free"], 3 - len(inside), "free in the range")
    equal(connect("127.0.0.1", LOW, LOW + 3), None, "one more from the range")
    first.close()


def test_time_wait():
    """Ports that its own sockets left in TIME_WAIT are not free, with tcp_tw_reuse 0: a minute."""
    sysctl("net.ipv4.tcp_tw_reuse", 0)
    ports(LOW, 100)
    clients, accepted = walk("127.0.0.1", LOW + 10, LOW + 15, 6)
    for client, peer in list(zip(clients, accepted))[:4]:
        client.close()
        equal(peer.recv(1), b"", "end of stream")
        peer.close()
    general, own = pools_of("127.0.0.1")
    pool = own[LOW + 10, LOW + 15]
    equal((pool["free"], pool["used"]["time_wait"], pool["used"]["established"]), (0, 4, 2),
          "free and used")
    equal(general["free"], 94, "free to all")


def test_without_bpf_the_range_is_unknown():
    """Netlink does not tell it; the pool of all is right all the same."""
    ports(LOW, 100)
    server, client = listener("127.0.0.1"), connect("127.0.0.1", LOW, LOW + 3)
    peer = server.accept()[0]
    general, own = pools_of("127.0.0.1", "--no-bpf")
    equal((own, general["free"]), ({}, 99), "ranges, free")
    client.close()
    peer.close()
