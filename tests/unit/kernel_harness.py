"""Runs kernels of `firmware/kernels` as the table binds them: on the host and on an emulated core.

Not a test. Kernels are compiled once; parameter structs are laid out here from the members that
their headers declare, so that any layer can be run without compiling again.
"""

from __future__ import annotations

import ctypes
import re
import shutil
import struct
import subprocess
import sys
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edge_export.aot.program import ConstantRef, Struct
from edge_export.kernels.row import Binding

KERNELS = Path(__file__).resolve().parents[2] / "firmware" / "kernels"
GUARD = 64  # bytes on both sides of a buffer that no kernel may change
GUARD_BYTE = 0x5A
FRESH_BYTE = 0xA5  # what outputs and scratch hold before the call

GCC_M7 = ("-mcpu=cortex-m7", "-mthumb", "-mfpu=fpv5-sp-d16", "-mfloat-abi=hard")
ZIG_M7 = ("-target", "thumb-freestanding-eabihf", "-mcpu=cortex_m7+fp_armv8d16sp")


@dataclass(frozen=True)
class Member:
    """A member of a parameter struct; those of a nested struct are named "outer.inner"."""

    name: str
    base: str  # a scalar type, or "*"
    count: int | None = None  # of an array

    @property
    def code(self) -> str:
        """The format of `struct.pack`; not for pointers."""
        if self.base == "float":
            return "f"
        letter = {8: "b", 16: "h", 32: "i"}[int(re.sub(r"\D", "", self.base))]
        return letter if self.base.startswith("i") else letter.upper()


@cache
def _headers() -> str:
    text = "\n".join(header.read_text() for header in sorted(KERNELS.glob("*.h")))
    return re.sub(r"/\*.*?\*/", "", text, flags=re.S)


@cache
def struct_members(ctype: str) -> tuple[Member, ...]:
    """The members of a parameter struct, flattened, in order."""
    tag = ctype.removeprefix("struct ")
    (body,) = (m[1] for m in re.finditer(rf"^struct {tag} {{(.*?)^}};", _headers(), re.S | re.M))
    members: list[Member] = []
    for declaration in filter(None, (d.strip() for d in body.split(";"))):
        base, _, names = declaration.removeprefix("const ").partition(" ")
        if base == "struct":
            base, _, outer = names.partition(" ")
            nested = struct_members(base)
            members += [replace(inner, name=f"{outer}.{inner.name}") for inner in nested]
            continue
        for name, _, count in (n.strip().partition("[") for n in names.split(",")):
            size = _count(count.removesuffix("]")) if count else None
            members.append(Member(name.lstrip("* "), "*" if name.startswith("*") else base, size))
    return tuple(members)


def _count(text: str) -> int:
    if text.isdigit():
        return int(text)
    (value,) = re.findall(rf"#define {text} (\d+)", _headers())
    return int(value)


def lay_out(params: Struct, addresses: dict[str, int], pointer_bytes: int) -> bytes:
    """The struct's bytes: little-endian, naturally aligned."""
    values = dict(params.fields)
    members = struct_members(params.ctype)
    assert set(values) == {member.name for member in members}, "row and header name other members"
    out = bytearray()
    for member in members:
        value = values[member.name]
        code, numbers = "", (value if isinstance(value, tuple) else (value,))
        if isinstance(value, ConstantRef):
            assert member.base == "*"
            code = "Q" if pointer_bytes == 8 else "I"
            numbers = (addresses[value.constant] if value.constant is not None else 0,)
        else:
            code = member.code
            assert len(numbers) == (member.count or 1), f"{member.name} has {member.count} entries"
        out += bytes(-len(out) % struct.calcsize(code))
        out += struct.pack(f"<{len(numbers)}{code}", *numbers)
    return bytes(out)


@dataclass
class Image:
    """All memory of one call, as one block: parameters, constants, guarded buffers."""

    base: int
    content: bytearray = field(default_factory=bytearray)
    guarded: list[tuple[int, int]] = field(default_factory=list)

    def add(self, data: bytes) -> int:
        """Places data at a 16-byte boundary; returns its address."""
        self.content += bytes(-len(self.content) % 16)
        at = len(self.content)
        self.content += data
        return self.base + at

    def add_guarded(self, data: bytes) -> int:
        self.add(bytes([GUARD_BYTE]) * GUARD)
        address = self.add(data)
        self.content += bytes([GUARD_BYTE]) * GUARD
        self.guarded.append((address - self.base, len(data)))
        return address

    def check_guards(self, after: bytes) -> None:
        for at, size in self.guarded:
            assert after[at - GUARD : at] == bytes([GUARD_BYTE]) * GUARD, "written before a buffer"
            end = at + size
            assert after[end : end + GUARD] == bytes([GUARD_BYTE]) * GUARD, "written past a buffer"


