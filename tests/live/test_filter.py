# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Filters: what matches is counted exactly, and what runs beside it is not seen at all."""
import contextlib
import os

from lib import (
    CHURN, TCPCHURN, Netns, PausedChurn, Server, Skip, Tracer, check, churn, equal, get, members,
    netns_inode, oracle, other_program, ports, run, run_churn, sh, sysctl, traced,
)

MATCH, OTHER = 23, 17


def clients(lines, port, count):
    """Exactly the connections to that port, from open to close, and no other client."""
    for name in "connect", "close":
        found = lines.named(name, role="client")
        equal(len(found), count, f"{name} of clients")
        equal({get(line, "network.peer.port") for line in found}, {port}, f"ports, {name}")


def test_no_filter():
    """The control of them all: both are seen."""
    with traced() as lines:
        run_churn("-n", MATCH)
        run_churn("-n", OTHER)
    equal(len(lines[0].named("connect")), MATCH + OTHER, "connect")


def test_pid():
    one, two = PausedChurn("-n", MATCH), PausedChurn("-n", OTHER)
    with traced("-p", one.pid) as lines:
        truth, other = one.go(), two.go()
    equal((truth["established"], other["established"]), (MATCH, OTHER), "made")
    clients(lines[0], truth["port"], MATCH)


def test_comm():
    other = other_program("curlish")
    with traced("-n", "chu*") as lines:
        truth = run_churn("-n", MATCH)
        run([other, "-n", str(OTHER)])
    clients(lines[0], truth["port"], MATCH)
    with traced("-n", "curl?sh") as lines:
        truth = run_churn("-n", MATCH)
        run([other, "-n", str(OTHER)])
    equal(lines[0].values("connect", "process.executable.name"), ["curlish"], "names")
    equal(len(lines[0].named("connect")), OTHER, "connect")


def test_uid():
    program = other_program("somebody")
    user = ["setpriv", "--reuid=65534", "--clear-groups", program, "--json"]
    with traced("-u", "65534") as lines:
        run_churn("-n", OTHER)
        truth = oracle(run([*user, "-n", str(MATCH)]).stdout)
    clients(lines[0], truth["port"], MATCH)
    equal(lines[0].values("connect", "process.user.id"), [65534], "user")


def test_peer_port():
    with traced("-P", "8100") as lines:
        run_churn("-n", MATCH, "--port", 8100)
        run_churn("-n", OTHER, "--port", 8101)
    clients(lines[0], 8100, MATCH)


def test_peer_port_ranges():
    with traced("-P", "8100,8200-8300") as lines:
        for port in 8100, 8101, 8199, 8200, 8300, 8301:
            run_churn("-n", 3, "--port", port)
    equal(lines[0].values("connect", "network.peer.port"), [8100, 8200, 8300], "ports")
    equal(len(lines[0].named("connect")), 9, "connect")


def test_local_port():
    with traced("-L", "8100") as lines:
        run_churn("-n", MATCH, "--port", 8100)
        run_churn("-n", OTHER, "--port", 8101)
    equal(lines[0].values("accept", "network.local.port"), [8100], "local ports")
    equal(len(lines[0].named("accept")), MATCH, "accept")
    equal(lines[0].named("connect"), [], "connect")


def test_source():
    with traced("--src", "127.7.0.0/16") as lines:
        truth = run_churn("-n", MATCH, "--source", "127.7.0.2", "--port", 8100)
        run_churn("-n", OTHER, "--source", "127.8.0.2", "--port", 8101)
    clients(lines[0], truth["port"], MATCH)
    equal(lines[0].values("connect", "network.local.address"), ["127.7.0.2"], "source")


def two_addresses(options, match, other):
    server = Server(listen="0.0.0.0:0")
    with traced(*options) as lines:
        run_churn("-n", MATCH, "--connect", server.target(match))
        run_churn("-n", OTHER, "--connect", server.target(other))
    clients(lines[0], server.port, MATCH)
    equal(lines[0].values("connect", "network.peer.address"), [match], "destination")


def test_destination():
    two_addresses(["--dst", "127.9.1.0/24"], "127.9.1.77", "127.9.2.77")


def test_destination_single():
    two_addresses(["--dst", "127.9.1.77"], "127.9.1.77", "127.9.1.78")


def test_destination_odd_prefix():
    two_addresses(["--dst", "127.9.0.0/17"], "127.9.127.1", "127.9.128.1")


def test_destination_ipv6():
    with traced("--dst", "::1/128") as lines:
        truth = run_churn("-n", MATCH, "-6")
        run_churn("-n", OTHER)
    clients(lines[0], truth["port"], MATCH)


def test_ipv4():
    with traced("-4") as lines:
        truth = run_churn("-n", MATCH)
        run_churn("-n", OTHER, "-6")
    clients(lines[0], truth["port"], MATCH)
    equal(lines[0].values("connect", "network.type"), ["ipv4"], "type")


def test_ipv4_mapped():
    """An IPv4 connection on an IPv6 socket is IPv4 on the wire."""
    with traced("-4") as lines:
        truth = run_churn("-n", MATCH, "--mapped")
        run_churn("-n", OTHER, "-6")
    clients(lines[0], truth["port"], MATCH)


