#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Health checks of the local resolver, by several pollers in one process."""
import argparse
import threading
import time

import requests


class HealthChecker:
    """With `kept`, the session lives as long as the checker; without, as long as one check."""

    def __init__(self, url, kept):
        self.url = url
        self.session = requests.Session() if kept else None

    def check_health(self):
        session = self.session or requests.Session()
        response = session.get(self.url, timeout=2)
        return response.status_code == 200


class Tally:
    def __init__(self):
        self.lock = threading.Lock()
        self.ok = self.failed = 0

    def add(self, ok):
        with self.lock:
            self.ok += ok
            self.failed += not ok


def poll(checker, interval, deadline, tally):
    due = time.monotonic()
    while due < deadline:
        time.sleep(max(0.0, due - time.monotonic()))
        due += interval
        try:
            ok = checker.check_health()
        except requests.RequestException:
            ok = False
        tally.add(ok)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", default="http://127.0.0.1:8053/health")
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--pollers", type=int, default=10)
    parser.add_argument("--interval", type=float, default=0.05, help="of one poller, in seconds")
    parser.add_argument("--fixed", action="store_true", help="keep the session on the object")
    args = parser.parse_args()
    deadline = time.monotonic() + args.seconds
    tally = Tally()
    threads = [
        threading.Thread(
            target=poll, args=(HealthChecker(args.url, args.fixed), args.interval, deadline, tally)
        )
        for _ in range(args.pollers)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(f"{tally.ok + tally.failed} checks, {tally.failed} failed")


if __name__ == "__main__":
    main()
