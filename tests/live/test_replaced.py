# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Code that is not what it was: libraries in the place of others, files replaced on disk."""
import os

from lib import Process, Tracer, Server, check, equal, other_program, report, scratch, sh

# The same size, and other frames at the same addresses.
PLUGIN = r"""
#include <sys/socket.h>

__attribute__((noinline)) static int NAME_dial(int s, const struct sockaddr *to, int n)
{
	char local[SIZE];

	__asm__ volatile("" : : "r"(local) : "memory");
	return connect(s, to, 16) + n; /* here */
}

int plugin(int s, const struct sockaddr *to)
{
	return NAME_dial(s, to, s) + 1;
}
"""
HOST = r"""
#include <arpa/inet.h>
#include <dlfcn.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(atoi(argv[1]))};
	void *library = NULL;
	int sink = 0;

	to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	usleep(100000);
	for (int i = 0; i < 4 * EACH; i++) {
		int (*plugin)(int, const struct sockaddr *);
		int s = socket(AF_INET, SOCK_STREAM, 0);

		if (i % EACH == 0) {
			if (library)
				dlclose(library);
			library = dlopen(argv[2 + i / EACH % (argc - 2)], RTLD_NOW);
		}
		plugin = dlsym(library, "plugin");
		printf("%p\n", (void *)plugin);
		sink += plugin(s, (struct sockaddr *)&to);
		close(s);
		usleep(250000 / EACH);
	}
	return sink == 123456;
}
"""


def build_plugins(sizes):
    """One of each name: the size of its frame."""
    paths = []
    for name, size in sizes.items():
        path = os.path.join(scratch(), f"{name}.so")
        with open(f"{scratch()}/{name}.c", "w") as f:
            f.write(PLUGIN.replace("NAME", name).replace("SIZE", str(size)))
        sh("gcc", "-O2", "-g", "-fomit-frame-pointer", "-shared", "-fPIC", "-o", path,
           f"{scratch()}/{name}.c")
        paths.append(path)
    return paths


def build_host(each):
    path = os.path.join(scratch(), "host")
    with open(path + ".c", "w") as f:
        f.write(HOST)
    sh("gcc", "-O2", "-g", f"-DEACH={each}", "-o", path, path + ".c", "-ldl")
    return path


def open_in_turns(sizes, each):
    """`each` connections from one plugin, as many from the other at the same address, and again."""
    server = Server()
    out = os.path.join(scratch(), "out")
    result = report(["sh", "-c", f'exec "$0" "$@" >{out}', build_host(each), str(server.port),
                     *build_plugins(sizes)])
    equal(result.totals["opens"], 4 * each, "opens")
    with open(out) as f:
        equal(len(set(f.read().split())), 1, "addresses of the plugins")
    row, = result.processes
    sites = {s["function"]: s for s in result.destination(row, server.port)["callsites"]
             if "function" in s}
    equal(sorted(sites), ["first_dial", "other_dial"], "call sites")
    for name in "first", "other":
        site = sites[f"{name}_dial"]
        # None is the other's. On a busy machine a library may be gone before it is looked at: then
        # its connections are nobody's.
        check(each <= site["opens"] <= 2 * each, f"{site['opens']} of {2 * each} from {name}")
        equal(os.path.basename(site["file"]), f"{name}.c", "file")
        functions = [f.get("function") for f in site["stack"]]
        equal(functions[1:4], [f"{name}_dial", "plugin", "main"], "stack")


def test_library_in_the_place_of_another():
    open_in_turns({"first": 512, "other": 1024}, 10)


def test_library_with_the_same_stacks():
    """So often that their walks are kept, which look the same but for whose code it is."""
    open_in_turns({"first": 512, "other": 512}, 90)


def opened_after(change):
    """The call site of a program whose file was changed before the tracer first saw it."""
    path = other_program("victim")
    victim = Process([path, "--json", "--pause-before", "-n", "20", "-r", "40"],
                     stdin=-1)  # a pipe
    victim.wait_text(victim.err_path, r"^ready")
    change(path)
    tracer = Tracer("report")
    victim.popen.stdin.write(b"\n")
    victim.popen.stdin.close()
    victim.wait()
    site, = tracer.finish().row("victim")["destinations"][0]["callsites"]
    equal(site["opens"], 20, "opens")
    return site.get("function"), os.path.basename(site.get("file", ""))


def test_deleted():
    equal(opened_after(os.unlink), ("dial_once", "churn.c"), "call site")


def test_replaced_on_disk():
    """An update while it runs: names come from the file that runs."""
    def update(path):
        sh("cp", "/bin/bash", path + ".new")
        os.rename(path + ".new", path)

    equal(opened_after(update), ("dial_once", "churn.c"), "call site")
