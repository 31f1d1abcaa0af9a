# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Under what goes wrong in long traces: seen + lost == made, and each connection is said to be of
the process that made it, which its label says (labelled.c). CHURN_SOAK=N makes N times as much."""
import collections
import os
import random
import resource
import signal
import time

from lib import (
    HERE, TCPCHURN, Lines, Netns, Process, Server, Skip, Tracer, check, churn, equal, failures, get,
    netns_inode, oracle, run, run_churn, scratch, sh, sysctl, until, valgrind,
)

SOAK = float(os.environ.get("CHURN_SOAK", "1"))
Made = collections.namedtuple("Made", "pid opens failed lived_us")
KINDS = {"ring_open": ("opens", "accepts"), "ring_failed": ("failures",), "ring_close": ("closes",)}


def times(number):
    return int(number * SOAK)


def build():
    path = os.path.join(scratch(), "labelled")
    sh("gcc", "-O1", "-static", "-fno-optimize-sibling-calls", "-fno-ipa-icf", "-Wall", "-Werror",
       "-o", path, os.path.join(HERE, "labelled.c"))
    return path


def server():
    return Server("--bytes", 0, listen="0.0.0.0:0")


def start(program, served, serial, number, how, processes=1, per_second=0, **kwargs):
    words = [program, served.port, serial, number, how, processes, per_second]
    return Process([str(word) for word in words], **kwargs)


def made_by(*processes):
    """What the programs say: serial -> PID, connections, failures."""
    found = {}
    for process in processes:
        for line in process.out.splitlines():
            serial, *rest = map(int, line.split())
            check(serial not in found, f"serial {serial} twice")
            found[serial] = Made(*rest)
    return found


def serial_of(address):
    octets = [int(part) for part in address.split(".")]
    return octets[1] << 16 | octets[2] << 8 | octets[3] if octets[0] == 127 else None


def label(line):
    end = "peer" if get(line, "tcpchurn.role") == "client" else "local"
    return serial_of(get(line, f"network.{end}.address"))


def check_labels(lines, truth, served, commands=True):
    """No line says another process than its label; every label's number of lines is right, or, with
    losses, no more than that. Returns how many opens were seen."""
    seen = collections.Counter()
    for name in "connect", "close", "accept":
        for line in lines.named(name):
            serial, role = label(line), get(line, "tcpchurn.role")
            check(serial in truth, f"{name} of a label that nobody has: {line}")
            pid = get(line, "process.pid")
            peer = get(line, "tcpchurn.peer_process.pid")
            if role == "client":
                equal(pid, truth[serial].pid, f"{name} of {serial}: its process")
                check(peer in (None, served.pid), f"{name} of {serial}: peer {peer}")
            else:
                check(pid in (None, served.pid), f"{name} of {serial}: served by {pid}")
                check(peer in (None, truth[serial].pid), f"{name} of {serial}: peer {peer}")
            command = get(line, "process.command_line", "")
            if commands and role == "client" and command:
                equal(command.split()[2], str(serial), f"command line in {name} of {serial}")
            seen[name, role, serial] += 1
    for serial, made in truth.items():
        for name, role in (("connect", "client"), ("accept", "server"), ("close", "client")):
            check(seen[name, role, serial] <= made.opens, f"{name} lines of {serial}")
    return sum(nr for (name, role, _), nr in seen.items() if name == "connect")


def totals(lines):
    """The last line: what was counted, and what was lost for which reason."""
    summary, = lines.named("summary")
    return summary["tcpchurn"]


def balance(summary, opens, accepted, failed=0):
    """Of connections on loopback, both ends of which were traced. A server whose queue is full
    knows nothing of one that its client has opened, and reset."""
    check(0.99 * opens <= accepted <= opens, f"{accepted} of {opens} were accepted")
    made = opens + accepted
    lost = get(summary, "lost.by_reason", {})
    gone = collections.Counter({key: lost.get(key, 0) for key in KINDS})
    counted = summary["totals"]
    conn_map = lost.get("conn_map", 0)
    equal(counted["opens"] + counted["accepts"] + gone["ring_open"] + conn_map, made, "opens")
    equal(counted["failures"] + gone["ring_failed"], failed, "failures")
    equal(counted["closes"] + gone["ring_close"] + conn_map, made, "closes")
    equal(get(summary, "lost.events"), sum(gone.values()) + conn_map, "lost events")
    return sum(gone.values()) + conn_map


def finished(tracer, served, *processes):
    """What was made, the lines about it, and how many were lost; these add up."""
    for process in processes:
        process.wait(seconds=60)
    truth = made_by(*processes)
    accepted = served.stop()["accepted"]
    lines = tracer.finish(lossless=False)
    lost = balance(totals(lines), sum(made.opens for made in truth.values()), accepted,
                   sum(made.failed for made in truth.values()))
    return truth, lines, lost


def exact(program, *loads, options=(), commands=True, lossless=True):
    """A trace of these loads, each from its serial on: nothing lost, nobody confused."""
    served = server()
    tracer = Tracer("trace", *options)
    processes = [start(program, served, *load) for load in loads]
    truth, lines, lost = finished(tracer, served, *processes)
    seen = check_labels(lines, truth, served, commands)
    summary = totals(lines)
    if lossless:
        equal(lost, 0, f"lost ({get(summary, 'lost')})")
        equal(seen, sum(made.opens for made in truth.values()), "connect lines")
    return truth, lines, summary


# --- memory ------------------------------------------------------------------------------------


def test_replay_leaks_nothing():
    """A recording of many programs, connections, failures and call sites, replayed for a minute by
    a tracer under valgrind (CHURN_SOAK=10)."""
    program, served, recorder = build(), server(), Tracer("record")
    number = times(1000) if SOAK > 1 else 200
    loads = [start(program, served, 10000, 20, "forks", number // 40, 100),
             start(program, served, 100000, 20, "spawns", number // 40, 100),
             start(program, served, 200000, number // 4, "sites")]
    truths = [run_churn("-n", number, "-r", 2000, "-t", 4),
              run_churn("-n", number // 10, "--refused")]
    for load in loads:
        load.wait()
    recording = recorder.finish()
    opens = sum(truth["established"] for truth in truths)
    opens += sum(made.opens for made in made_by(*loads).values())
    equal(report_of(recording)["opens"], opens, "opens")
    begin = time.monotonic()
    for words in ["report", "-g"], ["report", "-j", "--by", "pid"], ["trace", "-j", "-g"]:
        valgrind(*words, "-i", recording)
    if SOAK > 1:
        print(f"    {time.monotonic() - begin:.0f} s under valgrind", flush=True)


# --- losses ---------------------------------------------------------------------------------------


def test_stopped_under_load():
    """A tracer with a buffer of 4 KiB that is stopped again and again while 8 programs connect."""
    program, served = build(), server()
    tracer = Tracer("trace", "--buffer-size", "4K")
    loads = [start(program, served, 1000 * (i + 1), times(25), "spawns", 20) for i in range(4)]
    loads += [start(program, served, 1000 * (i + 5), times(25), "forks", 20) for i in range(4)]
    random.seed(1)
    while any(load.popen.poll() is None for load in loads):
        tracer.popen.send_signal(signal.SIGSTOP)
        time.sleep(random.uniform(0, 0.1))
        tracer.popen.send_signal(signal.SIGCONT)
        time.sleep(random.uniform(0, 0.05))
    truth, lines, lost = finished(tracer, served, *loads)
    check(lost > 0, "nothing was lost")
    check(check_labels(lines, truth, served, commands=False) > 0, "nothing was seen")


def test_connection_table_full():
    """2,000 connections are held in a table for 1,000, while others come and go."""
    program = build()
    loads = [(9000, 1000, "keep"), (9001, 1000, "keep"), (1000, times(50), "forks", 20),
             (2000, times(50), "spawns", 20)]
    _, _, summary = exact(program, *loads, options=["--max-conns", "1000"], commands=False,
                          lossless=False)
    check(get(summary, "lost.by_reason.conn_map", 0) > 0, "the table was large enough")
    equal(sorted(set(summary["lost"]["by_reason"]) & set(KINDS)), [], "other losses")


def test_stack_table_full():
    """More different stacks than the 16,384 that the kernel side remembers: counts are exact, and
    no connection is said to be from the other of the two functions that make them."""
    number = min(times(18000), 65536)
    truth, lines, _ = exact(build(), (1000, number, "sites"), commands=False, lossless=False)
    named = 0
    for line in lines.named("connect"):
        function = get(line, "code.function.name")
        wanted = "odd_site" if label(line) == 1001 else "even_site"
        check(function in (None, wanted), f"{function} for {wanted}")
        named += function is not None
    check(named > 0, "no call site at all")
    equal({made.opens for made in truth.values()}, {number // 2}, "made")


# --- identities -----------------------------------------------------------------------------------


def test_pid_reuse():
    """Programs one after another with one PID: what each of them made is its own."""
    truth, lines, _ = exact(build(), (1000, 3, "same-pid", times(100)))
    pids = collections.Counter(made.pid for made in truth.values())
    check(max(pids.values()) >= 0.9 * len(truth), f"PIDs were not the same: {len(pids)}")
    commands = [line for line in lines.named("connect") if "process" in line
                and "command_line" in line["process"]]
    check(len(commands) >= 0.9 * 3 * len(truth), f"{len(commands)} lines with a command line")


def test_socket_reuse():
    """The kernel hands out a closed socket's memory at once, to whoever asks next: two programs in
    turns on one processor. Each connection has a cookie of its own, at its open and its end."""
    cpu = min(os.sched_getaffinity(0))
    program = build()
    served, tracer = server(), Tracer("trace")
    loads = [start(program, served, 1000 + i, times(4000), "plain",
                   preexec_fn=lambda: os.sched_setaffinity(0, {cpu})) for i in range(2)]
    # A line for each event may be too much for a busy machine.
    truth, lines, lost = finished(tracer, served, *loads)
    seen = check_labels(lines, truth, served)
    path = "tcpchurn.socket.cookie"
    opened = {get(line, path): label(line) for line in lines.named("connect")}
    closed = {get(line, path): label(line) for line in lines.named("close", role="client")}
    equal(len(opened), seen, "cookies")
    both = opened.keys() & closed.keys()
    equal({c: closed[c] for c in both}, {c: opened[c] for c in both}, "labels of opens and ends")
    check(len(both) + lost >= seen > 0, f"{len(both)} opens of {seen} with their ends")


def test_fork_without_exec():
    exact(build(), (1000, times(10), "forks", 200), commands=False)


def test_exec_in_the_middle():
    """Connections that were opened before execve() end after it; both programs have one PID."""
    program = build()
    loads = [(serial, times(20), "exec") for serial in (1000, 2000, 3000)]
    truth, lines, _ = exact(program, *loads)
    equal(len({made.pid for made in truth.values()}), 3, "processes")
    for line in lines.named("connect"):
        check(get(line, "process.command_line"), f"a command line in {line}")


def test_handed_to_a_child():
    """Sockets that the opener closes and a child ends: they stay the opener's."""
    loads = [(serial, times(20), "handed") for serial in (1000, 2000, 3000)]
    exact(build(), *loads, commands=False)


