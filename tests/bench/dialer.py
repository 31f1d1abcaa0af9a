# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""dialer.py ADDRESS:PORT SECONDS THREADS: opens connections as fast as CPython can, a byte each
way, closed by a reset, and prints as tools/churn does how many there were.

At connect() a thread has twelve frames: three of the threading module, nine of ours."""
import json
import socket
import struct
import sys
import threading
import time

RESET = struct.pack("ii", 1, 0)


def dial(target):
    with socket.socket() as s:
        s.connect(target)
        s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        s.sendall(b"x")
        return s.recv(1)


def query(target):
    return dial(target)


def fetch(target):
    return query(target)


def lookup(target):
    return fetch(target)


def check(target):
    return lookup(target)


def poll(target):
    return check(target)


def visit(target):
    return poll(target)


def step(target):
    return visit(target)


def work(target, end, done):
    nr = 0
    while time.monotonic() < end:
        step(target)
        nr += 1
    done.append(nr)


def main():
    host, port = sys.argv[1].rsplit(":", 1)
    seconds, nr_threads = float(sys.argv[2]), int(sys.argv[3])
    begin, done = time.monotonic(), []
    threads = [
        threading.Thread(target=work, args=((host, int(port)), begin + seconds, done))
        for _ in range(nr_threads)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    taken = time.monotonic() - begin
    print(json.dumps({"established": sum(done), "errno": {} if len(done) == nr_threads else 1,
                      "per_second": sum(done) / taken}))


main()
