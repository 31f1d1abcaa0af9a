# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""From results to the table in README.md: each figure beside its target, whether it is met or not;
where it is not, where the time goes."""
import textwrap

MIB = 1 << 20


class Row:
    def __init__(self, figure, measured, target="", met=None, why=""):
        """met: None where there is nothing to meet; why: where the time goes if it is not."""
        self.figure, self.measured, self.target = figure, measured, target
        self.met, self.why = met, why

    def __str__(self):
        verdict = {None: "", True: "met", False: "**not met**"}[self.met]
        return f"| {self.figure} | {self.measured} | {self.target} | {verdict} |"


def percent(s, scale=100):
    return (f"{scale * s['median']:.1f} % ({scale * s['low']:.1f} - {scale * s['high']:.1f})")


def ranged(s, scale, unit, digits=2):
    low, median, high = (f"{scale * s[key]:,.{digits}f}" for key in ("low", "median", "high"))
    return f"{median} {unit} ({low} - {high})"


def count(nr):
    return f"{nr:,.0f}"


# --- throughput ----------------------------------------------------------------------------------


def where_throughput_goes(section, bpf_ns, cpus):
    """Of all processors' time under tracing: what a connection takes, times connections."""
    tracer = section["tracers"]["tcpchurn"]
    rate = tracer["rate"]["median"]
    us = 1e6 * cpus / rate
    text = f"A connection takes {us:.0f} us of processor time: "
    if bpf_ns:
        text += f"our BPF programs {bpf_ns / 1000:.1f} us of it (with the kernel's measuring), "
    return text + f"the tracer's user side {tracer['cpu_us']:.1f} us."


def kept_row(what, section, bpf_ns, cpus):
    tracer = section["tracers"]["tcpchurn"]
    return Row(f"throughput kept, saturated, {what}",
               f"{percent(tracer['kept'])}: {count(tracer['rate']['median'])} of "
               f"{count(section['none']['median'])}/s", ">= 97 %",
               tracer["kept"]["median"] >= 0.97, where_throughput_goes(section, bpf_ns, cpus))


def bpf_ns(results, name):
    return results.get("connections", {}).get(name, {}).get("ns", {}).get("median", 0)


def peer_rows(section):
    names = {"tcplife": "tcplife", "tcpstates": "tcpstates", "bpftrace": "bpftrace, count by comm"}
    for name, shown in names.items():
        if name in section["missing"]:
            yield Row(f"- beside it: {shown}", f"does not run here: {section['missing'][name]}")
        else:
            peer = section["tracers"][name]
            lost = f", {count(peer['lost'])} events lost" if peer["lost"] else ""
            yield Row(f"- beside it: {shown}", f"{percent(peer['kept'])}{lost}")


def lost_row(results):
    made = lost = missed = 0
    for name in "throughput", "python":
        tracer = results.get(name, {}).get("tracers", {}).get("tcpchurn")
        if tracer:
            made += tracer["made"]
            lost += tracer["lost"]
            missed += tracer["missed"]
    if made:
        yield Row("events lost at saturation, default buffer",
                  f"{count(lost)}; {count(missed)} of {count(made)} opens missing", "0",
                  lost == 0 and missed == 0,
                  "The tracer did not get to run for longer than the buffers hold.")


def throughput(results, machine):
    native, python = results.get("throughput"), results.get("python")
    if native:
        yield kept_row("native call sites", native, bpf_ns(results, "native"), machine["cpus"])
        yield Row("- the noise: the second untraced run of a round, of the first", percent(native["noise"]))
        yield from peer_rows(native)
    if python:
        yield kept_row("CPython client and server", python, bpf_ns(results, "python"),
                       machine["cpus"])
        yield Row("- the noise: the second untraced run of a round, of the first", percent(python["noise"]))
    yield from lost_row(results)


# --- open loop -----------------------------------------------------------------------------------


