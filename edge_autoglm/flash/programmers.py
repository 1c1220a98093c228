"""The table of programmers: the name in a board file, and who does it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from edge_autoglm.flash import mass_storage, stm32_uart
from edge_autoglm.flash.job import Job

PROGRAMMERS: Mapping[str, Callable[[Job], None]] = MappingProxyType(
    {
        "mass-storage": mass_storage.program,
        "stm32-uart": stm32_uart.program,
    }
)
"""Each takes a job and returns once the flash holds the image, or raises FlashError."""
