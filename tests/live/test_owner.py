# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Who opened it: processes that live shortly, fork, run in another namespace, or are a thread."""
import ctypes
import errno
import json
import os
import shutil
import signal
import socket

from lib import (
    ATTACH, PYTHON, TCPCHURN, Netns, Process, Server, Skip, Tracer, check, churn, equal, get,
    mount_disk, oracle, other_program, python_server, report, run, run_churn, scratch, sh, traced,
    until,
)


def script(name, text):
    path = os.path.join(scratch(), name)
    with open(path, "w") as f:
        f.write(text)
    os.chmod(path, 0o755)
    return path


def test_short_lived():
    """40 curls of one script: one row, and each of them is known by name and arguments."""
    python_server()
    path = script("forty.sh", "#!/bin/bash\nfor i in {1..40}; do\n"
                  "curl -s -o /dev/null http://127.0.0.1:8053/health?$i\ndone\n")
    with traced() as lines:
        result = report([path])
    row = result.row("curl")
    equal(row["opens"], 40, "opens")
    equal(row["process_count"], 40, "process_count")
    equal(len(result.processes), 1, "rows")
    lines = [line for line in lines[0].named("connect")
             if get(line, "process.executable.name") == "curl"]
    equal(len(lines), 40, "connects of curl")
    commands = {str(get(line, "process.command_line")) for line in lines}
    equal(len(commands), 40, "distinct command lines")
    check(any("health?17" in command for command in commands), f"arguments in {commands}")
    equal(len({get(line, "process.pid") for line in lines}), 40, "processes")
    equal(len({get(line, "process.parent_pid") for line in lines}), 1, "parents")


def test_two_scripts():
    """The control: curls of two scripts are two rows."""
    python_server()
    text = "#!/bin/bash\nfor i in {1..%d}; do\ncurl -s -o /dev/null " \
        "http://127.0.0.1:8053/health\ndone\n"
    one, two = script("one.sh", text % 5), script("two.sh", text % 3)
    result = report(["/bin/sh", "-c", f"{one}; {two}; true"])
    equal(sorted(row["opens"] for row in result.rows("curl")), [3, 5], "opens of the rows")


def test_fork_without_exec():
    with traced() as lines:
        truth = run_churn("-n", 12, "--processes", 3)
    pids = lines[0].values("connect", "process.pid", role="client")
    equal(len(pids), 3, "processes")
    check(truth["pid"] not in pids, "the parent opened nothing")
    equal(lines[0].values("connect", "process.parent_pid"), [truth["pid"]], "parent")
    equal(lines[0].values("connect", "process.executable.name"), ["churn"], "name")


def test_threads():
    """A thread's connections are its process's, and the thread is named beside."""
    with traced() as lines:
        truth = run_churn("-n", 100, "-t", 4)
    equal(lines[0].values("connect", "process.pid"), [truth["pid"]], "process")
    threads = [get(line, "thread.id") for line in lines[0].named("connect")]
    equal(sorted(threads.count(t) for t in set(threads)), [25] * 4, "connections per thread")


def test_exact():
    """Whose context it was is known, not guessed."""
    with traced() as lines:
        run_churn("-n", 7)
    equal(lines[0].values("connect", "tcpchurn.attribution"), ["exact"], "attribution")


def test_name():
    """The name is the executable's, whatever a copy of it is called."""
    other = other_program("billing-worker")
    server = Server()
    result = report(["/bin/sh", "-c", f"{other} -n 3 --connect {server.target()}; true"])
    row = result.row("billing-worker")
    equal(row["opens"], 3, "opens")
    equal(get(row, "process.executable.path"), other, "path")


def test_name_on_a_mount():
    """A program that was gone before /proc could be read has its whole path all the same."""
    where = os.path.join(scratch(), "disk")
    mount_disk(where)
    other = shutil.move(other_program("billing-worker"), where)
    server = Server()
    tracer = Tracer("trace")
    tracer.popen.send_signal(signal.SIGSTOP)
    run([other, "-n", "3", "--connect", server.target()])
    tracer.popen.send_signal(signal.SIGCONT)
    lines = tracer.finish()
    equal(lines.values("connect", "process.executable.path", role="client"), [other], "path")


def test_name_of_the_next_file():
    """A file that was removed has given its inode to the next one, and not its name."""
    server, inodes = Server(), set()
    tracer = Tracer("trace")
    tracer.popen.send_signal(signal.SIGSTOP)
    for name in "billing-worker", "audit-worker":
        program = other_program(name)
        inodes.add(os.stat(program).st_ino)
        run([program, "-n", "3", "--connect", server.target()])
        os.unlink(program)
    tracer.popen.send_signal(signal.SIGCONT)
    lines = tracer.finish()
    if len(inodes) > 1:
        raise Skip("this file system gives no inode to the next file")
    names = [get(line, "process.executable.name") for line in lines.named("connect")]
    equal(names, ["billing-worker"] * 3 + ["audit-worker"] * 3, "names")


