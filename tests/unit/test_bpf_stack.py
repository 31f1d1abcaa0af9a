#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""The stacks of our programs are not too deep for any kernel; and those of programs that are made
to be too deep are seen to be. usage: test_bpf_stack.py OBJECT..., CLANG in the environment."""
import os
import shlex
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True
import bpf_stack  # noqa: E402

CLANG = shlex.split(os.environ.get("CLANG", "clang"))
HEAD = """
#define PROGRAM __attribute__((section("tp"), used))
#define ALONE __attribute__((noinline))
#define USE(bytes) volatile char own[bytes]; asm volatile("" : : "r"(own))
static long (*const get_comm)(char *buffer, unsigned size) = (void *)16;
static long (*const loop)(unsigned nr, void *function, void *ctx, long flags) = (void *)181;
"""
# name: (bytes of each frame of the deepest chain, whether that is refused, C)
CASES = {
    "fits": ((256, 256), False, """
        static ALONE int below(void) { USE(256); return own[0]; }
        PROGRAM int program(void *ctx) { USE(256); return below() + own[0]; }"""),
    "a_byte_too_deep": ((256, 257), True, """
        static ALONE int below(void) { USE(257); return own[0]; }
        PROGRAM int program(void *ctx) { USE(256); return below() + own[0]; }"""),
    "deepest_of_several": ((32, 32, 64), False, """
        static ALONE int wide(void) { USE(64); return own[0]; }
        static ALONE int deep(void) { USE(32); return wide() + own[0]; }
        static ALONE int flat(void) { USE(64); return own[0]; }
        PROGRAM int program(void *ctx) { USE(32); return flat() + deep() + own[0]; }
        PROGRAM int another(void *ctx) { USE(64); return own[0]; }"""),
    # Within .text a call is by distance, from elsewhere by a relocation.
    "deep_in_text": ((0, 256, 257), True, """
        static ALONE int below(void) { USE(257); return own[0]; }
        ALONE int between(void) { USE(256); return below() + own[0]; }
        PROGRAM int program(void *ctx) { return between() + 1; }"""),
    "callback": ((256, 257), True, """
        static int each(unsigned i, void *ctx) { USE(257); return own[0]; }
        PROGRAM int program(void *ctx) { USE(256); return loop(1, each, 0, 0) + own[0]; }"""),
    "callback_global": ((256, 257), True, """
        int before(void) { return 1; }
        int each(unsigned i, void *ctx) { USE(257); return own[0]; }
        PROGRAM int program(void *ctx) { USE(256); return loop(1, each, 0, 0) + own[0]; }"""),
    "callback_of_a_callback": ((128, 128, 257), True, """
        static int inner(unsigned i, void *ctx) { USE(257); return own[0]; }
        static int each(unsigned i, void *ctx) { USE(128); return loop(1, inner, 0, 0) + own[0]; }
        PROGRAM int program(void *ctx) { USE(128); return loop(1, each, 0, 0) + own[0]; }"""),
    "atomic": ((256, 264), True, """
        static ALONE int below(void) { long own[33]; return __sync_fetch_and_add(own, 1); }
        PROGRAM int program(void *ctx) { USE(256); return below() + own[0]; }"""),
    "after_an_atomic": ((8, 480, 0), True, """
        static ALONE int lowest(void) { asm volatile(""); return 1; }
        static ALONE int below(void) { USE(480); return own[0] + lowest(); }
        PROGRAM int program(void *ctx) { long n; __sync_fetch_and_add(&n, 1); return below(); }"""),
    "buffer_of_a_helper": ((256, 264), True, """
        static ALONE int below(void) { char own[264]; return get_comm(own, 8); }
        PROGRAM int program(void *ctx) { USE(256); return below() + own[0]; }"""),
    "buffer_of_a_callee": ((504, 0), True, """
        static ALONE int below(volatile char *buffer) { buffer[8] = 1; return 1; }
        PROGRAM int program(void *ctx) { char own[504]; return below(own); }"""),
    "indexed": ((256, 264), True, """
        static ALONE int below(unsigned i) { volatile char own[264]; return own[i & 255]; }
        PROGRAM int program(int *ctx) { USE(256); return below(*ctx) + own[0]; }"""),
    "flat_and_deep": ((32, 481), True, """
        static ALONE int flat(void) { USE(481); return own[0]; }
        static ALONE int low(void) { asm volatile(""); return 1; }
        static ALONE int between(void) { return low() + 1; }
        PROGRAM int program(void *ctx) { USE(32); return flat() + between() + own[0]; }"""),
}
# name: (bytes, how a function uses them), where compilers have the choice.
ASSEMBLED = {
    "load": (264, "r0 = *(u64 *)(r10 - 264)"),
    "store": (264, "*(u64 *)(r10 - 264) = r1"),
    "store_constant": (264, ".quad 0xfef80a7a"),  # *(u64 *)(r10 - 264) = 0
    "index_comes_first": (264, "r2 = r10; r2 += r1; r0 = *(u64 *)(r2 - 264)"),
    "added_to_the_index": (264, "r1 += r10; r0 = *(u64 *)(r1 - 264)"),
    "less_an_index": (264, "r2 = r10; r2 -= r1; r0 = *(u64 *)(r2 - 264)"),
    "subtracted": (264, "r2 = r10; r2 -= 200; r0 = *(u64 *)(r2 - 64)"),
    "no_way_around": (264, "r2 = r10; if r1 == 0 goto +1; r2 += -200; r0 = *(u64 *)(r2 - 64)"),
    "way_around": (264, "r2 = r10; r2 += -256; if r1 == 0 goto +1; r2 = 1; r0 = *(u64 *)(r2 - 8)"),
    "branch": (264, "if r1 == 0 goto +2; r0 = 0; goto +1; r0 = *(u64 *)(r10 - 264)"),
    "dead_code": (0, "goto +1; r0 = *(u64 *)(r10 - 264)"),
    "wide_constant": (264, "r0 = r10; r1 = 1 ll; r0 = *(u64 *)(r0 - 264)"),
    "survives_a_call": (264, "r6 = r10; call 7; r0 = *(u64 *)(r6 - 264)"),
    "spoilt_by_a_call": (0, "r2 = r10; call 7; r2 += -264"),
    "overwritten": (0, "r2 = r10; r2 = 1; r2 += -264"),
    "difference": (0, "r2 = r10; r3 = r10; r2 -= r3; r2 += -264"),
}


def compile(source, path):
    subprocess.run([*CLANG, "-target", "bpf", "-mcpu=v3", "-O2", "-x", "c", "-c", "-", "-o", path],
                   input=HEAD + source, text=True, check=True)


def equal(actual, expected, what):
    if actual != expected:
        raise AssertionError(f"{what}: {actual!r}, expected {expected!r}")


def refuses(path, why):
    try:
        bpf_stack.check(path)
    except bpf_stack.Unreadable as error:
        equal(str(error), why, "why")
    else:
        raise AssertionError("it passes")


def test_case(name, path):
    frames, refused, source = CASES[name]
    compile(source, path)
    deepest, found = bpf_stack.check(path)
    equal(tuple(f.used for f in deepest), frames, bpf_stack.describe(deepest))
    equal(found, [deepest] * refused, "refused")


def test_assembled(name, path):
    expected, text = ASSEMBLED[name]
    lines = text.replace("; ", "\\n")
    compile(f"""
        PROGRAM int program(void *ctx) {{
            asm volatile("{lines}" : : : "r0", "r1", "r2", "r3", "r4", "r5", "r6");
            return 1; }}""", path)
    deepest, _ = bpf_stack.check(path)
    equal(deepest[0].used, expected, text)


def chain_of(count):
    """Functions that call each other and use nothing, and one that uses more than all of them."""
    chain = "\n".join(f"static ALONE int f{i}(int x) {{ return f{i - 1}(x) + 1; }}"
                      for i in range(1, count - 1))
    return f"""
        static ALONE int f0(int x) {{ asm volatile(""); return x; }}
        {chain}
        static ALONE int flat(void) {{ USE(480); return own[0]; }}
        PROGRAM int program(int *ctx) {{ return f{count - 2}(*ctx) + flat(); }}"""


def test_frames(path):
    for count, refused in (8, []), (9, [(9, 9 * 32)]):
        compile(chain_of(count), path)
        deepest, found = bpf_stack.check(path)
        equal((len(deepest), bpf_stack.depth(deepest)), (2, 512), "frames and bytes of the deepest")
        equal([(len(chain), bpf_stack.depth(chain)) for chain in found], refused, "refused")


def test_unreadable(path):
    compile("""
        static ALONE int again(int n) { USE(8); return n ? again(n - 1) * own[0] : 0; }
        PROGRAM int program(int *ctx) { return again(*ctx); }""", path)
    refuses(path, "again() calls itself")
    compile("int alone(void) { return 1; }", path)
    refuses(path, "no programs")
    with open(path, "w") as f:
        f.write("no object\n")
    refuses(path, "not a little-endian 64-bit ELF file")


def test_object(path):
    deepest, refused = bpf_stack.check(path)
    for chain in refused:
        print(f"too deep: {bpf_stack.describe(chain)}")
    equal(len(refused), 0, "chains of calls that kernels refuse")
    print(f"deepest: {bpf_stack.describe(deepest)}")


def tests(objects, path):
    for name in CASES:
        yield f"test_{name}", lambda name=name: test_case(name, path)
    for name in ASSEMBLED:
        yield f"test_{name}", lambda name=name: test_assembled(name, path)
    yield "test_frames", lambda: test_frames(path)
    yield "test_unreadable", lambda: test_unreadable(path)
    for name in objects:
        yield f"test_{os.path.basename(name)}", lambda name=name: test_object(name)


def main(objects):
    """Says how it went as cmocka does."""
    failed = []
    with tempfile.TemporaryDirectory() as directory:
        every = list(tests(objects, os.path.join(directory, "test.bpf.o")))
        print(f"[==========] Running {len(every)} test(s).")
        for name, test in every:
            print(f"[ RUN      ] {name}")
            try:
                test()
            except Exception as error:
                print(f"{type(error).__name__}: {error}")
                failed.append(name)
            print(f"[{'  FAILED ' if name in failed else '       OK'} ] {name}")
    print(f"[==========] {len(every)} test(s) run.")
    print(f"[  PASSED  ] {len(every) - len(failed)} test(s).")
    for name in failed:
        print(f"[  FAILED  ] {name}")
    return bool(failed)


if __name__ == "__main__":
    if len(sys.argv) == 1:
        sys.exit(__doc__)
    sys.exit(main(sys.argv[1:]))
