# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""The life of a connection: who ended it, how, what it carried, who keeps the TIME_WAIT."""
import ctypes
import datetime
import os
import socket
import struct
import time

from lib import Server, check, churn, equal, get, oracle, report, run_churn, sh, sysctl, traced


def life(*args, server_args=(), count=11):
    """The trace of a client and a server that are two programs."""
    server = Server(*server_args)
    with traced() as lines:
        truth = run_churn("-n", count, "--connect", server.target(), *args)
        served = server.stop()
    equal(truth["established"], count, "made by the generator")
    equal(served["accepted"], count, "served by the generator")
    lines = lines[0]
    for name, role in ("connect", "client"), ("accept", "server"):
        equal(len(lines.named(name)), count, name)
        equal(len(lines.named("close", role=role)), count, f"close of the {role}")
    return lines, server, truth


def ends(lines, role, initiator, time_wait):
    equal(lines.values("close", "tcpchurn.close.initiator", role=role), [initiator],
          f"initiator, {role}")
    equal(lines.values("close", "tcpchurn.time_wait.owner", role=role), [time_wait],
          f"TIME_WAIT, {role}")


def test_client_closes():
    lines, _, _ = life()
    ends(lines, "client", "local", "local")
    ends(lines, "server", "peer", "peer")


def test_server_closes():
    lines, _, _ = life("--server-closes", server_args=["--server-closes"])
    ends(lines, "client", "peer", "peer")
    ends(lines, "server", "local", "local")


def test_reset():
    lines, _, _ = life("--rst")
    ends(lines, "client", "abort", "none")
    ends(lines, "server", "reset", "none")


def test_exit():
    """The process ends with its sockets open, and no memory left in which a stack is looked for."""
    lines, _, _ = life("--no-close", "-r", 40)
    equal(lines.named("lost"), [], "losses")
    ends(lines, "client", "exit", "local")
    ends(lines, "server", "peer", "peer")


def test_bytes():
    lines, _, _ = life("--bytes", 70001, "--requests", 2,
                       server_args=["--bytes", 70001, "--requests", 2])
    for role in "client", "server":
        for what in "sent", "received":
            path = f"tcpchurn.connection.bytes_{what}"
            equal(lines.values("close", path, role=role), [140002], f"{what} by the {role}")


def test_no_bytes():
    lines, _, _ = life("--bytes", 0, server_args=["--bytes", 0])
    equal(lines.values("close", "tcpchurn.connection.bytes_sent"), [0], "sent")
    equal(lines.values("close", "tcpchurn.connection.bytes_received"), [0], "received")


def test_lifetime():
    lines, _, _ = life("--hold-for", 0.5)
    for line in lines.named("close", role="client"):
        lived = get(line, "tcpchurn.connection.lifetime_ns")
        check(0.5e9 <= lived < 1.5e9, f"lifetime of {lived} ns, held for 500 ms")


def happened(lines, name, role, port, begin, end):
    """The event is dated between the two readings of the clock."""
    line, = lines.named(name, **{"role": role, "lport" if role == "client" else "port": port})
    seconds, fraction = get(line, "time").rstrip("Z").split(".")
    date = datetime.datetime.fromisoformat(seconds + "+00:00").timestamp() + float("0." + fraction)
    check(begin - 0.005 <= date <= end + 0.005,
          f"{name} of the {role}: {date - begin:.6f} s after what took {end - begin:.6f} s began")


def timed(listener, linger, who):
    """A connection with pauses between its events, in which no packet comes: its port, and when
    what happened."""
    begin = time.time()
    client = socket.create_connection(listener.getsockname())
    established = time.time()
    server, _ = listener.accept()
    port = client.getsockname()[1]
    time.sleep(0.2)
    first, last = (client, server) if who == "client" else (server, client)
    first.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", *linger))
    ending = time.time()
    first.close()
    ended = time.time()
    time.sleep(0.2)
    last.close()
    # The record of a FIN's sender comes when the other side has closed, too.
    return port, (begin, established), (ending, ended if linger[0] else time.time())


def test_times():
    """Most are the kernel's own: when the packet came that changed the state."""
    with traced() as lines, socket.create_server(("127.0.0.1", 0)) as listener:
        connections = [timed(listener, linger, who)
                       for linger in ((1, 0), (0, 0)) for who in ("client", "server")]
    for port, opened, closed in connections:
        happened(lines[0], "connect", "client", port, *opened)
        happened(lines[0], "accept", "server", port, *opened)
        for role in "client", "server":
            happened(lines[0], "close", role, port, *closed)


def test_both_ends():
    """On loopback both ends are ours: each names the other."""
    lines, server, truth = life()
    equal(lines.values("close", "tcpchurn.peer_process.pid", role="client"), [server.pid],
          "peer of the client")
    equal(lines.values("close", "tcpchurn.peer_process.pid", role="server"), [truth["pid"]],
          "peer of the server")
    equal(lines.values("accept", "process.pid"), [server.pid], "who accepted")


