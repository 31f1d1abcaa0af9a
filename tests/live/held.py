# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Programs that are held at the entry of connect(2), whatever they are and block on or not, so that
another tool can look at their stack: seccomp_unotify(2) tells us of the call and waits for us."""
import ctypes
import fcntl
import os
import platform
import select
import socket
import struct

from lib import Process, check

CONNECT = {"x86_64": 42, "aarch64": 203}[platform.machine()]
SECCOMP = {"x86_64": 317, "aarch64": 277}[platform.machine()]
SET_MODE_FILTER, NEW_LISTENER = 1, 1 << 3
RECEIVE, SEND = 0xC0502100, 0xC0182101
CONTINUE = 1
LOAD_NUMBER, IF_EQUAL, RETURN = 0x20, 0x15, 0x06  # of classic BPF, on words
ALLOW, NOTIFY = 0x7FFF0000, 0x7FC00000

libc = ctypes.CDLL(None, use_errno=True)


class Filter(ctypes.Structure):
    _fields_ = [("nr", ctypes.c_ushort), ("code", ctypes.c_void_p)]


def _install():
    """A descriptor that tells of each connect() of this process and its descendants."""
    code = b"".join(struct.pack("=HBBI", *step) for step in (
        (LOAD_NUMBER, 0, 0, 0), (IF_EQUAL, 0, 1, CONNECT), (RETURN, 0, 0, NOTIFY),
        (RETURN, 0, 0, ALLOW)))
    buffer = ctypes.create_string_buffer(code)
    fd = libc.syscall(SECCOMP, SET_MODE_FILTER, NEW_LISTENER,
                      ctypes.byref(Filter(len(code) // 8, ctypes.addressof(buffer))))
    if fd < 0:
        raise OSError(ctypes.get_errno(), "seccomp")
    return fd


class Held:
    """A program; hold() waits for its next connect() to a port, and release() lets it go."""

    def __init__(self, command, **kwargs):
        ours, theirs = socket.socketpair()

        def prepare():
            fd = _install()
            socket.send_fds(theirs, [b"x"], [fd])
            os.close(fd)

        self.process = Process(command, preexec_fn=prepare, **kwargs)
        theirs.close()
        _, (self.fd, *_), _, _ = socket.recv_fds(ours, 1, 1)
        ours.close()
        self.call = None

    def receive(self, seconds=10):
        """Whose connect() it is, and to which port (None: no internet address)."""
        check(select.select([self.fd], [], [], seconds)[0],
              f"no connect() from {self.process.command}: {self.process.err}")
        notice = bytearray(80)
        fcntl.ioctl(self.fd, RECEIVE, notice)
        self.call, tid = struct.unpack_from("=QI", notice)
        address, length = struct.unpack_from("=QQ", notice, 40)
        with open(f"/proc/{tid}/mem", "rb") as memory:
            memory.seek(address)
            name = memory.read(min(length, 28))
        family, = struct.unpack_from("=H", name)
        if family not in (socket.AF_INET, socket.AF_INET6):
            return tid, None
        return tid, struct.unpack_from("!H", name, 2)[0]

    def hold(self, port):
        """The thread that is at the entry of its connect() to that port."""
        while True:
            tid, to = self.receive()
            if to == port:
                return tid
            self.release()

    def release(self):
        """A tracer that looked has interrupted the call: it has come anew, with another id."""
        while True:
            try:
                fcntl.ioctl(self.fd, SEND, struct.pack("=QqiI", self.call, 0, 0, CONTINUE))
                return
            except FileNotFoundError:
                self.receive()
