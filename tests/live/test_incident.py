# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""The incident scripts make their trouble, the report explains it, nothing is left behind."""
import contextlib
import json
import os
import re
import signal
import socket
import threading

from lib import (
    INCIDENTS, TCPCHURN, Process, Skip, alone, check, equal, get, members, netns_inode, ports,
    run, sh, temporary, until,
)

UNAVAILABLE = 69
TOO_SLOW = 75  # the machine, for the load


def command(name, *args):
    return [f"{INCIDENTS}/{name}.sh", "--tcpchurn", TCPCHURN, *args]


class Incident:
    """One that came about as it should, and what tcpchurn said about it."""

    def __init__(self, name, *args):
        self.done = run(command(name, "--json", *args), expect=None, timeout=60)
        if self.done.returncode == TOO_SLOW or (
                self.done.returncode == UNAVAILABLE and "SKIPPED" in self.done.stderr):
            raise Skip(self.done.stderr.strip().splitlines()[-1])
        equal(self.done.returncode, 0, f"exit of {name} ({self.done.stderr.strip()})")
        self.documents = [json.loads(line) for line in self.done.stdout.splitlines()]
        self.report = self.document("report")

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
    # The clients of a busy machine may go on for a moment after the trace.
    seen = failed.pop("192.0.2.11")
    check(0 < said / 2 < seen <= said, f"{seen} failures, HAProxy said {said}")
    equal(set(failed.values()), {0}, "failures of the other backends")
    equal(incident.findings("function-local-client"), [], "clients in an event loop")
    free = {peer: pool["free"] for peer, pool in pools(incident).items()}
    equal(sorted(free), sorted(failed | {"192.0.2.11": 0}), "pools")
    equal(free.pop("192.0.2.11"), 0, "free to the api")
    check(all(free.values()), f"free to the others: {free}")
    # One cause: four backends are no reason to say it four times.
    leaders = [f["id"] for f in incident.findings() if "cause" not in f]
    equal(leaders, ["port-exhaustion", "connection-per-request", "tuning"], "causes")
    for f in incident.findings("port-pressure"):
        equal(incident.report["findings"][f["cause"]], finding, "cause of the pressure")


def test_proxy_fixed():
    incident = Incident("proxy", "--fixed")
    equal(incident.report["totals"]["failures"], 0, "failures")
    equal(incident.findings(), [], "findings")


def finding_about(incident, name, program):
    finding, = incident.findings(name)
    equal(finding["program"], program, f"{name}: whose")
    return finding


def says(finding, pattern):
    found = [re.search(pattern, text) for text in finding["evidence"]]
    check(any(found), f"{pattern!r} in {finding['evidence']}")
    return next(match for match in found if match)


def number(text):
    return float(text.replace(",", ""))


def pools(incident):
    return {p["peer"]: p for p in incident.report["pools"] if p["port"] == 9000}


def gateway_verdict(incident, ports_there, rate_asked, sustained, headroom):
    finding = finding_about(incident, "port-pressure", "gateway.js")
    equal(incident.report["findings"][0], finding, "the worst finding")
    match = says(finding, fr"^(\S+) opens a second.* 60 s, want (\S+) ports; \S+ has {headroom}$")
    rate, wanted = map(number, match.groups())
    check(abs(rate - rate_asked) < rate_asked / 6, f"rate {rate}")
    check(abs(wanted - rate * 60) < 60, f"{wanted} ports wanted at {rate}/s")
    says(finding, f"{sustained} opens a second can go on for ever")
    says(finding, f"from {ports_there // 2:,} on, each connect")
    left = number(says(finding, r"no port is free in (\S+) s").group(1))
    taken = number(says(finding, fr"^(\S+) of {headroom} ports are taken").group(1))
    check(abs(left - (ports_there - taken) / rate) < 1, f"{left} s left, {taken} taken at {rate}/s")
    check("http.Agent({keepAlive: true})" in finding["fix"], finding["fix"])
    tuning, = incident.findings("tuning")
    says(tuning, fr"with 1024-65535 1,075 opens a second instead of {sustained}")
    says(tuning, fr"tcp_tw_reuse is 2: with 1 .* {headroom} opens a second")
    pool = pools(incident)["192.0.2.10"]
    equal(pool["capacity"], ports_there, "capacity")
    equal(pool["used"]["time_wait"], incident.row("gateway.js")["time_wait"], "in TIME_WAIT")


