# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""A recording says what the live report said, and says so when it is damaged."""
import gzip
import json
import os
import time

from lib import (
    TCPCHURN, Process, Report, Server, Tracer, check, churn, equal, get, ports, run,
    run_churn, sysctl, temporary, wait_for_census,
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


def pool_of(document):
    """Of one pool, what does not depend on when it was looked at; the last census is that."""
    pool, = document["pools"]
    holders = [(get(h, "process.pid"), get(h, "callsite.function"), h["established"],
                h["time_wait"], h.get("older", 0)) for h in pool["holders"]]
    return {**{k: pool[k] for k in ("local", "peer", "port", "range", "capacity", "used", "free",
                                    "bound", "cliff", "netns")}, "holders": holders}


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


def exhaust():
    """64 ports, two of them reserved: 10 in TIME_WAIT before the trace, 52 after, 21 failures."""
    sysctl("net.ipv4.tcp_tw_reuse", 0)
    sysctl("net.ipv4.ip_local_reserved_ports", "48010-48011")
    ports(48000, 64)
    Server(listen="127.0.0.1:8090")
    run_churn("-n", 10, "--connect", "127.0.0.1:8090")
    time.sleep(1.5)
    tracers = Tracer("report"), Tracer("record")
    run_churn("-n", 73, "-r", 100, "--connect", "127.0.0.1:8090")  # long enough for its stack
    return tracers


def test_pools_of_a_recording():
    """Which ran out, when, and who held them: as the live report says, afterwards."""
    live, recorder = exhaust()
    recording, live = recorder.finish(), live.finish()
    again = replay(recording)
    equal(pool_of(again.doc), pool_of(live.doc), "the pool, from the recording")
    pool = pool_of(live.doc)
    equal((pool["capacity"], pool["free"]), (62, 0), "capacity and free")
    equal([h[2:] for h in pool["holders"]], [(0, 52, 0), (0, 10, 10)], "held")
    equal(again.doc["census"]["older_time_wait"], 10, "older")
    for result in live, again:
        finding, = result.findings("port-exhaustion")
        equal([h["ports"] for h in finding["holders"]], [52, 10], "holders of the finding")
    done = json.loads(run([TCPCHURN, "ports", "-j", "-i", recording]).stdout)
    equal(pool_of(done), pool_of(live.doc), "the pool of ports -i")
    past = done["pools"][0]["recorded"]
    equal((past["failures"], past["least_free"]), (21, 0), "failures, least free")
    check(past["first_failure"] <= past["last_failure"] <= past["last_empty"], f"times: {past}")
    what_if = json.loads(run([TCPCHURN, "ports", "-j", "-i", recording, "--what-if",
                              "range=1024-65535"]).stdout)["pools"][0]["what_if"]
    # Two are reserved, one is the server's.
    equal([w["capacity"] for w in what_if], [62, 64509], "capacity, were the range wider")
    text = run([TCPCHURN, "ports", "-i", recording]).stdout
    for words in ("when fewest ports were free", "none was free in",
                  "21 connects failed with EADDRNOTAVAIL", "10 in TIME_WAIT older than the trace"):
        check(words in text, f"{words!r} in {text}")


def test_worst_moment():
    """The ports are free again at the end; the recording still knows who took them."""
    ports(48000, 64)
    server = Server(listen="127.0.0.1:8090")
    recorder = Tracer("record")
    held = Process(churn("-n", 64, "--hold-for", "60", "--rst", "--connect", "127.0.0.1:8090"))
    wait_for_census(recorder)
    held.stop()
    recording = recorder.finish()
    server.stop()
    equal(replay(recording).doc["pools"], [], "pools at the end")
    done = json.loads(run([TCPCHURN, "ports", "-j", "-i", recording]).stdout)
    pool, = done["pools"]
    equal((pool["free"], pool["used"]["established"]), (0, 64), "at the worst")
    # Its stack may not be known from its first moment on.
    equal(sum(h["established"] for h in pool["holders"]), 64, "held")
    equal({get(h, "process.pid") for h in pool["holders"]}, {held.pid}, "by one")


def test_ports_of_bad_recordings():
    """Nothing is told of a census that is not whole."""
    live, recorder = exhaust()
    recording = recorder.finish()
    live.finish()
    run([TCPCHURN, "ports", "-i", "-"], expect=64)
    run([TCPCHURN, "ports", "--watch", "-i", recording], expect=64)
    run([TCPCHURN, "ports", "-i", recording + ".none"], expect=66)
    with gzip.open(recording, "rt") as f:
        lines = f.readlines()
    damaged = temporary(".json")
    for change in (
        lambda line: None if '"sockets"' in line and '"network"' in line else line,
        lambda line: None if '"port_rules"' in line and '"low"' in line else line,
        lambda line: line.replace('"sockets":[', '"sockets":[1,', 1),
        lambda line: line.replace('"low":48000', '"low":480000', 1),
    ):
        with open(damaged, "w") as f:
            f.writelines(filter(None, map(change, lines)))
        done = run([TCPCHURN, "ports", "-i", damaged], expect=66)
        check("no whole census" in done.stderr, done.stderr)
        equal(replay(damaged).doc["pools"], [], "pools of a damaged recording")


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
