# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""The CPython interpreters that the live tests use, and the programs they run in them."""
import collections
import glob
import os

from lib import CACHE, PYTHON, Skip, check, fetch, run, scratch

OPENS = 30  # in about 0.3 s
# What each program begins with. A connection is closed at once, by us.
HEAD = """
import asyncio, socket, sys, threading, time
PORT = int(sys.argv[1])


def pause():
    time.sleep(0.008)


def hang_up(s):
    s.close()
    pause()
"""

# The suites of Debian that have these versions; Debian builds them stripped, libpython inside.
SUITES = {9: "bullseye", 11: "bookworm", 13: "trixie", 14: "sid"}

Interpreter = collections.namedtuple("Interpreter", "name command minor")


def minor_of(command):
    """3.X with a GIL, else None."""
    done = run([*command, "-c", "import sys, sysconfig; print(*sys.version_info[:2], "
                "sysconfig.get_config_var('Py_GIL_DISABLED') or 0)"], expect=None)
    major, minor, free_threaded = map(int, (done.stdout or "0 0 0").split())
    return minor if major == 3 and not free_threaded else None


def this_python():
    return Interpreter(PYTHON, [PYTHON], minor_of([PYTHON]))


def in_root(root):
    """A command that runs in that root directory, where /tmp is ours."""
    os.makedirs(f"{root}/tmp", exist_ok=True)
    return ["unshare", "--mount", "sh", "-c",
            'mount --bind /tmp "$0/tmp" && exec chroot "$0" "$@"', root]


def debian_root(minor):
    return f"{CACHE}/{SUITES[minor]}-python3.{minor}"


def prepare():
    fetch({debian_root(minor): (suite, f"python3.{minor}") for minor, suite in SUITES.items()})


def debian_python(minor):
    """The one of Debian, in a root of its own."""
    command = [*in_root(debian_root(minor)), f"/usr/bin/python3.{minor}"]
    return Interpreter(f"{SUITES[minor]}'s python3.{minor}", command, minor)


def built_pythons(minor):
    """Those that pyenv built, with a shared libpython or without."""
    paths = glob.glob(os.path.expanduser(f"~/.pyenv/versions/3.{minor}.*/bin/python3"))
    return [Interpreter(path, [path], minor) for path in sorted(paths) if minor_of([path])]


def interpreters_if_any(minor):
    """All of that version that can be had here."""
    found = built_pythons(minor)
    if minor in SUITES and os.path.isdir(debian_root(minor)):
        found.append(debian_python(minor))
    return found


def all_pythons():
    """Of every version that is known."""
    found = [python for minor in range(8, 15) for python in interpreters_if_any(minor)]
    return found or [this_python()]


def interpreters(minor):
    """The same, at least one."""
    found = interpreters_if_any(minor)
    if not found:
        raise Skip(f"no python3.{minor}: neither from pyenv nor from Debian's archive")
    for python in found:
        check(minor_of(python.command) == minor, f"{python.name} is no python3.{minor}")
    return found


# Compiles a function, connects in it, and frees it: the next one has its place. `made` numbers tell
# them apart, by name and by line; else they are alike.
REPLACED = r"""
import struct
RESET = struct.pack("ii", 1, 0)
places = set()


def once(n, source, path, wait):
    scope = {"PORT": PORT}
    exec(compile(source, path, "exec"), scope)
    s = socket.socket()
    made, = (f for f in scope.values() if hasattr(f, "__code__"))
    places.add(id(made.__code__))
    made(s)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    s.close()
    if wait:
        pause()


def distinct(n, wait):
    once(n, f"def made_{n:04}(s):\n" + "\n" * (n % 7) + "    s.connect(('127.0.0.1', PORT))\n",
         f"generated_{n:04}.py", wait)


def shifted(n, wait):
    once(n, "\n" * n + "def shifted(s):\n    s.connect(('127.0.0.1', PORT))\n",
         "shifted.py", wait)


def stretched(n, wait):
    once(n, "def stretched(s):\n" + "\n" * n + "    s.connect(('127.0.0.1', PORT))\n",
         "stretched.py", wait)
"""
MADE = 1000  # as fast as can be, before anybody can look, and then
SLOWLY = 40  # with time to read the names


def named_wrong(found):
    """Of {(function, file, line): opens} of distinct() those that cannot be."""
    numbers = {key: int(key[0].removeprefix("made_")) for key in found}
    return [(key, opens) for key, opens in found.items()
            if (key[1:], opens) != ((f"generated_{numbers[key]:04}.py", 2 + numbers[key] % 7), 1)]


def program(text):
    """Its path, and the lines that say "# here"."""
    path = os.path.join(scratch(), "prog.py")
    text = HEAD + text
    with open(path, "w") as f:
        f.write(text)
    return path, [n for n, line in enumerate(text.splitlines(), 1) if "# here" in line]


def sites_of(result, port):
    row, = result.processes
    return result.destination(row, port)["callsites"]
