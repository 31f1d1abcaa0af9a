# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Up to CPython 3.12 a breakpoint tells that a code object was freed, so that a stack need not be
looked into at each open. Every interpreter of the machine is asked; those that count by themselves
are the control."""
import collections
import os
import re
import shutil
import signal
import subprocess
import time

from cpython import prepare  # noqa: F401 run.py calls it
from cpython import (
    MADE, REPLACED, SLOWLY, Interpreter, all_pythons, interpreters_if_any, named_wrong, program,
    this_python,
)
from lib import (
    CHURN, Process, Server, Skip, Tracer, check, equal, hooked, run, scratch, until,
)

LAST = 12  # from the next one on CPython counts them itself
TP_DEALLOC = 48  # in a PyTypeObject
COUNTED = "the code objects that it frees are counted"
BREAKPOINT = 0xcc

# Connects when told to: "open" once, "many" from functions that are made and freed, "child" the
# same in a child that was forked.
CLIENT = REPLACED + f"""
import os, types


def steady():
    s = socket.create_connection(("127.0.0.1", PORT))
    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    s.close()


def many():
    for n in range({MADE + SLOWLY}):
        distinct(n, n >= {MADE})
        if n % 100 == 0:
            steady()


def child():
    pid = os.fork()
    if not pid:
        for _ in range(2):  # the first tells that it is a CPython, too
            steady()
            time.sleep(0.5)
        many()
        os._exit(0)
    os.waitpid(pid, 0)


print("ready", os.getpid(), id(types.CodeType), flush=True)
for line in sys.stdin:
    dict(open=steady, many=many, child=child)[line.strip()]()
    print("done", line.strip(), len(places), flush=True)
"""


def supported():
    if not hooked("code_dealloc"):
        raise Skip("no uprobe attaches here")


def counted_pythons():
    found = [p for p in all_pythons() if p.minor <= LAST]
    if not found:
        raise Skip(f"no CPython up to 3.{LAST} here")
    return found


def own_python(name="python3.11"):
    """A copy of one that has no libpython: its file is not that of other tests' processes."""
    for python in [this_python(), *interpreters_if_any(11)]:
        found = shutil.which(python.command[0])
        maps = "print(open('/proc/self/maps').read())"
        if python.minor <= LAST and len(python.command) == 1 and \
                "libpython" not in run([found, "-c", maps]).stdout:
            path = os.path.join(scratch(), name)
            shutil.copy(found, path)
            return Interpreter(path, [path], python.minor)
    raise Skip("no CPython with its library inside here")


class Client(Process):
    def __init__(self, python, server, **kwargs):
        path, _ = program(CLIENT)
        super().__init__([*python.command, path, str(server.port)], stdin=subprocess.PIPE, **kwargs)
        found = self.wait_text(self.out_path, r"^ready (\d+) (\d+)$")
        equal(int(found.group(1)), self.pid, "pid")
        self.code_type = int(found.group(2))

    def done(self):
        return re.findall(r"^done \w+ (\d+)\n", self.out, re.M)

    def do(self, what):
        """Returns how many places code objects had by then."""
        before = len(self.done())
        self.popen.stdin.write(f"{what}\n".encode())
        self.popen.stdin.flush()
        until(lambda: len(self.done()) > before or self.popen.poll() is not None, 30, what)
        check(self.popen.poll() is None, f"the client ended: {self.err}")
        return int(self.done()[-1])

    def end(self):
        self.popen.stdin.close()
        self.wait()

    def freeing(self):
        """What stands where it begins to free a code object."""
        with open(f"/proc/{self.pid}/mem", "rb", buffering=0) as memory:
            memory.seek(self.code_type + TP_DEALLOC)
            memory.seek(int.from_bytes(memory.read(8), "little"))
            return memory.read(16)


def sites(result, pid):
    """{(function, file, line): opens} of a process, of what has a name."""
    return collections.Counter({
        (s["function"], s["file"], s["line"]): s["opens"]
        for p in result.processes if p["process"]["pid"] == pid
        for d in p["destinations"] for s in d["callsites"] if "line" in s})


def expect_made(found, name, steady):
    made = {key: opens for key, opens in found.items() if key[0].startswith("made_")}
    equal(named_wrong(made), [], f"{name}: named wrong")
    slow = sum(int(key[0].removeprefix("made_")) >= MADE for key in made)
    check(slow >= 0.9 * SLOWLY, f"{name}: {slow} of {SLOWLY} have a name")
    equal([opens for key, opens in found.items() if key[0] == "steady"], [steady], name)
    check(not any(key[0] == "once" for key in found), f"{name}: told as their caller's")


def expect_counted(python, what):
    """All that it frees is seen: a thousand functions that come in the place of others bear no
    other's name, and what stays keeps its own."""
    server = Server()
    client = Client(python, server)
    tracer = Tracer("report", "-v")
    client.do("open")
    tracer.wait_text(tracer.err_path, f"pid {client.pid}: {COUNTED}")
    places = client.do(what)
    client.do("open")
    client.end()
    result = tracer.finish()
    if what == "many":
        check(places < 0.9 * (MADE + SLOWLY), f"{python.name}: code objects at {places} addresses")
        expect_made(sites(result, client.pid), python.name, 2 + 11)
    return result, client


