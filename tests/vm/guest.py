#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Runs the live tests in each flavour of the hooks and tells, line by line, how it went. Runs in a
test machine, or here for the running kernel. usage: guest.py JOB RESULTS

Each line is "churn-vm " and a JSON object. The first has "begin": the kernel's release. Then, for
each flavour, {"flavour": .., "unavailable": why} or a line for each test; the last is {"end": N},
the number of those between. Anything else, or less, is a failure.
"""
import json
import os
import re
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))
RUN = os.path.join(TOP, "tests/live/run.py")
EXIT_UNAVAILABLE = 69
AUTO = "auto"
STATIC = "static"  # the flavour auto, by the statically linked binary


class Channel:
    """Where the results go."""

    def __init__(self, path):
        self.file = open(path, "w")
        self.count = -1

    def say(self, **what):
        self.file.write(f"churn-vm {json.dumps(what)}\n")
        self.file.flush()
        self.count += 1


def flavours(build):
    """What --attach knows, as its help says it."""
    text = subprocess.run([os.path.join(build, "tcpchurn"), "report", "--help"],
                          capture_output=True, text=True).stdout
    found = re.search(r"--attach FLAVOUR\s+(.*?)\n\s+-", text, re.S)
    names = re.findall(r"[a-z-]+", found.group(1).replace(" or ", " "))
    return names + [STATIC] * os.path.exists(os.path.join(build, "tcpchurn-static"))


def unavailable(binary, flavour):
    """None, or what the tool says about a flavour that cannot be had here."""
    done = subprocess.run([binary, "report", "-d", "1ms", "--attach", flavour], capture_output=True,
                          text=True, timeout=60)
    if done.returncode == EXIT_UNAVAILABLE:
        return done.stderr.strip()
    return None


def run_flavour(channel, job, build, flavour):
    static = flavour == STATIC
    binary = os.path.join(build, "tcpchurn-static" if static else "tcpchurn")
    attach = AUTO if static else flavour
    why = unavailable(binary, attach) if flavour in job["probe"] else None
    if why is not None:
        # Whoever forces a flavour is told why not, in one line.
        if "--attach" not in why or "\n" in why:
            why = f"not told in one line: {why}"
        channel.say(flavour=flavour, unavailable=why)
        return
    ours, theirs = os.pipe()
    command = [sys.executable, RUN, "--no-prepare", "-j", str(job["jobs"]), "-k",
               job["tests"][flavour], "--results", f"/proc/self/fd/{theirs}"]
    environment = dict(os.environ, TCPCHURN=binary, CHURN_ATTACH=attach,
                       CHURN=os.path.join(build, "tools/churn/churn"),
                       CHURN_LIVE_SLOW=str(job["slow"]))
    runner = subprocess.Popen(command, env=environment, pass_fds=[theirs])
    os.close(theirs)
    with open(ours) as results:
        for line in results:
            channel.say(flavour=flavour, **json.loads(line))
    runner.wait()


def main():
    with open(sys.argv[1]) as f:
        job = json.load(f)
    channel = Channel(sys.argv[2])
    build = job.get("build") or os.path.join(TOP, "build")
    channel.say(begin=os.uname().release)
    doctor = subprocess.run([os.path.join(build, "tcpchurn"), "doctor"], capture_output=True,
                            text=True)
    print(doctor.stdout + doctor.stderr, flush=True)
    for flavour in job["flavours"]:
        run_flavour(channel, job, build, flavour)
    channel.say(end=channel.count)


if __name__ == "__main__":
    main()
