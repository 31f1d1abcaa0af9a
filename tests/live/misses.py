# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""State changes of sockets that a tracer misses: the kernel skips a program that is running on the
CPU already, and counts it, but not when anybody asks for it. So the tracer's own switch is turned
off meanwhile, in the memory that its programs and it share.

The ABI is that of bpf(2) and Documentation/bpf/btf.rst; nothing but libc is needed."""
import contextlib
import ctypes
import mmap
import os
import platform
import struct

SYS_BPF = {"x86_64": 321, "aarch64": 280}[platform.machine()]
MAP_GET_FD_BY_ID, OBJ_GET_INFO_BY_FD, BTF_GET_FD_BY_ID = 14, 15, 19
MAP_INFO_LEN, BTF_INFO_LEN = 80, 16
KIND_VAR, KIND_DATASEC = 14, 15
# What follows a type of that kind, and each of its members: bytes.
BTF_FIXED = {1: 4, 3: 12, KIND_VAR: 4, 17: 4}
BTF_MEMBER = {4: 12, 5: 12, 6: 8, 13: 8, KIND_DATASEC: 12, 19: 12}

libc = ctypes.CDLL(None, use_errno=True)


def _bpf(command, attributes):
    buffer = ctypes.create_string_buffer(attributes, 128)
    result = libc.syscall(SYS_BPF, command, buffer, 128)
    if result < 0:
        raise OSError(ctypes.get_errno(), f"bpf({command})")
    return result


def _info(fd, size, content=b""):
    """What the kernel says of an object; `content`: what its info begins with."""
    buffer = ctypes.create_string_buffer(content, size)
    _bpf(OBJ_GET_INFO_BY_FD, struct.pack("=IIQ", fd, size, ctypes.addressof(buffer)))
    return buffer.raw


def _maps(pid):
    """{name: descriptor of ours} of the maps that a process holds."""
    found = {}
    for entry in os.listdir(f"/proc/{pid}/fdinfo"):
        with open(f"/proc/{pid}/fdinfo/{entry}") as f:
            lines = dict(line.split(":", 1) for line in f if ":" in line)
        if "map_id" in lines:
            fd = _bpf(MAP_GET_FD_BY_ID, struct.pack("=I", int(lines["map_id"])))
            name = _info(fd, MAP_INFO_LEN)[24:40].rstrip(b"\0").decode()
            found[name] = fd
    return found


def _types(btf_id):
    """(name, kind, members or nothing) of each type, the first one's number being 1."""
    fd = _bpf(BTF_GET_FD_BY_ID, struct.pack("=I", btf_id))
    size, = struct.unpack_from("=I", _info(fd, BTF_INFO_LEN), 8)
    btf = ctypes.create_string_buffer(size)
    _info(fd, BTF_INFO_LEN, struct.pack("=QI", ctypes.addressof(btf), size))
    os.close(fd)
    head, at, length, names = struct.unpack_from("=IIII", btf.raw, 4)
    at += head
    end = at + length
    while at < end:
        name, info, _ = struct.unpack_from("=III", btf.raw, at)
        kind, nr = info >> 24 & 31, info & 0xffff
        at += 12 + BTF_FIXED.get(kind, 0)
        yield (btf.raw[head + names + name:].split(b"\0", 1)[0].decode(), kind,
               [struct.unpack_from("=III", btf.raw, at + 12 * i) for i in range(nr)]
               if kind == KIND_DATASEC else [])
        at += BTF_MEMBER.get(kind, 0) * nr


class Switch:
    """bool `ready` of a tracer."""

    def __init__(self, tracer):
        maps = _maps(tracer.pid)
        (fd,) = [fd for name, fd in maps.items() if name.endswith(".bss")]
        size, = struct.unpack_from("=I", _info(fd, MAP_INFO_LEN), 12)
        btf_id, = struct.unpack_from("=I", _info(fd, MAP_INFO_LEN), 64)
        self.memory = mmap.mmap(fd, (size + mmap.PAGESIZE - 1) // mmap.PAGESIZE * mmap.PAGESIZE)
        for fd in maps.values():
            os.close(fd)
        types = list(_types(btf_id))
        (variables,) = [members for name, kind, members in types if name == ".bss"]
        (self.at,) = [offset for number, offset, _ in variables
                      if types[number - 1][0] == "ready"]
        if self.memory[self.at] != 1:
            raise AssertionError("that is not the switch of a tracer that is ready")

    @contextlib.contextmanager
    def missing(self):
        """What happens meanwhile is missed."""
        self.memory[self.at] = 0
        yield
        self.memory[self.at] = 1


def addresses(local=None, remote=None):
    """Where the sockets are in the kernel's memory that have such a port (as proc(5) has it: a hash
    of it, the same one for as long as the machine runs)."""
    found = set()
    with open("/proc/self/net/tcp") as f:
        for line in list(f)[1:]:
            fields = line.split()
            ends = [int(end.split(":")[1], 16) for end in fields[1:3]]
            if local in (None, ends[0]) and remote in (None, ends[1]):
                found.add(fields[11])
    return found - {"0" * 16}