def test_gateway():
    """600 a second, 60 s each: more than the default range has, and when that will be felt."""
    incident = Incident("gateway")
    if "a quarter of everything" in incident.done.stderr:
        gateway_verdict(incident, 7058, 150, 118, "7,058")
    else:
        gateway_verdict(incident, 28232, 600, 471, "28,232")


def test_gateway_on_a_slow_machine():
    """A quarter of the load, a quarter of the range: the same story."""
    gateway_verdict(Incident("gateway", "--quarter"), 7058, 150, 118, "7,058")


def test_gateway_fixed():
    """The control: with an Agent that keeps connections."""
    incident = Incident("gateway", "--fixed")
    for name in "port-pressure", "tuning", "connection-per-request", "function-local-client":
        equal(incident.findings(name), [], name)
    check(incident.row("gateway.js")["opens"] < 300, "opens")


def close_wait_leak(incident):
    """Who does not close, and the line that accepted."""
    leaks, = [x for x in incident.document("leaks")["leaks"] if x["state"] == "close_wait"]
    finding = finding_about(incident, "close-wait-leak", "inventory.py")
    says(finding, "accepted on 127.0.0.1:7070")
    line = line_of("inventory.py", "listener.accept()")
    equal((site(finding), finding["callsite"]["line"]), ("main (inventory.py)", line), "where")
    says(finding, fr"^all \S+ were accepted in main \(inventory.py:{line}\)$")
    equal(script(leaks["process"]), "inventory.py", "who leaks")
    return leaks


def test_close_wait():
    """The leak, and the slow connects that come of it: both programs, both sockets, the delay."""
    incident = Incident("close-wait")
    collision = finding_about(incident, "stale-close-wait-collision", "shop.py")
    equal(incident.report["findings"][0], collision, "the worst finding")
    check("inventory.py" in collision["title"], collision["title"])
    equal(site(collision), "in_stock (shop.py)", "where it connects")
    match = says(collision, r"^(\d+) of (\d+) connects took (\S+) ms \(median")
    slow = int(re.search(r"(\d+) slow", incident.done.stderr).group(1))
    check(abs(int(match.group(1)) - slow) <= slow // 10,
          f"{match.group(1)} collisions, {slow} slow connects")
    check(1.5 < float(match.group(3)) < 100, f"delay of {match.group(3)} ms")
    says(collision, r"connect\(\) from 127.0.0.1:(\d+) to 127.0.0.1:7070, "
                    r"while 127.0.0.1:7070 -> 127.0.0.1:\1 of inventory.py \[pid \d+\] was in "
                    r"CLOSE_WAIT, accepted in main \(inventory.py:\d+\)$")
    close_wait_leak(incident)
    equal(incident.findings("accept-queue-overflow"), [], "accept-queue-overflow")


def test_close_wait_filtered():
    """Where RSTs are filtered nothing heals: connect() hangs."""
    incident = Incident("close-wait", "--filtered")
    collision = finding_about(incident, "stale-close-wait-collision", "shop.py")
    equal(incident.report["findings"][0], collision, "the worst finding")
    equal(collision["severity"], "critical", "severity")
    check("hangs" in collision["title"] and "inventory.py" in collision["title"],
          collision["title"])
    hung = int(says(collision, r"^(\d+) connects? got no answer").group(1))
    failed = int(re.search(r"(\d+) failed", incident.done.stderr).group(1))
    check(hung in (failed, failed - 1), f"{hung} of {failed} failures explained")
    check("RSTs pass" in collision["fix"], collision["fix"])
    leak = close_wait_leak(incident)
    check(leak["oldest_age_ns"] > 2e9, f"age of {leak}")
    equal(incident.findings("accept-queue-overflow"), [], "accept-queue-overflow")


