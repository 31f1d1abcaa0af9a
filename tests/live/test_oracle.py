# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Stacks of real programs, frame by frame beside what eu-stack has of the same connect(): the first
one, walked in a copy, and the next, walked in the kernel by the rules that the first one took."""
import gzip
import json
import os
import re
import shutil
import socket
import threading
import time

import test_native as native
from held import Held
from lib import CACHE, PYTHON, Skip, Tracer, check, equal, fetch, get, run, scratch, sh

PORT = 8095
# Programs that few have installed: package -> suite of Debian.
PACKAGES = {"nginx": "bookworm", "sccache": "bookworm", "hey": "trixie"}


def root_of(package):
    return f"{CACHE}/{PACKAGES[package]}-{package}"


def prepare():
    fetch({root_of(package): (suite, package) for package, suite in PACKAGES.items()})


def packaged(package, path):
    """The command of a program of such a package: with its own loader and libraries."""
    root = root_of(package)
    if not os.path.isdir(root):
        raise Skip(f"no {package}: Debian's archive is out of reach")
    libraries = f"{root}/usr/lib/x86_64-linux-gnu"
    return [f"{libraries}/ld-linux-x86-64.so.2", "--library-path", libraries, root + path]


def installed(name):
    if not shutil.which(name):
        raise Skip(f"no {name}: tools/install-deps.sh check")
    return name


def eu_stack(tid):
    """Program counters, innermost first."""
    text = run(["eu-stack", "-1", "-p", str(tid)], expect=None).stdout
    return [int(pc, 16) for pc in re.findall(r"^#\d+\s+(0x[0-9a-f]+)", text, re.M)]


def recorded(path):
    """{id: frames} of the stacks, and the ids of the opens and failures to PORT, in their order."""
    stacks, contexts, opens = {}, {}, []
    with gzip.open(path, "rt") as f:
        for line in map(json.loads, f):
            name, stack = get(line, "event.name"), get(line, "tcpchurn.stack")
            if name == "stack":
                stacks[stack["id"]] = stack["frames"]
            elif name == "context":
                contexts[get(line, "tcpchurn.context")] = line
            elif name in ("connect", "connect_failed"):
                context = contexts[get(line, "tcpchurn.context")]
                if get(context, "network.peer.port") == PORT:
                    opens.append(get(context, "tcpchurn.stack.id"))
    return stacks, opens


def beside(command, times, trigger=None, **kwargs):
    """What eu-stack and the tracer have of the first connects of a program: lists of (pcs, frames).
    Nobody listens on PORT."""
    if not shutil.which("eu-stack"):
        raise Skip("no eu-stack: tools/install-deps.sh check")
    tracer = Tracer("record", "-P", PORT)
    held, seen = Held(command, **kwargs), []
    for _ in range(times):
        if trigger:  # beside hold(): what it connects to itself at its start is held, too
            threading.Thread(target=trigger).start()
        tid = held.hold(PORT)
        seen.append(eu_stack(tid))
        held.release()
        time.sleep(0.3)  # for the rules to be learnt
    held.process.stop(expect=None)
    stacks, opens = recorded(tracer.finish())
    check(len(opens) >= times, f"{len(opens)} opens, {times} were held")
    return [(pcs, stacks.get(id, [])) for pcs, id in zip(seen, opens)]


def text_of(frames):
    return "\n".join(f"{f['pc']:x} {f.get('module')} {f.get('function')}" for f in frames)


def same(command, times=2, least=3, skipped=(), **kwargs):
    """All frames are the same, but for those that eu-stack is known to skip; what says why a call
    site is not known is none, and has no address. `least` so many are there. Returns those of the
    last one."""
    for number, (pcs, frames) in enumerate(beside(command, times, **kwargs), 1):
        ours = [f["pc"] for f in frames
                if f["pc"] and not f.get("inlined") and f.get("function") not in skipped]
        equal([hex(pc) for pc in ours], [hex(pc) for pc in pcs],
              f"connect {number}:\n{text_of(frames)}\n")
        check(len(pcs) >= least, f"only {len(pcs)} frames: {text_of(frames)}")
    return frames


def functions(frames):
    return [f.get("function") for f in frames]


def test_bash():
    same(["bash", "-c", f"for i in 1 2; do : 3<>/dev/tcp/127.0.0.1/{PORT}; done"], least=8)


def test_curl():
    url = f"http://127.0.0.1:{PORT}/"
    same(["curl", "-s", url, url], least=6)


def test_wget():
    same([installed("wget"), "-q", "-t", "1", f"http://127.0.0.1:{PORT}/1",
          f"http://127.0.0.1:{PORT}/2"], least=5)


def test_ssh():
    same([installed("ssh"), "-o", "ConnectionAttempts=2", "-p", str(PORT), "127.0.0.1"], 2, 4)


def test_psql():
    same(["sh", "-c", 'exec "$(ls -d /usr/lib/postgresql/*/bin/psql | tail -1)" '
          f"'host=127.0.0.1,127.0.0.1 port={PORT}'"]
         if shutil.which("psql") else [installed("psql")], least=5)


def test_perl():
    """An interpreter whose frames are all native to us."""
    frames = same(["perl", "-MIO::Socket::INET", "-e",
                   f"IO::Socket::INET->new('127.0.0.1:{PORT}') for 1..2"], least=6)
    equal(frames[-1]["module"], "[perl: which line is not known]", "behind them")


def test_python():
    """The frames of the machine below those of CPython: of an interpreter that hides what it is."""
    with open(os.path.realpath(PYTHON), "rb") as f:
        image = f.read()
    hidden = image.replace(b"\0_PyRuntime\0", b"\0_PyRuntimX\0")
    check(hidden != image, f"{PYTHON} exports no _PyRuntime")
    program = f"{scratch()}/interpreter"
    with open(program, "wb") as f:
        f.write(hidden + b"\0")  # another size: not another copy of the same build
    os.chmod(program, 0o755)
    same([program, "-c", "import socket\n"
          "def dial():\n    socket.socket().connect_ex(('127.0.0.1', %d))\n"
          "class Client:\n    def __init__(self): [dial() for _ in range(1)]\n"
          "for _ in range(3): list(map(lambda _: Client(), [0]))\n" % PORT], times=3, least=15)


def test_nginx():
    """As a proxy in front of nothing."""
    prefix = f"{scratch()}/nginx"
    os.makedirs(f"{prefix}/logs")
    with open(f"{prefix}/conf", "w") as f:
        f.write("daemon off; master_process off; user root; pid pid; error_log stderr;\n"
                "events {}\nhttp { access_log off; client_body_temp_path t; proxy_temp_path t;\n"
                "fastcgi_temp_path t; uwsgi_temp_path t; scgi_temp_path t;\n"
                f"server {{ listen 127.0.0.1:8096; location / {{"
                f" proxy_pass http://127.0.0.1:{PORT}; }} }} }}\n")
    command = packaged("nginx", "/usr/sbin/nginx")

    def trigger():
        for _ in range(100):
            with socket.socket() as s:
                if not s.connect_ex(("127.0.0.1", 8096)):
                    s.sendall(b"GET / HTTP/1.0\r\n\r\n")
                    clients.append(s.dup())
                    return
            time.sleep(0.05)

    clients = []
    same([*command, "-p", prefix, "-c", f"{prefix}/conf"], trigger=trigger, least=8)


def test_rust():
    """A program in Rust."""
    same(packaged("sccache", "/usr/bin/sccache") + ["--show-stats"], 1, 5,
         env={**os.environ, "SCCACHE_SERVER_PORT": str(PORT), "HOME": scratch()})


def test_go():
    """A program in Go, stripped, without call frame information. eu-stack walks it by its frame
    pointers, which the innermost function does not have: it skips that one's caller."""
    frames = same(packaged("hey", "/usr/bin/hey")
                  + ["-n", "4", "-c", "2", f"http://127.0.0.1:{PORT}/"], 2, 5,
                  skipped=["syscall.RawSyscall6"])
    equal(functions(frames)[1], "syscall.RawSyscall6", f"the caller in {text_of(frames)}")
    equal(functions(frames)[-1], "runtime.goexit", f"the last one of {text_of(frames)}")


# --- the same C program, in all the ways there are to build it -----------------------------------


def built(*flags, compiler="gcc", strip=False):
    program = native.build(*flags, compiler=compiler)
    if strip:
        sh("strip", program)
    return [program, "127.0.0.1", str(PORT), "aligned", "2"]


def test_stripped():
    frames = same(built(strip=True), least=8)
    own = [f for f in frames if f.get("module", "").endswith("/native")]
    equal({f.get("function") for f in own}, {None}, "names without symbols")


def test_stripped_static():
    same(built("-static", strip=True), least=6)


def test_static_pie():
    frames = same(built("-static-pie"), least=8)
    check("aligned" in functions(frames), text_of(frames))


def test_frame_pointers():
    frames = same(built("-fno-omit-frame-pointer"), least=8)
    check("aligned" in functions(frames), text_of(frames))


def test_lazy_binding():
    """The first call goes through the dynamic loader's resolver; PLT of its own section."""
    frames = same(built("-Wl,-z,lazy", "-fcf-protection=full"), least=8)
    check("aligned" in functions(frames), text_of(frames))


def test_compressed_debug():
    frames = same(built("-gz", "-Wl,--compress-debug-sections=zlib"), least=8)
    check("aligned" in functions(frames), text_of(frames))
