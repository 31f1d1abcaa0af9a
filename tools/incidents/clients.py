#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Users of a service: requests at a fixed rate, each on a connection of its own or (--keep) over
connections that are kept."""
import argparse
import asyncio
import collections
import time

REQUEST = b"GET / HTTP/1.1\r\nHost: service\r\n\r\n"


class User:
    timeout = 10  # seconds; a machine that has other things to do is no incident

    def __init__(self, address, port, keep):
        self.address, self.port, self.keep = address, port, keep
        self.idle = []

    async def exchange(self, reader, writer):
        writer.write(REQUEST)
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(
            int(line.split(b":")[1]) for line in head.lower().split(b"\r\n")
            if line.startswith(b"content-length:")
        )
        await reader.readexactly(length)
        return int(head.split()[1])

    async def ask(self):
        """The status of the answer. Raises OSError or EOFError where there is none."""
        reader, writer = (
            self.idle.pop() if self.idle
            else await asyncio.open_connection(self.address, self.port)
        )
        try:
            status = await asyncio.wait_for(self.exchange(reader, writer), self.timeout)
        except BaseException:
            writer.close()
            raise
        if self.keep:
            self.idle.append((reader, writer))
        else:
            writer.close()
        return status


async def one(user, answers):
    try:
        answers[str(await user.ask())] += 1
    except (OSError, EOFError, asyncio.TimeoutError) as error:
        answers[type(error).__name__] += 1


async def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--address", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--rate", type=float, default=100, help="requests a second")
    parser.add_argument("--keep", action="store_true", help="keep connections")
    args = parser.parse_args()
    user = User(args.address, args.port, args.keep)
    answers, pending, most = collections.Counter(), set(), 0
    start, sent = time.monotonic(), 0
    while time.monotonic() - start < args.seconds:
        while sent < (time.monotonic() - start) * args.rate:
            task = asyncio.ensure_future(one(user, answers))
            pending.add(task)
            task.add_done_callback(pending.discard)
            sent += 1
        most = max(most, len(pending))
        await asyncio.sleep(0.005)
    await asyncio.gather(*pending)
    good = answers.pop("200", 0)
    why = "".join(f", {name} {count}" for name, count in answers.most_common())
    print(f"{sent} requests, {most} waiting at the most, {sent - good} failed{why}")


if __name__ == "__main__":
    asyncio.run(main())
