"""What the machine asks of every flash controller."""

from __future__ import annotations

from abc import ABC, abstractmethod

from edge_boards.virtual.peripherals.base import Peripheral


class FlashController(Peripheral, ABC):
    """Registers of the flash. The machine keeps flash memory read-only for the core and hands
    what the core writes there to `store_to_flash`."""

    @property
    @abstractmethod
    def latency(self) -> int:
        """Wait states set up."""

    @abstractmethod
    def store_to_flash(self, offset: int, size: int, value: int) -> None:
        """A write by the core, `offset` bytes into the flash. Raises `Unmodelled` where silicon
        would not program."""
