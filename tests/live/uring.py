# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""connect() and accept() by io_uring, one at a time.

usage: uring.py ADDRESS PORT COUNT: connects, prints {errno: count}
       uring.py accept PORT COUNT: prints "ready", accepts and keeps, prints "served", stays

The ABI is that of io_uring_setup(2) and io_uring_enter(2); nothing but libc is needed."""
import collections
import ctypes
import mmap
import os
import socket
import struct
import sys
import time

SYS_SETUP, SYS_ENTER = 425, 426  # the same on every architecture
OFF_SQ_RING, OFF_CQ_RING, OFF_SQES = 0, 0x8000000, 0x10000000
ENTER_GETEVENTS = 1
OP_ACCEPT, OP_CONNECT = 13, 16
PARAMS = "10I" + "10I" + "10I"  # io_uring_params: head, sq_off, cq_off (8 words and a u64 each)

libc = ctypes.CDLL(None, use_errno=True)


class Ring:
    def __init__(self):
        params = ctypes.create_string_buffer(struct.calcsize(PARAMS))
        self.fd = libc.syscall(SYS_SETUP, 4, params)
        if self.fd < 0:
            raise OSError(ctypes.get_errno(), "io_uring_setup")
        p = struct.unpack(PARAMS, params)
        self.sq_off, self.cq_off = p[10:20], p[20:30]
        self.sq = mmap.mmap(self.fd, self.sq_off[6] + p[0] * 4, offset=OFF_SQ_RING)
        self.cq = mmap.mmap(self.fd, self.cq_off[5] + p[1] * 16, offset=OFF_CQ_RING)
        self.sqes = mmap.mmap(self.fd, p[0] * 64, offset=OFF_SQES)
        self.entries = p[0]

    def word(self, ring, offset, value=None):
        if value is None:
            return struct.unpack_from("I", ring, offset)[0]
        return struct.pack_into("I", ring, offset, value & 0xFFFFFFFF)

    def connect(self, fd, sockaddr):
        return self.request(OP_CONNECT, fd, len(sockaddr), ctypes.addressof(sockaddr))

    def accept(self, fd):
        return self.request(OP_ACCEPT, fd, 0, 0)

    def request(self, operation, fd, offset, address):
        tail = self.word(self.sq, self.sq_off[1])
        slot = tail % self.entries
        struct.pack_into("BBHiQQII28x", self.sqes, slot * 64, operation, 0, 0, fd, offset,
                         address, 0, 0)
        self.word(self.sq, self.sq_off[6] + slot * 4, slot)
        self.word(self.sq, self.sq_off[1], tail + 1)
        if libc.syscall(SYS_ENTER, self.fd, 1, 1, ENTER_GETEVENTS, None, 0) < 0:
            raise OSError(ctypes.get_errno(), "io_uring_enter")
        head = self.word(self.cq, self.cq_off[0])
        entry = self.cq_off[5] + (head & self.word(self.cq, self.cq_off[2])) * 16
        result = struct.unpack_from("i", self.cq, entry + 8)[0]
        self.word(self.cq, self.cq_off[0], head + 1)
        return result


def available():
    try:
        os.close(Ring().fd)
        return True
    except OSError:
        return False


def serve(port, count):
    listener, ring = socket.create_server(("127.0.0.1", port)), Ring()
    print("ready", flush=True)
    kept = [ring.accept(listener.fileno()) for _ in range(count)]
    print("served", min(kept), flush=True)
    time.sleep(30)


def main():
    if sys.argv[1] == "accept":
        return serve(int(sys.argv[2]), int(sys.argv[3]))
    address, port, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    raw = struct.pack("=H", socket.AF_INET) + struct.pack("!H", port) + \
        socket.inet_aton(address) + bytes(8)
    sockaddr = ctypes.create_string_buffer(raw, len(raw))
    ring, errors = Ring(), collections.Counter()
    for _ in range(count):
        s = socket.socket()
        result = ring.connect(s.fileno(), sockaddr)
        if result < 0:
            errors[-result] += 1
        s.close()
    print(dict(errors))


if __name__ == "__main__":
    main()