def test_other_namespace():
    """The tracer stands in one network namespace, the traffic is in another."""
    other = Netns("b")
    tracer = Tracer("trace", scope=["-N", other.name])
    run_churn("-n", 5)  # the control: here, not there
    truth = oracle(run([*other.enter, *churn("-n", 23)]).stdout)
    lines = tracer.finish()
    equal(truth["established"], 23, "made by the generator")
    equal(len(lines.named("connect")), 23, "connect")
    equal(lines.values("connect", "tcpchurn.netns"), [other.inode], "namespace")


def test_command_in_other_namespace():
    other = Netns("c")
    result = report([*other.enter, *churn("-n", 23)])
    equal(result.totals["opens"], 23, "opens")
    equal(result.row("churn")["destinations"][0]["netns"], other.inode, "namespace")


def test_listener_owner():
    """A process that has the listener from before the tracer: its accepts are its own."""
    server = Server()
    tracer = Tracer("report")
    truth = run_churn("-n", 23, "--connect", server.target())
    served = server.stop()
    result = tracer.finish()
    equal(served["accepted"], 23, "accepted by the generator")
    equal(result.totals["accepts"], 23, "accepts")
    equal(result.totals["opens"], truth["established"], "opens")
    equal(result.doc["unattributed"]["process"], 0, "without a process")


def test_opened_before():
    """Connections that are older than the tracer are no opens of its."""
    server = Server()
    old = Process(churn("-n", 9, "--hold-for", 3, "--connect", server.target()))
    until(lambda: len(os.listdir(f"/proc/{old.pid}/fd")) >= 9, 5, "9 held connections")
    tracer = Tracer("report")
    run_churn("-n", 4, "--connect", server.target())
    old.wait()
    server.stop()
    result = tracer.finish()
    equal(result.totals["opens"], 4, "opens")
    equal(result.totals["accepts"], 4, "accepts")


PREDECESSOR = """
import os, socket, sys
listener = socket.create_server(("127.0.0.1", 7073))
print("ready", flush=True)
kept = [listener.accept()[0] for _ in range(5)]
for s in kept:
    s.set_inheritable(True)
os.execv(sys.executable, ["python3", sys.argv[1], *(str(s.fileno()) for s in kept)])
"""
HEIR = """
import os, sys
for fd in sys.argv[1:]:
    os.close(int(fd))
"""


def test_closed_by_the_next_program():
    """Where accept() is not seen, who closes is the owner: by name, though the process goes on as
    another program, of which nothing else was seen."""
    tracer = Tracer("trace", "--attach", "tracepoint")
    server = Process([PYTHON, script("predecessor.py", PREDECESSOR), script("heir.py", HEIR)])
    server.wait_text(server.out_path, "^ready")
    clients = [socket.create_connection(("127.0.0.1", 7073), 5) for _ in range(5)]
    for client in clients:
        equal(client.recv(1), b"", "end")
        client.close()
    server.wait()
    lines = tracer.finish()
    for name, program in ("accept", "predecessor.py"), ("close", "heir.py"):
        found = [get(line, "process.command_line", "") for line in lines.named(name, lport=7073)]
        equal(len(found), 5, name)
        equal({os.path.basename(words.split()[1]) for words in found if words}, {program}, name)
        check(all(found), f"{name} of nobody")


COLLECTED = """
import array, os, socket, time
listener = socket.create_server(("127.0.0.1", 7074))
print("ready", flush=True)
for _ in range(3):
    connection, ours = listener.accept()[0], socket.socketpair()
    rights = array.array("i", [ours[1].fileno(), connection.fileno()])
    ours[0].sendmsg([b"x"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)])
    for s in (connection, *ours):
        s.close()
time.sleep(60)
"""


def test_closed_by_the_kernel():
    """A connection that its process has lost among its own messages is closed by a thread of the
    kernel's, which is not its owner."""
    tracer = Tracer("trace", "--attach", "tracepoint")
    server = Process([PYTHON, "-c", COLLECTED])
    server.wait_text(server.out_path, "^ready")
    clients = [socket.create_connection(("127.0.0.1", 7074), 5) for _ in range(3)]
    for client in clients:
        equal(client.recv(1), b"", "end")
        client.close()
    lines = tracer.finish()
    found = lines.named("close", lport=7074)
    equal([get(line, "process.pid") for line in found], [server.pid] * 3, "whose they were")


PREFORK = """
import os, socket, time
listener = socket.create_server(("127.0.0.1", 7075))
for i in range(2):
    if not os.fork():
        break
else:
    print("ready", flush=True)
    time.sleep(60)
while True:
    connection, _ = listener.accept()
    connection.send(b"%d" % os.getpid())
    connection.close()
"""


