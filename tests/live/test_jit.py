# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Generated code, named by /tmp/perf-PID.map; also in namespaces, where PID and paths differ."""
import os
import shutil

from lib import Server, Skip, check, equal, get, report, run, scratch, sh, traced

OPENS = 20
# Code with frame pointers, made at run time, that calls dial(). Its map is written, or, where a
# path is given, a link to there.
SOURCE = r"""
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

static struct sockaddr_in to;

static void dial(void)
{
	int s = socket(AF_INET, SOCK_STREAM, 0);

	connect(s, (struct sockaddr *)&to, sizeof(to));
	close(s);
	usleep(10000);
}

/* A new function every 30 ms, known to the map just before it is called; and at last another one
 * where the first was. */
static void grow(uint8_t *page, const char *path)
{
	for (int i = 0; i < 21; i++) {
		uint8_t *at = page + 128 + 64 * (i % 20);
		FILE *map = fopen(path, "a");

		memcpy(at, page, 64);
		fprintf(map, "%lx 20 JS:*new%d /srv/shop.js:%d:7\n", (unsigned long)at, i, 100 + i);
		fclose(map);
		((void (*)(void))at)();
		usleep(30000);
	}
}

int main(int argc, char **argv)
{
	/* push %rbp; mov %rsp,%rbp; movabs $callee,%rax; call *%rax; pop %rbp; ret */
	uint8_t code[] = {0x55, 0x48, 0x89, 0xe5, 0x48, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0,
			  0xff, 0xd0, 0x5d, 0xc3};
	uint8_t *page = mmap((void *)0x10000000, 4096, PROT_READ | PROT_WRITE | PROT_EXEC,
			     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	uint64_t callee = (uint64_t)dial;
	char path[64];
	FILE *map;

	to.sin_family = AF_INET;
	to.sin_port = htons(atoi(argv[1]));
	to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	memcpy(code + 6, &callee, 8);
	memcpy(page, code, sizeof(code));
	callee = (uint64_t)page; /* a second one, that calls the first */
	memcpy(code + 6, &callee, 8);
	memcpy(page + 64, code, sizeof(code));
	snprintf(path, sizeof(path), "/tmp/perf-%d.map", getpid());
	if (argc > 2 && strcmp(argv[2], "grow")) {
		if (symlink(argv[2], path))
			return 3;
	} else {
		map = fopen(path, "w");
		fprintf(map, "%lx 20 JS:*ask /srv/shop.js:12:7\n%lx 20 JS:~every /srv/shop.js:30:1\n",
			(unsigned long)page, (unsigned long)page + 64);
		fclose(map);
	}
	usleep(100000);
	for (int i = 0; i < 20; i++)
		((void (*)(void))(page + 64))();
	if (argc > 2 && !strcmp(argv[2], "grow"))
		grow(page, path);
	usleep(300000);
	unlink(path);
	return 0;
}
"""


def build(*flags):
    path = os.path.join(scratch(), "jit")
    with open(path + ".c", "w") as f:
        f.write(SOURCE)
    sh("gcc", "-O2", "-fno-omit-frame-pointer", *flags, "-o", path, path + ".c")
    return path


def own_frames(result, port):
    sites = [s for row in result.processes for d in row["destinations"] if d["port"] == port
             for s in d["callsites"] if s.get("stack")]
    site = max(sites, key=lambda s: s["opens"])
    equal(site["opens"], OPENS, "opens")
    names = [(f.get("function"), f.get("file"), f.get("line")) for f in site["stack"]]
    start = [name for name, _, _ in names].index("dial") + 1
    return names[start:start + 3]


JITTED = [("ask", "/srv/shop.js", 12), ("every", "/srv/shop.js", 30), ("main", None, None)]


def test_named():
    server = Server()
    equal(own_frames(report([build(), str(server.port)]), server.port), JITTED, "frames")


