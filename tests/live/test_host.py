# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Findings that need a look at the host's sockets, or at bind(); each beside its control."""
import json
import socket
import subprocess
import time

from lib import (
    CHURN, INCIDENTS, PYTHON, TCPCHURN, Process, Report, Tracer, become_leaks, check, churn, equal,
    get, oracle, ports, run, sh, sysctl, temporary, wait_for_census,
)

TRACEFS = "/sys/kernel/tracing"


def finding(result, name):
    found, = result.findings(name)
    return found


# --- bind() ---------------------------------------------------------------------------------------


def bind_report(*load):
    """With system call tracepoints, which need tracefs: mounted for this report alone."""
    path = temporary(".json")
    words = [TCPCHURN, "report", "-j", "--bind-failures", "-O", path, "--", *churn(*load)]
    script = f"mountpoint -q {TRACEFS} || mount -t tracefs tracefs {TRACEFS}; exec \"$@\""
    done = run(["unshare", "-m", "sh", "-c", script, "sh", *words])
    return Report(path, done.stdout, done.stderr), oracle(done.stdout)


def test_bind_exhaustion():
    """bind() to port 0 finds none of 16 ports, 24 times; that is no failed open."""
    sysctl("net.ipv4.tcp_tw_reuse", 0)
    ports(48000, 16)
    result, truth = bind_report("-n", 40, "-r", 80, "--bind-first", "--port", 8080)
    equal(truth["bind_failed"], 24, "what the load did")
    found = finding(result, "bind-exhaustion")
    equal(result.doc["findings"][0], found, "the worst finding")
    check(found["evidence"][0].startswith("24 bind() calls of churn"), found["evidence"])
    check(any("bind_source (churn.c:" in e for e in found["evidence"]), found["evidence"])
    check("IP_BIND_ADDRESS_NO_PORT" in found["fix"], found["fix"])
    equal(result.totals["failures"], 0, "failed opens")
    equal(result.findings("port-exhaustion"), [], "port-exhaustion")


def test_bind_without_port():
    """The control, and the fix: connect() chooses; what fails then is connect()."""
    sysctl("net.ipv4.tcp_tw_reuse", 0)
    ports(48000, 16)
    result, truth = bind_report("-n", 40, "--bind-no-port", "--port", 8080)
    equal((truth["bind_failed"], truth["errno"]), (0, {"EADDRNOTAVAIL": 24}), "what the load did")
    equal(result.findings("bind-exhaustion"), [], "bind-exhaustion")
    equal(len(result.findings("port-exhaustion")), 1, "port-exhaustion")


def test_bind_not_seen():
    """Asked for and not to be had: said, and no report that would be taken for complete."""
    script = f"mount -t tmpfs none {TRACEFS}; exec \"$@\""
    words = [TCPCHURN, "report", "--attach", "tracepoint", "--bind-failures", "-d", "1s"]
    done = run(["unshare", "-m", "sh", "-c", script, "sh", *words], expect=69)
    check("inet_csk_get_port" in done.stderr, done.stderr)


# --- the accept queue -----------------------------------------------------------------------------


def test_accept_queue():
    """A listener that never accepts: told with its process, and apart from CLOSE_WAIT."""
    listener = Process([PYTHON, "-c", "import socket, time\n"
                        "s = socket.create_server(('127.0.0.1', 8090), backlog=2)\n"
                        "print('ready', flush=True); time.sleep(30)"])
    listener.wait_text(listener.out_path, "^ready")
    tracer = Tracer("report")
    client = Process(churn("-n", 6, "-t", 6, "--timeout", 2500, "--bytes", 0, "--hold",
                           "--connect", "127.0.0.1:8090"))
    time.sleep(1.5)
    result = tracer.finish(lossless=False)
    client.stop(expect=None)
    found = finding(result, "accept-queue-overflow")
    equal(get(found, "process.pid"), listener.pid, "who does not accept")
    check("127.0.0.1:8090" in found["title"] and "connects hang" in found["title"], found["title"])
    equal(found["severity"], "critical", "severity")
    check(found["evidence"][0].startswith("3 established connections wait to be accepted, more "
                                          "than its backlog of 2"), found["evidence"])
    check(any(e.startswith("3 connects on this host have got no answer") for e in
              found["evidence"]), found["evidence"])
    equal(result.findings("stale-close-wait-collision"), [], "collisions")


def test_accept_queue_full_enough():
    """The control: as many as the queue takes."""
    listener = socket.create_server(("127.0.0.1", 8090), backlog=2)
    tracer = Tracer("report")
    held = [socket.create_connection(("127.0.0.1", 8090)) for _ in range(2)]
    result = tracer.finish(lossless=False)
    equal(result.findings("accept-queue-overflow"), [], "accept-queue-overflow")
    equal(result.findings("close-wait-leak"), [], "close-wait-leak")
    for end in (*held, listener):
        end.close()


# --- sockets that wait to be closed ---------------------------------------------------------------


def leak(nr, port=7070):
    """A service that never closes, and `nr` connections that nobody has but it."""
    server = Process([PYTHON, f"{INCIDENTS}/inventory.py", "--port", str(port)])
    server.wait_text(server.out_path, "^ready")
    for _ in range(nr):
        with socket.create_connection(("127.0.0.1", port), 2) as client:
            client.sendall(b"how many?\n")
            client.recv(100)
    return server


