# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""What tracing costs the traced: connections per second of a saturating load on loopback without a
tracer (A) and with one (B), interleaved A B peers B A, so that a slow drift of the machine hits all
alike. What was kept is taken within a round, and the median of the rounds is given."""
import shutil

from lib import (CannotStart, Report, Tracer, cpu_seconds, isolated, load_churn, load_python,
                 median, python_server, say, spread)

ROUNDS, SECONDS = 7, 2
COUNT_BY_COMM = """BEGIN { printf("tracing\\n"); }
tracepoint:sock:inet_sock_set_state /args->newstate == 1/ { @[comm] = count(); }"""


def untraced(load, _=None):
    return {"rate": load(SECONDS)["per_second"]}


def reported(load, name):
    """With tcpchurn; what it missed by the load's own count, and what it says that it lost."""
    with Report() as tracer:
        begin = cpu_seconds(tracer.pid)
        truth = load(SECONDS)
        cpu = cpu_seconds(tracer.pid) - begin
    made = truth["established"]
    return {"rate": truth["per_second"], "made": made, "lost": tracer.lost,
            "missed": made - tracer.opens(name), "cpu": cpu / made}


def with_peer(load, command, ready):
    with Tracer(command, ready) as tracer:
        begin = cpu_seconds(tracer.pid)
        truth = load(SECONDS)
        cpu = cpu_seconds(tracer.pid) - begin
    made = truth["established"]
    return {"rate": truth["per_second"], "made": made, "lost": tracer.lost, "cpu": cpu / made}


def peers():
    """(name, command, what it says when ready) of those that run here, and why the others do not."""
    path = "/usr/sbin:/usr/bin:/sbin:/bin:/usr/local/sbin:/usr/local/bin"
    wanted = [
        ("tcplife", ["tcplife"], None),
        ("tcpstates", ["tcpstates"], None),
        ("bpftrace", ["bpftrace", "-e", COUNT_BY_COMM], "^tracing"),
    ]
    found, missing = [], {}
    for name, (program, *args), ready in wanted:
        where = shutil.which(program, path=path)
        if not where:
            missing[name] = "not installed"
            continue
        try:
            with Tracer([where, *args], ready):
                pass
            found.append((name, [where, *args], ready))
        except CannotStart as why:
            missing[name] = str(why)
    return found, missing


def kept(rounds, name):
    return spread([median(r[name]) / median(r["none"]) for r in rounds])


def summary(rounds, runs, names):
    """runs: name -> all the results of its runs."""
    result = {"none": spread([run["rate"] for run in runs["none"]]), "tracers": {},
              "noise": spread([r["none"][-1] / r["none"][0] for r in rounds])}
    for name in names:
        result["tracers"][name] = {
            "rate": spread([run["rate"] for run in runs[name]]),
            "kept": kept(rounds, name),
            "cpu_us": 1e6 * median([run["cpu"] for run in runs[name]]),
            "made": sum(run["made"] for run in runs[name]),
            "lost": sum(run["lost"] for run in runs[name]),
            "missed": sum(run.get("missed", 0) for run in runs[name]),
        }
    return result


def compare(load, name, others=()):
    """`name`: of the program that connects."""
    order = [("none", untraced, ()), ("tcpchurn", reported, (name,))]
    middle = [(peer, with_peer, args) for peer, *args in others]
    rounds, runs = [], {}
    load(0.5)  # warm up
    for index in range(ROUNDS):
        rates = {}
        for what, measure, args in order + middle + order[::-1]:
            result = measure(load, *args)
            runs.setdefault(what, []).append(result)
            rates.setdefault(what, []).append(result["rate"])
        rounds.append(rates)
        say(f"  round {index + 1} of {ROUNDS}: " +
            ", ".join(f"{what} {median(rate):,.0f}/s" for what, rate in rates.items()))
    return summary(rounds, runs, [what for what in runs if what != "none"])


def _native():
    others, missing = peers()
    return {**compare(load_churn, "churn", others), "missing": missing}


def _python():
    with python_server() as target:
        return compare(load_python(target), "python3.11")


def native():
    """A load of native code, with the other tracers beside us."""
    return isolated(_native)


def python():
    """A client and a server in CPython."""
    return isolated(_python)
