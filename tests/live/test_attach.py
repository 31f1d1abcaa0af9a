# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Each flavour of the hook sees the same."""
from lib import TCPCHURN, Report, check, churn, equal, report, run, temporary

TRACEFS = "/sys/kernel/tracing"


def counts(result):
    totals = result.totals
    return [totals[key] for key in ("opens", "accepts", "closes", "failures", "short_lived")]


def test_tracepoint():
    equal(counts(report(churn("-n", 23), ["--attach", "tracepoint"])), [23, 23, 46, 0, 23], "counts")


def plain(script, *command):
    """The tracer, in a mount namespace of its own in which the script has run."""
    shell = ["unshare", "-m", "sh", "-c", f'{script}; exec "$@"', "sh"]
    path = temporary(".json")
    tracer = [TCPCHURN, "report", "-j", "-O", path, "--attach", "plain-tracepoint", "--", *command]
    return run([*shell, *tracer], expect=None), path


def plain_report(*command):
    done, path = plain(f"mountpoint -q {TRACEFS} || mount -t tracefs tracefs {TRACEFS}", *command)
    equal(done.returncode, 0, f"exit ({done.stderr})")
    return Report(path, done.stdout, done.stderr)


def test_plain_tracepoint():
    """Without BTF types: fields are read by helper, and there is no socket cookie."""
    result = plain_report(*churn("-n", 23, "-r", 100))
    equal(counts(result), [23, 23, 46, 0, 23], "counts")
    destination, = result.row("churn")["destinations"]
    equal(destination["avoidable"], 22, "avoidable")
    equal(destination["peer_process"]["executable"]["name"], "churn", "the other end")


def test_plain_tracepoint_refused():
    equal(counts(plain_report(*churn("-n", 23, "--refused"))), [0, 0, 0, 23, 0], "counts")


def test_forced_flavour_missing():
    """A flavour that cannot attach is one clear line, and 69."""
    done, _ = plain(f"! mountpoint -q {TRACEFS} || umount {TRACEFS}", "true")
    equal(done.returncode, 69, "exit")
    equal(len(done.stderr.strip().splitlines()), 1, f"lines of {done.stderr!r}")
    check("inet_sock_set_state" in done.stderr and "--attach" in done.stderr, done.stderr)
