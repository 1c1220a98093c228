"""The table of programmers: the name in a board file, who does it, and how far it was tried."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from edge_autoglm.flash import mass_storage, stm32_uart
from edge_autoglm.flash.job import Job
from edge_autoglm.flash.tool import Tool

TESTED: Mapping[str, str] = MappingProxyType(
    {
        "hardware": "flashed a real board",
        "emulator": "flashed an emulated chip, as it would a real one",
        "stand-in": "its counterpart (a tool, a disk) was imitated",
    }
)
"""How far a programmer was tried, the most first; nothing may claim more."""


@dataclass(frozen=True)
class Row:
    """One programmer.

    Attributes:
        program: takes a job and returns once the flash holds the image, or raises FlashError.
        tested: a key of `TESTED`.
        tool: the external program that it runs; None where the work is done here.
    """

    program: Callable[[Job], None]
    tested: str
    tool: Tool | None = None


PROGRAMMERS: Mapping[str, Row] = MappingProxyType(
    {
        "mass-storage": Row(mass_storage.program, "stand-in"),
        "stm32-uart": Row(stm32_uart.program, "emulator"),
    }
)
"""By the name in a board file; `edge_boards.schema.PROGRAMMERS` has the same names."""