def test_exit_with_many_sockets():
    """A process that ends with 10,000 open sockets, or as many as it may have: 20,000 closes within
    some 100 ms, of which a busy machine may lose some."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    number = min(10000, hard - 100)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    _, _, summary = exact(build(), (1000, number, "keep"), lossless=False)
    equal(summary["totals"]["opens"], number, "opens")


def test_short_lived_processes():
    """As many processes as the machine can start, each of which connects once and ends."""
    number = times(1500)
    program = build()
    started = time.monotonic()
    truth, lines, _ = exact(program, (10000, 1, "spawns", number), (100000, 1, "forks", number),
                            commands=False)
    equal(len(truth), 2 * number, "processes")
    named = sum("executable" in get(line, "process", {}) for line in lines.named("connect"))
    check(named >= 0.99 * 2 * number, f"{named} of {2 * number} have a name")
    for line in lines.named("connect"):
        command = get(line, "process.command_line", "").split()
        if label(line) < 100000 and command:
            equal(command[2], str(label(line)), "command line")
    if SOAK > 1:
        rate = 2 * number / (time.monotonic() - started)
        print(f"    {rate:,.0f} processes a second", flush=True)


def check_rows(doc, truth, lossless):
    """The rows of `report --by pid`, of the clients: each is of one process and says the
    connections that this one made; none, or fewer, where some were lost. Returns how many have no
    name."""
    unnamed, opens = 0, 0
    for row in doc["processes"]:
        opens += row["opens"]
        for destination in row["destinations"]:
            serial = serial_of(destination["address"])
            check(serial in truth, f"a label that nobody has: {destination['address']}")
            # What is beyond the list's end is in one row, of no process.
            if row["program"] != "~other":
                equal(get(row, "process.pid"), truth[serial].pid, f"{serial}: its process")
            command = get(row, "process.command_line", "").split()
            if "spawns" not in command and "forks" not in command and command:
                equal(command[2], str(serial), f"{serial}: its command line")
            made = truth.pop(serial).opens
            check(destination["opens"] == made or not lossless and destination["opens"] < made,
                  f"{serial}: {destination['opens']} opens, {made} were made")
            unnamed += "executable" not in row["process"] and row["program"] != "~other"
        if row["opens"] and row["program"] != "~other":
            equal(len(row["destinations"]), 1, f"destinations of {row['process']}")
    equal(opens, doc["totals"]["opens"], "opens of the rows")
    return unnamed


def brief(*options, lossless):
    """Each second 250 processes by fork() and 250 programs, which live for 5 ms and make 40
    connections: 20,000 connections a second."""
    seconds, program, served = max(1, times(1)), build(), server()
    tracer = Tracer("report", "--by", "pid", *options)
    begin = time.monotonic()
    loads = [start(program, served, 10000, 40, "forks", 250 * seconds, 250),
             start(program, served, 100000, 40, "spawns", 250 * seconds, 250)]
    for load in loads:
        load.wait(seconds=60)
    took = time.monotonic() - begin
    truth = made_by(*loads)
    made = sum(process.opens for process in truth.values())
    accepted = served.stop()["accepted"]
    doc = tracer.finish(lossless).doc
    lost = balance(doc, made, accepted, sum(process.failed for process in truth.values()))
    equal(len(truth), 500 * seconds, "processes")
    unnamed = check_rows(doc, dict(truth), lossless)
    lives = sorted(process.lived_us for process in truth.values())
    load = (f"{made / took:,.0f} connections a second, of processes that live "
            f"{lives[len(lives) // 2] / 1000:.1f} ms")
    if SOAK > 1:
        print(f"    {load}; {lost} lost", flush=True)
    if SOAK > 1 and made / took < 18000:
        raise Skip(f"the machine is too slow: {load}")
    check(unnamed <= len(truth) / 100, f"{unnamed} of {len(truth)} have no name")
    return lost, get(doc, "unattributed.process")


def test_brief_processes():
    equal(brief(lossless=True), (0, 0), "lost, and opens of no process")


def test_brief_processes_and_losses():
    """The same into a buffer that cannot hold what comes between two looks at it."""
    lost, _ = brief("--buffer-size", "4K", lossless=False)
    check(lost > 0, "nothing was lost")


# --- surroundings ---------------------------------------------------------------------------------


def test_namespace_deleted():
    """A network namespace goes away, with all that is in it, under a trace of it and one of all."""
    netns = Netns("doomed")
    pinned = Tracer("report", scope=["-N", str(netns.inode)])
    others = Tracer("report", scope=[])
    number = times(300)
    gone = oracle(run([*netns.enter, *churn("-n", number)]).stdout)
    held = Process([*netns.enter, *churn("-n", number, "--hold-for", 60)])
    until(lambda: len(os.listdir(f"/proc/{held.pid}/fd")) >= 2 * number, 20, "connections, held")
    sh("ip", "netns", "del", netns.name)
    held.stop(signal.SIGKILL, expect=-signal.SIGKILL)
    equal(gone["established"], number, "made")
    time.sleep(2)  # the namespace is taken apart by a worker of the kernel's
    here = run_churn("-n", 23)
    result = pinned.finish()
    equal(result.totals["opens"], 2 * number, "opens")
    equal(result.totals["accepts"], 2 * number, "accepts")
    equal(result.totals["closes"], 4 * number, "closes")
    result = others.finish(lossless=False)
    found = collections.Counter()
    for row in result.rows("churn"):
        for d in row["destinations"]:
            found[d["netns"], d["port"]] += d["opens"]
    lost = result.lost["events"]  # of other tests' connections, too
    for inode, truth in (netns_inode(), here), (netns.inode, gone):
        opens, made = found[inode, truth["port"]], truth["established"]
        check(made - lost <= opens <= made, f"{opens} opens of {made} in {inode}, {lost} lost")


def test_namespace_number_reused():
    """The number of a namespace that is gone is the next one's: who asked for the one before is not
    told of it. Others make namespaces meanwhile, so it takes a few attempts."""
    for attempt in range(5):
        first = Netns(f"first{attempt}")
        tracer = Tracer("report", scope=["-N", str(first.inode)])
        run([*first.enter, *churn("-n", 23)])
        sh("ip", "netns", "del", first.name)
        others = []
        while len(others) < 10 and not (others and others[-1].inode == first.inode):
            time.sleep(0.1)
            others.append(Netns(f"other{attempt}-{len(others)}"))
        run([*others[-1].enter, *churn("-n", 100)])
        result = tracer.finish()
        equal(result.totals["opens"], 23, "opens of the first")
        if others[-1].inode == first.inode:
            return
    raise Skip("the kernel gave the number to nobody")


def test_two_tracers():
    """Side by side, of other kinds and with other buffers: both count right."""
    sysctl("net.ipv4.ip_local_port_range", "1024 65535")
    tracers = [Tracer("report"), Tracer("trace", "--buffer-size", "64M"), Tracer("record"),
               Tracer("report", "--no-callsites")]
    truths = [run_churn("-n", times(2000), "-t", 4), run_churn("-n", times(500), "--refused"),
              run_churn("-n", times(2000), "--rst", "--processes", 4)]
    opens = sum(truth["established"] for truth in truths)
    results = [tracer.finish() for tracer in tracers]
    replayed = report_of(results[2])
    for counted in (results[0].totals, totals(results[1])["totals"], replayed, results[3].totals):
        equal(counted["opens"], opens, "opens")
        equal(counted["accepts"], opens, "accepts")
        equal(counted["closes"], 2 * opens, "closes")
        equal(counted["failures"], sum(map(failures, truths)), "failures")


def report_of(recording):
    done = run([TCPCHURN, "trace", "-j", "-i", recording])
    return totals(Lines(done.stdout))["totals"]
