#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Asks the inventory for a number, again and again, and says how long connect() took."""
import argparse
import collections
import errno
import socket
import time


def in_stock(address, port, timeout):
    """How long connect() took, in seconds. Raises OSError."""
    start = time.monotonic()
    with socket.create_connection((address, port), timeout) as connection:
        took = time.monotonic() - start
        connection.sendall(b"how many?\n")
        connection.recv(4096)
    return took


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--address", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=7070)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--rate", type=float, default=40, help="questions a second")
    parser.add_argument("--timeout", type=float, default=1, help="in seconds")
    args = parser.parse_args()
    start, asked, slow, longest = time.monotonic(), 0, 0, 0
    failures = collections.Counter()
    while time.monotonic() - start < args.seconds:
        time.sleep(max(0.0, start + asked / args.rate - time.monotonic()))
        asked += 1
        try:
            took = in_stock(args.address, args.port, args.timeout)
        except OSError as error:
            failures[errno.errorcode.get(error.errno, type(error).__name__)] += 1
        else:
            slow += took > 0.005
            longest = max(longest, took)
    why = "".join(f", {name} {count}" for name, count in failures.most_common())
    print(f"{asked} questions, {slow} slow (up to {longest * 1000:.1f} ms),"
          f" {sum(failures.values())} failed{why}")


if __name__ == "__main__":
    main()
