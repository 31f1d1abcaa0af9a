# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""The incident scripts make their trouble, the report explains it, nothing is left behind."""
import json
import os
import re
import signal

from lib import INCIDENTS, TCPCHURN, Process, Skip, check, equal, get, run, until

UNAVAILABLE = 69


def command(name, *args):
    return [f"{INCIDENTS}/{name}.sh", "--tcpchurn", TCPCHURN, *args]


class Incident:
    """One that came about as it should, and what tcpchurn said about it."""

    def __init__(self, name, *args):
        self.done = run(command(name, "--json", *args), expect=None, timeout=40)
        if self.done.returncode == UNAVAILABLE and "SKIPPED" in self.done.stderr:
            raise Skip(self.done.stderr.strip().splitlines()[-1])
        equal(self.done.returncode, 0, f"exit of {name} ({self.done.stderr.strip()})")
        self.documents = [json.loads(line) for line in self.done.stdout.splitlines()]
        self.report = self.document("report")
        equal(self.report["lost"]["events"], 0, "lost events")

    def document(self, name):
        found = [d for d in self.documents if get(d, "event.name") == name]
        equal(len(found), 1, f"{name} documents")
        return found[0]

    def findings(self, name=None):
        return [f for f in self.report["findings"] if name in (None, f["id"])]

    def row(self, program):
        """The row of a script or program."""
        found = [
            p for p in self.report["processes"]
            if program in (get(p, "process.executable.name"), script(p["process"]))
        ]
        equal(len(found), 1, f"rows of {program}")
        return found[0]


def script(process):
    """What an interpreter was told to run."""
    words = process.get("command_line", "").split()
    return os.path.basename(words[1]) if len(words) > 1 else None


def site(thing):
    """A call site as "function (file)"."""
    c = thing["callsite"]
    return f"{c['function']} ({os.path.basename(c['file'])})"


def line_of(script_name, text):
    """The number of the first line of a script that holds `text`."""
    with open(f"{INCIDENTS}/{script_name}") as f:
        return next(number for number, line in enumerate(f, 1) if text in line)


def test_health_check():
    """The culprit, its line, both ends, and a victim that has done nothing wrong."""
    incident = Incident("health-check", "--seconds", "6")
    finding, = incident.findings("port-exhaustion")
    equal(incident.report["findings"][0], finding, "the worst finding")
    equal(finding["program"], "dns_forwarder.py", "victim")
    equal(finding["destination"]["port"], 8053, "destination")
    equal(site(finding), "forward (dns_forwarder.py)", "where the victim connects")
    holder = finding["holders"][0]
    equal(holder["program"], "health.py", "culprit")
    check(holder["share"] > 0.8, f"share of {holder}")
    where = holder["callsites"][0]
    equal(where["function"], "HealthChecker.check_health", "function of the culprit")
    equal(where["line"], line_of("health.py", "session.get("), "its line")
    check("requests.Session" in finding["fix"], finding["fix"])
    resolver = incident.row("resolver.py")["process"]["pid"]
    for program in "health.py", "dns_forwarder.py":
        row = incident.row(program)
        destination, = row["destinations"]
        equal(get(destination, "peer_process.pid"), resolver, f"other end of {program}")
        check(destination["failures"].get("EADDRNOTAVAIL", 0) > 0, f"failures of {program}")
    local, = incident.findings("function-local-client")[:1]
    equal(local["program"], "health.py", "function-local-client")


def test_health_check_fixed():
    """The control: with the session kept nobody fails."""
    incident = Incident("health-check", "--seconds", "6", "--fixed")
    equal(incident.report["totals"]["failures"], 0, "failures")
    names = {f["id"] for f in incident.findings() if f["program"] == "health.py"}
    equal(names, set(), "findings about health.py")
    equal(incident.findings("port-exhaustion"), [], "port-exhaustion")


def test_proxy():
    """One backend of four is out of ports, and HAProxy says so as often as we do."""
    incident = Incident("proxy")
    finding, = incident.findings("port-exhaustion")
    equal(finding["program"], "haproxy", "victim")
    equal(finding["destination"]["address"], "192.0.2.11", "destination")
    holder, = finding["holders"]
    equal((holder["program"], holder["ports"]), ("haproxy", 256), "holder")
    check("http-reuse" in finding["fix"], finding["fix"])
    failed = {
        d["address"]: d["failures"].get("EADDRNOTAVAIL", 0)
        for d in incident.row("haproxy")["destinations"]
    }
    equal(sorted(failed), [f"192.0.2.{n}" for n in range(11, 15)], "destinations")
    said = int(re.search(r"HAProxy said (\d+) times", incident.done.stderr).group(1))
    equal(failed.pop("192.0.2.11"), said, "failures, as HAProxy counts them")
    equal(set(failed.values()), {0}, "failures of the other backends")
    equal(incident.findings("function-local-client"), [], "clients in an event loop")


def test_proxy_fixed():
    incident = Incident("proxy", "--fixed")
    equal(incident.report["totals"]["failures"], 0, "failures")
    equal(incident.findings(), [], "findings")


def test_interrupted():
    """Ended in the middle, it takes its namespaces and its programs with it."""
    script_path = Process(command("proxy"))
    script_path.wait_text(script_path.err_path, "^proxy: 150 requests", 30)
    own = leftovers(script_path.pid)
    equal(own, {f"churn-proxy-{script_path.pid}{end}" for end in ("", "-clients")}, "namespaces")
    inodes = [os.stat(f"/run/netns/{name}").st_ino for name in own]
    script_path.stop(signal.SIGTERM, expect=143)
    until(lambda: not leftovers(script_path.pid), 5, "namespaces removed")
    for inode in inodes:
        equal(members(inode), [], "processes in the namespace")


def leftovers(pid):
    """Names of the script's network namespaces."""
    names = os.listdir("/run/netns") if os.path.isdir("/run/netns") else []
    return {name for name in names if f"-{pid}" in name}


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
    for args in ["--seconds", "4"], ["--seconds", "x"], ["--what"], ["--seconds"], ["--filtered"]:
        done = run([f"{INCIDENTS}/health-check.sh", *args], expect=64)
        equal(len(done.stderr.strip().splitlines()), 1, f"lines of {done.stderr!r}")
