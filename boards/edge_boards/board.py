"""A board as data: what `boards/catalog/*.toml` says, checked and frozen.

Sizes are bytes, frequencies hertz, currents milliamperes, voltages volts.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edge_boards.errors import BoardsError

WRITABLE_KINDS = frozenset({"itcm", "dtcm", "sram", "sdram"})
"""Memory kinds that code can write to while it runs."""

STACK_GUARD_BYTES = 32
"""Kept under the stack for the MPU guard: the smallest region an ARMv7-M MPU has."""


@dataclass(frozen=True)
class Soc:
    """The chip and the port (`firmware/ports/<port>`) that brings it up.

    `chip_id` is the device id that an STM32's ROM and debug port tell; None where unknown.
    """

    name: str
    port: str
    chip_id: int | None = None


@dataclass(frozen=True)
class Core:
    """The CPU: `features` are "dsp" and "mve"; `fpu` is the compiler's -mfpu name."""

    name: str
    features: frozenset[str]
    fpu: str | None
    mpu_regions: int


@dataclass(frozen=True)
class Clock:
    """The core clock that the port sets up, and the oscillator it starts from."""

    hz: int
    oscillator_hz: int
    oscillator: str


@dataclass(frozen=True)
class Execution:
    """How code is fetched: the flash's bus by name, and which caches are on."""

    flash_alias: str
    icache: bool
    dcache: bool


@dataclass(frozen=True)
class Memory:
    """One memory. `reserved` bytes are kept from the planner, for stack and runtime.

    `aliases` are further addresses of the same bytes; `sectors` the flash's erase units in
    address order (empty where unknown or not flash).
    """

    name: str
    kind: str
    address: int
    size: int
    reserved: int = 0
    sectors: tuple[int, ...] = ()
    aliases: tuple[tuple[str, int], ...] = ()

    @property
    def end(self) -> int:
        """The first address after it."""
        return self.address + self.size

    @property
    def available(self) -> int:
        """Bytes that a model may use."""
        return self.size - self.reserved

    @property
    def writable(self) -> bool:
        return self.kind in WRITABLE_KINDS

    def contains(self, address: int, size: int = 1) -> bool:
        """Whether `size` bytes from `address` all lie inside."""
        return self.address <= address and address + size <= self.end


@dataclass(frozen=True)
class Stack:
    """The stack: at the low end of its memory, above the guard, growing down to it."""

    memory: str
    size: int


@dataclass(frozen=True)
class Serial:
    """A serial link by its use ("console", "bootloader"), with the pins of the SoC's side.

    A link that ends in a plug on the board, USB or RS-232, may have no pins. `alternate` is the
    pins' alternate function (STM32).
    """

    name: str
    peripheral: str
    baud: int
    through: str
    tx: str | None = None
    rx: str | None = None
    alternate: int | None = None
    protocol: str | None = None

    def same_wires(self, other: Serial) -> bool:
        """Whether one cable to a PC serves both: the same pins, or the same USB."""
        return (self.peripheral, self.tx, self.rx) == (other.peripheral, other.tx, other.rx)


@dataclass(frozen=True)
class Programmer:
    """A way to flash: in the file's order of preference.

    Which of the facts a programmer needs, `schema.PROGRAMMERS` says.
    """

    name: str
    volume: str | None = None
    link: str | None = None
    configs: tuple[str, ...] = ()
    target: str | None = None
    usb: str | None = None
    alt: int | None = None


@dataclass(frozen=True)
class UsbId:
    """A USB port of the board's own: `id` is "vendor:product", hexadecimal."""

    id: str
    role: str

    @property
    def pair(self) -> tuple[int, int]:
        vendor, product = self.id.split(":")
        return int(vendor, 16), int(product, 16)


@dataclass(frozen=True)
class PlatformIO:
    """How PlatformIO calls the board; `framework` is None for images of our own linking."""

    board: str
    platform: str
    framework: str | None = None
    options: tuple[str, ...] = ()


@dataclass(frozen=True)
class Virtual:
    """What the virtual board of this board is made from."""

    model: str
    bootloader_version: int = 0
    machine: str | None = None


@dataclass(frozen=True)
class Power:
    """A supply current in one mode of operation, and where the figure is from."""

    mode: str
    ma: float
    v: float
    kind: str
    source: str

    @property
    def milliwatts(self) -> float:
        return self.ma * self.v


@dataclass(frozen=True)
class Board:
    """A board: a port plus memories, clock, programmers, serial links, power figures."""

    name: str
    title: str
    vendor: str
    aliases: tuple[str, ...]
    tested: str
    sources: tuple[str, ...]
    platformio: PlatformIO | None
    soc: Soc
    core: Core
    clock: Clock
    execution: Execution
    memories: tuple[Memory, ...]
    stack: Stack | None
    serial: tuple[Serial, ...]
    programmers: tuple[Programmer, ...]
    usb: tuple[UsbId, ...]
    timing_pin: str | None
    virtual: Virtual | None
    power: tuple[Power, ...]
    path: Path

    def memory(self, name: str) -> Memory:
        """The memory of that name; `BoardsError` where the board has none."""
        for memory in self.memories:
            if memory.name == name:
                return memory
        have = ", ".join(m.name for m in self.memories)
        raise BoardsError(f"board {self.name} has no memory {name!r}; it has {have}")

    def has(self, feature: str) -> bool:
        """Whether the core has a feature: "dsp", "mve", or "fpu"."""
        return feature in self.core.features or (feature == "fpu" and self.core.fpu is not None)

    def link(self, name: str) -> Serial:
        """The serial link of that use; `BoardsError` where the board has none."""
        for link in self.serial:
            if link.name == name:
                return link
        have = ", ".join(s.name for s in self.serial)
        raise BoardsError(f"board {self.name} has no serial link {name!r}; it has {have}")

    @property
    def flash(self) -> Memory:
        """The memory that the image is programmed into: the first of kind "flash"."""
        return next(m for m in self.memories if m.kind == "flash")

    @property
    def code_address(self) -> int:
        """Where code in flash is linked to run: the alias that `execution` names."""
        return dict(self.flash.aliases).get(self.execution.flash_alias, self.flash.address)

    @property
    def ram(self) -> Memory:
        """Where the runtime's own static RAM lies: the stack's memory, else the first RAM."""
        if self.stack is not None:
            return self.memory(self.stack.memory)
        return next(m for m in self.memories if m.writable)

    @property
    def own_stack(self) -> Stack:
        """The stack; `BoardsError` where a framework brings its own."""
        if self.stack is None:
            raise BoardsError(
                f"board {self.name} is linked by its framework (port {self.soc.port}), which "
                "brings startup and stack; build with PlatformIO (`build --with platformio`)"
            )
        return self.stack
