# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""What tracing costs the traced: connections per second of a saturating load on loopback without a
tracer (A) and with one (B), interleaved A B B A, so that a drift of the machine hits both alike, and
in every sixth round the peers. What was kept is taken within a round, of which the median is given:
on a virtual machine the rounds differ by more than what is to be measured."""
import shutil

from lib import (PYTHON_NAME, CannotStart, Report, Tracer, cpu_seconds, isolated, load_churn,
                 load_python, median, python_server, say, spread)

ROUNDS, SECONDS = 25, 1.2
WARM_SECONDS = 0.3  # tracing is for long, and what it learns at first belongs to none of these runs
PEERS_EVERY = 6  # rounds
COUNT_BY_COMM = """BEGIN { printf("tracing\\n"); }
tracepoint:sock:inet_sock_set_state /args->newstate == 1/ { @[comm] = count(); }"""


def untraced(load):
    load(WARM_SECONDS)
    return {"rate": load(SECONDS)["per_second"]}


def traced(tracer, load):
    """Also: all the connections there were."""
    made = load(WARM_SECONDS)["established"]
    begin = cpu_seconds(tracer.pid)
    truth = load(SECONDS)
    cpu = cpu_seconds(tracer.pid) - begin
    return ({"rate": truth["per_second"], "cpu": cpu / truth["established"]},
            made + truth["established"])


def reported(load, name):
    """With tcpchurn; what it missed by the load's own count, and what it says that it lost."""
    with Report() as tracer:
        result, made = traced(tracer, load)
    return {**result, "made": made, "lost": tracer.lost, "missed": made - tracer.opens(name)}


def with_peer(load, command, ready):
    with Tracer(command, ready) as tracer:
        result, made = traced(tracer, load)
    return {**result, "made": made, "lost": tracer.lost}


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


def summary(rounds, runs):
    """rounds: name -> rates, each; runs: name -> all that was found in its runs."""
    result = {"none": spread([run["rate"] for run in runs["none"]]), "tracers": {},
              "noise": spread([r["none"][-1] / r["none"][0] for r in rounds])}
    for name in [name for name in runs if name != "none"]:
        result["tracers"][name] = {
            "rate": spread([run["rate"] for run in runs[name]]),
            "kept": spread([median(r[name]) / median(r["none"]) for r in rounds if name in r]),
            "cpu_us": 1e6 * median([run["cpu"] for run in runs[name]]),
            "made": sum(run["made"] for run in runs[name]),
            "lost": sum(run["lost"] for run in runs[name]),
            "missed": sum(run.get("missed", 0) for run in runs[name]),
        }
    return result


def compare(load, name, others=()):
    """`name`: of the program that connects."""
    ours = [("none", untraced, ()), ("tcpchurn", reported, (name,))]
    theirs = [(peer, with_peer, args) for peer, *args in others]
    rounds, runs = [], {}
    for index in range(ROUNDS):
        rates = {}
        for what, measure, args in ours + ours[::-1] + (theirs if index % PEERS_EVERY == 0 else []):
            result = measure(load, *args)
            runs.setdefault(what, []).append(result)
            rates.setdefault(what, []).append(result["rate"])
        rounds.append(rates)
        say(f"  round {index + 1} of {ROUNDS}: " +
            ", ".join(f"{what} {median(rate):,.0f}/s" for what, rate in rates.items()))
    return summary(rounds, runs)


def _native():
    others, missing = peers()
    return {**compare(load_churn, "churn", others), "missing": missing}


def _python():
    with python_server() as target:
        return compare(load_python(target), PYTHON_NAME)


def native():
    """A load of native code, with the other tracers beside us."""
    return isolated(_native)


def python():
    """A client and a server in CPython."""
    return isolated(_python)
