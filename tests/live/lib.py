# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""What the live tests share: tracer, load generator, servers, namespaces, exact comparisons.

A test is a function test_*() in a test_*.py. It runs in a process and a fresh network namespace
of its own, with lo up; whatever it starts is killed and removed after it. It passes by returning,
is skipped by raising Skip(why), and fails by any other exception.
"""
import contextlib
import ctypes
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import zlib

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path.append(os.path.join(ROOT, "tests"))
import archive  # noqa: E402

TCPCHURN = os.path.abspath(os.environ.get("TCPCHURN", os.path.join(ROOT, "build/tcpchurn")))
CHURN = os.path.abspath(os.environ.get("CHURN", os.path.join(ROOT, "build/tools/churn/churn")))
INCIDENTS = os.path.join(ROOT, "tools/incidents")
CACHE = archive.cache_directory()
PYTHON = os.environ.get("PYTHON", "/usr/bin/python3")  # the one that has requests
ATTACH = ["--attach", os.environ["CHURN_ATTACH"]] if "CHURN_ATTACH" in os.environ else []
SLOW = float(os.environ.get("CHURN_LIVE_SLOW", "1"))  # how many times slower than usual it is here
CLONE_NEWNS = 0x00020000
SUMMARY = re.compile(r"^[\d,]+ events?, [\d,]+ lost, \S.*$")
EVENT_LOSSES = {"ring_open", "ring_failed", "ring_close", "conn_map", "reentry", "user"}


class Skip(Exception):
    """The test cannot run here; the text says why."""


def check(condition, message):
    if not condition:
        raise AssertionError(message)


def equal(actual, expected, what):
    check(actual == expected, f"{what}: {actual!r}, expected {expected!r}")


def get(tree, path, default=None):
    """get(line, "process.executable.name"): a value in nested objects; unknown is absent."""
    for key in path.split("."):
        if not isinstance(tree, dict) or key not in tree:
            return default
        tree = tree[key]
    return tree


def fetch(roots):
    """Makes what is not there yet of {directory: (suite of Debian, package)}, each a root with the
    package and all that it depends on. Before the tests, whose namespaces have no network."""
    try:
        for directory, (suite, package) in roots.items():
            archive.unpacked(suite, archive.architecture(), [package], directory)
    except (archive.Unreachable, OSError, subprocess.SubprocessError) as error:
        print(f"cannot fetch {package}: {error}", file=sys.stderr)


def until(condition, seconds, what):
    end = time.monotonic() + seconds * SLOW
    while not condition():
        check(time.monotonic() < end, f"{what}: not within {seconds} s")
        time.sleep(0.01)


def sh(*command, **kwargs):
    done = subprocess.run(command, capture_output=True, text=True, timeout=30 * SLOW, **kwargs)
    check(done.returncode == 0, f"{' '.join(command)}: {done.stderr.strip()}")
    return done.stdout


def valgrind(*words):
    """Runs tcpchurn under valgrind: it leaks nothing, does not touch what is not its own, and at
    its end holds no more than a constant."""
    with open(TCPCHURN, "rb") as f:
        if b"__asan_" in f.read():
            raise Skip("valgrind does not go with sanitizers")
    kinds = "definite,indirect,possible"
    done = run(["valgrind", "--leak-check=full", f"--show-leak-kinds={kinds}",
                f"--errors-for-leak-kinds={kinds}", "--error-exitcode=99", TCPCHURN, *words],
               timeout=120)
    found = re.search(r"still reachable: ([\d,]+) bytes", done.stderr)
    check(found or "All heap blocks were freed" in done.stderr, done.stderr)
    held = int(found.group(1).replace(",", "")) if found else 0
    check(held < 65536, f"still reachable: {held} bytes")


def sysctl(name, value):
    """Of the test's own network namespace."""
    with open("/proc/sys/" + name.replace(".", "/"), "w") as f:
        f.write(str(value))


def netns_inode(pid="self"):
    return os.stat(f"/proc/{pid}/ns/net").st_ino


def scratch():
    """A directory that is removed after the test."""
    return os.environ["CHURN_LIVE_TMP"]


