#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""A service in miniature: HTTP/1.1 with keep-alive, for those who want it."""
import argparse
import asyncio
import socket

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n%s\r\nok\n"


class Connection(asyncio.Protocol):
    def __init__(self):
        self.received = b""

    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        self.received += data
        while b"\r\n\r\n" in self.received:
            head, self.received = self.received.split(b"\r\n\r\n", 1)
            last = b"connection: close" in head.lower()
            self.transport.write(ANSWER % (b"Connection: close\r\n" if last else b""))


async def serve(address, port, seconds):
    """Whoever asked closes: this side reads the end and follows."""
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((address, port))
    server = await asyncio.get_running_loop().create_server(
        Connection, sock=listener, backlog=1024
    )
    print("ready", flush=True)
    async with server:
        await asyncio.sleep(seconds)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--address", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--seconds", type=float, default=60, help="end after so long")
    args = parser.parse_args()
    asyncio.run(serve(args.address, args.port, args.seconds))


if __name__ == "__main__":
    main()
