# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Function, file and line of CPython programs, in each interpreter that is here; and clients that
live inside one call, beside those that do not."""
import glob
import os

from lib import (
    PYTHON, Server, Skip, check, equal, get, python_server, report, run, scratch,
)

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


def interpreters():
    """(path, minor) of what is here, from 3.8 to 3.14."""
    found = []
    for path in [PYTHON] + sorted(
            glob.glob(os.path.expanduser("~/.pyenv/versions/*/bin/python3"))):
        done = run([path, "-c", "import sys, sysconfig; print(*sys.version_info[:2], "
                    "sysconfig.get_config_var('Py_GIL_DISABLED') or 0)"], expect=None)
        major, minor, free_threaded = map(int, (done.stdout or "0 0 0").split())
        if major == 3 and 8 <= minor <= 14 and not free_threaded:
            found.append((path, minor))
    check(found, "no interpreter")
    return found


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


def expect_sites(python, minor, kinds):
    """The opens of each kind come from its function, file and line, 95 % of them at least; the
    others from nowhere. Returns the call sites by function."""
    path, lines = program("".join(KINDS[kind][0] for kind in kinds))
    server = Server()
    what = f"{python} (3.{minor})"
    result = report([python, path, str(server.port)])
    equal(result.totals["opens"], OPENS * len(kinds), f"{what}: opens")
    sites = [s for s in sites_of(result, server.port) if "function" in s]
    wanted = {}
    for kind, line in zip(kinds, lines):
        _, name, qualname = KINDS[kind]
        wanted[qualname if minor >= 11 else name] = line
    equal({s["function"]: (s["file"], s["line"]) for s in sites},
          {name: (path, line) for name, line in wanted.items()}, f"{what}: call sites")
    equal(len(sites), len(wanted), f"{what}: number of call sites")
    for site in sites:
        equal(site["language"], "python", f"{what}: language")
        check(site["opens"] >= 0.95 * OPENS,
              f"{what}: {site['opens']} of {OPENS} opens from {site['function']}")
    return {s["function"]: s for s in sites}


def this_python():
    return interpreters()[0]


def test_plain():
    expect_sites(*this_python(), ["plain"])


def test_method():
    """Of a call over several lines it is the line where the call begins."""
    expect_sites(*this_python(), ["method"])


def test_thread():
    expect_sites(*this_python(), ["thread"])


def test_generator():
    expect_sites(*this_python(), ["generator"])


def test_coroutine():
    expect_sites(*this_python(), ["coroutine"])


def test_standard_library():
    expect_sites(*this_python(), ["library"])


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
    python, minor = this_python()
    sites = expect_sites(python, minor, ["nested"])
    expect_nested(sites["inner"]["stack"], minor)


def test_versions():
    """All of that in one program, in each of the other interpreters."""
    for python, minor in interpreters()[1:]:
        sites = expect_sites(python, minor, list(KINDS))
        expect_nested(sites["inner"]["stack"], minor)


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


# --- the client that lives inside one call --------------------------------------------------------


def with_requests():
    if run([PYTHON, "-c", "import requests"], expect=None).returncode:
        raise Skip(f"{PYTHON} has no requests: tools/install-deps.sh check")
    python_server()


def told(text, port=8053, head="import requests\nURL = f'http://127.0.0.1:{PORT}/health'\n",
         opens=None):
    path, lines = program(head + text)
    result = report([PYTHON, path, str(port)])
    if opens is not None:
        equal(result.totals["opens"], opens, "opens")
    return result, path, lines


def speaks(result, name, path, lines):
    found, = result.findings("function-local-client")
    equal(get(found, "callsite.function"), name, "function of the finding")
    equal(get(found, "callsite.file"), path, "file of the finding")
    check(name in found["title"], f"{name} in {found['title']!r}")
    check(found["evidence"] and found["fix"], "evidence and fix")
    site = max(sites_of(result, get(found, "destination.port")), key=lambda s: s["opens"])
    equal((site["function"], site["file"], site["line"]), (name, path, *lines), "call site")
    check(site["opens"] >= 0.95 * OPENS, f"{site['opens']} of {OPENS} opens with a call site")
    closed = site["closesite"]
    check(closed["same_activation"] >= 3, f"closesite: {closed}")
    equal(closed["activation_of"], name, "activation_of")


def looked_at(result, port, verdict):
    """Silence counts only where the ends were looked at, and judged like that."""
    closed = max(sites_of(result, port), key=lambda s: s["opens"]).get("closesite", {})
    check(closed.get("judged", 0) >= 0.8 * OPENS, f"closesite: {closed}")
    check(closed[verdict] >= 0.8 * OPENS, f"closesite: {closed}")


def silent(result):
    equal(result.findings("function-local-client"), [], "function-local-client")
    for row in result.processes:
        for destination in row["destinations"]:
            for site in destination["callsites"]:
                same = get(site, "closesite.same_activation", 0)
                check(same < 3, f"same_activation in {get(site, 'closesite')}")


def test_session_with():
    with_requests()
    result, path, lines = told("""
