"""Runs kernels of `firmware/kernels` as the table binds them: on the host and on an emulated core.

Not a test. Kernels are compiled once; parameter structs are laid out here from the members that
their headers declare, so that any layer can be run without compiling again.
"""

from __future__ import annotations

import ctypes
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
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


@cache
def struct_members(ctype: str) -> tuple[tuple[str, str], ...]:
    """(name, type) of each member of a parameter struct; the type is a scalar's or "*"."""
    tag = ctype.removeprefix("struct ")
    headers = [header.read_text() for header in sorted(KERNELS.glob("*.h"))]
    bodies = [
        m[1] for h in headers for m in re.finditer(rf"^struct {tag} {{(.*?)^}};", h, re.S | re.M)
    ]
    (body,) = bodies
    members: list[tuple[str, str]] = []
    for declaration in re.sub(r"/\*.*?\*/", "", body, flags=re.S).split(";"):
        base, _, names = declaration.strip().removeprefix("const ").partition(" ")
        for name in filter(None, (n.strip() for n in names.split(","))):
            members.append((name.lstrip("* "), "*" if name.startswith("*") else base))
    return tuple(members)


def lay_out(struct: Struct, addresses: dict[str, int], pointer_bytes: int) -> bytes:
    """The struct's bytes: little-endian, naturally aligned."""
    values = dict(struct.fields)
    members = struct_members(struct.ctype)
    assert set(values) == {name for name, _ in members}, "row and header name other members"
    out = bytearray()
    for name, base in members:
        value = values[name]
        if isinstance(value, ConstantRef):
            assert base == "*"
            size, signed = pointer_bytes, False
            value = addresses[value.constant] if value.constant is not None else 0
        else:
            size, signed = int(re.sub(r"\D", "", base)) // 8, base.startswith("i")
        assert isinstance(value, int)
        out += bytes(-len(out) % size)
        out += value.to_bytes(size, "little", signed=signed)
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


class Kernels:
    """Compiled kernels; subclasses say where memory is and how to call."""

    pointer_bytes: int

    def run(
        self,
        name: str,
        binding: Binding,
        x: npt.NDArray[np.int8],
        out_bytes: int,
        in_place: bool = False,
    ) -> npt.NDArray[np.int8]:
        """The kernel's output for one input. Asserts that nothing else was written."""
        image = Image(self.base)
        addresses = {c.name: image.add(c.data.tobytes()) for c in binding.constants}
        params = image.add(lay_out(binding.params, addresses, self.pointer_bytes))
        x_at = image.add_guarded(x.tobytes())
        out_at = x_at if in_place else image.add_guarded(bytes([FRESH_BYTE]) * out_bytes)
        scratch = binding.scratch_bytes
        scratch_at = image.add_guarded(bytes([FRESH_BYTE]) * scratch) if scratch else 0
        after = self.call(name, image, (params, x_at, out_at, scratch_at))
        image.check_guards(after)
        if not in_place:
            constant_end = out_at - self.base
            assert after[:constant_end] == image.content[:constant_end], "an operand was changed"
        return np.frombuffer(after, np.int8, out_bytes, out_at - self.base)

    def scratch_bytes(self, name: str, binding: Binding) -> int:
        """What the C twin says."""
        image = Image(self.base)
        addresses = {c.name: image.add(c.data.tobytes()) for c in binding.constants}
        params = image.add(lay_out(binding.params, addresses, self.pointer_bytes))
        self.call(f"{name}_scratch_bytes", image, (params, 0, 0, 0))
        return self.result & 0xFFFFFFFF

    base: int
    result: int

    def call(self, name: str, image: Image, arguments: tuple[int, ...]) -> bytes:
        raise TypeError("a subclass calls")


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
        link = [f"-Wl,-Ttext={self.CODE:#x}", "-Wl,--entry=0", "-Wl,--no-gc-sections"]
        paths = [str(KERNELS / source) for source in sources]
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
        for register, value in zip(
            (arm.UC_ARM_REG_R0, arm.UC_ARM_REG_R1, arm.UC_ARM_REG_R2, arm.UC_ARM_REG_R3),
            arguments,
            strict=True,
        ):
            emulator.reg_write(register, value)
        emulator.reg_write(arm.UC_ARM_REG_SP, self.STACK_TOP)
        emulator.reg_write(arm.UC_ARM_REG_LR, self.RETURN | 1)
        self.instructions = 0
        emulator.emu_start(self.symbols[name] | 1, self.RETURN)
        stack = bytes(emulator.mem_read(stack_bottom, self.STACK_BYTES))
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
    """Writes the loadable segments to memory; returns the addresses of the symbols."""

    def number(at: int, size: int = 4) -> int:
        return int.from_bytes(content[at : at + size], "little")

    for i in range(number(44, 2)):
        segment = number(28) + 32 * i
        offset, address, size = number(segment + 4), number(segment + 8), number(segment + 16)
        if number(segment) == 1 and size and address >= ArmKernels.CODE:
            emulator.mem_write(address, content[offset : offset + size])
    symbols: dict[str, int] = {}
    sections = [number(32) + 40 * i for i in range(number(48, 2))]
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
