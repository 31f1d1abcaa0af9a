# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Which kernels, which tests in which flavour, and which holes are known."""
import collections
import os
import re

HERE = os.path.dirname(os.path.abspath(__file__))

# name: what KERNEL= says; suite None: the kernel that runs here, without a virtual machine.
# flavours: of the hooks, None: all.
Kernel = collections.namedtuple("Kernel", "name suite arch options flavours",
                                defaults=("amd64", "", None))

KERNELS = [
    Kernel("running", None),
    Kernel("5.10", "bullseye"),
    Kernel("6.1", "bookworm"),
    Kernel("6.12", "trixie"),
    Kernel("newest", "sid"),
    Kernel("lockdown", "trixie", options="lockdown=confidentiality"),
    Kernel("arm64", "trixie", "arm64", flavours=["tracepoint"]),
]

# In every flavour; and besides, in the one that the tool chooses by itself. Not those that need a
# fast machine or a compiler: emulation makes everything ten to twenty times slower.
EACH = r"^(counts\.(ipv4|ipv6|refused|exhausted|server_closes)|causes\.tuple_in_use" \
       r"|callsite\.(open|close)|owner\.listener_owner)$"
CHOSEN = EACH + r"|^(attach\..*|counts\.(mapped|nothing|threads|forked_processes|reset|nonblocking" \
                r"|only_the_command|everybody|before_the_first_instruction)" \
                r"|causes\.(refused|abandoned|timeout|exhausted_ipv6)|loss\.(none|forced)" \
                r"|owner\.(fork_without_exec|exact|name|other_namespace)|python\.plain)$"

Hole = collections.namedtuple("Hole", "kernel flavour test reason")


def holes():
    """holes.txt: KERNEL FLAVOUR TEST REASON, each of the first three a pattern."""
    found = []
    with open(os.path.join(HERE, "holes.txt")) as f:
        for line in f:
            if line.strip() and not line.startswith("#"):
                fields = line.split(maxsplit=3)
                if len(fields) != 4:
                    raise ValueError(f"holes.txt: no reason given: {line.strip()}")
                found.append(Hole(*fields))
    return found


def hole_of(known, kernel, flavour, test):
    for hole in known:
        if all(map(re.fullmatch, hole[:3], (kernel, flavour, test))):
            return hole
    return None