def test_grown():
    """Code that is made, and named, after the map was read."""
    server = Server()
    with traced("-g", "-P", server.port) as lines:
        run([build(), str(server.port), "grow"])
    stacks = [get(line, "code.stacktrace", "") for line in
              lines[0].named("connect", role="client", port=server.port)]
    equal(len(stacks), OPENS + 21, "opens")
    # The last one stands where the first stood: which of them an early stack means is not known.
    for i in range(1, 20):
        here = [s for s in stacks if f"new{i} (/srv/shop.js:{100 + i}" in s]
        equal(len(here), 1, f"stacks with new{i} in {stacks[OPENS:]}")


def container(program, root, *mounts):
    """A command that runs the program in PID and mount namespaces of its own, where only what is in
    that root directory can be seen: the program and its libraries, moved there."""
    for name in "tmp", "srv":
        os.makedirs(f"{root}/{name}", exist_ok=True)
    for line in run(["ldd", program]).stdout.splitlines():
        for path in [word for word in line.split() if word.startswith("/")]:
            os.makedirs(os.path.dirname(root + path), exist_ok=True)
            if not os.path.exists(root + path):
                shutil.copy(os.path.realpath(path), root + path)
    shutil.move(program, f"{root}/srv/app")
    return ["unshare", "--pid", "--fork", "--mount", "sh", "-c",
            "".join(f'mount -t tmpfs none "$0{where}" && ' for where in mounts)
            + 'exec chroot "$0" "$@"', root, "/srv/app"]


def test_in_a_container():
    """Another PID inside, /tmp inside, files inside: the names are found there."""
    server = Server()
    command = container(build(), f"{scratch()}/root", "/tmp")
    equal(own_frames(report([*command, str(server.port)]), server.port), JITTED, "frames")


def linked(there, inside):
    """What the second frame of the code is called when its map is a link to that path, where there
    is one outside of the process's root and, if wanted, one inside."""
    server = Server()
    root = f"{scratch()}/root"
    command = container(build(), root, "/tmp")
    for name, wanted, path in ("outside", True, there), ("inside", inside, f"{root}{there}"):
        os.makedirs(os.path.dirname(path), exist_ok=True)
        if wanted:
            with open(path, "w") as f:
                f.write(f"10000000 20 JS:*{name} /srv/shop.js:12:7\n"
                        f"10000040 20 JS:*{name} /srv/shop.js:13:7\n")
    # Inside /tmp is a file system of its own; so the link leads elsewhere.
    frames = own_frames(report([*command, str(server.port), there]), server.port)
    return frames[0][0]


def test_link_out_of_the_root():
    """A process in a container cannot have a file of the host read for it, nor learn of one."""
    where = f"/var/tmp/{os.path.basename(scratch())}"
    try:
        equal(linked(f"{where}/map", inside=False), None, "function")
    finally:
        shutil.rmtree(where)


def test_link_within_the_root():
    """The control: to the same path, where it is inside too."""
    where = f"/var/tmp/{os.path.basename(scratch())}"
    try:
        equal(linked(f"{where}/map", inside=True), "inside", "function")
    finally:
        shutil.rmtree(where)


def test_library_in_a_container():
    """A library that is only there, and a decoy with its path outside."""
    server = Server()
    root = f"{scratch()}/root"
    os.makedirs(root)
    for name, where in ("inside", root), ("outside", ""):
        directory = f"{where}{scratch()}/lib"
        os.makedirs(directory)
        with open(f"{scratch()}/{name}.c", "w") as f:
            f.write("#include <sys/socket.h>\n"
                    f"int {name}(int s, const void *to) {{ return connect(s, to, 16) + 1; }}\n"
                    f"int call(int s, const void *to) {{ return {name}(s, to) + 1; }}\n")
        sh("gcc", "-O1", "-g", "-fno-inline", "-shared", "-fPIC", "-o", f"{directory}/libcall.so",
           f"{scratch()}/{name}.c")
    with open(f"{scratch()}/main.c", "w") as f:
        f.write("#include <arpa/inet.h>\n#include <stdlib.h>\n#include <unistd.h>\n"
                "int call(int, const void *);\n"
                "int main(int c, char **v) {\n"
                "struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(atoi(v[1]))};\n"
                "to.sin_addr.s_addr = htonl(INADDR_LOOPBACK); usleep(100000);\n"
                "for (int i = 0; i < 20; i++) { int s = socket(AF_INET, SOCK_STREAM, 0);\n"
                "call(s, &to); close(s); usleep(10000); } usleep(300000); return 0; }\n")
    sh("gcc", "-O1", "-o", f"{scratch()}/main", f"{scratch()}/main.c", f"-L{scratch()}/lib",
       "-lcall", f"-Wl,-rpath,{scratch()}/lib")
    result = report([*container(f"{scratch()}/main", root), str(server.port)])
    sites = [s for row in result.processes for d in row["destinations"] if d["port"] == server.port
             for s in d["callsites"] if "function" in s]
    functions = {f.get("function") for s in sites for f in s["stack"]}
    check("inside" in functions and "outside" not in functions, f"functions: {functions}")
    equal(sum(s["opens"] for s in sites), OPENS, "opens")


