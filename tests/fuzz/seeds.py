# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""What the fuzz targets start from: sound input of each kind, small. What a compiler has to make is
made here; recordings, which need a tracer, and what once went wrong are kept in corpus/."""
import os
import shutil
import struct
import subprocess

HERE = os.path.dirname(os.path.abspath(__file__))
TEXT, TEXT_SIZE = 0x400000, 0x1000  # as in fuzz.h
DWARF = ["info", "abbrev", "line", "str", "line_str", "rnglists"]
PROGRAM = r"""
static inline __attribute__((always_inline)) int inner(int x) { return x * 3 + 1; }
static inline __attribute__((always_inline)) int middle(int x) { return inner(x) ^ inner(x + 1); }
__attribute__((noinline)) int outer(volatile int *p)
{
	__attribute__((aligned(64))) volatile char room[100];

	room[*p & 63] = 1;
	return middle(*p) + room[1];
}
__attribute__((noinline)) int _ZN2ns5outerEi(int x) { volatile int y = x; return outer(&y) + y; }
void _start(void) { _ZN2ns5outerEi(3); __builtin_trap(); }
"""


def compiled(directory, name, *flags):
    path = os.path.join(directory, name)
    with open(path + ".c", "w") as f:
        f.write(PROGRAM)
    subprocess.run(
        ["gcc", "-O2", "-nostdlib", "-static", "-fomit-frame-pointer", "-fno-pie", "-no-pie",
         f"-Wl,-N,--no-warn-rwx-segments,-Ttext={TEXT:#x},--section-start=.eh_frame={TEXT + TEXT_SIZE:#x}",
         *flags, "-o", path, path + ".c"], check=True)
    return path


def content(path):
    with open(path, "rb") as f:
        return f.read()


def section(path, name):
    out = path + name
    done = subprocess.run(["objcopy", "-O", "binary", "-j", name, "--set-section-flags",
                           f"{name}=alloc", path, out], capture_output=True)
    return content(out) if not done.returncode and os.path.exists(out) else b""


def native(directory):
    plain = compiled(directory, "plain", "-g")
    old = compiled(directory, "old", "-gdwarf-4", "-fno-asynchronous-unwind-tables",
                   "-Wl,--build-id")
    stripped = compiled(directory, "stripped", "-s")
    packed = compiled(directory, "packed", "-g", "-gz=zlib")
    dwarf = []
    for path in plain, old:
        parts = [section(path, ".debug_" + name) for name in DWARF]
        dwarf.append(struct.pack("<6H", *map(len, parts)) + b"".join(parts))
    return {
        "elf": [content(p) for p in (plain, old, stripped, packed)],
        "dwarf": dwarf,
        "cfi": [b"\0" + section(plain, ".eh_frame"), b"\1" + section(old, ".debug_frame"),
                b"\2" + section(plain, ".eh_frame")],
    }


def go():
    """One function of 64 bytes with an inlined call, as in tests/unit/test_go_table.c."""
    names, units, files, pcs, functions = 72, 128, 144, 192, 256
    table = bytearray(448)
    struct.pack_into("<IHBBQQQQQQQQ", table, 0, 0xfffffff1, 0, 1, 8, 1, 0, TEXT, names, units, files,
                     pcs, functions)
    table[names:names + 35] = b"\0main.(*c[go.shape]).f\0main.inner\0\0"
    struct.pack_into("<I", table, units, 3)
    table[files + 3:files + 15] = b"/src/main.go"
    table[pcs:pcs + 46] = bytes([0, 2, 4, 64, 60] + [0] * 11 + [2, 64] + [0] * 6
                                + [22, 16, 20, 48] + [0] * 12 + [0, 16, 2, 16, 1, 32])
    struct.pack_into("<IIII", table, functions, 0, 24, 64, 0)
    struct.pack_into("<IIIIIIIII", table, functions + 24, 0, 1, 0, 0, 1, 16, 24, 3, 0)
    struct.pack_into("<IBBBBIIIIIII", table, functions + 60, 0, 0, 0, 0, 4, 0, 0, 40,
                     0, 0, 0, 0)
    module = bytearray(8 * 52)
    struct.pack_into("<Q", module, 0, 0x500000)
    struct.pack_into("<Q", module, 8 * 22, TEXT)
    struct.pack_into("<Q", module, 8 * 40, 0x600000 + 8 * 48)
    struct.pack_into("<IIII", module, 8 * 48, 0, 24, 20, 0)
    return {"go": [struct.pack("<H", len(table)) + bytes(table) + bytes(module)]}


def text_object(text, ascii_at, compact_at):
    """A str of CPython: its length and kind, and the characters where that kind has them."""
    wide = max(map(ord, text)) > 127
    head = bytearray(compact_at if wide else ascii_at)
    struct.pack_into("<Q", head, 16, len(text))
    struct.pack_into("<I", head, 32, 2 << 2 | 1 << 5 if wide else 1 << 2 | 1 << 5 | 1 << 6)
    raw = text.encode("utf-16-le" if wide else "ascii")
    return bytes(head) + raw + bytes(-len(raw) % 8 + 8)


def python_memory(minor):
    new = minor >= 11
    ascii_at, compact_at = (40, 56) if minor >= 12 else (48, 72)
    filename, name, lines, first_line = (112, 120, 136, 68 if minor == 12 else 72) if new \
        else (104, 112, 120, 40)
    code_at = 768
    memory = bytearray(code_at)
    code = bytearray(256)
    objects, at = b"", code_at + len(code)
    places = []
    for text in "main", "/srv/app.py", "p\N{LATIN SMALL LETTER E WITH ACUTE}\u20ac":
        places.append(at + len(objects))
        objects += text_object(text, ascii_at, compact_at)
    table = (lambda: None).__code__.co_linetable if new else bytes([8, 2, 12, 1, 4, 255])
    places.append(at + len(objects))
    objects += struct.pack("<QQQQ", 1, 0, len(table), 0) + table + bytes(8)
    struct.pack_into("<Q", code, 8, 0x1234)
    struct.pack_into("<I", code, first_line, 7)
    for where, what in (filename, places[1]), (name, places[0]), (lines, places[3]), \
            (128 if new else name, places[2]):
        struct.pack_into("<Q", code, where, what)
    return bytes([minor - 8, 2, code_at // 8, 0, code_at // 8, 4]) + bytes(memory + code) + objects


def python():
    tables = [bytes([0, 7, 0, 0, 0, 0, 2, 8, 1, 12, 255]), bytes([1, 7, 0, 0, 0, 8, 2, 12, 128, 4, 1])]
    tables.append(bytes([2, 7, 0, 0, 0]) + native.__code__.co_linetable)
    return {"python": [python_memory(minor) for minor in (8, 10, 11, 12)], "python_line": tables}


def options():
    lines = [
        (0, "-d 10s -I 1 -s failures -r 5 --by callsite -j -p 1,2 -n ng* -u 0 -4 -P 80,8000-8999"),
        (0, "--fail-if port-exhaustion,polling --short 500ms --reuse-window 30s -O /x -i /y"),
        (0, "--dst 10.0.0.0/8 --src ::1/128 --callsite-skip *lib* --no-callsites -g -H -- ls -l"),
        (1, "-o csv -t -T --failed --errno EADDRNOTAVAIL --buffer-size 8M --max-conns 1000 -6 -L 80"),
        (2, "-O - --attach fentry --cgroup /sys/fs/cgroup -N 4026531840 -v"),
        (3, "--what-if pool=10,idle=30s --watch --no-bpf --min-used 50% -I 2s --what-if tw_reuse=1"),
        (4, "--min-age 5m -o folded"),
        (5, "-w 50% -c 80% --leaks-warning 5 --leaks-critical 10"),
        (6, "-j -h"),
    ]
    return {"options": [bytes([n]) + b"\0".join(text.encode().split()) + b"\0" for n, text in lines]}


def attribute(kind, data):
    return struct.pack("<HH", 4 + len(data), kind) + data + bytes(-len(data) % 4)


def sock_diag():
    tcp_info = bytearray(104)
    body = struct.pack("<BBBB", 2, 1, 0, 0) + struct.pack(">HH", 80, 40000)
    body += bytes(32) + struct.pack("<IIIIIIIII", 0, 1, 0, 5, 6, 7, 8, 9, 10)[:36]
    body = body[:72].ljust(72, b"\0") + attribute(2, bytes(tcp_info))
    message = struct.pack("<IHHII", 16 + len(body), 18, 2, 1, 1) + body
    done = struct.pack("<IHHIIi", 20, 3, 2, 1, 1, 0)
    error = struct.pack("<IHHIIi", 36, 2, 0, 1, 1, -2) + bytes(16)
    return {"sock_diag": [message + message + done, error, message[:60]]}


def records():
    """bpf/event.h: a header is its time, type and size; type 5 or so is a copied stack."""
    found = []
    for kind in range(1, 14):
        for size in 16, 120, 1200:
            record = struct.pack("<QII", 5, kind, size) + bytes(40) + struct.pack("<Q", 0x7000)
            record = (record + bytes(8) + struct.pack("<I", 400)).ljust(size, b"\7")[:size]
            found.append(struct.pack("<IHHH", 9, 2 * size, size, 0) + record + record)
    return {"records": found}


def names():
    return {"names": [
        b"_ZN3foo3barIiEEvT_", b"_RNvC6_123foo3bar", b"\x1b[2J\xe2\x80\xae\xff\xc3\xa9",
        b"7f0000000000-7f0000001000 r-xp 00001000 fd:01 123   /usr/lib/x.so (deleted)\n",
    ]}


def write(corpus, directory):
    """Fills corpus/TARGET/ with what all targets start from."""
    os.makedirs(directory, exist_ok=True)
    made = {}
    for some in native(directory), go(), python(), options(), sock_diag(), records(), names():
        made |= some
    for target, seeds in made.items():
        os.makedirs(os.path.join(corpus, target), exist_ok=True)
        for i, seed in enumerate(seeds):
            with open(os.path.join(corpus, target, f"seed-{i}"), "wb") as f:
                f.write(seed)
    shutil.copytree(os.path.join(HERE, "corpus"), corpus, dirs_exist_ok=True)
