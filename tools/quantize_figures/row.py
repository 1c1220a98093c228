"""One figure with its target."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """`kind` is measured, exact or modelled. `most` and `least` are the target, if there is one."""

    figure: str
    value: float
    unit: str = ""
    most: float | None = None
    least: float | None = None
    kind: str = "measured"

    @property
    def missed(self) -> bool:
        return (self.most is not None and not self.value <= self.most) or (
            self.least is not None and not self.value >= self.least
        )

    @property
    def shown(self) -> str:
        return f"{_number(self.value)} {self.unit}".strip()

    @property
    def wanted(self) -> str:
        if self.most is not None:
            return f"<= {_number(self.most)}"
        return f">= {_number(self.least)}" if self.least is not None else ""

    @property
    def verdict(self) -> str:
        if self.most is None and self.least is None:
            return ""
        return "MISSED" if self.missed else "met"


def _number(value: float) -> str:
    if float(value).is_integer() and abs(value) >= 10:
        return f"{int(value):,}"
    return f"{value:.3g}" if abs(value) < 10 else f"{value:.1f}"
