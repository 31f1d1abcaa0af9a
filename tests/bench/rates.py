# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""A load that opens so many connections a second and no more, whether traced or not: what arrives,
what is lost, what the tracer spends on it. Closed by resets, and by FINs, which
leave a port in TIME_WAIT each."""
import subprocess
import time

from lib import CHURN, CPUS, Report, cpu_seconds, isolated, median, oracle, say, sysctl

SECONDS, WARM_SECONDS = 2, 1  # tracing is for long: its beginning is not what is measured
RATES = [1000, 5000, 10000, 30000]
SERVERS = 4  # destinations: each has the whole port range


class Load:
    """Several generators, with a server of their own each."""

    def __init__(self, rate, mode):
        sysctl("net.ipv4.ip_local_port_range", "1024 65535")
        sysctl("net.ipv4.tcp_max_tw_buckets", 1000000)
        each = max(1, 8 * CPUS // SERVERS)
        command = [CHURN, "--json", *(["--rst"] if mode == "RST" else []), "-n", "0", "-t",
                   str(each), "-d", str(SECONDS + WARM_SECONDS), "-r", str(rate / SERVERS)]
        self.running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
                        for _ in range(SERVERS)]

    def established(self):
        return sum(oracle(process.communicate()[0])["established"] for process in self.running)


def measured(load, cpu_of_tracer):
    """The tracer's share of a processor in the middle of the load, and the load as a whole."""
    time.sleep(WARM_SECONDS)
    cpu, begin = cpu_of_tracer(), time.monotonic()
    time.sleep(SECONDS - 0.2)
    cpu = (cpu_of_tracer() - cpu) / (time.monotonic() - begin)
    made = load.established()
    return {"rate": made / (SECONDS + WARM_SECONDS), "cpu": cpu, "made": made, "lost": 0,
            "missed": 0}


def untraced(rate, mode):
    return measured(Load(rate, mode), lambda: 0)


def traced(rate, mode):
    with Report() as tracer:
        result = measured(Load(rate, mode), lambda: cpu_seconds(tracer.pid))
    return {**result, "lost": tracer.lost, "missed": result["made"] - tracer.opens("churn")}


def together(runs):
    result = {key: median([run[key] for run in runs]) for key in ("rate", "cpu")}
    return {**result, **{key: sum(run[key] for run in runs) for key in ("made", "lost", "missed")}}


def measure():
    """At 1,000 to 30,000 connections a second."""
    result = []
    for mode in "RST", "FIN":
        for rate in RATES:
            order = [untraced, traced, traced, untraced]
            runs = [isolated(function, rate, mode) for function in order]
            without, with_it = together(runs[::3]), together(runs[1:3])
            result.append({"mode": mode, "asked": rate, "untraced": without, "traced": with_it})
            say(f"  {mode} {rate}/s: {without['rate']:,.0f}/s, traced {with_it['rate']:,.0f}/s, "
                f"tracer {100 * with_it['cpu']:.1f} % of a CPU, lost {with_it['lost']}, "
                f"missed {with_it['missed']}")
    return result
