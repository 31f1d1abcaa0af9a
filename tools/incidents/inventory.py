#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""A service with a leak: it answers, and forgets to close what it accepted. --fixed closes."""
import argparse
import select
import socket
import time

forgotten = []  # kept here, as by a cache or an error path that nobody looks at


def answer(connection, fixed):
    connection.recv(4096)
    connection.sendall(b"42 in stock\n")
    if fixed:
        connection.recv(4096)  # the client's end
        connection.close()
    else:
        forgotten.append(connection)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--address", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=7070)
    parser.add_argument("--seconds", type=float, default=60, help="end after so long")
    parser.add_argument("--fixed", action="store_true", help="close connections")
    args = parser.parse_args()
    listener = socket.create_server((args.address, args.port), backlog=128)
    print("ready", flush=True)
    end = time.monotonic() + args.seconds
    while time.monotonic() < end:
        if select.select([listener], [], [], 0.2)[0]:
            connection, _ = listener.accept()
            answer(connection, args.fixed)


if __name__ == "__main__":
    main()
