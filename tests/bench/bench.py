#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Measures what tcpchurn costs and how fast it is, and writes the table in README.md. Needs root,
and a machine that does nothing else; about ten minutes. Results are kept in build/bench.json: with
--only, the other sections' figures are those of the last time."""
import argparse
import json
import os
import platform
import re
import sys
import time

import memory
import rates
import stacks
import table
import throughput
import times
from lib import (BUILD, CHURN, CPUS, DEEP, EMPTY, PYTHON_NAME, ROOT, TCPCHURN, CannotStart, fail,
                 say)

SECTIONS = {
    "throughput": throughput.native,
    "python": throughput.python,
    "rates": rates.measure,
    "connections": stacks.connections,
    "opens": stacks.opens,
    "share": stacks.share,
    "memory": memory.measure,
    "life": times.life,
    "replay": times.replay,
    "census": times.census,
}
KEPT = f"{BUILD}/bench.json"
README = f"{ROOT}/README.md"
BEGIN, END = "<!-- bench: written by make bench -->\n", "<!-- /bench -->\n"


def machine():
    with open("/proc/cpuinfo") as f:
        model = re.search(r"^model name\s*: (.*)$", f.read(), re.M)
    return {"kernel": platform.release(), "cpus": CPUS, "arch": platform.machine(),
            "python": PYTHON_NAME,
            "model": re.sub(r"\s*(\(R\)|\(TM\)|Processor|CPU)", "", model.group(1)) if model else ""}


def kept():
    """Of the last time, unless that was another machine."""
    try:
        with open(KEPT) as f:
            results = json.load(f)
    except (FileNotFoundError, ValueError):
        results = {}
    return results if results.get("machine") == machine() else {"machine": machine()}


def keep(results):
    with open(KEPT + ".new", "w") as f:
        json.dump(results, f, indent=1)
    os.rename(KEPT + ".new", KEPT)


def write_readme(text):
    with open(README) as f:
        page = f.read()
    begin, end = page.find(BEGIN), page.find(END)
    if begin < 0 or end < begin:
        fail(f"{README}: no place for the table ({BEGIN.strip()})")
    with open(README, "w") as f:
        f.write(page[:begin] + BEGIN + text + page[end:])


def sections(text):
    names = text.split(",")
    for name in names:
        if name not in SECTIONS:
            raise argparse.ArgumentTypeError(f"{name}: not one of {', '.join(SECTIONS)}")
    return names


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="sections:\n" + "\n".join(f"  {name:12} {function.__doc__}"
                                         for name, function in SECTIONS.items()))
    parser.add_argument("--only", type=sections, default=list(SECTIONS), metavar="SECTION,...")
    parser.add_argument("--table", action="store_true", help="only write the table anew")
    args = parser.parse_args()
    if os.geteuid():
        fail("needs root")
    for path in TCPCHURN, CHURN, DEEP, EMPTY:
        if not os.access(path, os.X_OK):
            fail(f"{path}: not there; use make bench")
    results = kept()
    for name in [] if args.table else args.only:
        begin = time.monotonic()
        say(f"{name}: {SECTIONS[name].__doc__}")
        try:
            results[name] = SECTIONS[name]()
        except CannotStart as why:
            fail(why)
        keep(results)
        say(f"  {time.monotonic() - begin:.0f} s")
    text = table.markdown(results)
    write_readme(text)
    sys.stdout.write(text)


if __name__ == "__main__":
    main()
