# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Findings, each on a real program, beside a control that must not have it."""
import time

from lib import (
    CHURN, INCIDENTS, PYTHON, Process, Server, Skip, Tracer, check, churn, equal, get, ports,
    python_server, report, run, run_churn, sysctl,
)


def names(result):
    return sorted(finding["id"] for finding in result.findings())


def only_finding(result, name):
    found = result.findings(name)
    check(found, f"no {name} among {names(result)}")
    for finding in found:
        check(finding["evidence"], f"{name} without evidence")
        check(finding.get("title") and finding.get("fix"), f"{name} without title or fix")
    return found[0]


def absent(result, *unwanted):
    for name in unwanted:
        equal(result.findings(name), [], f"{name}")


def poller(*args):
    """The health checker, with a session for each check or (--fixed) for all."""
    if run([PYTHON, "-c", "import requests"], expect=None).returncode:
        raise Skip(f"{PYTHON} has no requests: tools/install-deps.sh check")
    return [PYTHON, f"{INCIDENTS}/health.py", *map(str, args)]


def test_connection_per_request():
    python_server()
    result = report(poller("--seconds", 3, "--pollers", 2, "--interval", 0.05))
    finding = only_finding(result, "connection-per-request")
    equal(get(finding, "destination.port"), 8053, "destination")
    row, = result.processes
    check(row["opens"] >= 100 and row["avoidable"] >= row["opens"] - 4,
          f"{row['avoidable']} of {row['opens']} opens avoidable")


def test_kept_session():
    """The control: the fix."""
    python_server()
    result = report(
        poller("--fixed", "--seconds", 3, "--pollers", 2, "--interval", 0.05)
    )
    equal(result.totals["opens"], 2, "opens")
    equal(result.findings(), [], "findings")


def test_new_destinations():
    """The control: a crawler, each time somewhere else, has nothing to reuse."""
    Server(listen="0.0.0.0:8090")
    script = "; ".join(f"{CHURN} --connect 127.5.0.{i}:8090" for i in range(1, 41))
    result = report(["/bin/sh", "-c", script])
    equal(result.totals["opens"], 40, "opens")
    equal(result.totals["avoidable"], 0, "avoidable")
    absent(result, "connection-per-request", "function-local-client")


def test_peer_closes():
    result = report(churn("-n", 60, "-r", 40, "--server-closes"))
    only_finding(result, "peer-closes")
    absent(result, "connection-per-request", "function-local-client")


def test_owner_closes():
    """The control: the same traffic, closed by the client."""
    result = report(churn("-n", 60, "-r", 40))
    absent(result, "peer-closes")
    only_finding(result, "connection-per-request")


def test_polling():
    result = report(churn("-n", 50, "-r", 10))
    only_finding(result, "polling")


def test_no_cadence():
    """The control: as many, at irregular times."""
    Server(listen="127.0.0.1:8090")
    pauses = [0, 0.7, 0, 0.1, 0, 0.4, 0.02, 1.1, 0, 0.3]
    script = "import socket, time\n" \
        f"for pause in {pauses * 2}:\n" \
        "    time.sleep(pause)\n" \
        "    for _ in range(3):\n" \
        "        socket.create_connection(('127.0.0.1', 8090)).close()\n"
    result = report([PYTHON, "-c", script])
    equal(result.totals["opens"], 60, "opens")
    absent(result, "polling")


def test_port_exhaustion():
    """The victim is one program, the culprit another."""
    sysctl("net.ipv4.tcp_tw_reuse", 0)
    ports(48000, 64)
    Server(listen="127.0.0.1:8090")
    run_churn("-n", 10, "--connect", "127.0.0.1:8090")  # before the trace
    time.sleep(1.5)  # more than a TIME_WAIT's timer may be early by
    tracer = Tracer("report")
    run_churn("-n", 54, "--connect", "127.0.0.1:8090")
    victim = Process([PYTHON, "-c", "import socket, sys\n"
                      "for i in range(9):\n"
                      "    try: socket.create_connection(('127.0.0.1', 8090))\n"
                      "    except OSError as e: print(e.errno)\n"])
    victim.wait()
    equal(victim.out, "99\n" * 9, "errno of the victim")
    result = tracer.finish()
    finding = only_finding(result, "port-exhaustion")
    equal(finding["severity"], "critical", "severity")
    text = " ".join(finding["evidence"]) + finding["title"]
    check("churn" in text, f"the culprit in {text!r}")
    held = [(h.get("program"), h["ports"], h.get("older", 0)) for h in finding["holders"]]
    equal(held, [("churn", 54, 0), (None, 10, 10)], "holders")
    pool, = result.doc["pools"]
    equal(sum(pool["used"].values()), 64, "in use")


def test_fail_if():
    """Exit 1 when what was named was found, after the report; 0 when something else was."""
    sysctl("net.ipv4.tcp_tw_reuse", 0)
    ports(48000, 64)
    load = churn("-n", 80, "--port", 8090)
    result = report(load, ["--fail-if", "polling,port-exhaustion"], expect=1)
    only_finding(result, "port-exhaustion")
    report(churn("-n", 3), ["--fail-if", "port-exhaustion"])


def test_no_exhaustion():
    """The control: the same with ports to spare."""
    sysctl("net.ipv4.tcp_tw_reuse", 0)
    ports(48000, 512)
    result = report(churn("-n", 64, "--port", 8090))
    absent(result, "port-exhaustion")


def test_quiet():
    """A handful of connections is nothing to talk about."""
    equal(report(churn("-n", 3)).findings(), [], "findings")


def test_pooled():
    """The control of them all: many requests on few connections."""
    result = report(churn("-n", 4, "-t", 4, "--requests", 500))
    equal(result.totals["opens"], 4, "opens")
    equal(result.findings(), [], "findings")
