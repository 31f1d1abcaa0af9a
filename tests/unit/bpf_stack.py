# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""How deep the stacks of BPF programs get, as the strictest kernels count.

check_max_stack_depth() in the kernel's kernel/bpf/verifier.c adds up the frames along each chain of
calls, callbacks among them, and refuses more than 512 bytes or 8 frames. It counts a frame in steps
of 32 bytes, and one at least; since 6.9 in steps of 16, if there is a JIT; since 6.13 many frames
not at all. Here it is 32 always.
"""
import collections
import math
import struct

MAX_BYTES = 512  # MAX_BPF_STACK
MAX_FRAMES = 8  # MAX_CALL_FRAMES
STEP = 32

# <elf.h>
SHT_SYMTAB, SHT_REL, SHF_EXECINSTR, STT_FUNC = 2, 9, 4, 2
# Documentation/bpf/standardization/instruction-set.rst: classes, operations, registers
LD, LDX, ST, STX, ALU, JMP, JMP32, ALU64 = range(8)
LD_IMM64, CALL, EXIT, JA, JA32 = 0x18, 0x85, 0x95, 0x05, 0x06
ADD_IMM, ADD_REG, SUB_IMM, SUB_REG, MOV_REG = 0x07, 0x0F, 0x17, 0x1F, 0xBF
PSEUDO_CALL = 1
ARGUMENTS, FRAME_POINTER = range(6), 10  # a call spoils the arguments, and puts its result in r0

Insn = collections.namedtuple("Insn", "op dst src off imm")
Section = collections.namedtuple("Section", "name type flags addr at size link info align entry")
Symbol = collections.namedtuple("Symbol", "name type section value size")
# used: bytes of its frame; calls: where the functions are that it calls, or has called back.
Function = collections.namedtuple("Function", "name is_program used calls")


class Unreadable(Exception):
    """Not an object with programs, or one whose stacks nobody can tell."""


class Object:
    """What an ELF file says of its code. A place in it: (section, number of the instruction)."""

    def __init__(self, data):
        if data[:6] != b"\x7fELF\x02\x01":
            raise Unreadable("not a little-endian 64-bit ELF file")
        self.data = data
        at, = struct.unpack_from("<Q", data, 40)
        count, names = struct.unpack_from("<HH", data, 60)
        self.sections = [Section(*struct.unpack_from("<IIQQQQIIQQ", data, at + 64 * i))
                         for i in range(count)]
        self.names = self.sections[names]
        self.code = {i: [Insn(op, registers & 15, registers >> 4, off, imm)
                         for op, registers, off, imm in self.table(section, "<BBhi")]
                     for i, section in enumerate(self.sections) if section.flags & SHF_EXECINSTR}
        self.symbols = [symbol for section in self.sections if section.type == SHT_SYMTAB
                        for symbol in self.symbols_of(section)]
        self.relocated = {(section.info, at // 8): self.symbols[info >> 32]
                          for section in self.sections if section.type == SHT_REL
                          for at, info in self.table(section, "<QQ")}

    @classmethod
    def read(cls, path):
        with open(path, "rb") as f:
            return cls(f.read())

    def table(self, section, layout):
        return struct.iter_unpack(layout, self.data[section.at:section.at + section.size])

    def string(self, table, at):
        return self.data[table.at + at:self.data.index(b"\0", table.at + at)].decode()

    def symbols_of(self, table):
        names = self.sections[table.link]
        for name, info, _, section, value, size in self.table(table, "<IBBHQQ"):
            yield Symbol(self.string(names, name), info & 15, section, value, size)

    def functions(self):
        """{place: Function}"""
        found = {}
        for name, kind, section, value, size in self.symbols:
            if kind == STT_FUNC and section in self.code:
                first = value // 8
                callees = [self.callee((section, at)) for at in range(first, first + size // 8)]
                is_program = self.string(self.names, self.sections[section].name) != ".text"
                found[section, first] = Function(name, is_program, used(self.code[section], first),
                                                 tuple(dict.fromkeys(filter(None, callees))))
        return found

    def callee(self, place):
        """Where the function is whose call or address the instruction there is, or None."""
        section, at = place
        insn, symbol = self.code[section][at], self.relocated.get(place)
        if insn.op == CALL and insn.src == PSEUDO_CALL:
            if not symbol:
                return section, at + 1 + insn.imm
            # A function of the kernel's is not in the file.
            return (symbol.section, symbol.value // 8 + 1 + insn.imm) if symbol.section else None
        if insn.op == LD_IMM64 and symbol and symbol.section in self.code:
            return symbol.section, (symbol.value + insn.imm) // 8
        return None


def moved(insn, low):
    """The offset from the frame pointer that arithmetic leaves in its register: the lowest one
    possible, None if it is no address of the stack. low: what the registers held."""
    dst, src = low.get(insn.dst), low.get(insn.src)
    if insn.op == MOV_REG:
        return src
    if insn.op == ADD_REG:  # the other is an index
        return src if dst is None else dst
    if dst is None or insn.op == SUB_REG and src is not None:
        return None
    return {ADD_IMM: dst + insn.imm, SUB_IMM: dst - insn.imm, SUB_REG: dst}.get(insn.op)


def following(insns, at):
    """The instructions that may run after this one."""
    op = insns[at].op
    if op == EXIT:
        return []
    if op in (JA, JA32):
        return [at + 1 + (insns[at].off if op == JA else insns[at].imm)]
    if op & 7 in (JMP, JMP32) and op != CALL:
        return [at + 1, at + 1 + insns[at].off]
    return [at + (2 if op == LD_IMM64 else 1)]


def step(insn, low):
    """Runs an instruction on what the registers hold; the lowest offset that it touches."""
    kind = insn.op & 7
    touched = 0
    base = insn.src if kind == LDX else insn.dst
    if kind in (LDX, ST, STX) and base in low:
        touched = low[base] + insn.off
    if kind in (LD, LDX, ALU, ALU64):
        offset = moved(insn, low) if kind == ALU64 else None
        low.pop(insn.dst, None)
        if offset is not None:
            low[insn.dst] = touched = offset
    if insn.op == CALL:
        for register in ARGUMENTS:
            low.pop(register, None)
    return touched


def used(insns, first):
    """The bytes of stack that a function uses: how far below its frame pointer it reads, writes, or
    makes an address, as it does of what a helper or a callee fills."""
    deepest = 0
    known = {first: {FRAME_POINTER: 0}}  # before an instruction: register -> lowest offset
    todo = [first]
    while todo and deepest <= MAX_BYTES:
        at = todo.pop()
        low = dict(known[at])
        deepest = max(deepest, -step(insns[at], low))
        for after in following(insns, at):
            before = known.setdefault(after, {})
            lower = {r: low[r] for r in low if low[r] < before.get(r, math.inf)}
            if lower:
                before.update(lower)
                todo.append(after)
    return deepest


def counted(function):
    return max(math.ceil(function.used / STEP), 1) * STEP


def depth(chain):
    return sum(map(counted, chain))


def chains(functions, place, above=()):
    """Every chain of calls that begins with this function, as tuples of functions."""
    if place not in functions:
        raise Unreadable(f"{above[-1].name}() calls what is no function")
    function = functions[place]
    if function in above:
        raise Unreadable(f"{function.name}() calls itself")
    chain = (*above, function)
    yield chain
    for callee in function.calls:
        yield from chains(functions, callee, chain)


def describe(chain):
    calls = " > ".join(f"{f.name} {counted(f)} ({f.used} used)" for f in chain)
    return f"{depth(chain)} of {MAX_BYTES} bytes, {len(chain)} of {MAX_FRAMES} frames: {calls}"


def check(path):
    """(deepest chain of all, those that are refused: of each program the deepest and longest)"""
    functions = Object.read(path).functions()
    worst = {}
    for place, function in functions.items():
        if function.is_program:
            every = list(chains(functions, place))
            worst.update(dict.fromkeys(max(every, key=key) for key in (depth, len)))
    if not worst:
        raise Unreadable("no programs")
    refused = [chain for chain in worst if depth(chain) > MAX_BYTES or len(chain) > MAX_FRAMES]
    return max(worst, key=depth), refused
