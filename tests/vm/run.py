#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""The live tests on other kernels: boots each in a virtual machine (software emulation), runs the
tests in each flavour of the hooks, prints what passed. usage: run.py [--build DIR] [KERNEL...]
Known holes are in holes.txt; anything else that is not "ok" is a failure. Needs root.
"""
import argparse
import collections
import functools
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.dirname(HERE)]
sys.dont_write_bytecode = True
import archive  # noqa: E402
import guest  # noqa: E402
import image  # noqa: E402
import matrix  # noqa: E402

MACHINES = 2  # at once
JOBS = 1  # tests at once in each: what sleeps takes no time there
TIMEOUT_SECONDS = 1500
TAIL_LINES = 40
# What the processor's timers are compared with at boot takes a third of it, in loops that emulation
# is slow in: without the local APIC's timer there is nothing to compare.
TIMERS = {"amd64": "nolapic_timer no_timer_check", "arm64": ""}
QEMU = {
    "amd64": ["qemu-system-x86_64", "-machine", "pc", "-cpu", "qemu64"],
    "arm64": ["qemu-system-aarch64", "-machine", "virt", "-cpu", "cortex-a72"],
}
CONSOLE = {"amd64": "ttyS0", "arm64": "ttyAMA0"}
RESULTS = {
    "amd64": ["-serial", "file:{}"],
    "arm64": ["-chardev", "file,id=results,path={}", "-device", "pci-serial,chardev=results"],
}

# What one kernel did: results is a list of the channel's objects; problem: why it is not whole;
# absent: for the archive could not be reached.
Outcome = collections.namedtuple("Outcome", "kernel release results problem console seconds absent",
                                 defaults=(False,))


def boot(kernel, directory, image_path, initrd):
    """Runs the machine to its end; (why it did not end well or None, its console's text)."""
    console, results = (os.path.join(directory, name) for name in ("console", "results"))
    # By -icount a machine's time is the number of its instructions: ticks do not come in the middle
    # of everything, however slow it is emulated, and what it sleeps for takes no time.
    command = [
        "setpriv", "--pdeathsig", "KILL",  # a machine does not outlive this program
        *QEMU[kernel.arch], "-accel", "tcg", "-icount", "shift=0,sleep=off", "-smp", "1",
        "-m", "1024", "-display", "none", "-monitor", "none", "-nic", "none", "-no-reboot",
        "-kernel", image_path, "-initrd", initrd,
        "-append", f"console={CONSOLE[kernel.arch]} panic=-1 {TIMERS[kernel.arch]} "
                   f"{kernel.options}",
        "-serial", f"file:{console}",
        *(argument.format(results) for argument in RESULTS[kernel.arch]),
    ]
    problem = None
    with open(os.path.join(directory, "qemu"), "w") as log:
        machine = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            code = machine.wait(TIMEOUT_SECONDS)
            if code:
                problem = f"the emulator ended with {code}: {read(log.name).strip()}"
        except subprocess.TimeoutExpired:
            problem = f"did not end within {TIMEOUT_SECONDS} s"
        finally:
            machine.kill()
            machine.wait()
    return problem, read(console)


def read(path):
    if not os.path.exists(path):
        return ""
    with open(path, errors="replace") as f:
        return f.read()


def parse(text):
    """(release, results, problem) of what came over the channel."""
    lines, release = [], None
    for line in text.splitlines():
        try:
            lines.append(json.loads(re.fullmatch(r"churn-vm (\{.*\})", line.strip()).group(1)))
        except (AttributeError, ValueError):
            return release, lines, f"not a result: {line[:200]!r}"
    if not lines or "begin" not in lines[0]:
        return release, [], "the tests did not begin"
    release = lines.pop(0)["begin"]
    if not lines or lines[-1].get("end") != len(lines) - 1:
        return release, lines, "the tests did not come to their end"
    return release, lines[:-1], None


def run_kernel(kernel, build, job):
    directory = tempfile.mkdtemp(prefix="churn-vm-")
    started = time.monotonic()
    try:
        results = os.path.join(directory, "results")
        if kernel.suite is None:
            job_path = os.path.join(directory, "job")
            with open(job_path, "w") as f:
                json.dump(dict(job, build=build), f)
            done = subprocess.run([sys.executable, guest.__file__, job_path, results],
                                  capture_output=True, text=True, errors="replace")
            problem, console = None, done.stdout + done.stderr
        else:
            image_path = image.kernel(kernel.suite, kernel.arch, directory)
            own = build if kernel.arch == "amd64" else os.path.join(build, kernel.arch)
            overlay = image.tested(directory, own, job)
            initrd = image.join([image.root(kernel.arch), overlay],
                                os.path.join(directory, "initrd"))
            problem, console = boot(kernel, directory, image_path, initrd)
        release, found, broken = parse(read(results))
        return Outcome(kernel, release, found, problem or broken, console,
                       time.monotonic() - started)
    except (archive.Unreachable, OSError, subprocess.SubprocessError, RuntimeError) as error:
        return Outcome(kernel, None, [], f"cannot be prepared: {error}", "",
                       time.monotonic() - started, isinstance(error, archive.Unreachable))
    finally:
        shutil.rmtree(directory)


def job_of(kernel, job):
    """What the machine is told: its own flavours, the tests of each, and which of them is known not
    to be had: of those it sees why, before it tests them. It takes a tracer's start."""
    flavours = kernel.flavours or job["flavours"]
    tests = {f: job["only"] or matrix.tests_in(kernel, f) for f in flavours}
    return dict(job, flavours=flavours, tests=tests,
                probe=[f for f in flavours if matrix.hole_of(matrix.holes(), kernel.name, f, "*")])


def run_all(kernels, build, job):
    """Outcomes as they come in: what takes longest begins first."""
    queue = sorted(kernels, key=lambda k: matrix.LONGEST.index(k.name))
    outcomes, lock = [], threading.Lock()

    def work():
        while True:
            with lock:
                if not queue:
                    return
                kernel = queue.pop(0)
            outcome = run_kernel(kernel, build, job_of(kernel, job))
            with lock:
                outcomes.append(outcome)
                print(f"{kernel.name}: {outcome.release or 'no kernel'}, {outcome.seconds:.0f} s",
                      flush=True)

    workers = [threading.Thread(target=work) for _ in range(MACHINES)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return sorted(outcomes, key=lambda o: kernels.index(o.kernel))


# --- judging -------------------------------------------------------------------------------------


@functools.lru_cache
def expected(pattern):
    """The tests that the pattern stands for, by this tree's list."""
    listed = subprocess.run([sys.executable, guest.RUN, "--list", "-k", pattern],
                            capture_output=True, text=True, check=True).stdout
    return listed.split()


class Judge:
    """Holds each cell against what is expected of it."""

    def __init__(self, job):
        self.known = matrix.holes()
        self.used = set()
        self.job = job
        self.failures, self.holes = [], collections.OrderedDict()

    def hole(self, kernel, flavour, test, text):
        """What is not ok: "hole" if it is known, else "FAIL"."""
        known = matrix.hole_of(self.known, kernel, flavour, test)
        if not known:
            self.failures.append((f"{kernel} {flavour} {test}", text))
            return "FAIL"
        self.used.add(known)
        self.holes.setdefault(known, []).append(f"{kernel} {flavour} {test}")
        return "hole"

    def cells(self, kernel, flavour, results):
        """{test: "ok", "hole" or "FAIL"} of one flavour, "*" alone if it cannot be had."""
        mine = [r for r in results if r["flavour"] == flavour]
        if mine and "unavailable" in mine[0]:
            why = mine[0]["unavailable"]
            if why.startswith("not told"):
                self.failures.append((f"{kernel.name} {flavour}", why))
            return {"*": self.hole(kernel.name, flavour, "*", why)}
        got = {r["test"]: r for r in mine}
        cells = {}
        wanted = expected(job_of(kernel, self.job)["tests"][flavour])
        absent = [test for test in wanted if test not in got]
        if absent:
            text = f"no result of {len(absent)} tests: {', '.join(absent[:4])} ..."
            self.failures.append((f"{kernel.name} {flavour}", text))
        for test in wanted:
            if test not in got:
                cells[test] = "FAIL"
            elif got[test]["status"] == "ok":
                cells[test] = "ok"
            else:
                text = f"{got[test]['status']}: {got[test]['text']}"
                cells[test] = self.hole(kernel.name, flavour, test, text)
        return cells

    def stale(self, kernels, flavours):
        """Listed holes that are none, among what has run; which kernel runs here is not known."""
        if self.job["only"]:
            return
        kernels = [name for name in kernels if name != "running"]
        for hole in self.known:
            if hole not in self.used and any(re.fullmatch(hole.kernel, k) for k in kernels) and \
                    any(re.fullmatch(hole.flavour, f) for f in flavours):
                self.failures.append((" ".join(hole[:3]), "listed in holes.txt, but works"))


def cell(cells, group):
    """The number of a file's tests that pass, and of how many if not all."""
    mine = [s for test, s in cells.items() if test.split(".")[0] == group]
    good = mine.count("ok")
    if "*" in cells:
        return cells["*"]
    if "FAIL" in mine:
        return "FAIL"
    return (f"{good}" if good == len(mine) else f"{good}/{len(mine)}") if mine else "-"


def table(rows, groups):
    """Kernel x flavour x test file."""
    lines = [["kernel", "", "flavour", *groups]]
    for kernel, release, flavour, cells in rows:
        lines.append([kernel, release or "-", flavour, *(cell(cells, group) for group in groups)])
    widths = [max(map(len, column)) for column in zip(*lines)]
    for line in lines:
        print("  ".join(text.ljust(width) for text, width in zip(line, widths)).rstrip())


def judge(outcomes, flavours, job):
    verdict, rows = Judge(job), []
    for o in outcomes:
        if o.problem:
            tail = "\n".join(o.console.splitlines()[-TAIL_LINES:])
            verdict.failures.append((o.kernel.name, f"{o.problem}\n{tail}"))
        for flavour in o.kernel.flavours or flavours:
            rows.append((o.kernel.name, o.release, flavour,
                         verdict.cells(o.kernel, flavour, o.results)))
    verdict.stale([o.kernel.name for o in outcomes], flavours)
    groups = sorted({test.split(".")[0] for *_, cells in rows for test in cells if test != "*"})
    print()
    table(rows, groups)
    for hole, cells in verdict.holes.items():
        print(f"hole: {' '.join(hole[:3])} ({len(cells)}): {hole.reason}")
    for name, text in verdict.failures:
        text = text.replace("\n", "\n    ")
        print(f"FAIL {name}: {text}")
    return verdict.failures


def missing(kernels):
    if os.geteuid():
        return "needs root, as the live tests do"
    programs = {"cpio", "dpkg-deb", "apt-get"} | {QEMU[k.arch][0] for k in kernels if k.suite}
    absent = [p for p in sorted(programs) if not shutil.which(p)]
    return f"not there: {', '.join(absent)}; run tools/install-deps.sh vm" if absent else None


def main():
    names = [k.name for k in matrix.KERNELS]
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kernels", nargs="*", metavar="KERNEL", help=", ".join(names))
    parser.add_argument("--build", default=os.path.join(image.TOP, "build"))
    parser.add_argument("--flavour", action="append", help="only this one")
    parser.add_argument("-k", metavar="PATTERN", help="these tests, in every flavour")
    parser.add_argument("--skip-unreachable", action="store_true",
                        help="a kernel that the archive does not give is no failure, but said")
    parser.add_argument("-v", "--verbose", action="store_true",
                        help="show the consoles, and how long each test took")
    args = parser.parse_args()
    kernels = [k for k in matrix.KERNELS if k.name in (args.kernels or names)]
    unknown = set(args.kernels) - set(names)
    why = f"no such kernel: {', '.join(unknown)}" if unknown else missing(kernels)
    if why:
        print(f"run.py: {why}", file=sys.stderr)
        return 64 if unknown else 69
    flavours = args.flavour or guest.flavours(args.build)
    job = {"only": args.k, "flavours": flavours, "jobs": JOBS, "slow": 4}
    outcomes = run_all(kernels, args.build, job)
    for o in [o for o in outcomes if o.absent and args.skip_unreachable]:
        print(f"NOT TESTED {o.kernel.name}: {o.problem}")
        outcomes.remove(o)
    for o in outcomes if args.verbose else []:
        print(f"--- {o.kernel.name}\n{o.console}")
        for r in sorted(o.results, key=lambda r: -r.get("seconds", 0)):
            print(f"{r.get('seconds', 0):6.1f} s of its time: {r['flavour']} {r.get('test', '*')}")
    return int(bool(judge(outcomes, flavours, job)))


if __name__ == "__main__":
    sys.exit(main())
