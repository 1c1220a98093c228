"""A block of registers with everything that is not modelled as an error."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from edge_boards.virtual.faults import Unmodelled

if TYPE_CHECKING:
    from edge_boards.virtual.machine import Machine


@dataclass(frozen=True)
class Register:
    """A register: its reset value and the bits that firmware may set in it.

    A write that sets a bit outside `writable` stops the machine, unless the bit is in `ignored`
    (read-only on silicon, where writing it does nothing) or already reads so.
    """

    name: str
    reset: int = 0
    writable: int = 0
    ignored: int = 0


class Peripheral:
    """Registers by offset. Subclasses override `on_read` and `on_write` for side effects."""

    REGISTERS: ClassVar[dict[int, Register]] = {}
    SIZE: ClassVar[int] = 0x400
    BYTE_ACCESS: ClassVar[bool] = False
    """Whether 8- and 16-bit accesses are defined."""

    def __init__(self, machine: Machine, name: str, base: int) -> None:
        self.machine = machine
        self.name = name
        self.base = base
        self.values: dict[int, int] = {}
        self.reset()

    def reset(self) -> None:
        """Back to the values of the reference manual."""
        self.values = {offset: r.reset for offset, r in self.REGISTERS.items()}

    def read(self, offset: int, size: int) -> int:
        word = offset & ~3
        if word not in self.values:
            raise Unmodelled(f"read of unmodelled register {self.name}+0x{offset:02x}")
        if size == 4 and offset == word:
            return self.on_read(word)
        if not (self.BYTE_ACCESS or self.half_access(word, size)):
            raise Unmodelled(f"{8 * size}-bit read of {self.describe(word)}: it is read by words")
        value = self.on_read(word) >> 8 * (offset - word)
        return value & ((1 << 8 * size) - 1)

    def write(self, offset: int, size: int, value: int) -> None:
        word = offset & ~3
        if word not in self.values:
            raise Unmodelled(f"write of unmodelled register {self.name}+0x{offset:02x}")
        if size != 4 or offset != word:
            if not (self.BYTE_ACCESS or self.half_access(word, size)):
                raise Unmodelled(
                    f"{8 * size}-bit write of {self.describe(word)}: it is written by words"
                )
            shift = 8 * (offset - word)
            mask = ((1 << 8 * size) - 1) << shift
            value = self.values[word] & ~mask | value << shift & mask
        self.check_bits(word, value)
        self.on_write(word, value)

    def half_access(self, offset: int, size: int) -> bool:  # noqa: ARG002 - for subclasses
        """Whether this register may be accessed by less than a word."""
        return False

    def describe(self, offset: int) -> str:
        return f"{self.name}_{self.REGISTERS[offset].name}"

    def check_bits(self, offset: int, value: int) -> None:
        register = self.REGISTERS[offset]
        extra = value & ~register.writable & ~register.ignored & ~self.values[offset]
        if extra:
            raise Unmodelled(
                f"write of 0x{value:08x} to {self.describe(offset)} sets bits 0x{extra:08x}, "
                "which are reserved or not modelled"
            )

    def on_read(self, offset: int) -> int:
        return self.values[offset]

    def on_write(self, offset: int, value: int) -> None:
        self.store(offset, value)

    def store(self, offset: int, value: int) -> None:
        """Keeps the writable bits; read-only ones stay as they are."""
        writable = self.REGISTERS[offset].writable
        self.values[offset] = self.values[offset] & ~writable | value & writable
