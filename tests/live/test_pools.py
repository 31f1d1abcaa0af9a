# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""The pools of a report: the census at its end, and whose its sockets are by the trace."""
import os
import socket
import time

from lib import (
    Process, Server, Tracer, check, churn, equal, get, netns_inode, ports, report, run, run_churn,
    sysctl,
)

LOW = 48000


def pool_of(result, port):
    found = [p for p in result.doc["pools"] if p["port"] == port]
    equal(len(found), 1, f"pools of port {port} in {result.doc['pools']}")
    return found[0]


def holders(pool, name):
    return [h for h in pool["holders"] if get(h, "process.executable.name") == name]


def counts(holder):
    return {k: holder[k] for k in ("established", "time_wait", "other")}


def test_holders():
    """By process and call site, of TIME_WAITs whose process is gone, beside older ones."""
    sysctl("net.ipv4.tcp_tw_reuse", 0)
    ports(LOW, 200)
    run_churn("-n", 20, "--port", 8080)
    tracer = Tracer("report")
    run_churn("-n", 37, "-r", 100, "--port", 8080)  # long enough for its files to be read
    result = tracer.finish()
    pool = pool_of(result, 8080)
    equal(pool["used"], {"established": 0, "time_wait": 57, "other": 0}, "used")
    equal((pool["capacity"], pool["free"]), (200, 143), "capacity, free")
    (mine,) = holders(pool, "churn")
    equal(counts(mine), {"established": 0, "time_wait": 37, "other": 0}, "of the traced process")
    check(get(mine, "callsite.function"), f"call site in {mine}")
    (other,) = [h for h in pool["holders"] if "process" not in h]
    equal((other["time_wait"], other["older"]), (20, 20), "older than the trace")
    equal(result.doc["census"]["older_time_wait"], 20, "older than the trace")
    check(50e9 < result.doc["census"]["older_gone_ns"] <= 60e9, "when they are gone")
    check("older" not in mine, "none of the traced are older")


def test_two_programs():
    sysctl("net.ipv4.tcp_tw_reuse", 0)
    ports(LOW, 200)
    server = Server()
    tracer = Tracer("report")
    run_churn("-n", 11, "--connect", server.target())
    shell = f"for i in $(seq 7); do exec 3<>/dev/tcp/127.0.0.1/{server.port}; exec 3>&-; done"
    run(["bash", "-c", shell])
    time.sleep(0.2)
    pool = pool_of(tracer.finish(), server.port)
    equal([h["time_wait"] for h in holders(pool, "churn")], [11], "of churn")
    equal([h["time_wait"] for h in holders(pool, "bash")], [7], "of bash")
    equal(pool["used"]["time_wait"], 18, "all")


def test_established_before_the_trace():
    """The owner of an open connection is known by its file, traced or not."""
    ports(LOW, 100)
    server = Server()
    clients = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(5)]
    tracer = Tracer("report")
    more = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(3)]
    time.sleep(0.3)
    pool = pool_of(tracer.finish(), server.port)
    equal(pool["used"]["established"], 8, "established")
    equal(sum(h["established"] for h in pool["holders"] if "process" in h), 8, "with an owner")
    equal({get(h, "process.pid") for h in pool["holders"]}, {os.getpid()}, "one process")
    check(clients and more, "kept open")


def test_reused_ports():
    """A port that is taken over belongs to whoever took it last."""
    sysctl("net.ipv4.tcp_tw_reuse", 1)
    ports(LOW, 16)
    tracer = Tracer("report")
    run_churn("-n", 16, "--port", 8080)
    time.sleep(1.5)
    run_churn("-n", 16, "--port", 8080)
    pool = pool_of(tracer.finish(), 8080)
    equal(pool["used"]["time_wait"], 16, "time_wait")
    mine = holders(pool, "churn")
    equal([h["time_wait"] for h in mine], [16], f"the second churn holds all: {mine}")


def test_command():
    sysctl("net.ipv4.tcp_tw_reuse", 0)
    ports(LOW, 100)
    result = report(churn("-n", 23, "--port", 8080), ["-N", str(netns_inode())])
    pool = pool_of(result, 8080)
    equal([h["time_wait"] for h in holders(pool, "churn")], [23], "of the command")


def test_corrections_are_none():
    """The control: connections that stay, over two censuses, stay in the model."""
    server = Server()
    keep = Process(churn("-n", 30, "--hold-for", 60, "--connect", server.target()))
    time.sleep(0.2)
    tracer = Tracer("report")
    kept = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(4)]
    time.sleep(6)  # one is taken after 5 s, and one at the end; missing twice is enough
    result = tracer.finish()
    equal(result.totals["corrected"], 0, "corrected")
    check(kept and keep, "kept open")