def check_health():
    with requests.Session() as session:
        response = session.get(URL)  # here
        return response.status_code


for _ in range(30):
    check_health()
    pause()
""", opens=OPENS)
    speaks(result, "check_health", path, lines)


def test_session_dropped():
    with_requests()
    result, path, lines = told("""
def check_health():
    session = requests.Session()
    response = session.get(URL)  # here
    return response.status_code


for _ in range(30):
    check_health()
    pause()
""", opens=OPENS)
    speaks(result, "check_health", path, lines)


def test_socket_with():
    """The same without requests, in each interpreter."""
    server = Server()
    path, lines = program(STDLIB)
    for python, minor in interpreters():
        result = report([python, path, str(server.port)])
        try:
            speaks(result, "dial", path, lines)
        except (AssertionError, KeyError, ValueError) as e:
            raise AssertionError(f"{python} (3.{minor}): {e!r}") from e


def test_session_kept():
    """The control: one session for all calls."""
    with_requests()
    result, _, _ = told("""
session = requests.Session()


def check_health():
    return session.get(URL).status_code


for _ in range(30):
    check_health()
    pause()
""", opens=1)
    silent(result)


def test_client_made_once():
    """The control: opened and closed in one call of main(), once."""
    with_requests()
    result, _, _ = told("""
def main():
    with requests.Session() as session:
        for _ in range(30):
            session.get(URL)
            pause()


main()
""", opens=1)
    silent(result)


def test_crawler():
    """The control: each time somewhere else, nothing could be reused."""
    servers = [Server() for _ in range(30)]
    path, _ = program("""
def fetch(port):
    with socket.create_connection(("127.0.0.1", port)):
        pause()


for port in sys.argv[2:]:
    fetch(int(port))
""")
    result = report([PYTHON, path, "0", *(str(s.port) for s in servers)])
    equal(result.totals["opens"], 30, "opens")
    equal(result.totals["avoidable"], 0, "avoidable")
    row, = result.processes
    sites = [s for d in row["destinations"] for s in d["callsites"]]
    check(sum(s["opens"] for s in sites if s.get("function") == "fetch") >= 28, f"{sites}")
    equal(result.findings("function-local-client"), [], "function-local-client")


def test_server_closes():
    """The control: a client whose server never keeps a connection has nothing to keep."""
    server = Server("--server-closes")
    result, _, _ = told("""
def fetch():
    s = socket.create_connection(("127.0.0.1", PORT))
    s.sendall(b"x" * 64)
    while s.recv(4096):
        pass
    s.close()


for _ in range(30):
    fetch()
    pause()
""", server.port, head="", opens=OPENS)
    equal(result.findings("function-local-client"), [], "function-local-client")


def test_reconnected():
    """The control: a client of the whole program, connected anew in each call."""
    server = Server()
    result, _, _ = told("""
client = None


def reconnect():
    global client
    if client:
        client.close()
    client = socket.create_connection(("127.0.0.1", PORT))


for _ in range(30):
    reconnect()
    pause()
""", server.port, head="", opens=OPENS)
    silent(result)
    looked_at(result, server.port, "earlier")


def test_list_as_pool():
    """The control: a list of connections, of which the eldest is closed when a new one comes."""
    server = Server()
    result, _, _ = told("""
pool = []


def fetch():
    pool.append(socket.create_connection(("127.0.0.1", PORT)))
    if len(pool) > 4:
        pool.pop(0).close()


for _ in range(30):
    fetch()
    pause()
for s in pool:
    s.close()
""", server.port, head="", opens=OPENS)
    silent(result)


def test_reassigned():
    """The control: a global connection that each call replaces; the old one dies by the assignment."""
    server = Server()
    result, _, _ = told("""
client = None


def reconnect():
    global client
    client = socket.create_connection(("127.0.0.1", PORT))


for _ in range(30):
    reconnect()
    pause()
""", server.port, head="", opens=OPENS)
    silent(result)
