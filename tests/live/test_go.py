# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Function, file and line of Go programs, stripped or not, beside what Go's runtime says itself.
The compiler is too large to fetch for a test: `go` of the PATH, or what $GO says."""
import hashlib
import os
import shutil
import subprocess

from lib import CACHE, Server, Skip, check, equal, report, temporary

OPENS = 20
SOURCE = """package main

import (
	"fmt"
	"net"
	"os"
	"runtime"
	"time"
)

var told = map[string]bool{}

// Prints the calls in progress, outermost last, once for each kind.
func tell(kind string) {
	if told[kind] {
		return
	}
	told[kind] = true
	pcs := make([]uintptr, 64)
	frames := runtime.CallersFrames(pcs[:runtime.Callers(2, pcs)])
	for {
		f, more := frames.Next()
		fmt.Println(kind, f.Function, f.File, f.Line)
		if !more {
			return
		}
	}
}

func pause(c net.Conn, err error) {
	if err == nil {
		c.Close()
	}
	time.Sleep(8 * time.Millisecond)
}

//go:noinline
func plain(to string) {
	tell("plain"); pause(net.Dial("tcp", to))
}

// Small enough to be inlined, twice.
func inner(to string) {
	tell("inlined"); pause(net.Dial("tcp", to))
}

func outer(to string) { inner(to) }

//go:noinline
func inlined(to string) {
	x := len(to)
	outer(to)
	runtime.KeepAlive(x)
}

type client[T any] struct{ to T }

//go:noinline
func (c *client[T]) fetch() {
	tell("method"); pause(net.Dial("tcp", fmt.Sprint(c.to)))
}

func each(n int, what func()) {
	for i := 0; i < n; i++ {
		what()
	}
}

func main() {
	to := os.Args[1]
	time.Sleep(50 * time.Millisecond)
	each(20, func() { plain(to) })
	each(20, func() { inlined(to) })
	c := &client[string]{to}
	each(20, func() { c.fetch() })
	done := make(chan bool)
	go func() {
		each(20, func() {
			tell("goroutine"); pause(net.Dial("tcp", to))
		})
		done <- true
	}()
	<-done
}
"""
KINDS = ["plain", "inlined", "method", "goroutine"]


FLAVOURS = {
    "plain": ([], {}),
    "stripped": (["-ldflags=-s -w"], {}),
    "trimmed": (["-trimpath", "-ldflags=-s -w"], {}),  # without the directory of the source
    "pie": (["-buildmode=pie", "-ldflags=-s -w"], {}),
    "static": ([], {"CGO_ENABLED": "0"}),
}
GO = os.environ.get("GO") or shutil.which("go")
BUILT = f"{CACHE}/go-{hashlib.sha256(f'{GO}{SOURCE}{FLAVOURS}'.encode()).hexdigest()[:16]}"


def prepare():
    """Builds all flavours, before the tests: the first time it takes minutes."""
    if not GO:
        return
    os.makedirs(f"{BUILT}/shop", exist_ok=True)
    with open(f"{BUILT}/shop/main.go", "w") as f:
        f.write(SOURCE)
    with open(f"{BUILT}/shop/go.mod", "w") as f:
        f.write("module example.com/shop\n\ngo 1.18\n")
    for name, (flags, variables) in FLAVOURS.items():
        if not os.path.exists(f"{BUILT}/{name}"):
            env = {**os.environ, "GOTOOLCHAIN": "local", "GOCACHE": f"{CACHE}/go-cache",
                   **variables}
            subprocess.run([GO, "build", *flags, "-o", f"../{name}", "."], check=True, env=env,
                           cwd=f"{BUILT}/shop")


def expect(flavour):
    if not GO:
        raise Skip("no go")
    program = f"{BUILT}/{flavour}"
    server = Server()
    out = temporary()
    result = report(["sh", "-c", 'exec "$0" "$1" >"$2"', program, server.target(), out])
    equal(result.totals["opens"], OPENS * len(KINDS), "opens")
    truth = {kind: [] for kind in KINDS}
    with open(out) as f:
        for line in f:
            kind, function, file, number = line.split()
            truth[kind].append((function, file, int(number)))
    row, = result.processes
    sites = {(s["function"], s["file"], s["line"]): s
             for s in result.destination(row, server.port)["callsites"] if "function" in s}
    equal(sorted(sites), sorted(frames[0] for frames in truth.values()), "call sites")
    for frames in truth.values():
        site = sites[frames[0]]
        check(site["opens"] >= 0.95 * OPENS, f"{site['opens']} opens of {OPENS} from {frames[0]}")
        equal(site["language"], "go", "language")
        ours = [(f.get("function"), f.get("file"), f.get("line")) for f in site["stack"]]
        start = ours.index(frames[0])
        equal(ours[start:], frames, "stack")
        check(start >= 8, f"the calls inside of Go's library: {ours}")


def test_plain():
    expect("plain")


def test_stripped():
    expect("stripped")


def test_trimmed():
    expect("trimmed")


def test_pie():
    expect("pie")


def test_static():
    expect("static")
