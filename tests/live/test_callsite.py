# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Which line of code opened it, and which one closed it."""
import os

from lib import (
    CHURN, ROOT, Server, Tracer, check, churn, equal, get, report, run_churn, scratch, sh, until,
)

SOURCE = os.path.join(ROOT, "tools/churn/churn.c")


def line_of(comment):
    with open(SOURCE) as f:
        found = [number for number, line in enumerate(f, 1) if comment in line]
    equal(len(found), 1, f"lines with {comment!r}")
    return found[0]


def opened_at(site, opens):
    equal(site.get("function"), "dial_once", "function")
    equal(os.path.basename(site.get("file", "")), "churn.c", "file")
    equal(site.get("line"), line_of("live tests look for this line"), "line")
    equal(site.get("opens"), opens, "opens")


def only_site(result, name="churn"):
    destination, = result.row(name)["destinations"]
    equal(len(destination["callsites"]), 1, f"call sites in {destination['callsites']}")
    return destination["callsites"][0]


def test_open():
    result = report(churn("-n", 23, "-r", 200))
    site = only_site(result)
    opened_at(site, 23)
    equal(site.get("language"), "native", "language")
    functions = [frame.get("function") for frame in site["stack"]]
    check("dial_once" in functions and "main" in functions, f"the stack: {functions}")
    equal(result.doc["unattributed"]["callsite"], 0, "without a call site")


def test_failure():
    result = report(churn("-n", 23, "-r", 100, "--refused"))
    equal(only_site(result).get("function"), "dial_once", "function")


def traced_until_named(name, path, function):
    """The last client's line of that name which says the function there; no such line says another
    one. On a busy machine the first connections do not wait until names are known."""
    server, tracer = Server(), Tracer("trace")

    def there():
        run_churn("-n", 5, "--connect", server.target())
        return f'"{function}"' in tracer.out

    until(there, 20, function)
    lines = tracer.finish().named(name, role="client")
    found = [line for line in lines if get(line, path)]
    equal({get(line, path) for line in found}, {function}, "functions")
    return found[-1]


def test_close():
    line = traced_until_named("close", "tcpchurn.closesite.function", "hang_up")
    site = get(line, "tcpchurn.closesite")
    equal(get(site, "function"), "hang_up", "function")
    equal(os.path.basename(get(site, "file", "")), "churn.c", "file")
    equal(get(site, "line"), line_of("live tests look for the close line"), "line")


def test_threads():
    """The same call in four threads is one call site."""
    opened_at(only_site(report(churn("-n", 100, "-t", 4, "-r", 400))), 100)


def test_threads_first():
    """Threads that connect at once, and are the first of their process: one generation of its code."""
    runs = 12
    each = " ".join(churn("-n", 40, "-t", 4, "-r", 400))
    result = report(["sh", "-c", f"for i in $(seq {runs}); do {each}; done"])
    sites = [s for d in result.row("churn")["destinations"] for s in d["callsites"]]
    equal({s.get("function") for s in sites}, {"dial_once"}, "functions")
    equal(sum(s["opens"] for s in sites), 40 * runs, "opens")


def test_short_lived():
    """Processes that may be gone when their stacks are resolved: the right name, or none."""
    result = report(churn("-n", 20, "--exec-each"))
    sites = [s for row in result.rows("churn") for d in row["destinations"]
             for s in d["callsites"]]
    named = {s["function"] for s in sites if "function" in s}
    check(named <= {"dial_once"}, f"functions: {named}")
    equal(sum(s["opens"] for s in sites), 20, "opens")


def test_trace():
    line = traced_until_named("connect", "code.function.name", "dial_once")
    equal(get(line, "code.line.number"), line_of("live tests look for this line"), "line")


def test_stable_id():
    """The same binary has the same call site in the next run."""
    first, second = (
        {s["id"] for s in
         report(churn("-n", 20, "-r", 50)).row("churn")["destinations"][0]["callsites"]
         if s.get("function")}
        for _ in range(2)
    )
    equal(len(first), 1, "call sites with a name")
    equal(first, second, "id")


def test_stripped():
    """Without symbols there is no name: absent, not somebody else's."""
    path = os.path.join(scratch(), "stripped")
    sh("strip", "-o", path, CHURN)
    site = only_site(report([path, "-n", "10", "-r", "50"]), "stripped")
    check("file" not in site and "line" not in site, f"file or line in {site}")
    check(site.get("function") != "dial_once", "a name without symbols")