def test_close_wait_fixed():
    """The controls: a service that closes, with and without the filter."""
    for args in [], ["--filtered"]:
        incident = Incident("close-wait", "--fixed", "--seconds", "5", *args)
        equal(incident.report["totals"]["failures"], 0, "failures")
        equal(incident.findings("stale-close-wait-collision"), [], "collisions")
        equal(incident.findings("close-wait-leak"), [], "leaks")
        equal(incident.document("leaks")["leaks"], [], "leaks")


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
        # Another test may have been given the number by now.
        ours = [pid for pid in members(inode) if session(pid) == os.getsid(0)]
        equal(ours, [], "processes in the namespace")


def session(pid):
    with contextlib.suppress(ProcessLookupError):
        return os.getsid(pid)
    return None


def leftovers(pid):
    """Names of the script's network namespaces."""
    names = os.listdir("/run/netns") if os.path.isdir("/run/netns") else []
    return {name for name in names if re.search(rf"-{pid}\b", name)}


def test_bad_arguments():
    for args in ["--seconds", "4"], ["--seconds", "x"], ["--what"], ["--seconds"], ["--filtered"]:
        done = run([f"{INCIDENTS}/health-check.sh", *args], expect=64)
        equal(len(done.stderr.strip().splitlines()), 1, f"lines of {done.stderr!r}")


def serve_echo(address, port):
    """Echoes each connection's first byte, and keeps it open."""
    listener = socket.create_server((address, port), backlog=64)
    held = []

    def serve():
        while True:
            connection, _ = listener.accept()
            connection.sendall(connection.recv(1))
            held.append(connection)

    threading.Thread(target=serve, daemon=True).start()


def start_haproxy():
    if run(["sh", "-c", "command -v haproxy"], expect=None).returncode:
        raise Skip("haproxy: not there; run tools/install-deps.sh packages haproxy")
    path = temporary(".cfg")
    with open(f"{INCIDENTS}/haproxy.cfg") as template, open(path, "w") as config:
        config.write(template.read().replace("MODE", "tcp"))
    proxy = Process(["haproxy", "-db", "-f", path])
    until(lambda: "0100007F:1F91" in sh("cat", "/proc/net/tcp") or
          "00000000:1F91" in sh("cat", "/proc/net/tcp"), 5, "HAProxy listens on 8081")
    return proxy


def through_proxy(number):
    """A connection through the proxy, from a port outside of the range; None: it was refused."""
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    client.bind(("127.0.0.1", 20000 + number))
    client.settimeout(5)
    client.connect(("127.0.0.1", 8081))
    try:
        client.sendall(b"x")
        return client if client.recv(1) else None
    except ConnectionError:
        return None


def free_ports():
    done = run([TCPCHURN, "ports", "-j", "-N", str(netns_inode()), "--min-used", "0"])
    found = [p for p in json.loads(done.stdout)["pools"] if p["peer"] == "192.0.2.11"]
    return found[0]["free"] if found else None


def alarm():
    """What the monitor says: 0 fine, 1 warning, 2 critical."""
    return run([TCPCHURN, "check", "-N", str(netns_inode()), "-w", "50%", "-c", "80%"],
               expect=None).returncode


def test_proxy_step_by_step():
    """HAProxy says "no free ports" when, and only when, the pool has none; the alarm is earlier."""
    alone()
    sh("ip", "addr", "add", "192.0.2.11/32", "dev", "lo")
    ports(48000, 16)
    serve_echo("192.0.2.11", 9000)
    proxy = start_haproxy()
    held, alarms = [], []
    for number in range(16):
        held.append(through_proxy(number))
        check(held[-1], f"connection {number}: {proxy.out}{proxy.err}")
        equal(free_ports(), 15 - number, "free")
        equal(proxy.out.count("no free ports"), 0, "what HAProxy says")
        alarms.append(alarm())
    equal(alarms, [0] * 7 + [1] * 5 + [2] * 4, "alarms")
    equal(through_proxy(16), None, "the 17th connection")
    until(lambda: "no free ports" in proxy.out, 2, "HAProxy's message")
    equal(free_ports(), 0, "free")
    proxy.stop(expect=None)
