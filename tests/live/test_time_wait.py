# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""tcp_max_tw_buckets: what the kernel did not keep, against its own counter and what ss finds."""
import re
import time

from lib import (
    TCPCHURN, Netns, Server, Tracer, check, churn, equal, netns_inode, run, run_churn, sh, sysctl,
)
from test_record import replay

LIMIT = 20
DEFAULT = 4096  # of many machines


def overflows():
    with open("/proc/thread-self/net/netstat") as f:
        names, numbers = [line.split() for line in f if line.startswith("TcpExt:")]
    return int(dict(zip(names, numbers))["TCPTimeWaitOverflow"])


def found_by_ss(enter=()):
    return len(sh(*enter, "ss", "-Htan", "state", "time-wait").splitlines())


def of_netns(document, inode):
    found = [t for t in document["time_wait"] if t["netns"] == inode]
    equal(len(found), 1, f"entries of the namespace in {document['time_wait']}")
    return found[0]


def text_of(recording):
    """On one line, as words."""
    return " ".join(run([TCPCHURN, "report", "-i", recording]).stdout.split())


def observe(limit, before=0):
    """200 connections in some seconds, after so many that are none of the tracers' business."""
    sysctl("net.ipv4.tcp_max_tw_buckets", limit)
    sysctl("net.ipv4.tcp_tw_reuse", 0)  # nobody takes one over
    if before:
        run_churn("-n", before)
    tracers = Tracer("report"), Tracer("record")
    counted = overflows()
    server = Server()
    run_churn("-n", 200, "-r", 30, "--connect", server.target())
    time.sleep(0.2)
    counted, kept = overflows() - counted, found_by_ss()
    live, recording = (t.finish() for t in tracers)
    return live, recording, counted, kept


def projections(result):
    finding, = result.findings("connection-per-request")
    return " ".join(line for line in finding["evidence"] if "if kept up" in line)


def test_limit():
    """20 are kept, 180 are not: told live and from the recording, and nothing is projected."""
    live, recording, counted, kept = observe(LIMIT, before=50)
    equal((counted, kept), (200, LIMIT), "the kernel's counter, and TIME_WAITs")
    for result in live, replay(recording):
        equal(of_netns(result.doc, netns_inode()),
              {"netns": netns_inode(), "left": 200, "skipped": counted, "limit": LIMIT},
              "time_wait")
        check("hold about 20 sockets in TIME_WAIT, all that net.ipv4.tcp_max_tw_buckets allows"
              in projections(result), f"evidence: {projections(result)}")
    text = text_of(recording)
    for words in ("the kernel did not keep 200, of the 200 counted here",
                  f"network namespace {netns_inode()}: net.ipv4.tcp_max_tw_buckets is 20"):
        check(words in text, f"{words!r} in {text}")
    # The latter where the tracer went on for too long afterwards to project anything.
    check(re.search("if kept up, 20 ports in TIME_WAIT, all that|: up to 200 ports left", text),
          f"a projection in {text}")


def test_some_are_kept():
    """With none there before, the first 20 are."""
    live, recording, counted, kept = observe(LIMIT)
    equal((counted, kept), (180, LIMIT), "the kernel's counter, and TIME_WAITs")
    for result in live, replay(recording):
        entry = of_netns(result.doc, netns_inode())
        equal((entry["left"], entry["skipped"]), (200, 180), "left, skipped")
        equal(entry["left"] - entry["skipped"], found_by_ss(), "what ss finds")


def test_no_limit():
    """The control: all are kept, and their rate is projected."""
    live, recording, counted, kept = observe(DEFAULT)
    equal((counted, kept), (0, 200), "the kernel's counter, and TIME_WAITs")
    for result in live, replay(recording):
        equal(of_netns(result.doc, netns_inode()),
              {"netns": netns_inode(), "left": 200, "skipped": 0, "limit": DEFAULT}, "time_wait")
        check("max_tw_buckets" not in projections(result), f"evidence: {projections(result)}")
    text = text_of(recording)
    check("did not keep" not in text and "max_tw_buckets" not in text, f"not in {text}")
    check(re.search("if kept up, about [0-9,]{3,} ports|: 200 ports left", text),
          f"a projection in {text}")


def test_pressure():
    """A range of 100 ports, of which 30 opens a second would leave none in four seconds: but for
    the limit, and told of where there is none."""
    for limit, expected in (LIMIT, 0), (DEFAULT, 1):
        other = Netns(f"limit{limit}")
        for setting in ("tcp_tw_reuse=0", "ip_local_port_range=48000 48099",
                        f"tcp_max_tw_buckets={limit}"):
            sh(*other.enter, "sysctl", "-qw", f"net.ipv4.{setting}")
        tracer = Tracer("report", scope=["-N", other.name])
        run([*other.enter, *churn("-n", 60, "-r", 30)])
        result = tracer.finish()
        equal(len(result.findings("port-pressure")), expected, f"port-pressure, limit {limit}")
        found = [p for p in result.doc["pools"] if p["port"] != 0]
        equal([("seconds_to_exhaustion" in p, p["time_wait_limit"]) for p in found],
              [(bool(expected), limit)], "seconds left")
        text = run([*other.enter, TCPCHURN, "ports", "--min-used", "1", "-N", other.name]).stdout
        equal("can be in TIME_WAIT (net.ipv4.tcp_max_tw_buckets)" in " ".join(text.split()),
              not expected, f"told of by ports: {text}")
        entry = of_netns(result.doc, other.inode)
        equal((entry["limit"], entry["left"] - entry["skipped"]),
              (limit, found_by_ss(other.enter)), "limit, kept")


def test_none_at_all():
    """With a limit of 0 nothing is left in the namespace when it is looked at."""
    server = Server()
    sysctl("net.ipv4.tcp_max_tw_buckets", 0)
    tracer = Tracer("report")
    run_churn("-n", 30, "--connect", server.target())
    server.stop()
    result = tracer.finish()
    entry = of_netns(result.doc, netns_inode())
    equal((entry["left"], entry["skipped"], entry["limit"], found_by_ss()), (30, 30, 0, 0),
          "left, skipped, limit, found")


def test_namespace_of_the_command():
    """One that is made during the trace has counted for it alone; but it may have been one of
    those that could not be seen when the trace began."""
    tracer = Tracer("report", scope=[])
    other = Netns("young")
    sh(*other.enter, "sysctl", "-qw", f"net.ipv4.tcp_max_tw_buckets={LIMIT}")
    run([*other.enter, *churn("-n", 90)])
    result = tracer.finish(lossless=False)
    entry = of_netns(result.doc, other.inode)
    equal((entry["left"], entry["limit"], found_by_ss(other.enter)), (90, LIMIT, LIMIT),
          "left, limit, found")
    skipped = None if result.doc["census"]["partial"] else 70
    equal(entry.get("skipped"), skipped, "skipped")
