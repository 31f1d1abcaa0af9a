# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""A traced program chooses its name, its arguments, its files' names: none of that is run by a
shell, and none of it reaches a terminal as more than text."""
import os
import pty
import re
import select
import signal
import subprocess
import time

from lib import (
    SLOW, TCPCHURN, Netns, Process, Skip, check, equal, scratch, sh,
)

# Clears the screen, sets the window's title, turns the reading direction; C1, and no UTF-8 at all.
ESCAPES = b"\x1b[2J\x1b]0;x\x07\xc2\x9b2J\xe2\x80\xae\x9b\r"
SHELL = b"$(touch ran)`touch ran`;touch ran;';touch ran;'"
# Connects and is connected to, leaves sockets in CLOSE_WAIT, fails to connect, waits for its end.
SOURCE = r"""
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#line 7 "/srv/\033[2Jevil\033]0;x\007.c"
static int evil_site(const struct sockaddr_in *to)
{
	int s = socket(AF_INET, SOCK_STREAM, 0);

	connect(s, (const struct sockaddr *)to, sizeof(*to));
	return s;
}

int main(int argc, char **argv)
{
	struct sockaddr_in at = {.sin_family = AF_INET};
	socklen_t len = sizeof(at);
	int s = socket(AF_INET, SOCK_STREAM, 0);

	prctl(PR_SET_NAME, argv[argc - 1]);
	at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (bind(s, (struct sockaddr *)&at, len) || listen(s, 64) ||
	    getsockname(s, (struct sockaddr *)&at, &len))
		return 1;
	usleep(200000);
	for (int i = 0; i < 20; i++) {
		int fd = evil_site(&at);

		accept(s, NULL, NULL);
		close(fd);
		usleep(2000);
	}
	at.sin_port = htons(1);
	close(evil_site(&at));
	printf("ready\n");
	fflush(stdout);
	sleep(atoi(argv[1]));
	return 0;
}
"""


def build():
    """Named as badly as a file can be."""
    source = os.path.join(scratch(), "source.c")
    with open(source, "w") as f:
        f.write(SOURCE)
    path = os.path.join(os.fsencode(scratch()), b"evil-program-name" + ESCAPES + SHELL)
    sh("gcc", "-O1", "-g", "-o", os.path.join(scratch(), "plain"), source)
    os.rename(os.path.join(scratch(), "plain"), path)
    return path


def command(program, seconds):
    return [program, str(seconds).encode(), ESCAPES + b"argument", SHELL, b"\x1b[2J\x07evilcomm"]


def on_terminal(words, **kwargs):
    """What the program writes to a terminal, and its exit status."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=theirs, stderr=theirs,
                               **kwargs)
    os.close(theirs)
    found, end = b"", time.monotonic() + 30 * SLOW
    while time.monotonic() < end:
        if select.select([ours], [], [], 0.1)[0]:
            try:
                some = os.read(ours, 65536)
            except OSError:
                break
            found += some
        elif process.poll() is not None:
            break
    os.close(ours)
    return found, process.wait(5 * SLOW)


def harmless(text, what, terminal=False):
    """Lines of text; on a terminal colours are allowed, and its own end of a line."""
    if terminal:
        text = re.sub(rb"\x1b\[[0-9;]*m", b"", text).replace(b"\r\n", b"\n")
    try:
        decoded = text.decode()
    except UnicodeDecodeError as error:
        raise AssertionError(f"{what}: {error}") from error
    bad = [c for c in decoded if c != "\n" and (c < " " or "\x7f" <= c <= "\x9f")]
    equal(bad, [], f"{what}: control characters in {decoded[:2000]!r}")
    return decoded


def show(words, shown, traced=(), json=False):
    """Both into a pipe and on a terminal."""
    what = " ".join(words)
    words = [os.fsencode(w) for w in [TCPCHURN, *words]] + ([b"--", *traced] if traced else [])
    done = subprocess.run(words, capture_output=True, cwd=scratch(), timeout=40 * SLOW)
    check(done.returncode in (0, 1, 2), f"{what}: exit {done.returncode}, {done.stderr!r}")
    text = harmless(done.stdout, what) + harmless(done.stderr, what)
    check(not shown or shown in text, f"{what}: no {shown} in {text!r}")
    text, code = on_terminal(words, cwd=scratch())
    check(code in (0, 1, 2), f"{what} on a terminal: exit {code}, {text!r}")
    text = harmless(text, f"{what} on a terminal", terminal=True)
    check(not shown or shown in text, f"{what} on a terminal: no {shown} in {text!r}")
    if not json:
        check("\u202e" not in text, f"{what}: turns the reading direction")
    check(not os.path.exists(os.path.join(scratch(), "ran")), f"{what}: a shell ran it")


def traced(*views):
    program = build()
    for words, shown in views:
        show(words.split(), shown, command(program, 0), json="-j" in words)


def test_report():
    traced(("report -g", "evil_site"), ("report -o folded", "evil_site"), ("report -o csv", "evil"),
           ("report -j", "evil"), ("report --by callsite", "evil"), ("report --by comm", "evil"))


def test_trace():
    traced(("trace -g", "evil_site"), ("trace -o csv", "evil"), ("trace -j -g", "evil"),
           ("trace -o folded", "evil_site"))


def test_replay():
    """The same of a recording, which keeps what it was told."""
    recording = os.path.join(scratch(), "recording")
    traced((f"record -O {recording}", None))
    for words in "report -g", "trace -g", "report -o folded", "trace -j":
        show([*words.split(), "-i", recording], "evil", json="-j" in words)


def test_host():
    """What looks at the host without a trace, and says who holds what."""
    netns = Netns("\x1b[2Jnetns")
    # So few ports that the pool is worth a word.
    sh(*netns.enter, "sh", "-c", "echo 40000 40099 >/proc/sys/net/ipv4/ip_local_port_range")
    process = Process([*netns.enter, *map(os.fsdecode, command(build(), 60))])
    process.wait_text(process.out_path, "^ready")
    inode = str(netns.inode)
    for words, shown in (
        ("leaks --min-age 1ms", "evil"), ("leaks -j --min-age 1ms", "evil"),
        ("ports --min-used 1", "127.0.0.1"),
        ("ports --what-if tw_reuse=1", None), ("ports -j", None),
        ("check -w 1% -c 99%", "netns"), ("check --leak-warning 1", None), ("check", None),
        ("doctor", None), ("doctor -j", None), ("report -d 1s", "evil"),
    ):
        command_words = words.split()
        if command_words[0] != "doctor":
            command_words += ["-N", inode]
        show(command_words, shown, json="-j" in words)
    process.stop(signal.SIGKILL, expect=-signal.SIGKILL)


def test_no_way_to_a_shell():
    """Nothing that runs a program is in the tracer, but what `-- COMMAND` needs."""
    names = {line.split()[-1].split("@")[0]
             for line in sh("nm", "-D", "--undefined-only", TCPCHURN).splitlines()}
    if any(name.startswith("__asan_") for name in names):
        raise Skip("sanitizers bring ways of their own")
    ways = {n for n in names if re.search(r"^(system|popen|wordexp|v?fork|dlopen)$|exec|spawn", n)}
    equal(ways, {"fork", "execvp"}, "ways to run a program")
