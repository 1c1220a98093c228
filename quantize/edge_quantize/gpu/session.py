"""A model loaded on this machine's GPU, or on the driver that is named."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Unpack

from .choice import find_driver
from .driver import Driver
from .loaded import GpuRun, LoadedModel, LoadOptions

__all__ = ["GpuRun", "GpuSession"]


class GpuSession(LoadedModel):
    """`LoadedModel` with a driver that is found where none is given.

    Raises GpuUnavailableError when there is none, and what `LoadedModel` raises.
    """

    def __init__(
        self,
        model: bytes,
        accelerators: Sequence[str] = ("gpu",),
        *,
        driver: Driver | None = None,
        **options: Unpack[LoadOptions],
    ) -> None:
        if driver is None and "gpu" in accelerators:
            driver = find_driver()
        super().__init__(model, accelerators, driver, options)