def temporary(suffix=""):
    handle, path = tempfile.mkstemp(suffix=suffix, dir=scratch())
    os.close(handle)
    return path


# --- the load generator --------------------------------------------------------------------------


def churn(*args):
    """The command line of the generator, with its oracle."""
    return [CHURN, "--json", *map(str, args)]


def oracle(text):
    for line in reversed(text.splitlines()):
        if line.startswith('{"attempts"'):
            return json.loads(line)
    raise AssertionError(f"no oracle in {text!r}")


def failures(truth):
    """Active opens that failed; a bind() that failed is none."""
    return sum(truth["errno"].values()) - truth["bind_failed"] + truth["abandoned"]


def run(command, expect=0, timeout=30, **kwargs):
    done = subprocess.run(command, capture_output=True, text=True, timeout=timeout * SLOW, **kwargs)
    if expect is not None:
        equal(done.returncode, expect, f"exit of {' '.join(command)} ({done.stderr.strip()})")
    return done


def run_churn(*args, **kwargs):
    return oracle(run(churn(*args), **kwargs).stdout)


class Process:
    """A program in the background, its output in files."""

    def __init__(self, command, stdin=subprocess.DEVNULL, **kwargs):
        self.out_path, self.err_path = temporary(".out"), temporary(".err")
        with open(self.out_path, "w") as out, open(self.err_path, "w") as err:
            self.popen = subprocess.Popen(command, stdin=stdin, stdout=out, stderr=err, **kwargs)
        self.command = command
        self.pid = self.popen.pid

    def read(self, path):
        with open(path, errors="surrogateescape") as f:
            return f.read()

    @property
    def out(self):
        return self.read(self.out_path)

    @property
    def err(self):
        return self.read(self.err_path)

    def wait_text(self, path, pattern, seconds=10):
        found = None

        def there():
            nonlocal found
            found = re.search(pattern, self.read(path), re.M)
            return found or self.popen.poll() is not None

        until(there, seconds, f"{pattern!r} from {self.command[0]}")
        check(found, f"{' '.join(self.command)} ended early, with {self.popen.returncode}: "
                     f"{self.err.strip()}")
        return found

    def stop(self, sig=signal.SIGTERM, expect=0, seconds=15):
        if self.popen.poll() is None:
            self.popen.send_signal(sig)
        return self.wait(expect, seconds)

    def wait(self, expect=0, seconds=30):
        code = self.popen.wait(seconds * SLOW)
        if expect is not None:
            equal(code, expect, f"exit of {' '.join(self.command)} ({self.err.strip()})")
        return code


class Server(Process):
    """A churn that only serves."""

    def __init__(self, *args, listen="127.0.0.1:0", program=CHURN, **kwargs):
        super().__init__([program, "--json", f"--listen={listen}", *map(str, args)], **kwargs)
        found = self.wait_text(self.out_path, r"^listening (\S+) (\d+)$")
        self.address, self.port = found.group(1), int(found.group(2))

    def target(self, address=None):
        address = address or self.address
        return f"[{address}]:{self.port}" if ":" in address else f"{address}:{self.port}"

    def stop(self, *args, **kwargs):
        super().stop(*args, **kwargs)
        return oracle(self.out)


class PausedChurn(Process):
    """A churn that waits for go(), so that a tracer can be pointed at it."""

    def __init__(self, *args, command=(), **kwargs):
        super().__init__(
            [*command, *churn("--pause-before", *args)], stdin=subprocess.PIPE, **kwargs
        )
        self.wait_text(self.err_path, r"^ready")

    def go(self):
        self.popen.stdin.write(b"\n")
        self.popen.stdin.close()
        self.wait()
        return oracle(self.out)


def other_program(name):
    """The generator under another name."""
    path = os.path.join(scratch(), name)
    shutil.copy(CHURN, path)
    os.chmod(path, 0o755)
    return path


def python_server(port=8053):
    server = Process([PYTHON, f"{INCIDENTS}/resolver.py", "--port", str(port)])
    server.wait_text(server.out_path, "^ready")
    return server


def mount_disk(where):
    """An empty file system, for this test alone."""
    if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNS):
        raise OSError(ctypes.get_errno(), "unshare")
    os.makedirs(where, exist_ok=True)
    sh("mount", "--make-rprivate", "/")
    sh("mount", "-t", "tmpfs", "tmpfs", where)


