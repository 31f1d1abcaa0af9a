# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""The incident scripts make their trouble, the report explains it, nothing is left behind."""
import os
import signal

from lib import INCIDENTS, TCPCHURN, Process, check, equal, run, until

HEALTH_CHECK = [f"{INCIDENTS}/health-check.sh", "--tcpchurn", TCPCHURN, "--seconds", "6"]


def leftovers():
    """Names of the script's network namespaces."""
    names = os.listdir("/run/netns") if os.path.isdir("/run/netns") else []
    return {name for name in names if name.startswith("churn-health-")}


def test_health_check():
    done = run(HEALTH_CHECK)
    for word in "health.py", "dns_forwarder.py", "EADDRNOTAVAIL", "8053":
        check(word in done.stdout, f"{word} in the report:\n{done.stdout}")


def test_health_check_fixed():
    """The control: with the session kept nobody fails."""
    done = run([*HEALTH_CHECK, "--fixed"])
    check("EADDRNOTAVAIL" not in done.stdout, done.stdout)
    check("resolver.py" in done.stdout or "dns_forwarder.py" in done.stdout, done.stdout)


def test_interrupted():
    """Ended in the middle, it takes its namespace and its programs with it."""
    before = leftovers()
    script = Process(HEALTH_CHECK)
    script.wait_text(script.err_path, "^health-check: 10 pollers", 20)
    own = leftovers() - before
    check(any(name.endswith(f"-{script.pid}") for name in own), f"its namespace among {own}")
    inode = os.stat(f"/run/netns/churn-health-{script.pid}").st_ino
    script.stop(signal.SIGTERM, expect=143)
    until(lambda: f"churn-health-{script.pid}" not in leftovers(), 5, "namespace removed")
    equal(members(inode), [], "processes in the namespace")


def members(inode):
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            if os.stat(f"/proc/{pid}/ns/net").st_ino == inode:
                found.append(int(pid))
        except OSError:
            pass
    return found


def test_bad_arguments():
    for args in ["--seconds", "4"], ["--seconds", "x"], ["--what"], ["--seconds"]:
        done = run([HEALTH_CHECK[0], *args], expect=64)
        equal(len(done.stderr.strip().splitlines()), 1, f"lines of {done.stderr!r}")
