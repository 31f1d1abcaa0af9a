# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Call sites in Java: with frame pointers and a perf map by name, else what to switch on."""
import os
import shutil
import subprocess

from lib import CACHE, Process, Server, Skip, Tracer, check, equal, run

OPENS = 40
SOURCE = """
import java.io.IOException;
import java.net.HttpURLConnection;
import java.net.Socket;
import java.net.URL;

public class Shop {
    static int port;
    static boolean http;

    static void dial() throws Exception {
        new Socket("127.0.0.1", port).close();
    }

    static void ask() throws Exception {
        HttpURLConnection c =
            (HttpURLConnection) new URL("http://127.0.0.1:" + port + "/").openConnection();
        try {
            c.getResponseCode();
        } catch (IOException e) {
        }
        c.disconnect();
    }

    static void fetchPrice() throws Exception {
        if (http)
            ask();
        else
            dial();
    }

    static void serve() throws Exception {
        fetchPrice();
    }

    static void times(int n) throws Exception {
        for (int i = 0; i < n; i++) {
            serve();
            Thread.sleep(10);
        }
    }

    public static void main(String[] args) throws Exception {
        port = Integer.parseInt(args[0]);
        http = args[1].equals("http");
        times(2);
        System.out.println("ready");
        System.in.read();
        times(40);
    }
}
"""
# The program, and nothing else, is compiled at its first call, as it is: what the stack is does not
# depend on luck.
COMPILED = ["-Xcomp", "-XX:TieredStopAtLevel=1", "-XX:-Inline", "-XX:CompileCommand=quiet",
            "-XX:CompileCommand=compileonly,Shop.*"]
CLASSES = f"{CACHE}/java"
WITH_POINTERS = "-XX:+PreserveFramePointer"
CALLERS = ["Shop.fetchPrice", "Shop.serve", "Shop.times", "Shop.main"]


def missing():
    """The programs of a JDK that are not there."""
    return [name for name in ("java", "javac", "jcmd") if not shutil.which(name)]


def prepare():
    if missing():
        return
    os.makedirs(CLASSES, exist_ok=True)
    with open(f"{CLASSES}/Shop.java", "w") as f:
        f.write(SOURCE)
    run(["javac", "--release", "8", "-nowarn", "-d", CLASSES, f"{CLASSES}/Shop.java"], timeout=100)


def sites(how, *options, perf_map=False, lossless=True):
    """The call sites of 40 connections of a JVM that is under way, and their findings."""
    if missing():
        raise Skip(f"no {missing()[0]}: a JDK, as of the package openjdk-17-jdk-headless")
    server = Server("--server-closes") if how == "http" else Server()
    java = Process(["java", *options, "-cp", CLASSES, "Shop", str(server.port), how],
                   stdin=subprocess.PIPE)
    path = f"/tmp/perf-{java.pid}.map"
    try:
        java.wait_text(java.out_path, "^ready", seconds=40)
        if perf_map:
            run(["jcmd", str(java.pid), "Compiler.perfmap"])
            check(os.path.exists(path), f"jcmd wrote no {path}")
        tracer = Tracer("report", "-P", server.port)
        java.popen.stdin.write(b"\n")
        java.popen.stdin.close()
        java.wait()
        result = tracer.finish(lossless)
    finally:
        if os.path.exists(path):
            os.unlink(path)
    found = result.destination(result.row("java"), server.port)["callsites"]
    check(sum(s["opens"] for s in found) >= OPENS, f"{found}")
    return found, result


def own(site):
    return [f["function"] for f in site["stack"] if f.get("function", "").startswith("Shop.")]


def expect(how, function):
    found, result = sites(how, WITH_POINTERS, *COMPILED, perf_map=True)
    named = [s for s in found if "function" in s]
    equal([s["function"] for s in named], [function], "functions")
    equal(named[0]["language"], "java", "language")
    equal(own(named[0]), [function, *CALLERS], "stack")
    check(named[0]["opens"] >= 0.95 * OPENS, f"{named[0]['opens']} opens from there")
    return result


def test_socket():
    result = expect("socket", "Shop.dial")
    site, = [f["callsite"]["function"] for f in result.findings("function-local-client")]
    equal(site, "Shop.dial", "what the finding names")


def test_http():
    expect("http", "Shop.ask")


def hint(site):
    """The module of the first frame that is Java's."""
    return next(f["module"] for f in site["stack"] if f.get("module", "").startswith("[java"))


def test_without_frame_pointers():
    """The stack ends where Java begins: the register has what some caller put there. The report
    says what to switch on, and no function is blamed."""
    found, result = sites("socket", *COMPILED, perf_map=True)
    for site in found:
        if "stack" not in site:
            continue
        equal(own(site), [], "functions of the program")
        last = site["stack"][-1]
        check(last["module"].startswith("[java"), f"the stack goes on: {site['stack']}")
    equal(result.findings("function-local-client"), [], "findings")


def test_says_how_to_see_callers():
    found, _ = sites("socket", *COMPILED)
    site = max(found, key=lambda s: s["opens"])
    check("-XX:+PreserveFramePointer" in hint(site), f"{site}")
    equal(site["language"], "java", "language")


def test_says_how_to_get_names():
    found, _ = sites("socket", WITH_POINTERS, *COMPILED)
    site = max(found, key=lambda s: s["opens"])
    check("Compiler.perfmap" in hint(site), f"{site}")
    names = [f.get("function") for f in site["stack"]]
    check("JavaMain" in names, f"callers beyond Java's frames: {names}")


def test_interpreted():
    """Interpreted methods share one piece of code, which has no name of its own."""
    found, _ = sites("socket", WITH_POINTERS, "-Xint", perf_map=True)
    site = max(found, key=lambda s: s["opens"])
    equal(own(site), [], "functions of the program")
    equal(hint(site), "[java: still interpreted]", "module")