def test_shared_listener():
    """Of several processes that share a listening socket since before the trace, who has accepted is
    not known where accept() is not seen: nobody is named before somebody closes."""
    server = Process([PYTHON, "-c", PREFORK])
    server.wait_text(server.out_path, "^ready")
    with traced("--attach", "tracepoint") as lines:
        said = []
        for _ in range(10):
            with socket.create_connection(("127.0.0.1", 7075), 5) as client:
                said.append(int(client.makefile().read()))
    lines = lines[0]
    equal(lines.values("accept", "process.pid", lport=7075), [None], "who accepted")
    found = [get(line, "process.pid") for line in lines.named("close", lport=7075)]
    equal(sorted(found), sorted(said), "who closed")


THEN_ANOTHER = """
import os, socket, sys
address = sys.argv[1].rsplit(":", 1)
for _ in range(5):
    socket.create_connection((address[0], int(address[1])), 5).close()
os.execv(sys.argv[2], sys.argv[2:])
"""


def test_opener_becomes_another_program():
    """The same process, on the same CPU: it is told of once more."""
    server, tracer = Server(), Tracer("report")
    sh("taskset", "-c", "0", PYTHON, script("opener.py", THEN_ANOTHER), server.target(),
       *churn("-n", 7, "--connect", server.target()))
    result = tracer.finish()
    equal(result.doc["unattributed"]["process"], 0, "without a process")
    opens = sorted(row["opens"] for row in result.processes if row["opens"])
    equal(opens, [5, 7], "opens of the two programs")


class CloneArgs(ctypes.Structure):
    """struct clone_args of clone3(2)."""
    _fields_ = [(name, ctypes.c_uint64) for name in (
        "flags", "pidfd", "child_tid", "parent_tid", "exit_signal", "stack", "stack_size", "tls",
        "set_tid", "set_tid_size")]


def run_as(pid, command):
    """Runs a program under that PID. False: another process has it."""
    wanted = ctypes.c_int(pid)
    how = CloneArgs(exit_signal=signal.SIGCHLD, set_tid=ctypes.addressof(wanted), set_tid_size=1)
    child = ctypes.CDLL(None, use_errno=True).syscall(435, ctypes.byref(how), ctypes.sizeof(how))
    if child == 0:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        os.execv(command[0], command)
    if child < 0:
        equal(ctypes.get_errno(), errno.EEXIST, "clone3")
        return False
    equal(os.waitpid(child, 0)[1], 0, "exit")
    return True


def test_pid_of_one_that_has_ended():
    """A stranger that is given the PID of a descendant of the command is none."""
    server = Server()
    program, go = churn("--connect", server.target()), os.path.join(scratch(), "go")
    for _ in range(5):
        tracer = Process([TCPCHURN, "report", "-j", *ATTACH, "--", "/bin/sh", "-c",
                          f"{' '.join(program)} -n 3 >&2 & wait; echo $! >&2; echo ended >&2;"
                          f"until [ -e {go} ]; do sleep 0.02; done"])
        pid = int(tracer.wait_text(tracer.err_path, r"^(\d+)\nended$").group(1))
        same = run_as(pid, [*program, "-n", "5"])
        with open(go, "w"):
            tracer.wait()
        os.unlink(go)
        equal(json.loads(tracer.out)["totals"]["opens"], 3, "opens of the command")
        if same:
            return
    raise Skip("others were given that PID each time")


LISTENER = """
import os, signal, socket, sys
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
listener = socket.create_server(("127.0.0.1", int(sys.argv[1])))
workers = []
for _ in sys.argv[2:]:
    workers.append(os.fork())
    if not workers[-1]:
        signal.pause()
print("port", listener.getsockname()[1], flush=True)
signal.sigwait([signal.SIGTERM])
for pid in workers:
    os.kill(pid, signal.SIGKILL)
    os.wait()
"""


def listens(port, *workers):
    """A process that listens there (0: wherever), with its workers, and its port."""
    server = Process([PYTHON, "-c", LISTENER, str(port), *workers])
    return server, int(server.wait_text(server.out_path, r"^port (\d+)").group(1))


def test_port_of_an_earlier_listener():
    """Who listened on the port before, and was given it by the kernel, is forgotten."""
    with traced() as lines:
        earlier, port = listens(0)
        earlier.stop()
        server, _ = listens(port)
        socket.create_connection(("127.0.0.1", port)).close()
    equal(lines[0].values("accept", "process.pid", lport=port), [server.pid], "process")


def test_restarted_prefork_server():
    """Who shared the listener before the trace is forgotten with it."""
    earlier, port = listens(0, "worker", "worker")
    with traced() as lines:
        earlier.stop()
        server, _ = listens(port)
        socket.create_connection(("127.0.0.1", port)).close()
    equal(lines[0].values("accept", "process.pid", lport=port), [server.pid], "process")


def test_filter_after_restart():
    """A listener that was the filter's makes not those its own who listen there after it."""
    earlier, port = listens(0, "worker", "worker")
    with traced("--pid", str(earlier.pid)) as lines:
        earlier.stop()
        listens(port)
        socket.create_connection(("127.0.0.1", port)).close()
    equal(lines[0].named("accept"), [], "accept")