class Kernels(ABC):
    """Compiled kernels; subclasses say where memory is and how to call."""

    pointer_bytes: int
    base: int  # address of the memory that images are written to
    result: int  # of the last call, where it has one

    def run(
        self,
        name: str,
        binding: Binding,
        x: npt.NDArray[np.int8],
        out_bytes: int,
        in_place: bool = False,
    ) -> npt.NDArray[np.int8]:
        """The kernel's output for one input, as int8."""
        raw = self.run_operands(name, binding, [x], out_bytes, 0 if in_place else None)
        return np.frombuffer(raw, np.int8)

    def run_operands(
        self,
        name: str,
        binding: Binding,
        operands: Sequence[npt.NDArray[Any]],
        out_bytes: int,
        in_place: int | None = None,
    ) -> bytes:
        """The output's bytes, written over operand `in_place` if that is given. Asserts that
        nothing else was written."""
        image = Image(self.base)
        addresses = {c.name: image.add(c.data.tobytes()) for c in binding.constants}
        params = image.add(lay_out(binding.params, addresses, self.pointer_bytes))
        places = [image.add_guarded(np.ascontiguousarray(x).tobytes()) for x in operands]
        constant_end = len(image.content)
        if in_place is None:
            out_at = image.add_guarded(bytes([FRESH_BYTE]) * out_bytes)
        else:
            out_at = places[in_place]
            assert operands[in_place].nbytes >= out_bytes
        scratch = binding.scratch_bytes
        scratch_at = image.add_guarded(bytes([FRESH_BYTE]) * scratch) if scratch else 0
        after = self.call(name, image, (params, *places, out_at, scratch_at))
        image.check_guards(after)
        start, end = out_at - self.base, out_at - self.base + out_bytes
        kept = min(start, constant_end)
        assert after[:kept] == image.content[:kept], "an operand or a constant was changed"
        if in_place is not None:
            kept = start + operands[in_place].nbytes
            assert after[kept:constant_end] == image.content[kept:constant_end], (
                "another operand was changed"
            )
        return bytes(after[start:end])

    def scratch_bytes(self, name: str, binding: Binding) -> int:
        """What the C twin says."""
        image = Image(self.base)
        addresses = {c.name: image.add(c.data.tobytes()) for c in binding.constants}
        params = image.add(lay_out(binding.params, addresses, self.pointer_bytes))
        self.call(f"{name}_scratch_bytes", image, (params, 0, 0, 0))
        return self.result & 0xFFFFFFFF

    @abstractmethod
    def call(self, name: str, image: Image, arguments: tuple[int, ...]) -> bytes:
        """Calls a function with four words; returns the image's content afterwards."""


class HostKernels(Kernels):
    """A shared library of this machine; DSP instructions are emulated in C."""

    pointer_bytes = 8
    CAPACITY = 1 << 22

    def __init__(self, folder: Path, sources: tuple[str, ...]) -> None:
        compiler = shutil.which("gcc") or shutil.which("clang")
        command = [compiler] if compiler else [sys.executable, "-m", "ziglang", "cc"]
        if compiler:
            command += ["-fsanitize=undefined", "-fno-sanitize-recover=all"]
        library = folder / "kernels.so"
        flags = ["-std=c99", "-O1", "-shared", "-fPIC", "-Wall", "-Wextra", "-Werror"]
        paths = [str(KERNELS / source) for source in sources]
        subprocess.run([*command, *flags, "-o", str(library), *paths], check=True)
        self._library = ctypes.CDLL(str(library))
        self._memory = ctypes.create_string_buffer(self.CAPACITY)
        at = ctypes.addressof(self._memory)
        self.base = at + (-at % 16)

    def call(self, name: str, image: Image, arguments: tuple[int, ...]) -> bytes:
        size = len(image.content)
        assert size + 16 <= self.CAPACITY
        ctypes.memmove(self.base, bytes(image.content), size)
        function = getattr(self._library, name)
        function.restype = ctypes.c_int
        self.result = function(*(ctypes.c_void_p(a) for a in arguments))
        return ctypes.string_at(self.base, size)


