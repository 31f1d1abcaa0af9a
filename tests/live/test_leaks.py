# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""tcpchurn leaks: whose sockets wait to be closed, counted exactly."""
import json
import os
import resource
import shutil
import socket
import time

from lib import (
    INCIDENTS, PYTHON, TCPCHURN, Process, check, equal, get, netns_inode, run, scratch,
)

PORT = 7070


def leaks(*args, expect=0, command=(TCPCHURN,)):
    done = run([*command, "leaks", "-j", "-N", str(netns_inode()), *args], expect=expect)
    document = json.loads(done.stdout)
    equal((document["schema"], document["event"]["name"]), ("tcpchurn/1", "leaks"), "head")
    return document


def close_wait(document):
    return [leak for leak in document["leaks"] if leak["state"] == "close_wait"]


def inventory(*args):
    server = Process([PYTHON, f"{INCIDENTS}/inventory.py", "--port", str(PORT), *args])
    server.wait_text(server.out_path, "^ready")
    return server


def ask(nr):
    for _ in range(nr):
        with socket.create_connection(("127.0.0.1", PORT), 2) as connection:
            connection.sendall(b"how many?\n")
            connection.recv(100)


def test_server_leaks():
    """23 connections that the server does not close: its own, all of them, and how old."""
    server = inventory()
    ask(20)
    time.sleep(1.5)
    ask(3)
    time.sleep(0.05)
    document = leaks("--min-age", "1ms")
    leak, = close_wait(document)
    equal(leak["count"], 23, "sockets")
    equal(get(leak, "process.pid"), server.pid, "process")
    equal((leak["role"], leak["local"]), ("server", {"address": "127.0.0.1", "port": PORT}),
          "service")
    check(1.4e9 < leak["oldest_age_ns"] < 5e9, f"age of {leak}")
    equal(leak["fd_count"], len(os.listdir(f"/proc/{server.pid}/fd")), "files")
    limit = resource.prlimit(server.pid, resource.RLIMIT_NOFILE)[0]
    equal(leak["fd_limit"], limit, "limit")
    check(leak["seconds_to_fd_limit"] > 0, f"time left of {leak}")
    ends = [x for x in document["leaks"] if x["state"] == "fin_wait2"]
    equal(sum(x["count"] for x in ends), 23, "other ends")
    equal({get(x, "peer_process.pid") for x in ends}, {server.pid}, "whom they wait for")


def test_server_closes():
    """The control."""
    inventory("--fixed")
    ask(23)
    time.sleep(0.2)
    document = leaks("--min-age", "1ms")
    equal((document["leaks"], document["young"]), ([], 0), "leaks")


def test_young():
    """What was closed a moment ago is no leak yet, but counted."""
    inventory()
    ask(5)
    document = leaks("--min-age", "10m")
    equal(close_wait(document), [], "leaks")
    equal(document["young"], 5, "young")


def test_client_leaks():
    """Here the client forgets; its port differs each time, the service does not."""
    listener = socket.create_server(("127.0.0.1", PORT))
    client = Process([PYTHON, "-c", "import socket, time\n"
                      f"to = '127.0.0.1', {PORT}\n"
                      "kept = [socket.create_connection(to) for _ in range(7)]\n"
                      "print('open', flush=True); time.sleep(30)"])
    client.wait_text(client.out_path, "^open")
    for _ in range(7):
        listener.accept()[0].close()
    listener.close()
    time.sleep(0.1)
    leak, = close_wait(leaks("--min-age", "1ms"))
    equal((leak["count"], get(leak, "process.pid")), (7, client.pid), "leak")
    equal((leak["role"], leak["peer"]["port"]), ("client", PORT), "service")


def test_not_accepted():
    """Nobody ever accepted these: the listener's owner is told, and that they wait in its queue."""
    listener = socket.create_server(("127.0.0.1", PORT), backlog=16)
    ask_and_go = [socket.create_connection(("127.0.0.1", PORT)) for _ in range(4)]
    for connection in ask_and_go:
        connection.close()
    time.sleep(0.1)
    leak, = close_wait(leaks("--min-age", "1ms"))
    equal((leak["count"], leak["unaccepted"]), (4, 4), "leak")
    equal(get(leak, "process.pid"), os.getpid(), "the listener's process")
    listener.close()


def test_unprivileged():
    """Without privilege: the sockets of its own namespace; other users' processes are hidden."""
    inventory()
    ask(3)
    path = os.path.join(scratch(), "tcpchurn")
    shutil.copy(TCPCHURN, path)
    os.chmod(path, 0o755)
    command = ["setpriv", "--reuid=65534", "--clear-groups", path]
    document = leaks("--min-age", "1ms", command=command)
    leak, = close_wait(document)
    equal((leak["count"], leak.get("process")), (3, None), "leak")
    equal(document["partial"], True, "partial")


def test_bad_input():
    for args, code in ((["-o", "csv"], 64), (["--min-age", "soon"], 64), (["-d", "3s"], 64)):
        done = run([TCPCHURN, "leaks", *args], expect=code)
        equal((len(done.stderr.splitlines()), done.stdout), (1, ""), f"{args}: {done.stderr}")
