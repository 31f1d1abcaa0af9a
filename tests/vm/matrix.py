# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Which kernels, which tests in which flavour, and which holes are known."""
import collections
import os
import re

HERE = os.path.dirname(os.path.abspath(__file__))

# In every flavour: opens, failures, accepts and closes are counted exactly, and have a process and
# a stack. "static" is the flavour "auto" of the statically linked binary.
EACH = r"flavours\.exact|callsite\.open"
# In those that hook functions: what these add. Of a forced "fentry" not again: "auto" takes it.
FUNCTIONS = EACH + r"|flavours\.(port_search|exhausted_fast_open|accept_prefork|unaccepted" \
    r"|bind_failures)"
# In the one that the tool chooses by itself: what the kernel decides, and has changed from one
# version to another. That a flavour that cannot be had is told in one line, guest.py sees.
BETWEEN = FUNCTIONS + r"|attach\.(first_plan|plain_tracepoint)" \
    r"|callsite\.close|python\.plain|python_freed\.killed|loss\.forced|causes\.tuple_in_use" \
    r"|counts\.ipv6|owner\.exact|accept\.(python|python_by_tracepoints|io_uring)|life\.times" \
    r"|ports\.(ipv4|ipv6|reserved|idle_bind|time_wait_mode_[012]|time_wait_own_address_mode_1" \
    r"|loaded_by_the_kernel)"
# At both ends of the range, too: whatever else depends on a kernel, but for what needs a fast
# machine or a compiler. Emulation makes everything ten to twenty times slower, and what takes
# longest is a tracer's start, in which the kernel verifies its programs: 8 s on the newest.
ENDS = BETWEEN + r"|attach\.(plain_tracepoint_refused|begun_among_listeners)|loss\.none" \
    r"|causes\.(refused|timeout)|counts\.(mapped|nothing|refused|threads|forked_processes" \
    r"|reset|nonblocking|server_closes|only_the_command|everybody|before_the_first_instruction)" \
    r"|owner\.(fork_without_exec|name_on_a_mount)|python_freed\.deleted_and_replaced" \
    r"|flavours\.(exhausted_io_uring|accept_filter)"
# Under other options: what attaches, what it sees, and what it may read; but for what waits
# long for call sites that are known not to come.
OPTIONS = FUNCTIONS + r"|attach\.(first_plan|plain_tracepoint)|owner\.exact" \
    r"|ports\.(ipv4|time_wait_mode_1)"

# name: what KERNEL= says; suite None: the kernel that runs here, without a virtual machine, of
# which "make check" tests what the tool chooses. auto: the tests in that flavour. flavours: of the
# hooks, None: all.
Kernel = collections.namedtuple("Kernel", "name suite arch options flavours auto",
                                defaults=("amd64", "", None, EACH))

KERNELS = [
    Kernel("running", None),
    Kernel("5.10", "bullseye", auto=ENDS),
    Kernel("6.1", "bookworm", auto=BETWEEN),
    Kernel("6.12", "trixie", auto=BETWEEN),
    Kernel("newest", "sid", auto=ENDS),
    Kernel("lockdown", "trixie", options="lockdown=confidentiality", auto=OPTIONS),
    Kernel("arm64", "trixie", "arm64", flavours=["tracepoint"]),
]
LONGEST = ["newest", "5.10", "6.12", "6.1", "lockdown", "arm64", "running"]  # these begin first


def tests_in(kernel, flavour):
    """A pattern."""
    return f"^({dict(auto=kernel.auto, kprobe=FUNCTIONS).get(flavour, EACH)})$"


Hole = collections.namedtuple("Hole", "kernel flavour test reason")


def holes():
    """holes.txt: KERNEL FLAVOUR TEST REASON, each of the first three a pattern."""
    found = []
    with open(os.path.join(HERE, "holes.txt")) as f:
        for line in f:
            if line.strip() and not line.startswith("#"):
                fields = line.strip().split(maxsplit=3)
                if len(fields) != 4:
                    raise ValueError(f"holes.txt: no reason given: {line.strip()}")
                found.append(Hole(*fields))
    return found


def hole_of(known, kernel, flavour, test):
    for hole in known:
        if all(map(re.fullmatch, hole[:3], (kernel, flavour, test))):
            return hole
    return None
