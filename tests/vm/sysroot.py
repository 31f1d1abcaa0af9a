#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""The headers and libraries to build for another architecture with, from the distribution's
packages for it. usage: sysroot.py ARCH DIR, as Debian names it: amd64, arm64"""
import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
import archive  # noqa: E402

PACKAGES = [
    "libbpf-dev", "libbz2-dev", "libc6-dev", "libdw-dev", "libelf-dev", "libgcc-12-dev",
    "libiberty-dev", "libjsmn-dev", "liblzma-dev", "linux-libc-dev", "uthash-dev", "zlib1g-dev",
]


def main():
    arch, directory = sys.argv[1:]
    archive.unpacked(archive.release(), arch, PACKAGES, directory)


if __name__ == "__main__":
    try:
        main()
    except archive.Unreachable as error:
        sys.exit(f"sysroot.py: {error}")
