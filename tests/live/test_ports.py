# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Port pools against the kernel's own answer: connections are taken until EADDRNOTAVAIL, and what
`ports` called free has to be how many there still were, at every step."""
import ctypes
import errno
import json
import os
import re
import socket
import time

from lib import (
    TCPCHURN, Netns, Process, Skip, check, churn, equal, netns_inode, ports, run, sh, sysctl, until,
)

LOW = 48000
SERVER_PORT = 7000  # outside of all ranges here
BACKENDS = [], ["--no-bpf"]
OWN_ADDRESS = "10.77.0.1"  # ours, but no loopback address


def family(address):
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def listener(address, port=SERVER_PORT, backlog=512):
    s = socket.socket(family(address))
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.bind((address, port))
    s.listen(backlog)
    return s


def own_address(address=OWN_ADDRESS):
    sh("ip", "addr", "add", f"{address}/{128 if ':' in address else 32}", "dev", "lo",
       *(["nodad"] if ":" in address else []))
    # The route to an IPv6 address is made by a worker of the kernel's, a little later.
    until(lambda: run(["ip", "route", "get", address], expect=None).stdout.startswith("local"), 10,
          f"a route to {address}")
    return address


def connect(address, port=SERVER_PORT, **kwargs):
    """A connected socket, or None when no port is free."""
    s = socket.socket(family(address))
    try:
        s.connect((address, port))
        return s
    except OSError as e:
        s.close()
        if e.errno == errno.EADDRNOTAVAIL:
            return None
        raise


def look(*options, scope=None):
    done = run([TCPCHURN, "ports", "-j", "--min-used", "0", "-N", str(scope or netns_inode()),
                *options])
    doc = json.loads(done.stdout)
    equal(doc["schema"], "tcpchurn/1", "schema")
    equal(doc["event"], {"name": "ports"}, "event")
    return doc


def pool(address, *options, port=SERVER_PORT):
    doc = look(*options)
    found = [p for p in doc["pools"] if p["peer"] == address and p["port"] == port]
    equal(len(found), 1, f"pools to {address}:{port} among {doc['pools']}")
    return found[0]


def backend_name(options):
    return "netlink" if options else "bpf"


def test_loaded_by_the_kernel():
    """Where it can: else libbpf reads all types of the kernel, and the answer is the same."""
    with open("/proc/cmdline") as f:
        locked = "lockdown=confidentiality" in f.read()
    able = tuple(map(int, re.findall(r"\d+", os.uname().release)[:2])) >= (5, 17) and not locked
    done = run([TCPCHURN, "ports", "-v", "-j", "-N", str(netns_inode())])
    equal(json.loads(done.stdout)["census"]["backend"], "bpf", "backend")
    equal("libbpf loads it" in done.stderr, not able, f"loaded by libbpf, says {done.stderr}")


class Taken:
    """Connections to one destination, held."""

    def __init__(self, address, server=None):
        self.address, self.server = address, server or listener(address)
        self.clients, self.accepted = [], []

    def one(self):
        s = connect(self.address)
        if s:
            self.clients.append(s)
            self.accepted.append(self.server.accept()[0])
        return s is not None

    def some(self, n):
        for _ in range(n):
            check(self.one(), "connection")
        return self

    def all(self):
        """How many more there were."""
        n = 0
        while self.one():
            n += 1
        return n

    def close(self, n):
        """n of them, clients first: they leave a TIME_WAIT each."""
        for _ in range(n):
            self.clients.pop().close()
            peer = self.accepted.pop()
            equal(peer.recv(1), b"", "end of stream")
            peer.close()


def walk(address, expected, backends=BACKENDS, patience=1):
    """Takes connections one by one; free is right at every step, and 0 exactly at the end.
    patience: attempts for each, where one does not look at all ports."""
    taken = Taken(address)
    check(taken.one(), "the first connection")
    for step in range(1, expected + 1):
        for options in backends:
            p = pool(address, *options)
            equal(p["capacity"], expected, f"capacity ({options})")
            equal(p["free"], expected - step, f"free after {step} ({options})")
            equal(p["used"], {"established": step, "time_wait": 0, "other": 0}, "used")
        more = any(taken.one() for _ in range(patience))
        equal(more, step < expected, f"connection {step + 1} of {expected}")
    return taken


def rest_is_free(address, taken, backends=BACKENDS):
    """What is called free now is what can be taken now."""
    said = [pool(address, *options)["free"] for options in backends]
    equal(len(set(said)), 1, f"free of both backends {said}")
    equal(taken.all(), said[0], "connections that were still possible")
    return said[0]


# --- the range -----------------------------------------------------------------------------------


def test_ipv4():
    ports(LOW, 16)
    walk("127.0.0.1", 16)


def test_ipv6():
    ports(LOW, 16)
    walk("::1", 16)


def odd(low, count):
    """One port of an odd number is lost: the first, but for one connect() in count / 2, whose
    search begins there and misses the last one instead. Those are not counted here."""
    ports(low, count)
    taken = Taken("127.0.0.1")
    check(taken.one(), "the first connection")
    for _ in range(20 * count):
        taken.one()
        counted = [c for c in taken.clients if c.getsockname()[1] != low]
        for options in BACKENDS if len(counted) % 8 == 0 else []:
            p = pool("127.0.0.1", *options)
            equal((p["capacity"], p["free"]), (count - 1, count - 1 - len(counted)), "free")
        if len(counted) == count - 1:
            break
    equal(len(counted), count - 1, "connections")
    equal(pool("127.0.0.1")["free"], 0, "free at the end")


def test_odd_range():
    odd(LOW, 41)


def test_odd_low():
    odd(LOW + 1, 41)


def test_three_ports():
    """The search always begins at the first one: the last one is lost."""
    ports(LOW, 3)
    walk("127.0.0.1", 2)


def test_single_port():
    ports(LOW, 1)
    walk("127.0.0.1", 1)


def test_reserved():
    ports(LOW, 16)
    sysctl("net.ipv4.ip_local_reserved_ports", f"{LOW + 1},{LOW + 4}-{LOW + 6},60000")
    walk("127.0.0.1", 12)


def test_reserved_in_odd_range():
    """The lost port is reserved, too."""
    ports(LOW, 9)
    sysctl("net.ipv4.ip_local_reserved_ports", f"{LOW}")
    walk("127.0.0.1", 8, patience=40)


def test_cliff():
    """Ports of one parity come first: when they are gone connect() gets slow."""
    ports(LOW, 16)
    taken = Taken("127.0.0.1")
    for used in range(1, 17):
        check(taken.one(), f"connection {used}")
        p = pool("127.0.0.1")
        equal((p["cliff"], p["fast_free"]), (8, max(8 - used, 0)), f"cliff at {used}")


# --- binds ---------------------------------------------------------------------------------------


def test_listener_in_the_range():
    """On another address and another family: it takes the port from everybody all the same."""
    ports(LOW, 16)
    kept = [listener("127.0.0.9", LOW + 3), listener("::1", LOW + 4)]
    taken = walk("127.0.0.1", 14)
    equal(pool("127.0.0.1")["bound"], 2, "bound")
    check(kept and taken, "kept open")


def test_accepted_in_the_range():
    """The server itself listens in the range, so that its accepted connections are there too."""
    ports(LOW, 16)
    server = listener("127.0.0.2", LOW + 6)
    clients = [connect("127.0.0.2", LOW + 6) for _ in range(3)]
    accepted = [server.accept()[0] for _ in clients]
    walk("127.0.0.1", 15)
    check(len(accepted) == 3, "accepted")


def test_idle_bind():
    """Bound to a port, never connected: in no list but that of bound sockets, since 6.8. Before, it
    is said that there may be such."""
    ports(LOW, 16)
    idle = socket.socket()
    idle.bind(("127.0.0.9", LOW + 5))
    unseen = tuple(map(int, re.findall(r"\d+", os.uname().release)[:2])) < (6, 8)
    equal(look()["census"]["binds_unseen"], unseen, "binds_unseen")
    table = run([TCPCHURN, "ports", "-N", str(netns_inode())]).stdout
    equal("kernels before 6.8 do not list them" in " ".join(table.split()), unseen, "the note")
    if unseen:
        return
    walk("127.0.0.1", 15)
    idle.close()
    equal(pool("127.0.0.1")["capacity"], 16, "capacity when it is closed")


def test_bind_without_port():
    """IP_BIND_ADDRESS_NO_PORT takes no port before connect()."""
    ports(LOW, 16)
    idle = socket.socket()
    idle.setsockopt(socket.SOL_IP, 24, 1)
    idle.bind(("127.0.0.9", 0))
    walk("127.0.0.1", 16)
    idle.close()


def test_connected_bind():
    """Bound explicitly, then connected elsewhere: only the bind bucket knows, which only BPF sees;
    without it the pool says that it is an estimate."""
    ports(LOW, 16)
    other = listener("127.0.0.1", 7001)
    bound = socket.socket()
    bound.bind(("127.0.0.1", LOW + 7))
    bound.connect(("127.0.0.1", 7001))
    taken = walk("127.0.0.1", 15, backends=[[]])
    equal(pool("127.0.0.1")["estimated"], False, "estimated by BPF")
    equal(pool("127.0.0.1", "--no-bpf")["estimated"], True, "estimated by netlink")
    check(other and taken, "kept open")


def test_time_wait_of_a_bind():
    ports(LOW, 16)
    sysctl("net.ipv4.tcp_tw_reuse", 0)
    other = listener("127.0.0.1", 7001)
    bound = socket.socket()
    bound.bind(("127.0.0.1", LOW + 7))
    bound.connect(("127.0.0.1", 7001))
    peer = other.accept()[0]
    bound.close()
    peer.close()
    walk("127.0.0.1", 15, backends=[[]])


def test_other_destinations_share():
    """The control: connections to another port, address or from another address take nothing."""
    ports(LOW, 8)
    others = listener("127.0.0.1", 7001), listener("127.0.0.3")
    clients = [connect("127.0.0.1", 7001) for _ in range(8)]
    clients += [connect("127.0.0.3") for _ in range(8)]
    check(all(clients), "connections to elsewhere")
    walk("127.0.0.1", 8)
    check(others, "kept open")


# --- TIME_WAIT -----------------------------------------------------------------------------------


def time_wait(address, mode, reusable):
    """8 of 16 ports in TIME_WAIT, 4 open: free at once, and again when they are old enough."""
    ports(LOW, 16)
    sysctl("net.ipv4.tcp_tw_reuse", mode)
    taken = Taken(address).some(12)
    taken.close(8)
    for options in BACKENDS:
        p = pool(address, *options)
        equal(p["used"], {"established": 4, "time_wait": 8, "other": 0}, "used")
        equal(p["tw_reuse"], reusable, "tw_reuse")
        if not p["reusable"]:  # on a slow machine the second may be over
            equal(p["free"], 4, f"free at once ({options})")
    time.sleep(2.1)
    for options in BACKENDS:
        p = pool(address, *options)
        equal(p["reusable"], 8 if reusable else 0, f"reusable ({options})")
    equal(rest_is_free(address, taken), 12 if reusable else 4, "free when old")
    equal(pool(address)["free"], 0, "free at the end")


def test_time_wait_mode_0():
    time_wait("127.0.0.1", 0, False)


def test_time_wait_mode_1():
    time_wait("127.0.0.1", 1, True)


def test_time_wait_mode_2():
    time_wait("127.0.0.1", 2, True)


def test_time_wait_mode_0_ipv6():
    time_wait("::1", 0, False)


def test_time_wait_mode_2_ipv6():
    time_wait("::1", 2, True)


def test_time_wait_own_address_mode_0():
    time_wait(own_address(), 0, False)


def test_time_wait_own_address_mode_1():
    time_wait(own_address(), 1, True)


def test_time_wait_own_address_mode_2():
    """Over lo, but from and to an address that is none of loopback: mode 2 does not help."""
    time_wait(own_address(), 2, False)


def test_time_wait_own_address_mode_2_ipv6():
    time_wait(own_address("fd77::1"), 2, False)


def test_time_wait_own_address_mode_1_ipv6():
    time_wait(own_address("fd77::1"), 1, True)


def test_time_wait_without_timestamps():
    sysctl("net.ipv4.tcp_timestamps", 0)
    time_wait("127.0.0.1", 1, False)


def test_timestamps_turned_off_later():
    """The old connections had them: only BPF can know."""
    ports(LOW, 16)
    sysctl("net.ipv4.tcp_tw_reuse", 1)
    taken = Taken("127.0.0.1").some(12)
    taken.close(8)
    sysctl("net.ipv4.tcp_timestamps", 0)
    time.sleep(2.1)
    equal(rest_is_free("127.0.0.1", taken, backends=[[]]), 12, "free")


def test_reuse_delay():
    """Since 6.14 the second is a setting."""
    if not os.path.exists("/proc/sys/net/ipv4/tcp_tw_reuse_delay"):
        raise Skip("no net.ipv4.tcp_tw_reuse_delay: a kernel before 6.14")
    sysctl("net.ipv4.tcp_tw_reuse_delay", 4000)
    ports(LOW, 16)
    taken = Taken("127.0.0.1").some(12)
    taken.close(8)
    time.sleep(2)
    for options in BACKENDS:
        p = pool("127.0.0.1", *options)
        equal((p["reusable"], p["free"]), (0, 4), f"after 2 of 4 s ({options})")
    time.sleep(2.3)
    equal(rest_is_free("127.0.0.1", taken), 12, "free after 4 s")


def test_fin_wait2_is_never_reused():
    ports(LOW, 16)
    sysctl("net.ipv4.tcp_tw_reuse", 1)
    taken = Taken("127.0.0.1").some(12)
    for _ in range(5):  # the peers stay open: no FIN from them
        taken.clients.pop().close()
    time.sleep(1.3)
    p = pool("127.0.0.1")
    equal(p["used"], {"established": 7, "time_wait": 0, "other": 5}, "used")
    equal(rest_is_free("127.0.0.1", taken), 4, "free")


def elsewhere(name, action):
    libc = ctypes.CDLL(None, use_errno=True)
    with open("/proc/self/ns/net") as home, open(f"/run/netns/{name}") as there:
        equal(libc.setns(there.fileno(), 0), 0, "setns")
        result = action()
        equal(libc.setns(home.fileno(), 0), 0, "setns")
    return result


def test_another_host():
    """Over a cable, with the other end in another namespace."""
    for mode, reusable in (2, False), (1, True):
        address = f"10.66.{mode}.2"
        other = Netns(f"peer{mode}")
        sh("ip", "link", "add", f"churn{mode}", "type", "veth", "peer", "name", "there",
           "netns", other.name)
        sh("ip", "addr", "add", f"10.66.{mode}.1/24", "dev", f"churn{mode}")
        sh("ip", "link", "set", f"churn{mode}", "up")
        sh("ip", "-n", other.name, "addr", "add", f"{address}/24", "dev", "there")
        sh("ip", "-n", other.name, "link", "set", "there", "up")
        server = elsewhere(other.name, lambda: listener(address))
        ports(LOW, 16)
        sysctl("net.ipv4.tcp_tw_reuse", mode)
        taken = Taken(address, server).some(12)
        taken.close(8)
        time.sleep(2.1)
        equal(rest_is_free(address, taken), 12 if reusable else 4, f"free in mode {mode}")


# --- what if -------------------------------------------------------------------------------------


def outcome(p, name):
    found = [o for o in p["what_if"] if o["what"] == name]
    equal(len(found), 1, f"{name} among {p['what_if']}")
    return found[0]


def test_what_if_comes_true():
    """What is foretold of a setting is what the pool has under it."""
    ports(LOW, 16)
    sysctl("net.ipv4.tcp_tw_reuse", 0)
    taken = Taken("127.0.0.1").some(12)
    taken.close(8)
    reserved = listener("127.0.0.9", LOW + 30)
    time.sleep(1.3)
    p = pool("127.0.0.1", "--what-if", f"range={LOW}-{LOW + 63},tw_reuse=1")
    equal(outcome(p, "now")["capacity"], 16, "capacity now")
    wider = outcome(p, f"range={LOW}-{LOW + 63}")
    reuse = outcome(p, "tw_reuse=1")
    equal(reuse["capacity"], 16, "capacity with reuse")
    ports(LOW, 64)
    equal(pool("127.0.0.1")["capacity"], wider["capacity"], "capacity of the wider range")
    sysctl("net.ipv4.tcp_tw_reuse", 1)
    equal(pool("127.0.0.1")["sustainable_per_second"],
          outcome(p, "all of these")["sustainable_per_second"], "sustainable")
    check(reserved, "kept open")


def test_what_if_is_asked_wrong():
    for what in "", "x", "range=9-5", "tw_reuse=3", "pool=0", "tw_recycle=1", "pool=1,":
        done = run([TCPCHURN, "ports", "--what-if", what], expect=64)
        equal(done.stdout, "", "output")


# --- the command ---------------------------------------------------------------------------------


def test_watch():
    """Rates by two looks; a line of JSON for each; ends after the duration."""
    ports(LOW, 1000)
    load = Process(churn("-n", 150, "-r", 50, "--port", 8080))
    done = run([TCPCHURN, "ports", "-j", "--watch", "-I", "500ms", "-d", "2", "--min-used", "1",
                "-N", str(netns_inode())])
    looks = [json.loads(line) for line in done.stdout.splitlines()]
    equal(len(looks), 4, "looks")
    rate = looks[-1]["pools"][0]["rate_per_second"]
    check(35 < rate < 65, f"rate {rate} of 50")
    load.wait()


def test_watch_ends_by_a_signal():
    watch = Process([TCPCHURN, "ports", "--watch", "-I", "10s", "-j"])
    watch.wait_text(watch.out_path, "^{")
    watch.stop(seconds=3)


def test_filters():
    ports(LOW, 16)
    servers = [listener("127.0.0.1"), listener("127.0.0.2"), listener("::1", 7001)]
    clients = [connect("127.0.0.1"), connect("127.0.0.2"), connect("::1", 7001)]
    for options, expected in (
        ([], {"127.0.0.1", "127.0.0.2", "::1"}),
        (["-4"], {"127.0.0.1", "127.0.0.2"}),
        (["-6"], {"::1"}),
        (["-P", "7001"], {"::1"}),
        (["--dst", "127.0.0.2"], {"127.0.0.2"}),
        (["--dst", "127.0.0.0/8", "-P", "7000-7001"], {"127.0.0.1", "127.0.0.2"}),
        (["--src", "10.0.0.0/8"], set()),
    ):
        equal({p["peer"] for p in look(*options)["pools"]}, expected, f"peers with {options}")
    check(all(servers) and all(clients), "kept open")


def test_unprivileged():
    """Its own namespace, and it says that there is more."""
    ports(LOW, 16)
    taken = Taken("127.0.0.1")
    taken.one()
    user = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--"]
    doc = json.loads(run([*user, TCPCHURN, "ports", "-j", "--min-used", "0"]).stdout)
    equal(doc["census"]["backend"], "netlink", "backend")
    equal(doc["census"]["partial"], True, "partial")
    equal([p["free"] for p in doc["pools"]], [15], "free")


def test_holders():
    """Open ones by their files, children included."""
    ports(LOW, 16)
    taken = Taken("127.0.0.1").some(3)
    taken.close(1)
    for options in BACKENDS:
        holders = pool("127.0.0.1", *options)["holders"]
        equal([(h.get("process", {}).get("pid"), h["established"], h["time_wait"])
               for h in holders], [(os.getpid(), 2, 0), (None, 0, 1)], "holders")


def test_no_such_namespace():
    run([TCPCHURN, "ports", "-N", "4294967295"], expect=64)
    run([TCPCHURN, "ports", "-N", "there-is-none"], expect=64)


def test_all_namespaces():
    """Our own, read beside the others, and another: each with its own, whoever has more."""
    other = Netns("beside")
    truth = json.loads(run([*other.enter, *churn("-n", 40)]).stdout)
    taken = Taken("127.0.0.1").some(3)
    for ours in 3, 63:
        for options in BACKENDS:
            doc = json.loads(run([TCPCHURN, "ports", "-j", "--min-used", "0", *options]).stdout)
            used = {(p["netns"], p["port"]): p["used"] for p in doc["pools"]}
            equal(used[netns_inode(), SERVER_PORT]["established"], ours, f"ours ({options})")
            equal(used[other.inode, truth["port"]]["time_wait"], 40, f"the other's ({options})")
        taken.some(60 if ours == 3 else 0)


def test_namespaces_come_and_go():
    """While looks are taken: none fails, each says what it saw."""
    churner = Process(["sh", "-c", f"""
        i=0; while [ $i -lt 40 ]; do i=$((i + 1))
        ip netns add {os.environ['CHURN_LIVE_NETNS']}-v$i
        ip netns exec {os.environ['CHURN_LIVE_NETNS']}-v$i true
        ip netns del {os.environ['CHURN_LIVE_NETNS']}-v$i; done"""])
    looks = 0
    while churner.popen.poll() is None:
        doc = json.loads(run([TCPCHURN, "ports", "-j", "--no-bpf"]).stdout)
        equal(doc["census"]["netns"]["denied"], 0, "denied")
        looks += 1
    churner.wait()
    check(looks > 5, f"{looks} looks")


def test_rules_that_change_meanwhile():
    """A range is never read half way: its size is one of the two."""
    ports(LOW, 16)
    taken = Taken("127.0.0.1")
    taken.one()
    path = "/proc/sys/net/ipv4/ip_local_port_range"
    changer = Process(["sh", "-c", f"""
        while :; do echo {LOW} {LOW + 15} > {path}; echo {LOW - 100} {LOW + 99} > {path}; done"""])
    seen = {pool("127.0.0.1", *options)["capacity"] for options in BACKENDS * 40}
    equal(seen, {16, 200}, "capacities")
    changer.popen.kill()
    changer.wait(expect=None)
