# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Where a socket's end was missed, what is remembered of it stays behind, and the kernel gives its
memory to the next socket at once: that one is told as what it is, or not at all."""
import os
import socket
import struct

from lib import ATTACH, Skip, Tracer, blackhole, check, equal, get
from misses import Switch, addresses

NR = 40
RESET = struct.pack("ii", 1, 0)  # struct linger


def prepared(*options):
    """All on one CPU, so that memory is used again. A tracer, and its switch."""
    if tuple(map(int, os.uname().release.split(".")[:2])) < (5, 12) or "plain-tracepoint" in ATTACH:
        raise Skip("plain programs do not know a socket again")
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    tracer = Tracer("trace", *options)
    return tracer, Switch(tracer)


def pairs(listener, nr):
    """Both ends of so many connections."""
    found = []
    for _ in range(nr):
        found.append(socket.create_connection(listener.getsockname(), 5))
        found.append(listener.accept()[0])
    return found


def hang_up(sockets):
    for s in sockets:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        s.close()


def used_again(left, now):
    if not left:
        raise Skip("kptr_restrict hides where sockets are")
    check(left & now, "no memory was used again")


def test_server_after_client():
    """In the place of connects that came to nothing, connections are accepted."""
    listener = socket.create_server(("127.0.0.1", 0))
    hole, port = blackhole(), listener.getsockname()[1]
    tracer, switch = prepared()
    dialling = [socket.socket() for _ in range(NR)]
    for s in dialling:
        s.setblocking(False)
        s.connect_ex((hole, 9))
    left = addresses(remote=9)
    with switch.missing():
        hang_up(dialling)
    both = pairs(listener, NR // 2)
    used_again(left, addresses(local=port))
    hang_up(both)
    lines = tracer.finish()
    equal(len(lines.named("accept", lport=port)), NR // 2, "accepts")
    equal(len(lines.named("close", role="server")), NR // 2, "their ends")
    equal([get(line, "network.peer.port") for line in lines.named("connect")], [port] * (NR // 2),
          "connects")


def test_not_followed_after_followed():
    """In the place of connections to the port that was asked for, there are others."""
    wanted, other = (socket.create_server(("127.0.0.1", 0)) for _ in range(2))
    port = wanted.getsockname()[1]
    tracer, switch = prepared("-P", port)
    both = pairs(wanted, NR)
    left = addresses(remote=port)
    with switch.missing():
        hang_up(both)
    both = pairs(other, NR)
    used_again(left, addresses(local=other.getsockname()[1]) |
               addresses(remote=other.getsockname()[1]))
    hang_up(both)
    hang_up(pairs(wanted, 3))  # the control: these are seen to their end
    lines = tracer.finish()
    opened = [get(line, "tcpchurn.socket.cookie") for line in lines.named("connect")]
    equal(len(opened), NR + 3, "connects")
    closed = [get(line, "tcpchurn.socket.cookie") for line in lines.named("close")]
    equal(sorted(closed), sorted(opened[-3:]), "closes")


def test_established_unseen():
    """The end of a handshake was missed: the connection is told all the same, when it ends, whether
    by a FIN or by a reset. (Who connects to a full queue has to try again, a second later.)"""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(0)
    tracer, switch = prepared()
    clients = [socket.create_connection(listener.getsockname())]
    for _ in range(2):
        clients.append(socket.socket())
        clients[-1].setblocking(False)
        clients[-1].connect_ex(listener.getsockname())
    listener.listen(3)
    with switch.missing():
        servers = [listener.accept()[0] for _ in clients]
    clients[1].close()
    hang_up([clients[0], clients[2]])
    hang_up(servers)
    lines = tracer.finish()
    opened, closed = (
        {get(line, "network.local.port"): line for line in lines.named(name, role="client")}
        for name in ("connect", "close"))
    equal((len(opened), opened.keys()), (3, closed.keys()), "connects and closes")
    initiators = sorted(get(line, "tcpchurn.close.initiator") for line in closed.values())
    equal(initiators, ["abort", "abort", "local"], "how they ended")
    for line in closed.values():
        lived = get(line, "tcpchurn.connection.lifetime_ns")
        check(lived < 5e9, f"lifetime of {lived} ns")