def test_node():
    """node --perf-basic-prof: a connection that is made in the call itself has its function."""
    node = shutil.which("node")
    if not node:
        raise Skip("no node")
    server = Server()
    path = os.path.join(scratch(), "app.js")
    with open(path, "w") as f:
        f.write("const { TCP, TCPConnectWrap, constants } = "
                "process.binding('tcp_wrap');\n"
                "function ask() {\n"
                "  const s = new TCP(constants.SOCKET);\n"
                f"  s.connect(new TCPConnectWrap(), '127.0.0.1', {server.port});\n"
                "  setTimeout(() => s.close(), 5);\n"
                "}\n"
                "let n = 0;\n"
                "const timer = setInterval(() => { ask(); if (++n == 20) clearInterval(timer); },"
                " 15);\n"
                "setTimeout(() => {}, 900);\n")
    result = report(["sh", "-c", 'echo $$; exec "$@"', "sh", node, "--no-deprecation",
                     "--perf-basic-prof", "--interpreted-frames-native-stack", path], cwd=scratch())
    os.unlink(f"/tmp/perf-{int(result.stdout)}.map")
    sites = [s for row in result.processes for d in row["destinations"]
             for s in d["callsites"] if "function" in s]
    ask = [s for s in sites if s["function"] == "ask"]
    check(ask and ask[0]["file"] == path and ask[0]["language"] == "jit", f"call sites: {sites}")
    check(ask[0]["opens"] >= 10, f"{ask[0]['opens']} opens")


def test_node_event_loop():
    """http.get() returns before anything connects: it is said why there is no call site."""
    node = shutil.which("node")
    if not node:
        raise Skip("no node")
    server = Server()
    result = report([node, "-e", "const http = require('http'); let n = 0;\n"
                     "const ask = () => http.get('http://127.0.0.1:%d/').on('error', () => {})"
                     ".on('close', () => { if (++n < 20) setTimeout(ask, 15); }); ask();"
                     % server.port])
    sites = [s for row in result.processes for d in row["destinations"] for s in d["callsites"]]
    said = [s for s in sites if s.get("language") == "nodejs"]
    check(said and said[0]["opens"] >= 10, f"call sites: {sites}")
    check(said[0]["stack"][-1]["module"].startswith("[node: "), f"reason: {said[0]['stack'][-1]}")
    equal(result.doc["unattributed"]["callsite"], OPENS, "opens without a call site")


def test_perl():
    """Its frames are not read: that is said, and no function of the interpreter is blamed."""
    perl = shutil.which("perl")
    if not perl:
        raise Skip("no perl")
    server = Server()
    result = report([perl, "-MIO::Socket::INET", "-e", "for (1..%d) { close(IO::Socket::INET->new("
                     "'127.0.0.1:%d')); select(undef, undef, undef, 0.02) }" % (OPENS, server.port)])
    sites = [s for row in result.processes for d in row["destinations"] for s in d["callsites"]]
    equal([s for s in sites if "function" in s], [], "call sites in the interpreter")
    said = [s for s in sites if s["stack"] and s["stack"][-1].get("module", "").startswith("[perl: ")]
    check(said and said[0]["opens"] >= 10, f"call sites: {sites}")