def rates(results, _):
    section = results.get("rates", [])
    for mode in "RST", "FIN":
        runs = [run for run in section if run["mode"] == mode]
        if not runs:
            continue
        asked = " / ".join(count(run["asked"]) for run in runs)
        made = " / ".join(count(run["untraced"]["rate"]) for run in runs)
        traced = " / ".join(count(run["traced"]["rate"]) for run in runs)
        lost = sum(run["traced"]["lost"] for run in runs)
        missed = sum(run["traced"]["missed"] for run in runs)
        cpu = " / ".join(f"{100 * run['traced']['cpu']:.1f}" for run in runs)
        yield Row(f"open loop, {mode}, {asked} asked a second",
                  f"{made} without, {traced} with; {count(lost)} lost, {count(missed)} missing",
                  "0 lost", lost == 0 and missed == 0,
                  "The tracer did not get to run for longer than the buffers hold.")
        yield Row("- the tracer's CPU at these rates, % of one core", cpu)
    at_10k = [run["traced"]["cpu"] for run in section if run["asked"] == 10000]
    if at_10k:
        yield Row("tracer CPU at 10,000 connections/s, % of one core",
                  " and ".join(f"{100 * cpu:.1f} %" for cpu in at_10k) + " (RST, FIN)", "<= 3 %",
                  max(at_10k) <= 0.03,
                  f"{1e6 * max(at_10k) / 1e4:.1f} us for the four records of a connection, two of "
                  "each end, most of it in the model (perf: histograms, tables of connections and "
                  "pairs).")


# --- time in the kernel --------------------------------------------------------------------------

UP_TO_3_12 = ("Up to CPython 3.12 a breakpoint counts the code objects that are freed; where none can "
              "be set, each is looked at, at each open, lest one be taken for another that had its "
              "address. Before 3.11 each frame is read by itself. 3.13 and 3.14 count what changes.")
CONNECTIONS = [  # (result, what, target in ns, the result whose load is the same without stacks)
    ("none", "no stacks", 1000, None),
    ("native", "native stacks", 2500, "none"),
    ("python", "CPython stacks", 3500, "python none"),
]


def connections(results, _):
    section = results.get("connections")
    if not section:
        return
    empty = section["empty"]
    for name, what, target, base in CONNECTIONS:
        figure = section[name]
        why = (f"{figure['runs']['median']:.0f} runs of our programs a connection (both ends); as "
               f"many of empty ones take {empty['ns']['median'] / 1000:.2f} us, as the kernel "
               "measures.")
        if base:
            why += f" Without stacks this load takes {section[base]['ns']['median'] / 1000:.2f} us."
        if name == "python":
            why += f" {UP_TO_3_12}"
        yield Row(f"BPF time a connection, both ends, {what}", ranged(figure["ns"], 1e-3, "us"),
                  f"<= {target / 1000:.1f} us", figure["ns"]["median"] <= target, why)
    yield Row("- two empty programs in their place", ranged(empty["ns"], 1e-3, "us"))


OPENS = [  # (result, the same without stacks, what, target in ns)
    ("native", "none", "native, 17 frames, seen before", 1500),
    ("moving", "moving none", "native, 17 frames, walked anew each time", None),
    ("python", "python none", "CPython, 12 frames", 1500),
]


def opens(results, _):
    section = results.get("opens")
    for name, base, what, target in OPENS if section else []:
        with_it, without = section[name]["ns"]["median"], section[base]["ns"]["median"]
        taken = with_it - without
        yield Row(f"stack of an open, warm: {what}",
                  f"{taken / 1000:.2f} us ({with_it / 1000:.2f} less {without / 1000:.2f})",
                  "<= 1.5 us" if target else "", taken <= target if target else None,
                  UP_TO_3_12 if name == "python"
                  else "Reading user memory and, of a walk, a lookup for each frame.")


def share(results, _):
    section = results.get("share")
    if not section:
        return
    names = {"churn": "C", "deep": "C without frame pointers"}
    shares = {names.get(name, "CPython"): row["named"] / row["opens"]
              for name, row in section.items()}
    yield Row("opens with a call site, of processes that run when a report of 10 s begins",
              ", ".join(f"{name} {100 * value:.1f} %" for name, value in shares.items()),
              ">= 99 %", min(shares.values()) >= 0.99,
              "The opens of the first moments, until their files' call frame information is read.")


# --- memory, times -------------------------------------------------------------------------------


def mib(nr):
    return f"{nr / MIB:.1f} MiB"