def tracefs(empty=False):
    """For this test alone; `empty`: in the place of one that is there."""
    where = "/sys/kernel/tracing"
    if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNS):
        raise OSError(ctypes.get_errno(), "unshare")
    sh("mount", "--make-rprivate", "/")
    if empty:
        sh("mount", "-t", "tmpfs", "none", where)
    elif not os.path.ismount(where):
        sh("mount", "-t", "tracefs", "tracefs", where)


def hooks():
    """What doctor says of them in the flavour that is tested: it loads each, once for all tests."""
    kept = os.path.join(os.environ["CHURN_LIVE_SHARED"], "hooks.json")
    if not os.path.exists(kept):
        doctor = run([TCPCHURN, "doctor", "-j", *ATTACH], expect=None).stdout
        found = json.loads(doctor)["hooks"]
        part = temporary()
        with open(part, "w") as f:
            json.dump(found, f)
        shutil.move(part, kept)
    with open(kept) as f:
        return json.load(f)


def hooked(hook):
    """Whether some flavour of that hook attaches, in the flavour that is tested."""
    return any(h["hook"] == hook and "flavour" in h for h in hooks())


def seeing_accept():
    """The options with which accept() is seen, in whatever way there is here."""
    if hooked("inet_csk_accept"):
        return []
    if tuple(map(int, os.uname().release.split(".")[:2])) < (5, 12) or "plain-tracepoint" in ATTACH:
        raise Skip("no flavour of inet_csk_accept here")
    tracefs()
    return ["--accepts"]


def alone():
    """What other traces of this machine tell `check` is not for this test."""
    mount_disk("/run/tcpchurn")


# --- the tracer ----------------------------------------------------------------------------------


def check_summary(stderr):
    lines = stderr.strip().splitlines()
    check(lines and SUMMARY.match(lines[-1]), f"no summary in the last line of: {stderr!r}")


class Report:
    """A `report -j` document."""

    def __init__(self, path, stdout="", stderr="", lossless=True):
        with open(path) as f:
            self.doc = json.load(f)
        self.stdout, self.stderr = stdout, stderr
        equal(self.doc["schema"], "tcpchurn/1", "schema")
        self.totals = self.doc["totals"]
        self.lost = self.doc["lost"]
        if lossless:
            equal(self.lost["events"], 0, f"lost events ({self.lost})")

    @property
    def processes(self):
        return self.doc["processes"]

    def rows(self, name):
        return [p for p in self.processes if get(p, "process.executable.name") == name]

    def row(self, name):
        rows = self.rows(name)
        names = [get(p, "process.executable.name") for p in self.processes]
        equal(len(rows), 1, f"rows of {name} among {names}")
        return rows[0]

    def findings(self, name=None):
        return [f for f in self.doc["findings"] if name is None or f["id"] == name]

    def destination(self, row, port):
        found = [d for d in row["destinations"] if d["port"] == port]
        equal(len(found), 1, f"destinations of port {port} in {row['destinations']}")
        return found[0]


def report(command, options=(), expect=0, timeout=40, **kwargs):
    """tcpchurn report -j -- COMMAND: counts the command and its descendants, nobody else."""
    path = temporary(".json")
    done = run(
        [TCPCHURN, "report", "-j", "-O", path, *ATTACH, *options, "--", *command],
        expect=expect, timeout=timeout, **kwargs,
    )
    check_summary(done.stderr)
    return Report(path, done.stdout, done.stderr)


class Tracer(Process):
    """A tracer of the test's own namespace (or as told), from "tracing" to SIGINT."""

    def __init__(self, verb, *options, scope=None, **kwargs):
        self.verb = verb
        self.file = temporary(".json")
        # 60 s are a safety net: finish() comes first.
        command = [TCPCHURN, verb, "-d", "60", *ATTACH]
        if verb == "report":
            command += ["-j", "-O", self.file]
        elif verb == "record":
            self.file = temporary(".json.gz")
            os.unlink(self.file)
            command += ["-O", self.file]
        else:
            command += ["-j"]
        command += ["-N", str(netns_inode())] if scope is None else list(scope)
        super().__init__([*command, *map(str, options)], **kwargs)
        self.wait_text(self.err_path, r"^tracing")

    def finish(self, lossless=True):
        self.stop(signal.SIGINT)
        check_summary(self.err)
        if self.verb == "report":
            return Report(self.file, stderr=self.err, lossless=lossless)
        if self.verb == "record":
            return self.file
        return Lines(self.out, lossless)


