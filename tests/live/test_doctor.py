# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""What doctor says, and running with few capabilities: what works, what is said to be missing."""
import collections
import json
import os
import re
import signal

from lib import (
    ATTACH, TCPCHURN, Netns, Process, Server, Skip, Tracer, check, churn, equal, get, hooked,
    netns_inode, report, run, run_churn, sysctl, temporary,
)

NOBODY = 65534
TRACING = ["bpf", "perfmon"]
ALL = TRACING + ["sys_ptrace", "dac_read_search", "checkpoint_restore"]


def doctor(*options, command=(), expect=0):
    done = run([*command, TCPCHURN, "doctor", "-j", *ATTACH, *options], expect=expect)
    return json.loads(done.stdout), done.stderr


def with_capabilities(*names):
    """Another user, with these capabilities and no others."""
    wanted = ",".join(["-all", *(f"+{name}" for name in names)])
    return ["setpriv", "--reuid", str(NOBODY), "--clear-groups", "--inh-caps", wanted,
            "--ambient-caps", wanted, "--bounding-set", wanted]


def can_be_held(*names):
    held = int(re.search(r"CapPrm:\s*(\w+)", open("/proc/self/status").read()).group(1), 16)
    numbers = {"sys_admin": 21, "sys_ptrace": 19, "dac_read_search": 2, "bpf": 39, "perfmon": 38,
               "checkpoint_restore": 40}
    if any(not held >> numbers[name] & 1 for name in names):
        raise Skip(f"no {', '.join(names)} to hand on here")


# --- doctor ---------------------------------------------------------------------------------------


def test_works():
    found, err = doctor()
    equal(found["works"], True, "works")
    equal(found["kernel"]["release"], os.uname().release, "release")
    equal(found["kernel"]["btf"], True, "btf")
    equal("missing_capabilities" in found, False, "missing capabilities")
    hooks = {h["hook"]: h for h in found["hooks"]}
    check("flavour" in hooks["inet_sock_set_state"], "state hook")
    for hook in found["hooks"]:
        # Of the flavours that --attach rules out none is tried, so that none has failed.
        told = "flavour" in hook or (hook["without"] and (hook["failed"] or ATTACH))
        check(told, f"nothing said of {hook}")
        for failed in hook["failed"]:
            check(failed["why"] and failed["flavour"], f"no reason: {failed}")
    equal({c["runtime"] for c in found["callsites"]} >= {"native", "cpython", "jit"}, True,
          "runtimes")


def test_table():
    out = run([TCPCHURN, "doctor", *ATTACH]).stdout
    for heading in "CAPABILITIES", "HOOKS", "CALL SITES", "NETWORK NAMESPACE":
        check(re.search(f"^{heading}", out, re.M), f"no {heading} in {out}")
    check(max(map(len, out.splitlines())) <= 100, "a line is too long")


def settings_of(found, inode):
    rows = [n for n in found["network_namespaces"] if n["netns"] == inode]
    equal(len(rows), 1, f"rows of {inode}")
    return {s["name"].split(".")[-1]: s for s in rows[0]["settings"]}


def test_settings_of_each_namespace():
    """Those of every namespace in use, with what they mean there."""
    other = Netns("other")
    run([*other.enter, "sysctl", "-qw", "net.ipv4.ip_local_port_range=50000 50999",
         "net.ipv4.tcp_tw_reuse=0", "net.ipv4.tcp_fin_timeout=7"])
    sysctl("net.ipv4.ip_local_port_range", "48000 48015")
    sysctl("net.core.somaxconn", 77)
    found, _ = doctor()
    mine, others = settings_of(found, netns_inode()), settings_of(found, other.inode)
    equal(mine["ip_local_port_range"]["value"], "48000 48015", "our range")
    check("16 ports" in mine["ip_local_port_range"]["meaning"], "our capacity")
    equal(mine["somaxconn"]["value"], "77", "our somaxconn")
    equal(others["ip_local_port_range"]["value"], "50000 50999", "the other's range")
    check("1,000 ports" in others["ip_local_port_range"]["meaning"], "the other's capacity")
    equal(others["tcp_tw_reuse"]["value"], "0", "the other's tcp_tw_reuse")
    equal(others["tcp_fin_timeout"]["value"], "7", "the other's tcp_fin_timeout")


def test_time_wait():
    """How much is in TIME_WAIT now, beside the rules for it."""
    sysctl("net.ipv4.ip_local_port_range", "48000 48099")
    run_churn("-n", 23)
    found, _ = doctor()
    row, = [n for n in found["network_namespaces"] if n["netns"] == netns_inode()]
    equal(row["time_wait"], 23, "time_wait")


def test_forced_and_missing():
    """69, one line on stderr, and still what was found."""
    tried = 0
    for flavour in "fentry", "kprobe", "plain-tracepoint":
        done = run([TCPCHURN, "doctor", "-j", "--attach", flavour], expect=None)
        if not done.returncode:
            continue
        tried += 1
        equal(done.returncode, 69, f"exit of {flavour}")
        equal(len(done.stderr.strip().splitlines()), 1, f"lines of {done.stderr!r}")
        found = json.loads(done.stdout)
        equal(found["works"], False, "works")
        check(any(h["failed"] for h in found["hooks"]), "no reason among the hooks")
    if not tried:
        raise Skip("every flavour attaches here")


