# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Programs that lie to whoever looks at their memory: counted all the same, in bounded time, and
nothing is said of them but what their memory says in a form that can be trusted."""
import os
import random
import re
import shutil
import signal
import time

from lib import (
    HERE, PYTHON, TCPCHURN, Process, Server, check, check_summary, equal, get, netns_inode,
    report, run, scratch, sh, until,
)

OPENS = 30
PYTHON_LIES = [
    "frames-loop", "threads-loop", "interpreters-loop", "name-huge", "name-long", "name-wild",
    "name-escapes", "lines-huge", "lines-rubbish", "code-wild", "code-no-code", "frame-wild",
    "frame-kernel", "thread-wild", "flipping",
]
STACK_LIES = [
    "stack-unmapped", "stack-null", "stack-kernel", "stack-edge", "stack-loop", "stack-code",
    "stack-random", "stack-wild",
]


def build(*flags):
    path = os.path.join(scratch(), "forge")
    sh("gcc", "-O2", "-g", "-fomit-frame-pointer", "-pthread", "-rdynamic", *flags, "-o", path,
       os.path.join(HERE, "forge.c"))
    return path


def sites_of(program, server, how, times=OPENS, seconds=10):
    """All opens are counted, each with a call site or without; in that many seconds."""
    start = time.monotonic()
    result = report([program, str(server.port), how, str(times)])
    check(time.monotonic() - start < seconds, f"{how}: {time.monotonic() - start:.1f} s")
    equal(result.totals["opens"], times, f"{how}: opens")
    row, = result.processes
    sites = result.destination(row, server.port)["callsites"]
    equal(sum(s["opens"] for s in sites), times, f"{how}: opens of the call sites")
    return result, sites


def test_sound():
    """The control: what is forged well is believed. So the lies below are really looked at."""
    _, sites = sites_of(build(), Server(), "python")
    site, = [s for s in sites if s.get("function") == "forged"]
    equal((site["file"], site["line"], site["language"]), ("/srv/forged.py", 7, "python"), "place")
    check(site["opens"] >= 0.9 * OPENS, f"{site['opens']} opens")
    equal(len(site["stack"]), 2, "frames")


def lies(some):
    program, server = build(), Server()
    for how in some:
        yield how, sites_of(program, server, how)[1]


def bounded(some):
    for how, sites in lies(some):
        for site in sites:
            nr = len(site.get("stack", []))
            check(nr <= 128, f"{how}: {nr} frames")
            check(len(site.get("function", "")) <= 1024, f"{how}: a very long name")
            check(site.get("line", 0) < 1 << 31, f"{how}: line {site.get('line')}")


def test_python_loops():
    bounded(PYTHON_LIES[:5])


def test_python_names():
    bounded(PYTHON_LIES[5:10])


def test_python_pointers():
    bounded(PYTHON_LIES[10:])


def test_stack_pointers():
    bounded(STACK_LIES[:4])


def test_stack_contents():
    """The system call's own function is what is certain; no caller is made up outside of this."""
    for how, sites in lies(STACK_LIES[4:]):
        for site in sites:
            check(site.get("function") in (None, "connect_at", "connect_from", "raw_connect",
                                           "spoil", "flip", "forge_stack", "dive", "dial",
                                           "worker", "start_workers", "main", "_start"),
                  f"{how}: {site.get('function')}")


def test_terminal_escapes():
    """In no output that has the name is there anything that a terminal would act on."""
    server = Server()
    program = build()

    def named(options):
        done = run([TCPCHURN, *options, "--", program, str(server.port), "name-escapes", "5"])
        check_summary(done.stderr)
        for bad in "\033", "\007", "\001", "\r":
            check(bad not in done.stdout, f"{options}: {bad!r} in the output")
        return "owned" in done.stdout

    for options in (["report"], ["report", "-g"], ["report", "-o", "folded"],
                    ["report", "-o", "csv"], ["report", "-j"], ["trace", "-g"],
                    ["trace", "-j", "-g"], ["trace", "-o", "csv"]):
        # On a busy machine the program may be over before it is known what it runs.
        until(lambda: named(options), 20, f"the name in {options}")


def test_deep():
    """10,000 calls deep: the innermost ones are right, and that there are more is known."""
    _, sites = sites_of(build(), Server(), "deep")
    site, = [s for s in sites if "function" in s]
    functions = [f.get("function") for f in site["stack"]]
    equal(functions[:2] + [site["function"]], ["connect", "connect_from", "connect_from"],
          "innermost")
    equal(set(functions[2:]), {"dive"}, "the others")
    check(len(functions) >= 64, f"{len(functions)} frames")


def test_threads():
    """1,000 threads, one connection each: one call site. A busy machine may be too slow for copies
    of 1,000 stacks at once, and counts which it did not take."""
    result, sites = sites_of(build(), Server(), "threads", 1000, seconds=20)
    named = [s for s in sites if "function" in s]
    equal({s["function"] for s in named}, {"connect_from"}, "call sites")
    dropped = sum(get(result.lost, f"by_reason.{reason}", 0)
                  for reason in ("stack_copy", "ring_stack"))
    check(named[0]["opens"] + dropped >= 990,
          f"{named[0]['opens']} opens with a call site, {dropped} were dropped")


def damage(path, seed):
    """Rubbish in what is read about the program, but not in what it runs by."""
    sections = sh("readelf", "-SW", path)
    places = [(int(m[1], 16), int(m[2], 16)) for m in re.finditer(
        r"\] (?:\.eh_frame|\.debug_\w+|\.symtab|\.strtab|\.note\.gnu\.build-id)\s+\w+\s+[0-9a-f]+ "
        r"([0-9a-f]+) ([0-9a-f]+)", sections)]
    check(len(places) >= 6, f"sections in {sections}")
    chance = random.Random(seed)
    with open(path, "r+b") as f:
        for offset, size in places:
            for _ in range(max(4, size // 64)):
                f.seek(offset + chance.randrange(size))
                f.write(bytes([chance.randrange(256)]))


def test_damaged_files():
    server, sound = Server(), build()
    for seed in range(6):
        program = shutil.copy(sound, f"{sound}{seed}")
        damage(program, seed)
        sites_of(program, server, "stack-none" if seed % 2 else "deep", 10)


def with_few_rights(command):
    """What a tracer that may trace, but not look into other processes, says of a command."""
    caps = "-all,+bpf,+perfmon,+net_admin"
    tracer = Process(["setpriv", f"--inh-caps={caps}", f"--bounding-set={caps}", TCPCHURN, "report",
                      "-d", "60", "-N", str(netns_inode())])
    tracer.wait_text(tracer.err_path, "^tracing")
    run(command)
    tracer.stop(signal.SIGINT)
    check_summary(tracer.err)
    return tracer.out, tracer.err


def test_unreadable():
    """The process is what is known of a Python program then; counted, and said why."""
    server = Server()
    out, err = with_few_rights([PYTHON, "-c", "import socket\nfor _ in range(10):\n"
                                f" socket.create_connection(('127.0.0.1', {server.port})).close()"])
    check(re.search(r"^python\S* \[pid \d+\] +10 ", out, re.M), f"the process: {out}")
    check(re.search(r"10 attempts to connect without a call site", out), f"the count: {out}")
    equal(len(re.findall("may not be read", err)), 1, f"the reason: {err}")


def test_readable_files():
    """The control: native code needs the files only, which anybody may read."""
    out, _ = with_few_rights([build(), str(Server().port), "none", "10"])
    check(re.search(r"^ +connect_from \(forge.c:\d+\) +10 ", out, re.M), f"the call site: {out}")