def test_peer_in_report():
    server = Server()
    result = report(churn("-n", 11, "--connect", server.target()))
    destination = result.row("churn")["destinations"][0]
    equal(get(destination, "peer_process.executable.name", "churn"), "churn", "peer")
    equal(destination["closed_by"].get("local"), 11, "closed by")


def test_closed_by_in_report():
    result = report(churn("-n", 11, "--server-closes"))
    closed_by = result.row("churn")["destinations"][0]["closed_by"]
    equal({k: v for k, v in closed_by.items() if v}, {"peer": 11}, "closed by")
    equal(result.row("churn")["time_wait"], oracle(result.stdout)["accepted"], "TIME_WAIT")


def test_connection_identity():
    """connect and close of a connection have the same cookie, different ones another."""
    lines, _, _ = life()
    path = "tcpchurn.socket.cookie"
    opened = [get(line, path) for line in lines.named("connect")]
    closed = [get(line, path) for line in lines.named("close", role="client")]
    equal(len(set(opened)), 11, "distinct cookies")
    equal(sorted(opened), sorted(closed), "cookies of opens and closes")


def test_bytes_asymmetric():
    """What was sent and what was received do not change places."""
    with traced() as lines, socket.create_server(("127.0.0.1", 0)) as listener:
        client = socket.create_connection(listener.getsockname())
        server, _ = listener.accept()
        client.sendall(b"x" * 300)
        equal(len(server.recv(300, socket.MSG_WAITALL)), 300, "request")
        server.sendall(b"y" * 1000)
        equal(len(client.recv(1000, socket.MSG_WAITALL)), 1000, "response")
        client.close()
        equal(server.recv(1), b"", "end")
        server.close()
    for role, sent, received in ("client", 300, 1000), ("server", 1000, 300):
        closed, = lines[0].named("close", role=role)
        equal(get(closed, "tcpchurn.connection.bytes_sent"), sent, f"sent by the {role}")
        equal(get(closed, "tcpchurn.connection.bytes_received"), received, f"received, {role}")


def test_fastopen_closed_early():
    """With Fast Open a server has the request before the handshake is over; the answer and the end
    come before, too, where the client is far away."""
    sysctl("net.ipv4.tcp_fastopen", 0x3)
    listener = socket.create_server(("127.0.0.1", 7076))
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_FASTOPEN, 5)
    with traced() as lines:
        for data in b"cookie", b"data":
            client = socket.socket()
            if data == b"data":
                sh("nft", "add table ip far; add chain ip far out { type filter hook output "
                   "priority 0; }; add rule ip far out tcp dport 7076 tcp flags & syn == 0 drop")
            client.sendto(data, socket.MSG_FASTOPEN, listener.getsockname())
            server, _ = listener.accept()
            equal(server.recv(9), data, "request")
            server.sendall(b"answer")
            server.close()
            if data == b"data":
                sh("nft", "delete table ip far")
            equal(client.recv(9), b"answer", "answer")
            equal(client.recv(9), b"", "end")
            client.close()
        time.sleep(1)
    equal(len(lines[0].named("accept")), 2, "accept")
    ended = [line for line in lines[0].named("close") if get(line, "tcpchurn.role") == "server"]
    equal([get(line, "tcpchurn.close.initiator") for line in ended], ["local"] * 2, "initiators")
    equal({get(line, "tcpchurn.time_wait.owner") for line in ended}, {"local"}, "TIME_WAIT")
    equal({get(line, "process.pid") for line in ended}, {os.getpid()}, "process")


def half_closed(peer, end):
    """The client sends its FIN first, and is in FIN_WAIT2 when `peer` and `end` are called."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = socket.create_connection(listener.getsockname())
        server, _ = listener.accept()
        client.shutdown(socket.SHUT_WR)
        equal(server.recv(1), b"", "end")
        peer(server)
        port = client.getsockname()[1]
        end(client)
        client.close()
        server.close()
        waiting = sh("ss", "-Htan", "state", "time-wait", "state", "fin-wait-2", "sport", "=", f":{port}")
    return "local" if waiting else "none"


def reset(client):
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def dissolve(client):
    equal(ctypes.CDLL(None).connect(client.fileno(), bytes(16), 16), 0, "connect() to AF_UNSPEC")


def test_half_closed():
    """After the FIN of one side, the other may still be left with an RST: no TIME_WAIT then."""
    def nothing(_):
        pass

    cases = [(nothing, nothing), (nothing, reset), (nothing, dissolve),
             (lambda server: server.sendall(b"unread"), nothing), (socket.socket.close, nothing),
             (lambda server: server.sendall(b"read"), lambda client: client.recv(4))]
    with traced() as lines:
        truth = [half_closed(*case) for case in cases]
    equal(truth, ["local", "none", "none", "none", "local", "local"], "as ss has it")
    ended = [line for line in lines[0].named("close") if get(line, "tcpchurn.role") == "client"]
    equal([get(line, "tcpchurn.time_wait.owner") for line in ended], truth, "as it was told")
