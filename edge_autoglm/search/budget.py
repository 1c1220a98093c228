"""A budget: the most a model may take of flash, RAM, time and accuracy, and what breaks it.

Sizes are bytes. `k` and `M` are powers of two, as linker scripts and data sheets of
microcontrollers have them ("64k" is 65,536 B); `kB` and `MB` are 1,000 and 1,000,000.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from edge_autoglm.errors import UsageError
from edge_autoglm.quantities import number_and_unit, parse_share

_BYTES = {
    "": 1,
    "b": 1,
    "k": 1 << 10,
    "kib": 1 << 10,
    "m": 1 << 20,
    "mib": 1 << 20,
    "kb": 1_000,
    "mb": 1_000_000,
}
_MILLISECONDS = {"us": 1e-3, "µs": 1e-3, "ms": 1.0, "s": 1e3}


def parse_bytes(text: str, what: str = "size") -> int:
    """Bytes from "64k", "90 KiB", "1M", "50kB" or "65536". Raises UsageError."""
    number, unit = _split(text, what, "64k, 90KiB, 50kB or 65536")
    factor = _BYTES.get(unit.lower())
    if factor is None:
        raise UsageError(f"{what}: {text!r} has no unit of bytes; use k (1,024), kB (1,000), M, MB")
    if number * factor < 1:
        raise UsageError(f"{what}: {text!r} is less than one byte")
    return math.floor(number * factor)


def parse_milliseconds(text: str, what: str = "latency") -> float:
    """Milliseconds from "20ms", "1.5 s" or "800us". Raises UsageError, also without a unit."""
    number, unit = _split(text, what, "20ms, 1.5s or 800us")
    factor = _MILLISECONDS.get(unit.lower())
    if factor is None:
        raise UsageError(f"{what}: {text!r} needs a unit of time: us, ms or s")
    if not number > 0:
        raise UsageError(f"{what}: {text!r} is not above zero")
    return number * factor


def _split(text: str, what: str, examples: str) -> tuple[float, str]:
    number, unit = number_and_unit(text)
    if not math.isfinite(number):
        raise UsageError(f"{what}: {text!r} is no quantity; write it as {examples}")
    return number, unit


@dataclass(frozen=True)
class Budget:
    """The limits; None is no limit beyond the board's own memories.

    ram: static RAM plus the measured stack, bytes. flash: the whole image, bytes. latency_ms: one
    inference, milliseconds. drop: accuracy lost against the float model, a fraction.
    """

    ram: int | None = None
    flash: int | None = None
    latency_ms: float | None = None
    drop: float | None = None

    @classmethod
    def parse(
        cls,
        ram: str | int | None = None,
        flash: str | int | None = None,
        latency: str | float | None = None,
        drop: str | float | None = None,
    ) -> Budget:
        """From the words of the command line; numbers are bytes, milliseconds and a fraction.

        Raises UsageError naming the option."""
        return cls(
            ram=None if ram is None else parse_bytes(str(ram), "--max-ram"),
            flash=None if flash is None else parse_bytes(str(flash), "--max-flash"),
            latency_ms=_milliseconds(latency),
            drop=None if drop is None else parse_share(str(drop), "--max-drop"),
        )

    def json(self) -> dict[str, float | int | None]:
        return {
            "ram": self.ram,
            "flash": self.flash,
            "latency_ms": self.latency_ms,
            "drop": self.drop,
        }

    def __str__(self) -> str:
        said = [
            f"RAM {self.ram:,} B" if self.ram is not None else "",
            f"flash {self.flash:,} B" if self.flash is not None else "",
            f"latency {self.latency_ms:g} ms" if self.latency_ms is not None else "",
            f"drop {100 * self.drop:g} points" if self.drop is not None else "",
        ]
        return ", ".join(filter(None, said)) or "the board's memories"


def _milliseconds(value: str | float | None) -> float | None:
    if value is None:
        return None
    text = value if isinstance(value, str) else f"{value}ms"
    return parse_milliseconds(text, "--max-latency")


@dataclass(frozen=True)
class Excess:
    """A resource that a model takes more of than the budget has.

    `need` and `limit` are bytes, milliseconds or a fraction, as `resource` has it; `where` says
    what takes most of it ("layer conv2d_3: 16,384 B input and 16,384 B output").
    """

    resource: str  # "RAM", "flash", "latency", "accuracy"
    need: float
    limit: float
    where: str = ""

    @property
    def ratio(self) -> float:
        """How far beyond: 0 is just at the limit, 1 twice as much."""
        return self.need / self.limit - 1 if self.limit else math.inf

    def __str__(self) -> str:
        if self.resource == "latency":
            words = f"latency: {self.need:.2f} ms, the budget has {self.limit:g} ms"
        elif self.resource == "accuracy":
            words = (
                f"accuracy: {100 * self.need:.2f} points lost, the budget has "
                f"{100 * self.limit:g} points"
            )
        else:
            words = (
                f"{self.resource}: {self.need:,.0f} B needed, the budget has {self.limit:,.0f} B "
                f"({self.need - self.limit:,.0f} B too many)"
            )
        return f"{words}; {self.where}" if self.where else words


def worst(excesses: Iterable[Excess]) -> Excess | None:
    """The resource that is farthest beyond."""
    return max(excesses, key=lambda e: e.ratio, default=None)
