# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Memory: of the process, and of the BPF maps, which the kernel holds."""
import os
import subprocess
import time

from lib import (CHURN, Report, bpf_map_bytes, churn, generate, isolated, oracle, rss_bytes, say,
                 sysctl)

LIVE = 100000  # connections followed at once: on loopback both ends of half as many
CLOSED = 1000000
PROGRAMS = 400


def hold(nr, processes=8):
    """Opens nr connections to as many destinations as processes, and holds them; one process may
    not have as many files."""
    sysctl("net.ipv4.ip_local_port_range", "1024 65535")
    command = [CHURN, "--json", "--rst", "-n", str(nr // processes), "-t", "1", "--hold-for", "4"]
    return [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(processes)]


def live_sockets():
    with open("/proc/net/sockstat") as f:
        return next(int(line.split()[2]) for line in f if line.startswith("TCP: inuse"))


def _live():
    with Report("--max-conns", str(LIVE)) as tracer:
        maps, begin = bpf_map_bytes(tracer.pid), rss_bytes(tracer.pid)
        holders = hold(LIVE // 2)
        deadline = time.monotonic() + 30
        while live_sockets() < LIVE and time.monotonic() < deadline:
            time.sleep(0.05)
        time.sleep(0.5)  # and what was traced has been read
        live, rss = live_sockets(), rss_bytes(tracer.pid)
        truths = [oracle(holder.communicate()[0]) for holder in holders]
    made = sum(truth["established"] for truth in truths)
    return {"live": live, "idle": begin, "rss": rss, "maps": maps, "lost": tracer.lost,
            "missed": made - tracer.opens("churn")}


def own_scope():
    """Other programs that the machine starts meanwhile are none of this figure."""
    return ["-N", str(os.stat("/proc/self/ns/net").st_ino)]


def active_opens():
    with open("/proc/self/net/snmp") as f:
        names, values = (line.split() for line in f if line.startswith("Tcp:"))
    return int(values[names.index("ActiveOpens")])


def _closed():
    """One generator from begin to end: what grows, grows with the connections."""
    samples = []
    with Report(*own_scope()) as tracer:
        maps, begin = bpf_map_bytes(tracer.pid), active_opens()
        with subprocess.Popen(churn("-n", CLOSED + 20000), stdout=subprocess.PIPE,
                              text=True) as generator:
            while generator.poll() is None:
                if active_opens() - begin >= 20000 + len(samples) * CLOSED // 5:
                    samples.append(rss_bytes(tracer.pid))
                time.sleep(0.01)
            made = oracle(generator.stdout.read())["established"]
        time.sleep(0.2)
        samples[5:] = [rss_bytes(tracer.pid)]
    return {"maps": maps, "rss": samples, "lost": tracer.lost,
            "missed": made - tracer.opens("churn")}


def _programs():
    """The same by many programs, of which each one's stacks are remembered for a while."""
    samples = []
    with Report(*own_scope()) as tracer:
        generate("-n", 2000)
        for _ in range(2):
            samples.append(rss_bytes(tracer.pid))
            for _ in range(PROGRAMS // 2):
                generate("-n", 1000)
        time.sleep(0.2)
        samples.append(rss_bytes(tracer.pid))
    return {"rss": samples, "lost": tracer.lost}


def measure():
    """At 100,000 live connections, and at 1,000,000 closed ones."""
    result = {"live": isolated(_live), "closed": isolated(_closed),
              "programs": isolated(_programs)}
    say(f"  {result}")
    return result
