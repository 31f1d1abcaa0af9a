# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Which kernels, which tests in which flavour, and which holes are known."""
import collections
import os
import re

HERE = os.path.dirname(os.path.abspath(__file__))

# name: what KERNEL= says; suite None: the kernel that runs here, without a virtual machine.
# flavours: of the hooks, None: all. same_as: the kernel of another one; what does not depend on the
# options is not tested again.
Kernel = collections.namedtuple("Kernel", "name suite arch options flavours same_as",
                                defaults=("amd64", "", None, None))

KERNELS = [
    Kernel("running", None),
    Kernel("5.10", "bullseye"),
    Kernel("6.1", "bookworm"),
    Kernel("6.12", "trixie"),
    Kernel("newest", "sid"),
    Kernel("lockdown", "trixie", options="lockdown=confidentiality", same_as="6.12"),
    Kernel("arm64", "trixie", "arm64", flavours=["tracepoint"]),
]

# In every flavour: opens, failures and closes are counted exactly, and have a process and a stack.
EACH = r"counts\.(ipv4|exhausted)|callsite\.open|owner\.listener_owner"
# In those that hook functions: what these add.
FUNCTIONS = EACH + r"|flavours\.(port_search|exhausted_fast_open|accept_prefork|unaccepted" \
    r"|bind_failures)"
# In the one that the tool chooses by itself: whatever depends on a kernel, but for what needs a
# fast machine or a compiler. Emulation makes everything ten to twenty times slower.
CHOSEN = FUNCTIONS + r"|attach\..*|callsite\.close|python\.plain|loss\.(none|forced)" \
    r"|counts\.(ipv6|mapped|nothing|refused|threads|forked_processes|reset|nonblocking" \
    r"|server_closes|only_the_command|everybody|before_the_first_instruction)" \
    r"|causes\.(tuple_in_use|refused|timeout)|owner\.(fork_without_exec|exact|name_on_a_mount)" \
    r"|flavours\.(exhausted_io_uring|accept_filter)" \
    r"|accept\.(python|python_by_tracepoints|io_uring)" \
    r"|python_freed\.(deleted_and_replaced|killed)" \
    r"|ports\.(ipv4|ipv6|reserved|idle_bind|time_wait_mode_[012]|time_wait_own_address_mode_1" \
    r"|loaded_by_the_kernel)"
TESTS = {"auto": CHOSEN, "fentry": FUNCTIONS, "kprobe": FUNCTIONS}
# Under other options: what attaches, what it sees, and what it may read.
AGAIN = FUNCTIONS + r"|attach\..*|callsite\.close|python\.plain|owner\.exact" \
    r"|ports\.(ipv4|time_wait_mode_1)"
TESTS_AGAIN = {"auto": AGAIN}


def tests_in(kernel, flavour):
    """A pattern."""
    tests = TESTS_AGAIN if kernel.same_as else TESTS
    return f"^({tests.get(flavour, EACH)})$"


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