def test_counted():
    supported()
    for python in counted_pythons():
        expect_counted(python, "many")


def test_counts_by_itself():
    """The control: nothing is to be done for CPython 3.13 and 3.14."""
    supported()
    pythons = [p for p in all_pythons() if p.minor > LAST]
    if not pythons:
        raise Skip(f"no CPython after 3.{LAST} here")
    for python in pythons:
        client = Client(python, Server())
        before = client.freeing()
        tracer = Tracer("report", "-v")
        client.do("open")
        client.do("many")
        equal(client.freeing(), before, f"{python.name}: code_dealloc()")
        client.end()
        expect_made(sites(tracer.finish(), client.pid), python.name, 1 + 11)
        check(COUNTED not in tracer.err, tracer.err)


def test_not_counted():
    """Without the breakpoint every code object is looked at, and nothing is wrong either."""
    for python in [own_python(), *counted_pythons()]:
        client = Client(python, Server())
        before = client.freeing() if python.command[0].startswith(scratch()) else None
        tracer = Tracer("report", "-v", "--attach", "tracepoint")
        client.do("open")
        client.do("many")
        check(before in (None, client.freeing()), f"{python.name}: a breakpoint")
        client.end()
        expect_made(sites(tracer.finish(), client.pid), python.name, 1 + 11)
        check(COUNTED not in tracer.err, tracer.err)


def test_forked():
    """A child has the breakpoint of its parent, and a count of its own."""
    supported()
    python = counted_pythons()[0]
    result, client = expect_counted(python, "child")
    children = [p["process"]["pid"] for p in result.processes
                if p["process"].get("parent_pid") == client.pid]
    equal(len(children), 1, "children that opened")
    check(f"pid {children[0]}: {COUNTED}" in result.stderr, result.stderr)
    expect_made(sites(result, children[0]), python.name, 1 + 11)


def test_deleted_and_replaced():
    """The file of a process whose executable was deleted, with another program under its name."""
    supported()
    python, server = own_python(), Server()
    path, = python.command
    client = Client(python, server)
    os.unlink(path)
    shutil.copy(CHURN, path)
    with open(path, "rb") as f:
        before = f.read()
    tracer = Tracer("report", "-v")
    client.do("open")
    tracer.wait_text(tracer.err_path, f"pid {client.pid}: {COUNTED}")
    client.do("many")
    run([path, "--json", "--connect", server.target(), "-n", "3"])
    client.end()
    expect_made(sites(tracer.finish(), client.pid), python.name, 1 + 11)
    with open(path, "rb") as f:
        equal(f.read(), before, "the other file")


def expect_breakpoint(client, before):
    now = client.freeing()
    differ = [i for i in range(len(now)) if now[i] != before[i]]
    equal(len(differ), 1, f"bytes that differ in {now.hex()} from {before.hex()}")
    equal(now[differ[0]], BREAKPOINT, "the byte")


def uprobe_events():
    try:
        with open("/sys/kernel/tracing/uprobe_events") as f:
            return f.read()
    except FileNotFoundError:
        return ""


def test_killed():
    """A tracer that is killed leaves nothing behind, nor does one that ends."""
    supported()
    python, server = own_python(), Server()
    for sig in signal.SIGKILL, signal.SIGINT:
        client = Client(python, server)
        before, events = client.freeing(), uprobe_events()
        tracer = Tracer("report", "-v")
        client.do("open")
        tracer.wait_text(tracer.err_path, f"pid {client.pid}: {COUNTED}")
        expect_breakpoint(client, before)
        equal(uprobe_events(), events, "probes with a name")
        tracer.stop(sig, expect=None)
        equal(client.freeing(), before, f"code_dealloc() after {sig}")
        client.do("many")
        client.end()


def test_others_are_left_alone():
    """No breakpoint for a process that is not followed, nor for one that opens nothing; once there
    is one, others that share the file go on as before, uncounted."""
    supported()
    python, server = own_python(), Server()
    other, idle = Client(python, server), Client(python, server)
    before = other.freeing()
    tracer = Tracer("report", "-v", scope=["-p", str(idle.pid)])
    other.do("many")
    time.sleep(0.2)
    equal(other.freeing(), before, "code_dealloc() of one that is not followed")
    idle.do("open")
    tracer.wait_text(tracer.err_path, f"pid {idle.pid}: {COUNTED}")
    expect_breakpoint(other, before)
    other.do("many")
    tracer.finish()
    equal(tracer.err.count(COUNTED), 1, tracer.err)
    for client in other, idle:
        client.end()


def test_several_files():
    """More files than have a breakpoint: the others are looked at as ever, and all is right."""
    supported()
    server = Server()
    clients = [Client(own_python(f"python3.11-{n}"), server) for n in range(6)]
    tracer = Tracer("report", "-v")
    for client in clients:
        client.do("open")
    tracer.wait_text(tracer.err_path, "code_dealloc: in 4 files already")
    until(lambda: tracer.err.count(COUNTED) == 4, 10, "4 processes that are counted")
    for client in clients[:1] + clients[-1:]:
        client.do("many")
    for client in clients:
        client.end()
    result = tracer.finish()
    for client in clients[:1] + clients[-1:]:
        expect_made(sites(result, client.pid), client.command[0], 1 + 11)