def test_leak_older_than_the_trace():
    """What waited before the trace began is told all the same, and who collides with it."""
    sysctl("net.ipv4.tcp_fin_timeout", 1)
    ports(48000, 8)
    server = leak(8)
    time.sleep(2.2)
    tracer = Tracer("report")
    with socket.create_connection(("127.0.0.1", 7070), 2) as client:
        client.sendall(b"how many?\n")
        client.recv(100)
    result = tracer.finish(lossless=False)
    found = finding(result, "stale-close-wait-collision")
    check(f"inventory.py [pid {server.pid}]" in found["title"], found["title"])
    check(found["evidence"][0].startswith("1 of 1 connect took"), found["evidence"])
    found = finding(result, "close-wait-leak")
    check(found["title"].startswith(f"inventory.py [pid {server.pid}] does not close 7 conn"),
          found["title"])


def test_leak_in_a_recording():
    """Ages and growth come from the censuses; the same connections, told afterwards."""
    recorder = Tracer("record")
    server = leak(8)
    wait_for_census(recorder)
    become_leaks()
    recording = recorder.finish()
    server.stop(expect=None)
    path = temporary(".json")
    run([TCPCHURN, "report", "-j", "-O", path, "-i", recording])
    found = finding(Report(path, lossless=False), "close-wait-leak")
    check(found["title"].startswith(f"inventory.py [pid {server.pid}] does not close 8 conn"),
          found["title"])
    check("accepted on 127.0.0.1:7070" in found["evidence"][0], found["evidence"])


def test_leak_of_who_is_followed():
    """-p: what that process holds, also when it does nothing any more; of others, how many."""
    servers = leak(8), leak(9, 7072)
    recorder = Tracer("record", "-p", servers[0].pid)
    wait_for_census(recorder)
    become_leaks()
    recording = recorder.finish()
    document = json.loads(run([TCPCHURN, "leaks", "-j", "-i", recording]).stdout)
    found, = [x for x in document["leaks"] if x["state"] == "close_wait"]
    equal((get(found, "process.pid"), found["count"]), (servers[0].pid, 8), "leak")
    check(document["left_out"] >= 1, f"left out: {document['left_out']}")
    text = run([TCPCHURN, "leaks", "-i", recording]).stdout
    check(f"left out: {document['left_out']} of processes that are not in the trace" in text, text)
    path = temporary(".json")
    run([TCPCHURN, "report", "-j", "-O", path, "-i", recording])
    title = finding(Report(path, lossless=False), "close-wait-leak")["title"]
    check(title.startswith(f"inventory.py [pid {servers[0].pid}] does not close 8 conn"), title)


LEAKING_CLIENT = """
import socket, time
def open_and_forget(kept):
    kept.append(socket.create_connection(("127.0.0.1", 7071), 2))
def open_elsewhere(kept):
    kept.append(socket.create_connection(("127.0.0.1", 7071), 2))
server, kept = socket.create_server(("127.0.0.1", 7071)), []
print("ready", flush=True)
input()
for i in range(9):
    (open_and_forget if i % 3 else open_elsewhere)(kept)
    server.accept()[0].close()
time.sleep(60)
"""


def test_leak_where_it_was_opened():
    """Of these very sockets, by call site; those of before the trace are said to be that."""
    client = Process([PYTHON, "-c", LEAKING_CLIENT], stdin=subprocess.PIPE)
    client.wait_text(client.out_path, "^ready")
    time.sleep(0.3)
    recorder, tracer = Tracer("record"), Tracer("report")
    client.popen.stdin.write(b"\n")
    client.popen.stdin.flush()
    wait_for_census(recorder)
    become_leaks()
    recording, live = recorder.finish(), tracer.finish(lossless=False)
    path = temporary(".json")
    run([TCPCHURN, "report", "-j", "-O", path, "-i", recording])
    for result in live, Report(path, lossless=False):
        found = finding(result, "close-wait-leak")
        check(f"[pid {client.pid}] does not close 9 conn" in found["title"], found["title"])
        text = " ".join(found["evidence"])
        check("6 of the 9 were opened in open_and_forget" in text, text)
        check("3 of the 9 were opened in open_elsewhere" in text, text)
        equal(result.doc["unattributed"]["callsite"], 0, "opens without a call site")
        equal(get(found, "callsite.function"), "open_and_forget", "call site")


def test_hanging_at_the_end():
    """A connect() that has no outcome yet when the trace ends, and never will."""
    sysctl("net.ipv4.tcp_fin_timeout", 1)
    ports(48000, 8)
    server = leak(8)
    time.sleep(2.2)
    sh("nft", "add table ip t; add chain ip t o { type filter hook output priority 0; }; "
       "add rule ip t o tcp flags & rst == rst drop")
    tracer = Tracer("report")
    client = Process([CHURN, "--connect", "127.0.0.1:7070"])
    time.sleep(0.5)
    result = tracer.finish(lossless=False)
    client.stop(expect=None)
    found = finding(result, "stale-close-wait-collision")
    equal(get(found, "process.pid"), client.pid, "who hangs")
    check("hangs in connect()" in found["title"], found["title"])
    check(f"inventory.py [pid {server.pid}]" in found["title"], found["title"])
    equal(result.findings("accept-queue-overflow"), [], "accept-queue-overflow")


def test_of_others():
    """A report on a command says nothing about processes that are not its own."""
    leak(8)
    become_leaks()
    path = temporary(".json")
    run([TCPCHURN, "report", "-j", "-O", path, "--", *churn("-n", 3)])
    equal(Report(path, lossless=False).findings(), [], "findings")