def become_leaks():
    """What waits to be closed is told after two seconds."""
    time.sleep(2.2)


def wait_for_census(recorder):
    """Until the first one has been written, five seconds after the start."""
    def written():
        with open(recorder.file, "rb") as f:
            return b'"name":"census"' in zlib.decompressobj(31).decompress(f.read())

    until(written, 20, "a census")


class Lines:
    """What `trace -j` printed."""

    def __init__(self, text, lossless=True):
        self.all = [json.loads(line) for line in text.splitlines()]
        for line in self.all:
            equal(line["schema"], "tcpchurn/1", "schema")
        if lossless:
            # A stack that could not be had is said so, too, but loses no event.
            reasons = {get(line, "tcpchurn.lost.reason") for line in self.named("lost")}
            equal(reasons & EVENT_LOSSES, set(), "lost events")

    def named(self, name, **where):
        """Lines of that event; where: role="client", port=80 (of the peer), lport=."""
        found = [line for line in self.all if get(line, "event.name") == name]
        paths = {
            "role": "tcpchurn.role", "port": "network.peer.port", "lport": "network.local.port"
        }
        for key, value in where.items():
            found = [line for line in found if get(line, paths[key]) == value]
        return found

    def values(self, name, path, **where):
        """The sorted set of what these lines have there."""
        found = {get(line, path) for line in self.named(name, **where)}
        return sorted(found, key=lambda value: (value is None, str(value)))


@contextlib.contextmanager
def traced(*options, **kwargs):
    """with traced() as lines: ...; afterwards lines[0] is what `trace -j` saw."""
    tracer, result = Tracer("trace", *options, **kwargs), []
    yield result
    result.append(tracer.finish())


def compare(result, truth, servers=True):
    """A report on a churn with its own servers against the churn's own count."""
    totals = result.totals
    equal(totals["opens"], truth["established"], "opens")
    equal(totals["failures"], failures(truth), "failures")
    equal(totals["accepts"], truth["accepted"] if servers else 0, "accepts")
    closed = truth["established"] + (truth["accepted"] if servers else 0)
    equal(totals["closes"], closed, "closes")


# --- the network ---------------------------------------------------------------------------------


class Netns:
    """Another network namespace, with lo up."""

    def __init__(self, suffix):
        self.name = f"{os.environ['CHURN_LIVE_NETNS']}-{suffix}"
        sh("ip", "netns", "add", self.name)
        sh("ip", "-n", self.name, "link", "set", "lo", "up")
        self.inode = os.stat(f"/run/netns/{self.name}").st_ino
        self.enter = ["ip", "netns", "exec", self.name]


def members(inode):
    """PIDs of the processes in that network namespace."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            if netns_inode(pid) == inode:
                found.append(int(pid))
    return found


def _veth():
    """A cable whose other end is up and silent."""
    sh("ip", "link", "add", "churn0", "type", "veth", "peer", "name", "churn1")
    sh("ip", "addr", "add", "10.66.0.1/24", "dev", "churn0")
    for end in "churn0", "churn1":
        sh("ip", "link", "set", end, "up")


def blackhole():
    """An address that swallows every packet: its frames go to a station that is not there."""
    _veth()
    sh("ip", "neigh", "add", "10.66.0.9", "lladdr", "02:00:00:00:00:09", "dev", "churn0",
       "nud", "permanent")
    return "10.66.0.9"


def unreachable():
    """An address whose neighbour does not answer: EHOSTUNREACH after about a second."""
    _veth()
    sysctl("net.ipv4.neigh.churn0.mcast_solicit", 1)
    return "10.66.0.8"


def ports(low, count):
    """The range that connect() may choose from."""
    sysctl("net.ipv4.ip_local_port_range", f"{low} {low + count - 1}")
