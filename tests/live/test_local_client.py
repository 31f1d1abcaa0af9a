# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Clients that live inside one call of a Python function, beside those that do not."""
from cpython import prepare  # noqa: F401 run.py calls it
from cpython import OPENS, all_pythons, program, sites_of
from lib import PYTHON, Server, Skip, check, equal, get, python_server, report, run


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


def speaks(result, name, path, lines, what="python3"):
    equal(len(result.findings("function-local-client")), 1, f"{what}: findings")
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
    time.sleep(0.05)  # much longer than a request
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
    """The same without requests, in each version."""
    server = Server()
    path, lines = program("""
def dial():
    with socket.create_connection(("127.0.0.1", PORT)):  # here
        time.sleep(0.002)


for _ in range(30):
    dial()
    time.sleep(0.03)  # much longer than it lives
""")
    for python in {python.minor: python for python in all_pythons()}.values():
        result = report([*python.command, path, str(server.port)])
        speaks(result, "dial", path, lines, python.name)


def test_closed_in_the_same_call():
    server = Server()
    result, path, lines = told("""
def ask():
    s = socket.create_connection(("127.0.0.1", PORT))  # here
    s.sendall(b"x" * 64)
    pause()
    s.close()


for _ in range(30):
    ask()
    time.sleep(0.05)
""", server.port, head="", opens=OPENS)
    speaks(result, "ask", path, lines)


def test_closed_in_the_next_call():
    """The control: every other call opens, the one between closes. The client is the object's; both
    ends look like one call, as the second call has the frame of the first."""
    server = Server()
    result, _, _ = told("""
class Client:
    s = None

    def toggle(self):
        if self.s is None:
            self.s = socket.create_connection(("127.0.0.1", PORT))
            self.s.sendall(b"x" * 64)
            self.s.recv(64)
        else:
            self.s.close()
            self.s = None


client = Client()
for _ in range(60):
    client.toggle()
    time.sleep(0.08)  # many ticks, by which the kernel dates what was sent
""", server.port, head="", opens=OPENS)
    silent(result)
    looked_at(result, server.port, "later")


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
    """The control: a global connection that each call replaces; the old one dies by that."""
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


def fix_says(result, *words):
    found, = result.findings("function-local-client")
    for word in words:
        check(word in found["fix"], f"{word!r} in {found['fix']!r}")


def test_http_client():
    """http.client, made and closed in each call."""
    python_server()
    result, path, lines = told("""
import http.client


def ask():
    client = http.client.HTTPConnection("127.0.0.1", PORT)
    client.request("GET", "/health")  # here
    client.getresponse().read()
    client.close()


for _ in range(30):
    ask()
    time.sleep(0.05)  # much longer than a request
""", head="", opens=OPENS)
    speaks(result, "ask", path, lines)
    fix_says(result, "http.client")


def test_http_client_kept():
    """The control: one for all calls."""
    python_server()
    result, _, _ = told("""
import http.client
client = http.client.HTTPConnection("127.0.0.1", PORT)


def ask():
    client.request("GET", "/health")
    client.getresponse().read()


for _ in range(30):
    ask()
    pause()
""", head="", opens=1)
    silent(result)


def test_urllib3():
    """A PoolManager in each call: the pool is a client like any other."""
    with_requests()
    result, path, lines = told("""
def ask():
    pool = urllib3.PoolManager()
    pool.request("GET", URL)  # here
    pool.clear()


for _ in range(30):
    ask()
    time.sleep(0.05)  # much longer than a request
""", head="import urllib3\nURL = f'http://127.0.0.1:{PORT}/health'\n", opens=OPENS)
    speaks(result, "ask", path, lines)
    fix_says(result, "urllib3.PoolManager")


def test_urllib3_kept():
    """The control: one PoolManager, several threads: a connection each at the most."""
    with_requests()
    result, _, _ = told("""
pool = urllib3.PoolManager(maxsize=4)


def ask():
    for _ in range(10):
        pool.request("GET", URL)
        pause()


threads = [threading.Thread(target=ask) for _ in range(4)]
for t in threads:
    t.start()
for t in threads:
    t.join()
""", head="import urllib3\nURL = f'http://127.0.0.1:{PORT}/health'\n")
    check(result.totals["opens"] <= 4, f"{result.totals['opens']} opens")
    silent(result)


def test_asyncio():
    """Transports are closed by the event loop, whatever opened them: no verdict from stacks, and
    the finding that needs none."""
    server = Server()
    path, lines = program("""
async def ask():
    reader, writer = await asyncio.open_connection("127.0.0.1", PORT)  # here
    writer.write(b"x" * 64)
    await writer.drain()
    writer.close()
    await writer.wait_closed()
    await asyncio.sleep(0.008)


async def main():
    for _ in range(30):
        await ask()


asyncio.run(main())
""")
    result = report([PYTHON, path, str(server.port)])
    equal(result.totals["opens"], OPENS, "opens")
    silent(result)
    check(result.findings("connection-per-request"), "connection-per-request")
    site, = [s for s in sites_of(result, server.port) if "function" in s]
    equal((site["function"], site["file"], site["line"]), ("ask", path, *lines), "call site")