# --- few capabilities -----------------------------------------------------------------------------


def counted(command, *options):
    """A report by that command line on a churn of the same user."""
    server = Server()
    path = temporary(".json")
    os.chmod(path, 0o666)
    done = run([*command, TCPCHURN, "report", "-j", "-O", path, *ATTACH, *options, "--",
                *churn("-n", 23, "-r", 50, "--connect", server.target())], expect=None)
    return done, path


def test_capabilities_enough():
    """CAP_BPF and CAP_PERFMON alone: everything is counted, and what lacks is said."""
    can_be_held(*TRACING)
    done, path = counted(with_capabilities(*TRACING))
    equal(done.returncode, 0, f"exit ({done.stderr})")
    with open(path) as f:
        totals = json.load(f)["totals"]
    equal([totals[k] for k in ("opens", "closes", "failures")], [23, 23, 0], "totals")
    for name in "CAP_SYS_PTRACE", "CAP_DAC_READ_SEARCH", "CAP_CHECKPOINT_RESTORE":
        check(f"without {name}" in done.stderr, f"{name} is not named in {done.stderr!r}")


def test_capabilities_all():
    """With those that parts of it need nothing is missing."""
    can_be_held(*ALL)
    done, path = counted(with_capabilities(*ALL))
    equal(done.returncode, 0, f"exit ({done.stderr})")
    check("without" not in done.stderr, done.stderr)
    with open(path) as f:
        row, = [p for p in json.load(f)["processes"] if p["opens"]]
    equal(row["destinations"][0]["callsites"][0].get("function"), "dial_once", "call site")


def test_capabilities_missing():
    """One of the two is not enough: 77, and the other is named."""
    can_be_held(*TRACING)
    for held, lacking in (["bpf"], "CAP_PERFMON"), (["perfmon"], "CAP_BPF"), (
            [], "CAP_BPF and CAP_PERFMON"):
        done, _ = counted(with_capabilities(*held))
        equal(done.returncode, 77, f"exit with {held} ({done.stderr})")
        equal(len(done.stderr.strip().splitlines()), 1, f"lines of {done.stderr!r}")
        check(f"missing {lacking} " in done.stderr, done.stderr)


def test_doctor_names_what_is_missing():
    can_be_held(*TRACING)
    found, _ = doctor(command=with_capabilities(*TRACING))
    held = {c["name"]: c["held"] for c in found["capabilities"]}
    equal([held[c] for c in ("CAP_BPF", "CAP_PERFMON", "CAP_SYS_PTRACE")], [True, True, False],
          "held")
    for c in found["capabilities"]:
        check(c["held"] != bool(c.get("without")), f"says nothing of its absence: {c}")
    found, err = doctor(command=with_capabilities("bpf"), expect=77)
    equal(found["works"], False, "works")
    equal(found["missing_capabilities"], "CAP_PERFMON", "missing")


def capabilities_of(pid):
    """How many threads have (effective, permitted, inheritable, ambient)."""
    found = collections.Counter()
    for thread in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{thread}/status") as f:
            text = f.read()
        found[tuple(int(re.search(rf"Cap{which}:\s*(\w+)", text).group(1), 16)
                    for which in ("Eff", "Prm", "Inh", "Amb"))] += 1
    return found


KEPT = 1 << 39 | 1 << 19 | 1 << 2 | 1 << 40


# To attach to files as they turn up.
ATTACHING = KEPT | 1 << 21 | 1 << 38


def expect_capabilities(pid, kept):
    """The threads of the tracer hold these, of those that we hold, and can get no others; but for
    the one that attaches."""
    before, = capabilities_of("self")
    expected = {tuple(before[i] & mask for i in (0, 1)) + (0, 0)
                for mask in ([kept, ATTACHING] if hooked("code_dealloc") else [kept])}
    found = capabilities_of(pid)
    equal(set(found), expected, "capabilities")
    check(min(found.values()) == 1 or len(found) == 1, f"more than one attaches: {found}")


def test_gives_up_the_rest():
    """Once attached, no thread can do more than a trace in progress needs."""
    tracer = Tracer("trace")
    expect_capabilities(tracer.pid, KEPT)
    tracer.finish()


def test_gives_up_less_for_a_command():
    """A command may have changed its user, and a report looks into other namespaces; the command
    itself has what we had."""
    before, = capabilities_of("self")
    command = ["sh", "-c", "grep CapEff /proc/self/status; exec sleep 30"]
    tracer = Process([TCPCHURN, "report", *ATTACH, "-O", temporary(), "--", *command])
    tracer.wait_text(tracer.out_path, "CapEff")
    expect_capabilities(tracer.pid, KEPT | 1 << 5 | 1 << 21 | 1 << 38)
    equal(int(re.search(r"CapEff:\s*(\w+)", tracer.out).group(1), 16), before[0], "the command's")
    tracer.stop(signal.SIGINT)


def test_works_after_giving_up():
    """Another user's call sites come all the same, after the capabilities are gone."""
    result = report(["setpriv", "--reuid", str(NOBODY), "--clear-groups",
                     *churn("-n", 23, "-r", 50)])
    row, = [p for p in result.processes if p["opens"]]
    equal(get(row, "process.user.id"), NOBODY, "user")
    equal(row["destinations"][0]["callsites"][0].get("function"), "dial_once", "call site")
