# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Function, file and line of CPython programs, in each version that can be had here."""
import collections
import socket
import subprocess

from cpython import prepare  # noqa: F401 run.py calls it
from cpython import (
    MADE, OPENS, REPLACED, SLOWLY, all_pythons, interpreters, named_wrong, program, sites_of,
    this_python,
)
from lib import PYTHON, Process, Server, Tracer, check, equal, report

PLAIN = """
def plain():
    s = socket.socket()
    s.connect(("127.0.0.1", PORT))  # here
    hang_up(s)


for _ in range(30):
    plain()
"""

METHOD = """
class Client:
    def fetch(self):
        s = socket.socket()
        s.connect(  # here
            ("127.0.0.1",
             PORT))
        hang_up(s)


for _ in range(30):
    Client().fetch()
"""

THREAD = """
def worker():
    for _ in range(10):
        s = socket.socket()
        s.connect(("127.0.0.1", PORT))  # here
        hang_up(s)


threads = [threading.Thread(target=worker) for _ in range(3)]
for t in threads:
    t.start()
for t in threads:
    t.join()
"""

GENERATOR = """
def connections():
    for _ in range(30):
        s = socket.socket()
        s.connect(("127.0.0.1", PORT))  # here
        yield s


for s in connections():
    hang_up(s)
"""

COROUTINE = """
async def ask():
    reader, writer = await asyncio.open_connection("127.0.0.1", PORT)  # here
    writer.close()
    await asyncio.sleep(0.008)


async def main():
    for _ in range(30):
        await ask()


asyncio.run(main())
"""

NESTED = """
def outer():
    middle(3)


def middle(n):
    if n:
        return middle(n - 1)
    return (lambda: inner())()


def inner():
    s = socket.socket()
    s.connect(("127.0.0.1", PORT))  # here, in the innermost one
    hang_up(s)


for _ in range(30):
    outer()
"""

STDLIB = """
def dial():
    with socket.create_connection(("127.0.0.1", PORT)):  # here
        pause()


for _ in range(30):
    dial()
"""


# The program, the function that opens, and how it is called from 3.11 on.
KINDS = {
    "plain": (PLAIN, "plain", "plain"),
    "method": (METHOD, "fetch", "Client.fetch"),
    "thread": (THREAD, "worker", "worker"),
    "generator": (GENERATOR, "connections", "connections"),
    "coroutine": (COROUTINE, "ask", "ask"),
    "nested": (NESTED, "inner", "inner"),
    "library": (STDLIB, "dial", "dial"),
}



def expect_sites(python, kinds):
    """The opens of each kind come from its function, file and line, 95 % of them at least; the
    others from nowhere. Returns the call sites by function."""
    path, lines = program("".join(KINDS[kind][0] for kind in kinds))
    server = Server()
    what = python.name
    result = report([*python.command, path, str(server.port)])
    equal(result.totals["opens"], OPENS * len(kinds), f"{what}: opens")
    sites = [s for s in sites_of(result, server.port) if "function" in s]
    wanted = {}
    for kind, line in zip(kinds, lines):
        _, name, qualname = KINDS[kind]
        wanted[qualname if python.minor >= 11 else name] = line
    equal({s["function"]: (s["file"], s["line"]) for s in sites},
          {name: (path, line) for name, line in wanted.items()}, f"{what}: call sites")
    equal(len(sites), len(wanted), f"{what}: number of call sites")
    for site in sites:
        equal(site["language"], "python", f"{what}: language")
        check(site["opens"] >= 0.95 * OPENS,
              f"{what}: {site['opens']} of {OPENS} opens from {site['function']}")
    return {s["function"]: s for s in sites}


def test_plain():
    expect_sites(this_python(), ["plain"])


def test_method():
    """Of a call over several lines it is the line where the call begins."""
    expect_sites(this_python(), ["method"])


def test_thread():
    expect_sites(this_python(), ["thread"])


def test_generator():
    expect_sites(this_python(), ["generator"])


def test_coroutine():
    expect_sites(this_python(), ["coroutine"])


def test_standard_library():
    expect_sites(this_python(), ["library"])


def expect_nested(stack, minor):
    """All the callers, innermost first, each with its line."""
    path = stack[0]["file"]
    with open(path) as f:
        source = f.read().splitlines()

    def at(text):
        return source.index(text) + 1

    deeper = ("middle", at("        return middle(n - 1)"))
    called = at("    return (lambda: inner())()")
    equal([(f.get("function"), f.get("line")) for f in stack if f.get("file") == path], [
        ("inner", at('    s.connect(("127.0.0.1", PORT))  # here, in the innermost one')),
        ("middle.<locals>.<lambda>" if minor >= 11 else "<lambda>", called),
        ("middle", called), deeper, deeper, deeper, ("outer", at("    middle(3)")),
        ("<module>", at("    outer()")),
    ], f"3.{minor}: stack")


def test_nested():
    python = this_python()
    sites = expect_sites(python, ["nested"])
    expect_nested(sites["inner"]["stack"], python.minor)


def version(minor):
    """All of that in one program, in each interpreter of that version."""
    for python in interpreters(minor):
        sites = expect_sites(python, list(KINDS))
        expect_nested(sites["inner"]["stack"], minor)


def test_3_8():
    version(8)


def test_3_9():
    version(9)


def test_3_10():
    version(10)


def test_3_11():
    version(11)


def test_3_12():
    version(12)


def test_3_13():
    version(13)


def test_3_14():
    version(14)


