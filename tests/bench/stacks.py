# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Time in the kernel, as the kernel measures it around each run of our programs. It includes what
the measuring and an empty program cost: nothing is subtracted, but the empty ones stand beside."""
import contextlib
import subprocess
import time

from lib import (CHURN, DEEP, EMPTY, HERE, PYTHON, PYTHON_NAME, Report, Tracer, bpf_run_time,
                 bpf_stats, churn_server, fail, isolated, load_churn, load_deep, load_python,
                 python_server, say, spread)

ROUNDS, SECONDS = 5, 1.5
WITHOUT = ["--no-callsites"]


def spent(tracer, load):
    """ns and runs of its programs a connection of the load."""
    load(0.3)  # warm: what is learnt once has been
    time.sleep(0.1)
    begin = bpf_run_time(tracer.pid)
    made = load(SECONDS)["established"]
    end = bpf_run_time(tracer.pid)
    if end[1] == begin[1]:
        fail("the programs did not run, or the kernel does not count it")
    return (end[0] - begin[0]) / made, (end[1] - begin[1]) / made


def with_empty(load):
    with Tracer([EMPTY], "^tracing") as tracer:
        return spent(tracer, load)


def with_report(load, options=()):
    with Report(*options) as tracer:
        return spent(tracer, load)


def rounds_of(configurations):
    """name -> (function, args): each once a round, every other round backwards."""
    taken = {name: [] for name in configurations}
    for index in range(ROUNDS):
        for name in list(configurations)[::1 if index % 2 else -1]:
            function, *args = configurations[name]
            taken[name].append(function(*args))
    return {name: {"ns": spread([ns for ns, _ in values]),
                   "runs": spread([runs for _, runs in values])} for name, values in taken.items()}


def _connections():
    with bpf_stats(), python_server() as target:
        python = load_python(target)
        return rounds_of({
            "empty": (with_empty, load_churn),
            "none": (with_report, load_churn, WITHOUT),
            "native": (with_report, load_churn),
            "python none": (with_report, python, WITHOUT),
            "python": (with_report, python),
        })


def _opens():
    """One client, so that an open is not measured with another one's interrupts."""
    with bpf_stats(), churn_server() as target:
        deep, moving = load_deep(target, False), load_deep(target, True)
        python = load_python(target, processes=1, threads=1)
        return rounds_of({
            "none": (with_report, deep, WITHOUT),
            "native": (with_report, deep),
            "moving none": (with_report, moving, WITHOUT),
            "moving": (with_report, moving),
            "python none": (with_report, python, WITHOUT),
            "python": (with_report, python),
        })


def connections():
    """BPF time of a connection, both of its ends, under a saturating load."""
    return isolated(_connections)


def opens():
    """What taking the stack adds to an open."""
    return isolated(_opens)


# --- how many opens have a call site --------------------------------------------------------------


def frames(row):
    """The longest stack."""
    return max((len(site.get("stack", [])) for d in row["destinations"] for site in d["callsites"]),
               default=0)


def named(row):
    """Opens that have a call site with a function."""
    return sum(site["opens"] for d in row["destinations"] for site in d["callsites"]
               if site.get("function"))


def _share():
    with contextlib.ExitStack() as stack:
        target = stack.enter_context(churn_server())
        for command in ([CHURN, "--rst", "--connect", target, "-n", "0", "-r", "1000", "-d", "15"],
                        [DEEP, target, "15"], [PYTHON, f"{HERE}/dialer.py", target, "15", "2"]):
            process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
            stack.callback(process.wait)
            stack.callback(process.terminate)
        time.sleep(2.5)  # they are older than 2 s when we come, and we know nothing of them
        with Report() as tracer:
            time.sleep(10)
    result = {}
    for name in "churn", "deep", PYTHON_NAME:
        (row,) = [row for row in tracer.rows(name) if row["opens"]]
        result[name] = {"opens": row["opens"], "named": named(row), "frames": frames(row)}
    say(f"  {result}")
    return result


def share():
    """Of the opens of processes that are older than 2 s, those with a call site."""
    return isolated(_share)
