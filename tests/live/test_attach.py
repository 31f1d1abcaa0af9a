# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Each flavour of the hook sees the same."""
import re

from lib import ATTACH, PYTHON, TCPCHURN, Process, Skip, check, churn, equal, report, run

PLAIN = ["--attach", "plain-tracepoint"]


def counts(result):
    totals = result.totals
    return [totals[key] for key in ("opens", "accepts", "closes", "failures", "short_lived")]


def test_tracepoint():
    """The best that this kernel has."""
    equal(counts(report(churn("-n", 23))), [23, 23, 46, 0, 23], "counts")


def refused(limit=()):
    """How often the kernel refused a plan, or one of its programs, and all that was said."""
    said = run([*limit, TCPCHURN, "report", "-v", "-d", "1ms"], expect=None).stderr
    return said.count("failed to load object 'tcpchurn'"), said


def test_first_plan():
    """What a kernel lacks is known before it refuses a program; else each flavour of each hook is
    loaded by itself to find out, which takes seconds."""
    times, said = refused()
    equal(times, 0, f"refusals in {said!r}")
    # The control: with too few files for its maps, whatever the kernel has.
    times, said = refused(["prlimit", "--nofile=20"])
    check(times > 1, said)


def test_plain_tracepoint():
    """Without BTF types: fields are read by helper, and there is no socket cookie."""
    result = report(churn("-n", 23, "-r", 100), PLAIN)
    equal(counts(result), [23, 23, 46, 0, 23], "counts")
    destination, = result.row("churn")["destinations"]
    equal(destination["avoidable"], 22, "avoidable")
    equal(destination["peer_process"]["executable"]["name"], "churn", "the other end")


def test_plain_tracepoint_refused():
    equal(counts(report(churn("-n", 23, "--refused"), PLAIN)), [0, 0, 0, 23, 0], "counts")


def test_forced_flavour_missing():
    """A flavour that cannot attach is one clear line, and 69."""
    text = re.search(r"--attach FLAVOUR\s+(.*?)\n\s+-", run([TCPCHURN, "report", "--help"]).stdout,
                     re.S).group(1)
    flavours = set(re.findall(r"[a-z-]+", text)) - {"or"}
    check(flavours >= {"auto", "tracepoint", "fentry", "kprobe"}, f"flavours in {text!r}")
    missing = 0
    for flavour in flavours:
        done = run([TCPCHURN, "report", "--attach", flavour, "--", "true"], expect=None)
        if done.returncode:
            missing += 1
            equal(done.returncode, 69, f"exit ({done.stderr})")
            equal(len(done.stderr.strip().splitlines()), 1, f"lines of {done.stderr!r}")
            check("--attach" in done.stderr, done.stderr)
    if not missing:
        raise Skip("every flavour attaches here")


def test_begun_among_listeners():
    """Programs that begin to listen at every moment of a tracer's start, which is told of them
    before it is ready to tell anybody."""
    script = ("import os, socket\n"
              "while True:\n"
              "    if not os.fork():\n"
              "        socket.create_server(('127.0.0.1', 0))\n"
              "        os._exit(0)\n"
              "    os.wait()\n")
    busy = Process([PYTHON, "-S", "-c", script])
    for _ in range(2):
        run([TCPCHURN, "report", "-j", "-d", "10ms", *ATTACH])
    busy.stop(expect=None)