def memory(results, _):
    section = results.get("memory")
    if not section:
        return
    live, closed = section["live"], section["closed"]
    first, last = closed["rss"][1], closed["rss"][-1]
    yield Row("BPF maps, default options", mib(closed["maps"]), "<= 32 MiB",
              closed["maps"] <= 32 * MIB,
              "The states of --max-conns connections take 16 MiB, the buffers 10, the rules of "
              "native code 2.8.")
    yield Row(f"memory at {count(live['live'])} live connections, BPF maps apart",
              f"{mib(live['rss'])} (at the start {mib(live['idle'])}); the maps "
              f"{mib(live['maps'])}, with --max-conns 100000", "<= 64 MiB",
              live["rss"] <= 64 * MIB, "")
    yield Row("memory after 1,000,000 closed connections, BPF maps apart",
              f"{mib(last)}; after 200,000 {mib(first)}", "<= 64 MiB, no growth",
              last <= 64 * MIB and last <= first * 1.05,
              "What a burst has once filled stays allocated.")
    if "programs" in section:
        rss = section["programs"]["rss"]
        yield Row("the same after 400 programs of 16 threads, one after another",
                  f"{mib(rss[-1])}; after 200 {mib(rss[1])}", "<= 64 MiB", rss[-1] <= 64 * MIB,
                  "Of each its process, destination and call sites are remembered.")
    lost = live["lost"] + closed["lost"], live["missed"] + closed["missed"]
    yield Row("- lost meanwhile", f"{count(lost[0])}; {count(lost[1])} opens missing", "0",
              not any(lost), "The tracer did not get to run for longer than the buffers hold.")


def life(results, _):
    section = results.get("life")
    if section:
        yield Row("from start to the first event", ranged(section["start"], 1000, "ms", 0),
                  "<= 300 ms", section["start"]["median"] <= 0.3,
                  "A third is the verifier's search through all names of types, one by one, for the "
                  "pointers that our programs follow (perf: btf_find_by_name_kind); most of the "
                  "rest is the verifier too, and libbpf reading the kernel's types.")
        yield Row("from SIGINT to the end", ranged(section["exit"], 1000, "ms", 0), "<= 500 ms",
                  section["exit"]["median"] <= 0.5, "")


def replay(results, _):
    section = results.get("replay")
    if section:
        yield Row(f"replay of a recording of {count(section['events'])} events",
                  ranged(section["rate"], 1, "events/s", 0), ">= 500,000 events/s",
                  section["rate"]["median"] >= 500000,
                  "Parsing JSON takes more than half, zlib a quarter (perf).")
        yield Row("- lost while it was recorded, at 15,000 connections/s",
                  f"{count(section['lost'])} events", "0", section["lost"] == 0,
                  "The thread that reads the buffers also makes JSON, compresses and writes it.")


def census(results, _):
    section = results.get("census")
    if section:
        ratio = section["ports"]["median"] / section["ss"]["median"]
        yield Row(f"`ports` with {count(section['there'])} sockets in TIME_WAIT, against `ss -tan`",
                  f"{100 * ratio:.0f} %: {ranged(section['ports'], 1000, 'ms', 0)} against "
                  f"{ranged(section['ss'], 1000, 'ms', 0)}", "<= 50 %", ratio <= 0.5,
                  "Two thirds of it the kernel walks through its table of sockets, slower for the BPF "
                  "iterator than for netlink; `--no-bpf` does with the latter, and knows less.")


PARTS = [throughput, rates, connections, opens, share, memory, life, replay, census]


def markdown(results):
    machine = results["machine"]
    rows = [row for part in PARTS for row in part(results, machine)]
    lines = ["| figure | measured, median (lowest - highest) | target | |", "| --- | --- | --- | --- |"]
    lines += map(str, rows)
    lines += ["", *textwrap.wrap(f"{machine['model'] or machine['arch']}, {machine['cpus']} CPUs, "
                                 f"Linux {machine['kernel']}, {machine['python']}. "
                                 f"{METHOD}", 99)]
    missed = [row for row in rows if row.met is False and row.why]
    if missed:
        lines += ["", "Where it is not met:", ""]
        for row in missed:
            lines += textwrap.wrap(f"* {row.figure}: {row.why}", 99, subsequent_indent="  ")
    return "\n".join(lines) + "\n"


METHOD = (
    "Loads on loopback: both ends of a connection are traced. Saturating loads run without and with a "
    "tracer in turns (A B B A, 25 rounds), throughput kept is that of a round. \"Lost\" is what "
    "the tracer says, \"missing\" what the generator's own count says. BPF time is the kernel's "
    "(bpf_stats), in runs of their own; nothing is subtracted from it."
)