class ArmKernels(Kernels):
    """Code for a Cortex-M7 in Unicorn, with exact instruction counts.

    `instructions` is what the last call executed, from the kernel's first instruction to its
    return; a conditional instruction that is skipped counts as one.
    """

    pointer_bytes = 4
    CODE = 0x0800_0000
    DATA = 0x2000_0000
    STACK_TOP = 0x3000_0000
    STACK_BYTES = 4096
    RETURN = 0x0700_0000
    CAPACITY = 1 << 22

    def __init__(self, folder: Path, sources: tuple[str, ...], compiler: str = "gcc") -> None:
        # Unicorn and capstone are extras; only a test that runs Arm code needs them.
        import unicorn
        from unicorn import arm_const

        self._arm = arm_const
        elf = folder / "kernels.elf"
        command = ["arm-none-eabi-gcc", *GCC_M7]
        if compiler == "zig":
            command = [sys.executable, "-m", "ziglang", "cc", *ZIG_M7]
        flags = ["-std=c99", "-O2", "-ffreestanding", "-ffunction-sections", "-nostdlib"]
        script = folder / "kernels.ld"
        script.write_text(
            f"SECTIONS {{ . = {self.CODE:#x}; .text : {{ *(.text*) *(.rodata*) }}"
            " .data : { *(.data*) *(.bss*) } /DISCARD/ : { *(.ARM.*) *(.comment) } }"
        )
        link = ["-T", str(script), "-Wl,--entry=0", "-Wl,--no-gc-sections"]
        paths = [str(KERNELS / source) for source in sources]
        # Copies and fills are calls of memcpy and memset; these are the ones that boards get.
        libc = folder / "libc.o"
        alone = ["-fno-builtin", "-fno-tree-loop-distribute-patterns"] if compiler == "gcc" else []
        source = str(KERNELS.parent / "runtime" / "eag_libc.c")
        subprocess.run([*command, *flags, *alone, "-c", source, "-o", str(libc)], check=True)
        paths.append(str(libc))
        subprocess.run([*command, *flags, *link, "-o", str(elf), *paths], check=True)
        self.base = self.DATA
        emulator: Any = unicorn.Uc(
            unicorn.UC_ARCH_ARM, unicorn.UC_MODE_THUMB | unicorn.UC_MODE_MCLASS
        )
        emulator.ctl_set_cpu_model(arm_const.UC_CPU_ARM_CORTEX_M7)
        emulator.mem_map(self.CODE, 1 << 20)
        emulator.mem_map(self.DATA, self.CAPACITY)
        emulator.mem_map(self.STACK_TOP - self.STACK_BYTES, self.STACK_BYTES)
        emulator.mem_map(self.RETURN, 4096)
        emulator.reg_write(arm_const.UC_ARM_REG_FPEXC, 1 << 30)  # the FPU is off after reset
        self.symbols = _load_elf(elf.read_bytes(), emulator)
        self._emulator = emulator
        self._blocks: dict[tuple[int, int], int] = {}
        self.instructions = 0
        self.stack_bytes = 0
        emulator.hook_add(unicorn.UC_HOOK_BLOCK, self._count)

    def _count(self, emulator: Any, address: int, size: int, _: object) -> None:
        known = self._blocks.get((address, size))
        if known is None:
            known = _instructions(bytes(emulator.mem_read(address, size)))
            self._blocks[address, size] = known
        self.instructions += known

    def call(self, name: str, image: Image, arguments: tuple[int, ...]) -> bytes:
        assert len(image.content) <= self.CAPACITY
        arm, emulator = self._arm, self._emulator
        emulator.mem_write(self.base, bytes(image.content))
        stack_bottom = self.STACK_TOP - self.STACK_BYTES
        emulator.mem_write(stack_bottom, bytes([FRESH_BYTE]) * self.STACK_BYTES)
        registers = (arm.UC_ARM_REG_R0, arm.UC_ARM_REG_R1, arm.UC_ARM_REG_R2, arm.UC_ARM_REG_R3)
        for register, value in zip(registers, arguments, strict=False):
            emulator.reg_write(register, value)
        on_stack = struct.pack(f"<{len(arguments[4:])}I", *arguments[4:])
        top = (self.STACK_TOP - len(on_stack)) & ~7
        emulator.mem_write(top, on_stack)
        emulator.reg_write(arm.UC_ARM_REG_SP, top)
        emulator.reg_write(arm.UC_ARM_REG_LR, self.RETURN | 1)
        self.instructions = 0
        emulator.emu_start(self.symbols[name] | 1, self.RETURN)
        stack = bytes(emulator.mem_read(stack_bottom, top - stack_bottom))
        self.stack_bytes = len(stack.lstrip(bytes([FRESH_BYTE])))
        self.result = emulator.reg_read(arm.UC_ARM_REG_R0)
        return bytes(emulator.mem_read(self.base, len(image.content)))


def _instructions(code: bytes) -> int:
    """Thumb instructions in a block: a 32-bit one begins with 0b111 and not 0b11100."""
    at = count = 0
    while at < len(code):
        halfword = int.from_bytes(code[at : at + 2], "little")
        at += 4 if halfword >> 11 in (0b11101, 0b11110, 0b11111) else 2
        count += 1
    return count


def _load_elf(content: bytes, emulator: Any) -> dict[str, int]:
    """Writes the sections that have content to memory; returns the addresses of the symbols."""

    def number(at: int, size: int = 4) -> int:
        return int.from_bytes(content[at : at + size], "little")

    sections = [number(32) + 40 * i for i in range(number(48, 2))]
    for section in sections:
        kind, flags, address, offset, size = (number(section + 4 * i) for i in range(1, 6))
        if kind == 1 and flags & 2 and size:  # SHT_PROGBITS, SHF_ALLOC
            emulator.mem_write(address, content[offset : offset + size])
    symbols: dict[str, int] = {}
    for section in sections:
        if number(section + 4) != 2:  # SHT_SYMTAB
            continue
        names = number(sections[number(section + 24)] + 16)
        table, size = number(section + 16), number(section + 20)
        for entry in range(table, table + size, 16):
            start = names + number(entry)
            name = content[start : content.index(b"\0", start)].decode()
            symbols[name] = number(entry + 4) & ~1
    return symbols
