# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""A load that opens so many connections a second and no more, whether traced or not: what arrives,
what is lost, what the tracer and the whole machine spend on it. Closed by resets, and by FINs, which
leave a port in TIME_WAIT each."""
import subprocess

from lib import (CHURN, CPUS, Report, busy_seconds, cpu_seconds, isolated, oracle, say, sysctl)

SECONDS = 3
RATES = [1000, 5000, 10000, 30000]
SERVERS = 4  # destinations: each has the whole port range


def load(rate, mode):
    """Established connections, by several generators with a server of their own each."""
    each = max(1, 8 * CPUS // SERVERS)
    command = [CHURN, "--json", *(["--rst"] if mode == "RST" else []), "-n", "0", "-t", str(each),
               "-d", str(SECONDS), "-r", str(rate / SERVERS)]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(SERVERS)]
    return sum(oracle(process.communicate()[0])["established"] for process in running)


def prepare():
    sysctl("net.ipv4.ip_local_port_range", "1024 65535")
    sysctl("net.ipv4.tcp_max_tw_buckets", 1000000)


def untraced(rate, mode):
    prepare()
    begin = busy_seconds()
    made = load(rate, mode)
    return {"rate": made / SECONDS, "busy": (busy_seconds() - begin) / SECONDS}


def traced(rate, mode):
    prepare()
    with Report() as tracer:
        begin, cpu = busy_seconds(), cpu_seconds(tracer.pid)
        made = load(rate, mode)
        busy, cpu = busy_seconds() - begin, cpu_seconds(tracer.pid) - cpu
    return {"rate": made / SECONDS, "busy": busy / SECONDS, "cpu": cpu / SECONDS, "made": made,
            "lost": tracer.lost, "missed": made - tracer.opens("churn")}


def measure():
    """At 1,000 to 30,000 connections a second."""
    result = []
    for mode in "RST", "FIN":
        for rate in RATES:
            without, with_it = isolated(untraced, rate, mode), isolated(traced, rate, mode)
            result.append({"mode": mode, "asked": rate, "untraced": without, "traced": with_it})
            say(f"  {mode} {rate}/s: {without['rate']:,.0f}/s, traced {with_it['rate']:,.0f}/s, "
                f"tracer {100 * with_it['cpu']:.1f} % of a CPU, lost {with_it['lost']}, "
                f"missed {with_it['missed']}")
    return result
