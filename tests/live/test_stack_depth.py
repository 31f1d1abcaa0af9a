# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""The kernel counts the same bytes of stack as tests/unit/bpf_stack.py, in each program that it
takes here."""
import ctypes
import os
import re
import sys

from lib import ROOT, TCPCHURN, check, equal

sys.path.append(os.path.join(ROOT, "tests/unit"))
import bpf_stack  # noqa: E402

OBJECTS = [os.path.join(os.path.dirname(TCPCHURN), "bpf", name)
           for name in ("tcpchurn.bpf.o", "socket_census.bpf.o")]
EVERYWHERE = {"process_tp_btf", "softirq_tp_btf", "process_raw_tp", "softirq_raw_tp", "tcp_census"}
BPF_LOG_STATS = 4
LOG_BYTES = 1 << 16


def in_slots(used):
    """Some kernels count whole words."""
    return -(-used // 8) * 8


def libbpf():
    library = ctypes.CDLL("libbpf.so.1", use_errno=True)
    library.libbpf_set_print(None)
    library.bpf_program__name.restype = ctypes.c_char_p
    for name in ("bpf_object__open", "bpf_object__next_program", "bpf_object__find_map_by_name",
                 "bpf_map__initial_value"):
        getattr(library, name).restype = ctypes.c_void_p
    return library


def filter_all(library, opened, symbols):
    """The kernel does not count what is dead code without filters."""
    rodata = ctypes.c_void_p(library.bpf_object__find_map_by_name(opened, b".rodata"))
    value = library.bpf_map__initial_value(rodata, ctypes.byref(ctypes.c_size_t()))
    for symbol in symbols:
        if re.fullmatch(r"cfg_(comm|netns|nr_\w+)", symbol.name):
            ctypes.memset(value + symbol.value, 1, 1)


def frames_here(library, path, symbols, wanted):
    """What the kernel says of one program's functions, in their order; None: it refuses it."""
    opened = ctypes.c_void_p(library.bpf_object__open(path.encode()))
    check(opened, f"cannot open {path}")
    filter_all(library, opened, symbols)
    log = ctypes.create_string_buffer(LOG_BYTES)
    program = ctypes.c_void_p(library.bpf_object__next_program(opened, None))
    while program:
        mine = library.bpf_program__name(program).decode() == wanted
        library.bpf_program__set_autoload(program, ctypes.c_bool(mine))
        if mine:
            library.bpf_program__set_log_level(program, BPF_LOG_STATS)
            library.bpf_program__set_log_buf(program, log, ctypes.c_size_t(LOG_BYTES))
        program = ctypes.c_void_p(library.bpf_object__next_program(opened, program))
    refused = library.bpf_object__load(opened)
    library.bpf_object__close(opened)
    if refused:
        return None
    said = re.search(r"^stack depth ([\d+]+)", log.value.decode(), re.M)
    check(said, f"{wanted}: no stack depth in {log.value!r}")
    return [in_slots(int(used)) for used in said.group(1).split("+")]


def appended(functions, place, found):
    """{place: bytes} of a program's functions, in the order in which libbpf puts them after it."""
    found[place] = in_slots(functions[place].used)
    for callee in functions[place].calls:
        if callee not in found:
            appended(functions, callee, found)
    return found


def test_as_the_kernel():
    library = libbpf()
    compared = set()
    for path in OBJECTS:
        read = bpf_stack.Object.read(path)
        functions = read.functions()
        for place, function in functions.items():
            said = function.is_program and frames_here(library, path, read.symbols, function.name)
            if said:
                equal(list(appended(functions, place, {}).values()), said, function.name)
                compared.add(function.name)
    check(compared >= EVERYWHERE, f"the kernel takes only {compared}")
