#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""A DNS forwarder in miniature: passes a few queries a second on to the resolver, over HTTP."""
import argparse
import collections
import errno
import http.client
import struct
import time


def dns_query(number, name):
    labels = b"".join(bytes([len(part)]) + part.encode() for part in name.split("."))
    return struct.pack(">HHHHHH", number, 0x0100, 1, 0, 0, 0) + labels + struct.pack(">BHH", 0, 1, 1)


def forward(address, port, query):
    """The answer's four bytes of address. Raises OSError when the resolver cannot be reached."""
    upstream = http.client.HTTPConnection(address, port, timeout=2)
    try:
        upstream.request("POST", "/dns-query", query, {"Content-Type": "application/dns-message"})
        return upstream.getresponse().read()[-4:]
    finally:
        upstream.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--address", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8053)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--rate", type=float, default=10, help="queries a second")
    args = parser.parse_args()
    start = time.monotonic()
    failures = collections.Counter()
    queries = 0
    while time.monotonic() - start < args.seconds:
        time.sleep(max(0.0, start + queries / args.rate - time.monotonic()))
        queries += 1
        try:
            forward(args.address, args.port, dns_query(queries & 0xFFFF, "www.example.org"))
        except OSError as error:
            failures[errno.errorcode.get(error.errno, type(error).__name__)] += 1
    why = "".join(f", {name} {count}" for name, count in failures.most_common())
    print(f"{queries} queries, {sum(failures.values())} failed{why}")


if __name__ == "__main__":
    main()
