#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Runs the fuzz targets, two at a time. What they find is left in BUILD/found; what they learn, in
BUILD/corpus, from where they go on the next time."""
import argparse
import os
import re
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.dont_write_bytecode = True
sys.path.insert(0, HERE)
import seeds  # noqa: E402

SHORT_SECONDS, SHORT_RUNS = 4, 20000
# A megabyte in is the most that is useful, and none may take seconds or hundreds of megabytes.
LIMITS = ["-timeout=10", "-rss_limit_mb=1024", "-malloc_limit_mb=256"]
MAX_LEN = {"recording": 65536, "elf": 65536, "records": 16384, "names": 4096}


class Running:
    def __init__(self, target, args):
        self.target, self.started = target, time.monotonic()
        corpus = os.path.join(args.build, "corpus", target)
        found = os.path.join(args.build, "found", target + "-")
        os.makedirs(corpus, exist_ok=True)
        os.makedirs(os.path.dirname(found), exist_ok=True)
        self.log = os.path.join(args.build, target + ".log")
        seconds = SHORT_SECONDS if args.short else args.seconds
        command = [os.path.join(args.build, "tests/fuzz/fuzz_" + target), *LIMITS,
                   f"-max_total_time={seconds}", f"-artifact_prefix={found}", "-close_fd_mask=3", "-entropic=0",
                   f"-max_len={MAX_LEN.get(target, 8192)}", "-print_final_stats=1"]
        words = os.path.join(HERE, target + ".dict")
        if os.path.exists(words):
            command.append("-dict=" + words)
        if args.short:
            # Always the same, and the corpus of the long form is left alone.
            command += [f"-runs={SHORT_RUNS}", "-seed=1"]
            corpus, learnt = os.path.join(args.build, "seeds", target), None
        else:
            learnt = corpus
            corpus = os.path.join(args.build, "seeds", target)
        command += [directory for directory in (learnt, corpus) if directory]
        with open(self.log, "w") as log:
            self.popen = subprocess.Popen(command, stdout=log, stderr=log)

    def report(self):
        with open(self.log, errors="replace") as f:
            text = f.read()
        runs = re.search(r"number_of_executed_units: (\d+)", text)
        ok = self.popen.returncode == 0
        print(f"{'ok' if ok else 'FAIL':4} {self.target}: {int(runs[1]) if runs else 0:,} runs in "
              f"{time.monotonic() - self.started:.0f} s", flush=True)
        if not ok:
            print("    " + "\n    ".join(text.splitlines()[-60:]), flush=True)
        return ok


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("targets", nargs="*", help="default: all")
    parser.add_argument("--build", required=True, metavar="DIR")
    parser.add_argument("--seconds", type=int, default=120, help="of each target")
    parser.add_argument("--short", action="store_true", help="seconds, and always the same runs")
    parser.add_argument("-j", "--jobs", type=int, default=2)
    args = parser.parse_args()
    targets = sorted(f[5:-2] for f in os.listdir(HERE) if re.fullmatch(r"fuzz_\w+\.c", f))
    unknown = set(args.targets) - set(targets)
    if unknown:
        sys.exit(f"run.py: no such target: {', '.join(sorted(unknown))}")
    seeds.write(os.path.join(args.build, "seeds"), os.path.join(args.build, "made"))
    queue, running, ok = args.targets or targets, [], True
    while queue or running:
        while queue and len(running) < args.jobs:
            running.append(Running(queue.pop(0), args))
        for one in list(running):
            if one.popen.poll() is not None:
                running.remove(one)
                ok &= one.report()
        time.sleep(0.05)
    return int(not ok)


if __name__ == "__main__":
    sys.exit(main())
