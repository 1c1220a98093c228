"""How a virtual board ends a run that cannot go on, and how it says that silicon would fault."""

from __future__ import annotations

import enum

from edge_boards.errors import VirtualBoardError


class MachineStop(VirtualBoardError):  # noqa: N818 - a stop is what it is
    """The machine met what it does not model, or what no firmware recovers from.

    `address` is the data or register address concerned (None where there is none), `pc` the
    instruction's, `function` its symbol where one is known.
    """

    def __init__(
        self, what: str, *, pc: int, address: int | None = None, function: str | None = None
    ) -> None:
        self.what = what
        self.pc = pc
        self.address = address
        self.function = function
        where = f"PC 0x{pc:08x}" + (f" ({function})" if function else "")
        at = f" at 0x{address:08x}" if address is not None else ""
        super().__init__(f"virtual board stopped: {what}{at}, {where}")


class NoImageStop(MachineStop):
    """The flash is erased: that is no fault of any code, so neither address nor PC is told."""

    def __init__(self, board: str) -> None:
        super().__init__(no_image(board), pc=0xFFFF_FFFF)
        self.args = (self.what,)


def no_image(board: str) -> str:
    """What a virtual board with an erased flash says, whoever emulates it."""
    return (
        "the flash is erased and holds no image; flash one: edge-autoglm flash MODEL "
        f"--board {board} --port virtual"
    )


class Unmodelled(Exception):  # noqa: N818 - a signal inside the machine, never an error of its own
    """Raised by a peripheral; the machine turns it into `MachineStop` with address and PC."""


class FaultKind(enum.Enum):
    """The faults of ARMv7-M: exception number and CFSR bit (DDI 0403E B3.2.15)."""

    IACCVIOL = (4, 1 << 0)
    DACCVIOL = (4, 1 << 1)
    MUNSTKERR = (4, 1 << 3)
    MSTKERR = (4, 1 << 4)
    IBUSERR = (5, 1 << 8)
    PRECISERR = (5, 1 << 9)
    UNSTKERR = (5, 1 << 11)
    STKERR = (5, 1 << 12)
    UNDEFINSTR = (6, 1 << 16)
    INVSTATE = (6, 1 << 17)
    INVPC = (6, 1 << 18)
    NOCP = (6, 1 << 19)
    UNALIGNED = (6, 1 << 24)
    DIVBYZERO = (6, 1 << 25)
    BREAKPOINT = (3, 0)

    @property
    def exception(self) -> int:
        return self.value[0]

    @property
    def bit(self) -> int:
        return self.value[1]


class BusError(Exception):
    """Raised by a peripheral or the bus: silicon answers this access with a BusFault."""