def test_two_lines():
    """The control: two lines of one function are two call sites."""
    path, _ = program("""
def both():
    s = socket.socket()
    s.connect(("127.0.0.1", PORT))  # first
    hang_up(s)
    s = socket.socket()
    s.connect(("127.0.0.1", PORT))  # second
    hang_up(s)


for _ in range(15):
    both()
""")
    with open(path) as f:
        wanted = {n for n, line in enumerate(f, 1) if "# first" in line or "# second" in line}
    server = Server()
    sites = [s for s in sites_of(report([PYTHON, path, str(server.port)]), server.port)
             if "line" in s]
    equal({s["line"] for s in sites}, wanted, "lines")
    opens = sorted(s["opens"] for s in sites)
    check(opens[0] >= 14 and opens[-1] <= 15, f"{opens} opens of 15 each")


def test_deep():
    """10,000 calls: those that are told of are right, and it is known that there are more."""
    path, lines = program("""
def dive(n):
    if n:
        return dive(n - 1)
    s = socket.socket()
    s.connect(("127.0.0.1", PORT))  # here
    hang_up(s)


def run():
    sys.setrecursionlimit(20000)
    for _ in range(30):
        dive(10000)


threading.stack_size(256 << 20)
thread = threading.Thread(target=run)
thread.start()
thread.join()
""")
    server = Server()
    sites = [s for s in sites_of(report([PYTHON, path, str(server.port)]), server.port)
             if "function" in s]
    equal([(s["function"], s["line"]) for s in sites], [("dive", *lines)], "call sites")
    check(sites[0]["opens"] >= 0.95 * OPENS, f"{sites[0]['opens']} opens")
    stack = [(f["function"], f["line"]) for f in sites[0]["stack"]]
    equal(stack, [("dive", *lines)] + [("dive", lines[0] - 2)] * 63, "stack")


def expect_replaced(python, text):
    """All opens are counted; what has a name has the right one. Returns {(function, file, line):
    opens}, without those that have none."""
    path, _ = program(REPLACED + text)
    server = Server()
    result = report([*python.command, path, str(server.port)])
    sites = sites_of(result, server.port)
    places, opens = map(int, result.stdout.split())
    equal(sum(site["opens"] for site in sites), opens, f"{python.name}: opens")
    check(places < 0.9 * opens, f"{python.name}: {opens} code objects at {places} addresses")
    found = collections.Counter({(s["function"], s["file"], s["line"]): s["opens"] for s in sites
                                 if "function" in s and "line" in s})
    equal([key for key in found if key[0] == "once"], [], "told as their caller's")
    return found


def expect_distinct(python, text):
    found = expect_replaced(python, text + "print(len(places), sum(made))\n")
    made = {key: opens for key, opens in found.items() if key[0].startswith("made_")}
    equal(named_wrong(made), [], f"{python.name}: named wrong")
    slow = sum(int(key[0].removeprefix("made_")) >= MADE for key in made)
    check(slow >= 0.9 * SLOWLY, f"{python.name}: {slow} of {SLOWLY} have a name")
    return made


def test_code_that_takes_the_place_of_other_code():
    """A thousand functions that are compiled, called once and freed: none in another's name."""
    for python in all_pythons():
        expect_distinct(python, f"""
made = [1] * {MADE + SLOWLY}
for n in range({MADE + SLOWLY}):
    distinct(n, n >= {MADE})
""")


def test_code_that_takes_the_place_of_other_code_in_threads():
    expect_distinct(this_python(), f"""
made = [1] * {MADE + SLOWLY}
def work(begin):
    for n in range(begin, {MADE}, 4):
        distinct(n, False)
threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
for t in threads:
    t.start()
for t in threads:
    t.join()
for n in range({MADE}, {MADE + SLOWLY}):
    distinct(n, True)
""")


def test_code_that_is_loaded_anew():
    """One name and one file, as of a module that is reloaded after a change: only lines differ, by
    where the function begins, or within it."""
    for python in all_pythons():
        found = expect_replaced(python, """
for turn in range(60):
    for n in range(10):
        shifted(n, turn == 0)
        stretched(n, turn == 0)
print(len(places), 1200)
""")
        for (name, file, line), opens in found.items():
            equal(file, f"{name}.py", f"{python.name}: file of {name}, line {line}, {opens} opens")
            check(2 <= line <= 11 and opens <= 60, f"{python.name}: {opens} opens at {name}:{line}")
        check(len(found) == 20, f"{python.name}: {len(found)} lines of 20")


def test_older_than_the_trace():
    """A client that has no socket when the trace begins, but opens as soon as it can: all of them
    have function and line, none is told as the interpreter's own. It lives on: names are read."""
    source = ("import socket\n"
              "def ask_backend():\n"
              "    socket.create_connection(('127.0.0.1', 7071)).close()\n"
              "print('ready', flush=True)\n"
              "input()\n"
              "for _ in range(7):\n"
              "    ask_backend()\n"
              "print('asked', flush=True)\n"
              "input()\n")
    with socket.create_server(("127.0.0.1", 7071)):
        client = Process([PYTHON, "-c", source], stdin=subprocess.PIPE)
        client.wait_text(client.out_path, "^ready")
        tracer = Tracer("report")
        client.popen.stdin.write(b"\n")
        client.popen.stdin.flush()
        client.wait_text(client.out_path, "^asked")
        result = tracer.finish()
    row, = [p for p in result.processes if p["process"]["pid"] == client.pid]
    named = {(c.get("function"), c.get("line")): c["opens"] for c in
             result.destination(row, 7071)["callsites"]}
    equal(named, {("ask_backend", 3): 7}, "call sites")
    equal(result.doc["unattributed"]["callsite"], 0, "opens without a call site")