def test_ipv6():
    with traced("-6") as lines:
        truth = run_churn("-n", MATCH, "-6")
        run_churn("-n", OTHER)
        run_churn("-n", OTHER, "--mapped")
    clients(lines[0], truth["port"], MATCH)
    equal(lines[0].values("connect", "network.type"), ["ipv6"], "type")


def test_netns():
    """By inode, name and process, with traffic in the one and the other."""
    other = Netns("f")
    inside = PausedChurn("-n", 1, command=other.enter)
    for scope in str(other.inode), other.name, str(inside.pid):
        tracer = Tracer("trace", scope=["-N", scope])
        run_churn("-n", OTHER)
        truth = oracle(run([*other.enter, *churn("-n", MATCH)]).stdout)
        lines = tracer.finish()
        clients(lines, truth["port"], MATCH)
        equal(lines.values("connect", "tcpchurn.netns"), [other.inode], f"-N {scope}")
    inside.go()
    check(other.inode != netns_inode(), "two namespaces")


def of_gone_netns(command):
    """What the command says of a namespace that was there; no other one has its number by now."""
    for _ in range(20):
        gone = Netns("gone")
        sh("ip", "netns", "del", gone.name)
        done = run([TCPCHURN, *command, "-N", str(gone.inode)], expect=None)
        if not members(gone.inode):
            return done
    raise AssertionError("each time another one got its number")


def test_netns_that_has_gone():
    """Its number says nothing any more, whoever is asked."""
    for command in (["report", "-d", "200ms"], ["trace", "-d", "200ms"], ["ports"], ["leaks"],
                    ["record", "-d", "200ms", "-O", "/dev/null"]):
        done = of_gone_netns(command)
        equal(done.returncode, 64, f"exit of {command}")
        check("there is no such network namespace" in done.stderr, f"{command}: {done.stderr}")
        equal(done.stdout, "", f"output of {command}")


def test_failed():
    with traced("--failed") as lines:
        run_churn("-n", OTHER)
        run_churn("-n", MATCH, "--refused")
    equal(len(lines[0].named("connect_failed")), MATCH, "connect_failed")
    for name in "connect", "accept", "close":
        equal(lines[0].named(name), [], name)


def test_errno():
    sysctl("net.ipv4.tcp_tw_reuse", 0)
    ports(48000, 8)
    with traced("--errno", "EADDRNOTAVAIL") as lines:
        run_churn("-n", OTHER, "--refused")
        truth = run_churn("-n", 8 + MATCH, "--port", 8100)
    equal(truth["errno"], {"EADDRNOTAVAIL": MATCH}, "errno")
    equal(lines[0].values("connect_failed", "error.type"), ["EADDRNOTAVAIL"], "errors")
    equal(len(lines[0].named("connect_failed")), MATCH, "connect_failed")


@contextlib.contextmanager
def cgroup():
    """The path of a new one; whoever is in it must be gone in the end."""
    with open("/proc/self/mounts") as f:
        mounts = [line.split()[1] for line in f if line.split()[2] == "cgroup2"]
    if not mounts:
        raise Skip("cgroup v2 is not mounted")
    path = f"{mounts[0]}/{os.environ['CHURN_LIVE_NETNS']}"
    try:
        os.mkdir(path)
    except OSError as error:
        raise Skip(f"no cgroup can be made in {mounts[0]}: {error.strerror}") from error
    try:
        yield path
    finally:
        os.rmdir(path)


def test_cgroup():
    with cgroup() as path, traced("--cgroup", path) as lines:
        run_churn("-n", OTHER)
        done = run(["/bin/sh", "-c", f"echo $$ >{path}/cgroup.procs && exec {CHURN} --json "
                    f"-n {MATCH}"])
    clients(lines[0], oracle(done.stdout)["port"], MATCH)


def test_cgroup_older_listener():
    """What a server in the cgroup accepts is seen also when it listened before the trace."""
    with cgroup() as path:
        server, other = Server(), Server()
        with open(f"{path}/cgroup.procs", "w") as f:
            f.write(str(server.pid))
        with traced("--cgroup", path) as lines:
            run_churn("-n", MATCH, "--connect", server.target())
            run_churn("-n", OTHER, "--connect", other.target())
        server.stop()
    equal(len(lines[0].named("accept")), MATCH, "accept")
    equal(set(lines[0].values("accept", "process.pid")), {server.pid}, "processes")


def test_combined():
    """Filters of different kinds narrow each other."""
    with traced("-4", "-P", "8100", "--src", "127.7.0.0/16") as lines:
        run_churn("-n", MATCH, "--source", "127.7.0.2", "--port", 8100)
        run_churn("-n", OTHER, "--source", "127.7.0.2", "--port", 8101)
        run_churn("-n", OTHER, "--source", "127.8.0.2", "--port", 8102)
        run_churn("-n", OTHER, "-6", "--port", 8103)
    clients(lines[0], 8100, MATCH)


def test_report():
    """Reports filter like traces do."""
    tracer = Tracer("report", "-P", "8100")
    run_churn("-n", MATCH, "--port", 8100)
    run_churn("-n", OTHER, "--port", 8101)
    equal(tracer.finish().totals["opens"], MATCH, "opens")
