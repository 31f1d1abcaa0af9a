#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Runs the live tests: each in a process and a network namespace of its own, failing until it
passes. Needs root. usage: run.py [-k PATTERN] [-v] [--keep] [-j N] [test_FILE[.py]...]
CHURN_ATTACH=FLAVOUR in the environment makes every tracer use that flavour of its hooks."""
import argparse
import collections
import contextlib
import ctypes
import importlib.util
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
sys.dont_write_bytecode = True
import lib  # noqa: E402

CLONE_NEWNET = 0x40000000
PR_SET_CHILD_SUBREAPER = 36
TIMEOUT = 45 * lib.SLOW
ENDS = signal.SIGTERM, signal.SIGHUP
JOBS = 3  # at once; most of a test is waiting: two leave two CPUs idle for half of the time
MAX_AGAIN = 3  # tests that are run a second time
# Skips that continuous integration accepts: test name -> why it cannot run there.
EXPECTED_SKIPS = {
    name: "no suite of Debian that is still in the archive has it"
    for name in ("python.3_8", "python.3_10", "python.3_12")
}
EXPECTED_SKIPS.update({
    "oracle.psql": "a large package",
    "jit.node": "a large package",
    **{f"go.{flavour}": "Go's compiler is large"
       for flavour in ("plain", "stripped", "trimmed", "pie", "static")},
    **{f"java.{name}": "a JDK is large"
       for name in ("socket", "http", "without_frame_pointers", "says_how_to_see_callers",
                    "says_how_to_get_names", "interpreted")},
})
EXPECTED_SKIPS["attach.forced_flavour_missing"] = "every flavour attaches on some kernels"
EXPECTED_SKIPS |= {
    f"flavours.{name}": "needs fentry or kprobes, which not every kernel has"
    for name in ("port_search", "port_search_within_connect", "port_search_gets_slow",
                 "exhausted_io_uring_timed", "deferred_and_given_up", "bind_failures",
                 "bind_failures_lines")
}
EXPECTED_SKIPS["doctor.forced_and_missing"] = "every flavour attaches on some kernels"

libc = ctypes.CDLL(None, use_errno=True)
Result = collections.namedtuple("Result", "status text seconds")


def load(names):
    wanted = [os.path.basename(n).removesuffix(".py") for n in names]
    files = sorted(f for f in os.listdir(HERE) if re.fullmatch(r"test_\w+\.py", f))
    unknown = set(wanted) - {f[:-3] for f in files}
    if unknown:
        sys.exit(f"run.py: no such test file: {', '.join(sorted(unknown))}")
    tests = []
    for file in files:
        if wanted and file[:-3] not in wanted:
            continue
        spec = importlib.util.spec_from_file_location(file[:-3], os.path.join(HERE, file))
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        tests += [
            (f"{file[5:-3]}.{name[5:]}", function)
            for name, function in vars(module).items()
            if name.startswith("test_") and callable(function)
        ]
    return tests


def prepare(tests):
    """What the files of these tests need from the network, which the tests do not have."""
    for module in {function.__module__: function.__globals__ for _, function in tests}.values():
        module.get("prepare", lambda: None)()


class Running:
    """A test in its process, from start() to a Result."""

    def __init__(self, name, function, keep):
        self.name, self.function, self.keep = name, function, keep
        self.tmp = tempfile.mkdtemp(prefix="churn-live-")
        os.chmod(self.tmp, 0o755)
        self.log = os.path.join(self.tmp, "result")
        self.started = time.monotonic()
        sys.stdout.flush()
        self.pid = os.fork()
        if not self.pid:
            self.child()

    def child(self):
        status = 1
        try:
            os.setsid()
            for end in ENDS:
                signal.signal(end, signal.SIG_DFL)
            netns = f"churn-live-{os.getpid()}"
            os.environ.update(CHURN_LIVE_TMP=self.tmp, CHURN_LIVE_NETNS=netns)
            if libc.unshare(CLONE_NEWNET):
                raise OSError(ctypes.get_errno(), "unshare")
            subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
            self.function()
            status = 0
        except lib.Skip as skip:
            self.write(str(skip))
            status = 2
        except AssertionError as failure:
            frame = traceback.extract_tb(failure.__traceback__)
            where = [f for f in frame if os.path.basename(f.filename).startswith("test_")]
            self.write(f"{failure} (line {where[-1].lineno})" if where else str(failure))
        except BaseException:  # the parent has to hear of everything
            self.write(traceback.format_exc())
        finally:
            os._exit(status)

    def write(self, text):
        with open(self.log, "w", errors="surrogateescape") as f:
            f.write(text)

    def poll(self):
        """None while it runs."""
        pid, code = os.waitpid(self.pid, os.WNOHANG)
        seconds = time.monotonic() - self.started
        if not pid and seconds < TIMEOUT:
            return None
        self.clean()
        if not pid:
            os.waitpid(self.pid, 0)
            return self.finish("FAIL", f"timed out after {TIMEOUT:.0f} s", seconds)
        status = {0: "ok", 2: "SKIP"}.get(os.waitstatus_to_exitcode(code), "FAIL")
        text = ""
        if os.path.exists(self.log):
            with open(self.log, errors="replace") as f:
                text = f.read()
        return self.finish(status, text, seconds)

    def abandon(self):
        """Before it has ended, as the runner itself is told to."""
        self.clean()
        with contextlib.suppress(ChildProcessError):
            os.waitpid(self.pid, 0)
        shutil.rmtree(self.tmp, ignore_errors=True)

    def clean(self):
        """Ends whatever the test started: all of it is in its session."""
        for _ in range(100):
            members = [p for p in map(int, filter(str.isdigit, os.listdir("/proc")))
                       if p != os.getpid() and session_of(p) == self.pid]
            if not members:
                break
            for pid in members:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
            time.sleep(0.01)
        names = os.listdir("/run/netns") if os.path.isdir("/run/netns") else []
        for name in names:
            if name.startswith(f"churn-live-{self.pid}-"):
                subprocess.run(["ip", "netns", "del", name], check=False)

    def finish(self, status, text, seconds):
        if self.keep and status == "FAIL":
            text += f"\n(files kept in {self.tmp})"
        else:
            shutil.rmtree(self.tmp, ignore_errors=True)
        return Result(status, text.strip(), seconds)


def session_of(pid):
    """0 for one that is gone or only waits to be reaped."""
    try:
        with open(f"/proc/{pid}/stat", errors="replace") as f:
            fields = f.read().rpartition(")")[2].split()
        return 0 if fields[0] == "Z" else int(fields[3])
    except OSError:
        return 0


def show(name, result, verbose):
    if verbose or result.status != "ok":
        text = result.text.replace("\n", "\n    ")
        print(f"{result.status:4} {name} ({result.seconds:.1f} s)"
              + (f": {text}" if text else ""), flush=True)


def record(path, name, result):
    with open(path, "a") as f:
        f.write(json.dumps({"test": name, **result._asdict()}) + "\n")


def run_all(tests, args):
    queue, running, results = list(tests), [], {}
    try:
        while queue or running:
            while queue and len(running) < args.jobs:
                running.append(Running(*queue.pop(0), args.keep))
            time.sleep(0.01)
            for test in list(running):
                result = test.poll()
                if result:
                    running.remove(test)
                    results[test.name] = result
                    show(test.name, result, args.verbose)
                    if args.results:
                        record(args.results, test.name, result)
    finally:
        for test in running:
            test.abandon()
    return results


def run_again(tests, results, args):
    """What failed beside other tests, by itself: a busy machine is no reason to fail. Several that
    failed have a reason of their own."""
    failed = [t for t in tests if results[t[0]].status == "FAIL"]
    if args.jobs < 2 or len(failed) > MAX_AGAIN:
        return
    args.jobs = 1
    for test in failed:
        print(f"once more, alone: {test[0]}", flush=True)
        results.update(run_all([test], args))
        if results[test[0]].status == "ok":
            print(f"UNSTEADY {test[0]}: fails beside others, passes alone", flush=True)


def missing():
    """Why nothing can run here, or None."""
    if os.geteuid():
        return "needs root: the tests load eBPF programs and make network namespaces"
    for path in lib.TCPCHURN, lib.CHURN:
        if not os.access(path, os.X_OK):
            return f"{path}: not there; run make first"
    for program in "ip", "setpriv", "curl":
        if not shutil.which(program):
            return f"{program}: not there; run tools/install-deps.sh check"
    return None


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", nargs="*", help="test files; default all")
    parser.add_argument("-k", default="", metavar="PATTERN", help="only tests that match")
    parser.add_argument("-v", "--verbose", action="store_true", help="show what passes, too")
    parser.add_argument("-j", "--jobs", type=int, default=JOBS)
    parser.add_argument("--keep", action="store_true", help="keep the files of failed tests")
    parser.add_argument("--results", metavar="FILE", help="append a JSON line for each test")
    parser.add_argument("--no-prepare", action="store_true", help="fetch nothing before the tests")
    parser.add_argument("--list", action="store_true", help="only print the tests' names")
    args = parser.parse_args()
    tests = [t for t in load(args.files) if re.search(args.k, t[0])]
    if args.list:
        print("\n".join(name for name, _ in tests))
        return 0
    why = missing()
    if why:
        print(f"run.py: {why}", file=sys.stderr)
        return 77 if os.geteuid() else 69
    # Whoever ends us ends the tests that run, too.
    for end in ENDS:
        signal.signal(end, lambda number, _: sys.exit(128 + number))
    # What outlives a test's own process comes to us, to be ended and reaped.
    libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    if not tests:
        print("run.py: no test matches", file=sys.stderr)
        return 64
    if not args.no_prepare:
        prepare(tests)
    with tempfile.TemporaryDirectory(prefix="churn-live-") as shared:
        os.environ["CHURN_LIVE_SHARED"] = shared  # for what tests need not find out one by one
        results = run_all(tests, args)
        run_again(tests, results, args)
    count = collections.Counter(r.status for r in results.values())
    surprises = [n for n, r in results.items() if r.status == "SKIP" and n not in EXPECTED_SKIPS]
    if os.environ.get("CI") == "true" and surprises:
        print(f"unexpected skips: {', '.join(surprises)}", flush=True)
    print(f"{count['ok']} passed, {count['FAIL']} failed, {count['SKIP']} skipped", flush=True)
    return int(bool(count["FAIL"] or (os.environ.get("CI") == "true" and surprises)))


if __name__ == "__main__":
    sys.exit(main())
