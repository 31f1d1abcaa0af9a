# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""A recording says what the live report said, and says so when it is damaged."""
import os

from lib import (
    TCPCHURN, Report, Tracer, check, equal, get, run, run_churn, temporary,
)


def replay(path, expect=0):
    out = temporary(".json")
    done = run([TCPCHURN, "report", "-j", "-O", out, "-i", path], expect=expect)
    return Report(out, stderr=done.stderr, lossless=False)


def summary(report):
    """What the two have to agree on, in an order of its own."""
    return {
        "totals": report.totals,
        "processes": sorted(
            (
                get(row, "process.executable.name"), row["opens"], sorted(row["failures"].items()),
                row["time_wait"], row["short_lived"],
                sorted(
                    (d["address"], d["port"], d["netns"], d["opens"],
                     sorted(d["failures"].items()), sorted(d["closed_by"].items()),
                     d["concurrency_peak"])
                    for d in row["destinations"]
                ),
            )
            for row in report.processes
        ),
        "findings": sorted(f["id"] for f in report.findings()),
    }


def functions(report, opens):
    """Of the destinations with that many opens."""
    return sorted({c.get("function", "") for row in report.processes for d in row["destinations"]
                   if d["opens"] == opens for c in d["callsites"]})


def same(one, other):
    for key, value in one.items():
        wanted = other[key]
        if isinstance(value, list) and value != wanted:
            value, wanted = ([v for v in a if v not in b]
                             for a, b in ((value, wanted), (wanted, value)))
        equal(value, wanted, f"{key} of the replay")


def recording(*more):
    recorder = Tracer("record")
    run_churn("-n", 300, *more)
    return recorder.finish()


def test_replay_equals_live():
    live, recorder = Tracer("report"), Tracer("record")
    run_churn("-n", 50, "-r", 100)
    run_churn("-n", 23, "--server-closes")
    run_churn("-n", 11, "--refused")
    run_churn("-n", 7, "-6", "--rst", "-t", 2)
    run_churn("-n", 20, "--exec-each")
    recorder_path, report = recorder.finish(), live.finish()
    equal(report.totals["opens"], 100, "opens")
    equal(report.totals["failures"], 11, "failures")
    again = replay(recorder_path)
    equal(again.lost["events"], 0, "lost events of the recording")
    same(summary(again), summary(report))
    # Two tracers resolve stacks each in its own time; of a process that lives, both have them all.
    equal(functions(again, 50), functions(report, 50), "call sites of the replay")


def test_replay_twice():
    path = recording()
    same(summary(replay(path)), summary(replay(path)))


def test_trace_of_recording():
    path = recording("--rst")
    done = run([TCPCHURN, "trace", "-j", "-i", path])
    equal(done.stdout.count('"name":"connect"'), 300, "connect lines")


def test_mode():
    """It holds command lines: nobody else's business."""
    equal(os.stat(recording()).st_mode & 0o777, 0o600, "mode of the file")


def test_truncated():
    path = recording()
    size = os.stat(path).st_size
    whole = replay(path).totals
    os.truncate(path, size - size // 4)
    part = replay(path)
    check(0 < part.totals["opens"] < whole["opens"],
          f"{part.totals['opens']} of {whole['opens']} opens")
    check(part.stderr.strip().splitlines()[:-1], "not a word about the missing end")


def test_killed():
    """What SIGKILL leaves behind is readable up to about a second before."""
    recorder = Tracer("record")
    run_churn("-n", 300, "-r", 100)
    recorder.stop(9, expect=-9)
    part = replay(recorder.file)
    check(100 <= part.totals["opens"] <= 300, f"{part.totals['opens']} of 300 opens")


def unreadable(path):
    done = run([TCPCHURN, "report", "-j", "-i", path], expect=66)
    equal(done.stdout, "", "stdout")
    equal(len(done.stderr.strip().splitlines()), 1, f"lines of {done.stderr!r}")
    check(path in done.stderr, f"{path} in {done.stderr!r}")


def test_garbage():
    path = temporary(".gz")
    with open(path, "wb") as f:
        f.write(os.urandom(10000))
    unreadable(path)


def test_other_json():
    path = temporary(".json")
    with open(path, "w") as f:
        f.write('{"hello":"world"}\n' * 5)
    unreadable(path)


def test_empty():
    unreadable(temporary(".gz"))


def test_missing():
    unreadable("/nonexistent/recording.gz")
