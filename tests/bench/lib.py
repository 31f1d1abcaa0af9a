# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""What the sections of the bench share: namespaces, the load generators, a tracer under
measurement and what the kernel says about it."""
import contextlib
import ctypes
import glob
import json
import multiprocessing
import os
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
BUILD = os.path.abspath(os.environ.get("BUILD", os.path.join(ROOT, "build")))
TCPCHURN = f"{BUILD}/tcpchurn"
CHURN = f"{BUILD}/tools/churn/churn"
DEEP = f"{BUILD}/tests/bench/deep"
EMPTY = f"{BUILD}/tests/bench/empty"
PYTHON = os.environ.get("PYTHON", "/usr/bin/python3")
PYTHON_NAME = os.path.basename(os.path.realpath(PYTHON))
CPUS = os.cpu_count() or 1
CLONE_NEWNET, CLONE_NEWNS = 0x40000000, 0x00020000


class CannotStart(Exception):
    """A tracer that does not work here, and why."""


def fail(message):
    sys.exit(f"bench: {message}")


def say(message):
    print(message, file=sys.stderr, flush=True)


def median(values):
    return statistics.median(values)


def spread(values):
    """What is kept of several runs."""
    return {"median": median(values), "low": min(values), "high": max(values), "nr": len(values)}


# --- namespaces ----------------------------------------------------------------------------------


def _own_namespace():
    """No other traffic of the host is in the way, and none of ours is in its."""
    if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNET | CLONE_NEWNS):
        fail("needs root")
    subprocess.run(["mount", "--make-rprivate", "/"], check=True)
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    # tcplife finds its tracepoint there. That it is not mounted everywhere is no reason to miss it.
    if not os.path.exists("/sys/kernel/tracing/events"):
        subprocess.run(["mount", "-t", "tracefs", "tracefs", "/sys/kernel/tracing"], check=False)


def sysctl(name, value):
    """Of the own network namespace."""
    with open("/proc/sys/" + name.replace(".", "/"), "w") as f:
        f.write(str(value))


def _isolated_main(pipe, function, args):
    _own_namespace()
    pipe.send(function(*args))


def isolated(function, *args):
    """function(*args) in a process and network namespace of its own: what it leaves behind in
    TIME_WAIT goes with it."""
    ours, theirs = multiprocessing.Pipe()
    child = multiprocessing.get_context("fork").Process(
        target=_isolated_main, args=(theirs, function, args))
    child.start()
    theirs.close()
    try:
        result = ours.recv()
    except EOFError:
        child.join()
        fail(f"{function.__name__} ended with {child.exitcode}")
    child.join()
    return result


# --- load ----------------------------------------------------------------------------------------


def oracle(text):
    truth = json.loads(text.splitlines()[-1])
    if truth["errno"]:
        fail(f"the generator failed: {truth['errno']}")
    return truth


def churn(*args, fin=False):
    """A saturating generator, in one process with its servers. With fewer threads the processors
    wait for each other, and the figure is one of scheduling."""
    threads = ["-t", 8 * CPUS, "--server-threads", 2 * CPUS]
    return [CHURN, "--json", *([] if fin else ["--rst"]), *map(str, threads), *map(str, args)]


def generate(*args):
    done = subprocess.run(churn(*args), capture_output=True, text=True, timeout=120, check=True)
    return oracle(done.stdout)


@contextlib.contextmanager
def background(command, ready=r"^ready", **kwargs):
    """A program that runs meanwhile, after it has said that it is ready; yields what it said."""
    with subprocess.Popen(list(map(str, command)), stdout=subprocess.PIPE, text=True,
                          **kwargs) as process:
        try:
            line = process.stdout.readline()
            found = re.search(ready, line)
            if not found:
                fail(f"{command[0]}: said {line!r}")
            yield found
        finally:
            process.terminate()


@contextlib.contextmanager
def churn_server():
    """Yields its ADDRESS:PORT."""
    command = [CHURN, "--listen", "--server-threads", CPUS]
    with background(command, r"^listening (\S+) (\d+)") as found:
        yield f"{found.group(1)}:{found.group(2)}"


def load_churn(seconds):
    return generate("-d", seconds, "-n", 0)


def load_deep(target, moving):
    """A client of one thread and 17 native frames; `moving`: no two stacks at the same place."""
    def load(seconds):
        command = [DEEP, *(["--moving"] if moving else []), target, str(seconds)]
        return oracle(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    return load


def load_python(target, processes=CPUS, threads=4):
    """Clients in CPython, `threads` in each of the processes; 12 frames at connect()."""
    def load(seconds):
        command = [PYTHON, f"{HERE}/dialer.py", target, str(seconds), str(threads)]
        clients = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
                   for _ in range(processes)]
        truths = [oracle(client.communicate()[0]) for client in clients]
        return {key: sum(truth[key] for truth in truths) for key in ("established", "per_second")}
    return load


@contextlib.contextmanager
def python_server():
    command = [PYTHON, f"{HERE}/answerer.py", str(CPUS)]
    with background(command, r"^ready (\S+)") as found:
        yield found.group(1)


# --- what the kernel knows -----------------------------------------------------------------------


@contextlib.contextmanager
def bpf_stats():
    """The kernel measures each run of a program, as long as this is open. It costs time itself."""
    fd = ctypes.CDLL("libbpf.so.1").bpf_enable_stats(0)
    if fd < 0:
        fail("the kernel has no BPF_ENABLE_STATS")
    try:
        yield
    finally:
        os.close(fd)


def _fdinfo(pid, key, fact):
    """The fdinfo of each BPF program or map that a process holds, by the id that `key` names. What
    lacks the fact is a link to one."""
    found = {}
    for path in glob.glob(f"/proc/{pid}/fdinfo/*"):
        with contextlib.suppress(FileNotFoundError), open(path) as f:
            fields = dict(line.split(":\t", 1) for line in f.read().splitlines() if ":\t" in line)
            if key in fields and fact in fields:
                found[int(fields[key])] = fields
    if not found:
        fail(f"the kernel tells no {fact} in fdinfo")
    return found.values()


def bpf_run_time(pid):
    """(ns, runs) of all BPF programs of a process, since bpf_stats() is on."""
    programs = _fdinfo(pid, "prog_id", "run_time_ns")
    return (sum(int(f["run_time_ns"]) for f in programs), sum(int(f["run_cnt"]) for f in programs))


def bpf_map_bytes(pid):
    return sum(int(f["memlock"]) for f in _fdinfo(pid, "map_id", "memlock"))


def cpu_seconds(pid):
    """Of all threads, exact to the nanosecond."""
    total = 0
    for path in glob.glob(f"/proc/{pid}/task/*/schedstat"):
        with contextlib.suppress(FileNotFoundError), open(path) as f:
            total += int(f.read().split()[0])
    return total / 1e9


def rss_bytes(pid):
    """Resident memory, without the BPF maps that are mapped: those are counted apart."""
    total, counted = 0, True
    with open(f"/proc/{pid}/smaps") as f:
        for line in f:
            if re.match(r"[0-9a-f]+-[0-9a-f]+ ", line):
                counted = "anon_inode:bpf" not in line
            elif counted and line.startswith("Rss:"):
                total += int(line.split()[1]) * 1024
    return total


# --- a tracer ------------------------------------------------------------------------------------


class Tracer:
    """A tracer from the moment that events flow until it is told to end."""

    def __init__(self, command, ready=None):
        """ready: what it says when events flow; None: a line on stdout per event."""
        self.command = command
        self.files = [tempfile.TemporaryFile("w+") for _ in range(2)]
        self.process = subprocess.Popen(command, stdout=self.files[0], stderr=self.files[1])
        self.pid = self.process.pid
        self.lost = self.cpu = self.exit_seconds = None
        self._wait_ready(ready)

    def _text(self):
        for f in self.files:
            f.seek(0)
        return "".join(f.read() for f in reversed(self.files))

    def _is_ready(self, ready):
        if ready:
            return re.search(ready, self._text(), re.M)
        generate("-n", 200)  # its output is buffered
        return os.fstat(self.files[0].fileno()).st_size > 200

    def _wait_ready(self, ready):
        deadline = time.monotonic() + 15
        while time.monotonic() < deadline and self.process.poll() is None:
            if self._is_ready(ready):
                return
            time.sleep(0.02)
        self.process.kill()
        self.process.wait()
        last = self._text().strip().splitlines()[-1:]
        raise CannotStart(f"{os.path.basename(self.command[0])}: {''.join(last) or 'no output'}")

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        if kind:
            self.process.kill()
            self.process.wait()
        else:
            self._end()
        for f in self.files:
            f.close()

    def _end(self):
        begin = time.monotonic()
        self.process.send_signal(signal.SIGINT)
        while True:
            pid, status, usage = os.wait4(self.pid, os.WNOHANG)
            if pid:
                break
            if time.monotonic() > begin + 60:
                self.process.kill()
                fail(f"{self.command[0]} did not end")
            time.sleep(0.002)
        self.exit_seconds = time.monotonic() - begin
        self.process.returncode = os.waitstatus_to_exitcode(status)
        self.cpu = usage.ru_utime + usage.ru_stime
        self._read_lost()

    def _read_lost(self):
        self.files[1].seek(0)
        text = self.files[1].read()
        found = re.findall(r"([\d,]+) lost", text)
        if found:
            self.lost = int(found[-1].replace(",", ""))
        else:  # libbpf-tools: "lost 123 events on CPU #0"
            self.lost = sum(int(n) for n in re.findall(r"[Ll]ost (\d+) events", text))


class Report(Tracer):
    """tcpchurn report, as anyone would run it; .doc is what it reported."""

    def __init__(self, *options):
        self.path = tempfile.NamedTemporaryFile(suffix=".json")
        self.doc = None
        super().__init__([TCPCHURN, "report", "-j", "-d", "10m", "-O", self.path.name, *options],
                         r"^tracing")

    def _end(self):
        super()._end()
        with self.path:
            self.doc = json.load(self.path)

    def rows(self, name):
        """Of the programs of that name."""
        return [p for p in self.doc["processes"]
                if p["process"].get("executable", {}).get("name") == name]

    def opens(self, name):
        return sum(p["opens"] for p in self.rows(name))
