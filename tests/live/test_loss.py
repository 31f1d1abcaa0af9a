# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""What cannot be delivered is counted: seen + lost == made, of each kind."""
import os
import signal

from lib import TCPCHURN, Tracer, check, churn, equal, run, run_churn, temporary


def burst(tracer, stopped):
    """600 connections and 200 failures, while the tracer cannot read if `stopped`."""
    if stopped:
        tracer.popen.send_signal(signal.SIGSTOP)
    run_churn("-n", 600)
    run_churn("-n", 200, "--refused")
    if stopped:
        tracer.popen.send_signal(signal.SIGCONT)


def lost(result, reason):
    return result.lost["by_reason"].get(reason, 0)


def test_forced():
    tracer = Tracer("report", "--buffer-size", "4K")
    burst(tracer, stopped=True)
    result = tracer.finish(lossless=False)
    totals = result.totals
    check(lost(result, "ring_open") and lost(result, "ring_failed") and lost(result, "ring_close"),
          f"nothing was lost of some kind: {result.lost}")
    equal(totals["opens"] + totals["accepts"] + lost(result, "ring_open"), 1200, "opens")
    equal(totals["failures"] + lost(result, "ring_failed"), 200, "failures")
    equal(totals["closes"] + lost(result, "ring_close"), 1200, "closes")
    # A process or stack record that is lost is sent again: its loss is no event's.
    events = sum(lost(result, reason) for reason in ("ring_open", "ring_failed", "ring_close"))
    equal(result.lost["events"], events, "sum of the reasons")
    last = result.stderr.strip().splitlines()[-1]
    check(f", {result.lost['events']:,} lost, " in last, f"the loss in {last!r}")


def test_none():
    """The control: the same burst into a buffer of the usual size."""
    tracer = Tracer("report")
    burst(tracer, stopped=True)
    result = tracer.finish()
    equal(result.totals["opens"], 600, "opens")
    equal(result.totals["failures"], 200, "failures")
    equal(result.totals["closes"], 1200, "closes")


def test_trace_says_so():
    tracer = Tracer("trace", "--buffer-size", "4K")
    burst(tracer, stopped=True)
    lines = tracer.finish(lossless=False)
    check(lines.named("lost"), "no lost line")


def on_one_cpu(count):
    """All records of `count` connections in the lanes of one CPU, 64 KiB each, unread."""
    tracer = Tracer("report", "--buffer-size", 128 * 1024 * os.cpu_count())
    tracer.popen.send_signal(signal.SIGSTOP)
    cpu = min(os.sched_getaffinity(0))
    run_churn("--rst", "-n", count, preexec_fn=lambda: os.sched_setaffinity(0, {cpu}))
    tracer.popen.send_signal(signal.SIGCONT)
    return tracer.finish(lossless=False)


def test_full_lane_goes_by_the_ring():
    """Twice what fits into the lanes: nothing is lost, and everything in its order."""
    result = on_one_cpu(300)
    equal(result.lost["events"], 0, "lost")
    totals = result.totals
    equal([totals["opens"], totals["accepts"], totals["closes"]], [300, 300, 600], "counts")
    equal(totals["orphan_closes"], 0, "closes before their opens")
    (client,) = [p for p in result.doc["processes"] if p["opens"]]
    equal(client["destinations"][0]["concurrency_peak"], 1, "open at once")


def test_full_ring_loses():
    """The control: ten times as much."""
    result = on_one_cpu(3000)
    check(lost(result, "ring_open") > 1000, f"lost: {result.lost}")
    equal(result.totals["opens"] + result.totals["accepts"] + lost(result, "ring_open"), 6000,
          "opens")
    equal(result.totals["closes"] + lost(result, "ring_close"), 6000, "closes")


def test_exit_code():
    """--fail-on-loss: 4 with losses, 0 without."""
    tracer = Tracer("report", "--buffer-size", "4K", "--fail-on-loss")
    burst(tracer, stopped=True)
    tracer.stop(signal.SIGINT, expect=4)
    run([TCPCHURN, "report", "-j", "-O", temporary(), "--fail-on-loss", "--",
         *churn("-n", 23)], expect=0)


def held(count, *options):
    tracer = Tracer("report", *options)
    run_churn("-n", count, "--hold")
    result = tracer.finish(lossless=False)
    totals = result.totals
    gone = lost(result, "conn_map")
    equal(totals["opens"] + totals["accepts"] + gone, 2 * count, "opens")
    equal(totals["closes"] + gone, 2 * count, "closes")
    equal(result.lost["events"], gone, "nothing else is lost")
    return gone


def test_table_holds_what_it_should():
    """Both ends of 3,000 connections at once, in a table for 6,000: none is lost."""
    equal(held(3000, "--max-conns", 6000), 0, "lost")


def test_table_overflows():
    """In one for far fewer, what finds no room is lost, counted, and nothing else is wrong."""
    check(held(3000, "--max-conns", 1000) > 1000, "too few were lost")
