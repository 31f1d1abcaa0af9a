# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""How long things take: to the first event, to the end, through a recording, over the sockets."""
import json
import re
import signal
import subprocess
import tempfile
import time

from lib import (CHURN, TCPCHURN, Report, Tracer, fail, generate, isolated, say, spread,
                 sysctl)

TIMES = 7
TIME_WAIT = 100000


def timed(command, **kwargs):
    begin = time.monotonic()
    subprocess.run(command, stdout=subprocess.DEVNULL, check=True, **kwargs)
    return time.monotonic() - begin


def start_once():
    """Seconds from starting the tracer to its first line about a connection."""
    begin = time.monotonic()
    command = [TCPCHURN, "trace", "-j", "-d", "15"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as tracer:
        line = tracer.stdout.readline()
        taken = time.monotonic() - begin
        tracer.send_signal(signal.SIGINT)
        tracer.stdout.close()
    if not line:
        fail("no event from tcpchurn trace")
    return taken


def exit_once():
    """Seconds from SIGINT to the end, with the report written."""
    with Report() as tracer:
        time.sleep(0.5)
    return tracer.exit_seconds


def _life():
    with subprocess.Popen([CHURN, "--rst", "-n", "0", "-r", "1000", "-d", "60"]) as noise:
        result = {"start": spread([start_once() for _ in range(TIMES)]),
                  "exit": spread([exit_once() for _ in range(TIMES)])}
        noise.terminate()
    say(f"  {result}")
    return result


def life():
    """From start to the first event, and from SIGINT to the end, at 1,000 connections a second."""
    return isolated(_life)


def _replay():
    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/recording.gz"
        with Tracer([TCPCHURN, "record", "-O", path], r"^tracing") as recorder:
            generate("-n", 250000, "-r", 15000)  # recording takes more than reporting
        command = [TCPCHURN, "report", "-i", path, "-O", "/dev/null"]
        taken = [timed(command, stderr=subprocess.DEVNULL) for _ in range(5)]
    events = 1000000 - recorder.lost
    result = {"events": events, "lost": recorder.lost, "rate": spread([events / t for t in taken])}
    say(f"  {result}")
    return result


def replay():
    """Of a recording of 1,000,000 events."""
    return isolated(_replay)


def fill_time_wait():
    """Returns how many sockets are in TIME_WAIT."""
    sysctl("net.ipv4.ip_local_port_range", "1024 65535")
    sysctl("net.ipv4.tcp_max_tw_buckets", 1000000)
    sysctl("net.ipv4.tcp_tw_reuse", 0)
    command = [CHURN, "-n", str(TIME_WAIT // 4), "-t", "4", "--server-threads", "2"]
    for process in [subprocess.Popen(command) for _ in range(4)]:
        process.wait()
    with open("/proc/net/sockstat") as f:
        return int(re.search(r" tw (\d+)", f.read()).group(1))


def counted_time_wait():
    done = subprocess.run([TCPCHURN, "ports", "-j"], capture_output=True, text=True, check=True)
    return sum(pool["used"]["time_wait"] for pool in json.loads(done.stdout)["pools"])


def _census():
    there, counted = fill_time_wait(), counted_time_wait()
    taken = {"ss": [], "ports": []}
    for index in range(TIMES):
        commands = [("ss", ["ss", "-tan"]), ("ports", [TCPCHURN, "ports"])]
        for name, command in commands[::1 if index % 2 else -1]:
            taken[name].append(timed(command))
    result = {"there": there, "counted": counted,
              **{name: spread(values) for name, values in taken.items()}}
    say(f"  {result}")
    return result


def census():
    """`tcpchurn ports` beside `ss -tan`, with 100,000 sockets in TIME_WAIT."""
    return isolated(_census)
