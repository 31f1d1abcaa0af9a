#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""What tracing costs: connections per second of a saturating generator without a tracer, with
tcpchurn, and with libbpf-tools' tcplife, interleaved A B C C B A so that a slow drift of the
machine hits all alike. Prints a Markdown table. Needs root; about two minutes.

The generator is closed-loop on loopback: connect, one byte each way, close with RST (no
TIME_WAIT); client and server are one process with as many threads as there are CPUs."""
import argparse
import ctypes
import json
import os
import platform
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
TCPCHURN = os.path.abspath(os.environ.get("TCPCHURN", os.path.join(ROOT, "build/tcpchurn")))
CHURN = os.path.abspath(os.environ.get("CHURN", os.path.join(ROOT, "build/tools/churn/churn")))
CLONE_NEWNET, CLONE_NEWNS = 0x40000000, 0x00020000


class CannotStart(Exception):
    """A tracer that does not work here, and why."""


class Run:
    """One tracer around one run of the generator."""

    def __init__(self, command=None, ready=None):
        """ready: what it says on stderr when events flow; None: a line on stdout per event."""
        self.command, self.ready = command, ready
        self.per_second = self.connections = self.lost = self.cpu = None

    def go(self, seconds):
        tracer, files = None, [tempfile.TemporaryFile("w+") for _ in range(2)]
        try:
            if self.command:
                tracer = subprocess.Popen(self.command, stdout=files[0], stderr=files[1])
                self.wait_ready(tracer, files)
            truth = generate("-d", seconds, "-n", 0)
            self.per_second, self.connections = truth["per_second"], truth["established"]
        finally:
            if tracer and tracer.returncode is None:
                self.end(tracer, files[1])
        return self

    def wait_ready(self, tracer, files):
        deadline = time.monotonic() + 15
        while time.monotonic() < deadline and tracer.poll() is None:
            files[1].seek(0)
            if self.ready and re.search(self.ready, files[1].read(), re.M):
                return
            if not self.ready:
                generate("-n", 200)  # its output is buffered
                if os.fstat(files[0].fileno()).st_size > 200:
                    return
            time.sleep(0.02)
        if tracer.poll() is None:
            tracer.kill()
        tracer.wait()
        files[1].seek(0)
        last = files[1].read().strip().splitlines()[-1:]
        raise CannotStart(f"{os.path.basename(self.command[0])}: {''.join(last) or 'no output'}")

    def end(self, tracer, errors):
        tracer.send_signal(signal.SIGINT)
        try:
            _, _, usage = wait4(tracer, 30)
        except TimeoutError:
            tracer.kill()
            tracer.wait()
            sys.exit(f"bench: {self.command[0]} did not end")
        self.cpu = usage.ru_utime + usage.ru_stime
        errors.seek(0)
        text = errors.read()
        found = re.findall(r"([\d,]+) lost", text)
        if found:
            self.lost = int(found[-1].replace(",", ""))
        else:  # libbpf-tools: "lost 123 events on CPU #0"
            self.lost = sum(int(n) for n in re.findall(r"[Ll]ost (\d+) events", text))


def wait4(process, seconds):
    deadline = time.monotonic() + seconds
    while True:
        pid, status, usage = os.wait4(process.pid, os.WNOHANG)
        if pid:
            process.returncode = os.waitstatus_to_exitcode(status)
            return pid, status, usage
        if time.monotonic() > deadline:
            raise TimeoutError
        time.sleep(0.02)


def generate(*args):
    # With fewer threads the processors wait for each other, and the figure is one of scheduling.
    cpus = os.cpu_count() or 1
    threads = ["-t", str(8 * cpus), "--server-threads", str(2 * cpus)]
    done = subprocess.run(
        [CHURN, "--json", "--rst", *threads, *map(str, args)],
        capture_output=True, text=True, timeout=120, check=True,
    )
    truth = json.loads(done.stdout.splitlines()[-1])
    if truth["errno"]:
        sys.exit(f"bench: the generator failed: {truth['errno']}")
    return truth


def own_namespace():
    """No other traffic of the host is in the way, and none of ours is in its."""
    if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNET | CLONE_NEWNS):
        sys.exit("bench: needs root")
    subprocess.run(["mount", "--make-rprivate", "/"], check=True)
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    # tcplife finds its tracepoint there. That it is not mounted everywhere is no reason to miss it.
    if not os.path.exists("/sys/kernel/tracing/events"):
        subprocess.run(["mount", "-t", "tracefs", "tracefs", "/sys/kernel/tracing"], check=False)


def configurations():
    """Name -> a maker of its runs; and what had to be left out, why."""
    report = [TCPCHURN, "report", "-j", "-d", "10m", "-O", "/dev/null"]
    found = {
        "no tracer": lambda: Run(),
        "tcpchurn report": lambda: Run(report, r"^tracing"),
    }
    tcplife = shutil.which("tcplife") or shutil.which("tcplife", path="/usr/sbin")
    if not tcplife:
        return found, "tcplife is not installed (package libbpf-tools): left out."
    try:
        Run([tcplife]).go(0.5)
    except CannotStart as why:
        return found, f"tcplife does not run here, left out: {why}."
    found["tcplife (libbpf-tools)"] = lambda: Run([tcplife])
    return found, None


def measure(rounds, seconds):
    makers, note = configurations()
    results = {name: [] for name in makers}
    generate("-d", 1, "-n", 0)  # warm up
    for index in range(rounds):
        for name in list(makers) + list(reversed(makers)):
            results[name].append(makers[name]().go(seconds))
        print(f"round {index + 1} of {rounds}", file=sys.stderr)
    return results, note


def first_event(times):
    """Seconds from starting the tracer to its first line about a connection."""
    taken = []
    for _ in range(times):
        begin = time.monotonic()
        with subprocess.Popen([CHURN, "-n", "0", "-r", "500", "-d", "20"]) as noise:
            with subprocess.Popen(
                [TCPCHURN, "trace", "-j", "-d", "15"], stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
            ) as tracer:
                line = tracer.stdout.readline()
                taken.append(time.monotonic() - begin)
                tracer.send_signal(signal.SIGINT)
                tracer.stdout.close()
            noise.terminate()
        if not line:
            sys.exit("bench: no event from tcpchurn trace")
    return taken


def table(results):
    base = statistics.median(r.per_second for r in results["no tracer"])
    yield "| | connections/s, median (lowest - highest) | of untraced | lost | tracer CPU |"
    yield "| --- | --- | --- | --- | --- |"
    for name, runs in results.items():
        rates = [r.per_second for r in runs]
        median = statistics.median(rates)
        lost = cpu = "-"
        if runs[0].command:
            lost = f"{sum(r.lost for r in runs):,} of {sum(r.connections for r in runs):,} conn."
            per = sum(r.cpu for r in runs) / sum(r.connections for r in runs)
            cpu = f"{1e6 * per:.1f} us/conn."
        yield (f"| {name} | {median:,.0f} ({min(rates):,.0f} - {max(rates):,.0f}) "
               f"| {100 * median / base:.1f} % | {lost} | {cpu} |")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=4, help="of A B C C B A")
    parser.add_argument("--seconds", type=float, default=3, help="of each run")
    args = parser.parse_args()
    if os.geteuid():
        sys.exit("bench: needs root")
    for path in TCPCHURN, CHURN:
        if not os.access(path, os.X_OK):
            sys.exit(f"bench: {path}: not there; run make first")
    own_namespace()
    try:
        results, note = measure(args.rounds, args.seconds)
    except CannotStart as why:
        sys.exit(f"bench: {why}")
    taken = first_event(5)
    print(f"Linux {platform.release()}, {os.cpu_count()} CPUs, {2 * args.rounds} runs of "
          f"{args.seconds:g} s each\n")
    print("\n".join(table(results)))
    print(f"\nFrom start to the first event: {1000 * statistics.median(taken):.0f} ms "
          f"({1000 * min(taken):.0f} - {1000 * max(taken):.0f}).")
    if note:
        print(note)


if __name__ == "__main__":
    main()
