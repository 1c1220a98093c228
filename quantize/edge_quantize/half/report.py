"""What a simulation of float16 arithmetic found."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

# From this share of saturated values on, a small difference says little.
MOSTLY = 0.5
SUMS = {"single": "float32", "half": "float16"}


@dataclass(frozen=True)
class HalfLayer:
    """One operator, by its index and short name in the model that was given.

    Differences are to float32, over all samples: `max_abs` and `relative` (max|half - float32| /
    max|float32|) with the inputs that the layers before computed in float16, `own_max_abs` and
    `own_relative` with the float32 inputs rounded to float16. They are of the elements that are
    finite; `overflowed` counts the others (infinite or NaN, finite in float32), in
    `overflowed_samples` of the samples, and `own_overflowed` those with float32 inputs.

    `largest` is max|float32|; `subnormal` counts non-zero results below 2^-14, which have fewer
    bits, and `vanished` those below 2^-24 that are 0 in float16 only. `sums` is what its sums are
    kept in: "float16", "float32", or "" for an operator that adds nothing up.
    """

    index: int
    name: str
    op: str
    sums: str
    largest: float
    overflowed: int
    overflowed_samples: int
    own_overflowed: int
    subnormal: int
    vanished: int
    max_abs: float
    relative: float
    own_max_abs: float
    own_relative: float


@dataclass(frozen=True)
class HalfOutput:
    """An output of the model, in real numbers; `agreement` is the fraction of samples with the same
    argmax, None for an output that is no vector of two or more. `finite` says that float16 gave no
    infinity or NaN where float32 gave none. `saturated` is the share of values that lie at an end
    of their range (see `saturation`), where a difference does not show."""

    name: str
    max_abs: float
    relative: float
    agreement: float | None
    finite: bool
    saturated: float = 0.0


@dataclass(frozen=True)
class HalfReport:
    """float16 arithmetic, modelled. `accumulate` is "single" (values stored as float16, sums in
    float32) or "half" (sums too). `constants` has (name, why) of those that float16 cannot hold,
    `not_simulated` (layer, why) of what was computed more exactly than said, `notes` remarks."""

    accumulate: str
    samples: int
    layers: tuple[HalfLayer, ...]
    outputs: tuple[HalfOutput, ...]
    constants: tuple[tuple[str, str], ...] = ()
    not_simulated: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def first_overflow(self) -> HalfLayer | None:
        """The first layer with an infinity that float32 does not have."""
        return next((layer for layer in self.layers if layer.overflowed), None)

    @property
    def finite(self) -> bool:
        return all(output.finite for output in self.outputs)

    @property
    def worst(self) -> HalfLayer | None:
        """The layer that itself adds most, relative to its results."""
        return max(self.layers, key=lambda layer: layer.own_relative, default=None)


def sums_text(report: HalfReport) -> str:
    """The element type that sums are kept in."""
    return SUMS[report.accumulate]


def half_json(report: HalfReport) -> dict[str, Any]:
    """The report as JSON takes it: the same keys in the same order always; NaN as null."""
    first, worst = report.first_overflow, report.worst
    found: dict[str, Any] = _plain(
        {
            "kind": "modelled",
            "arithmetic": f"float16, sums in {SUMS[report.accumulate]}",
            "accumulate": report.accumulate,
            "samples": report.samples,
            "first_overflow": None if first is None else first.name,
            "largest_own_error": None if worst is None else worst.name,
            "outputs": [asdict(output) for output in report.outputs],
            "layers": [asdict(layer) for layer in report.layers],
            "constants": [{"name": name, "why": why} for name, why in report.constants],
            "not_simulated": [{"layer": name, "why": why} for name, why in report.not_simulated],
            "notes": list(report.notes),
        }
    )
    return found


def half_lines(report: HalfReport) -> tuple[str, ...]:
    """A few lines for people: what overflows first, how far the outputs are, what is left out."""
    sums = SUMS[report.accumulate]
    samples = f"{report.samples} sample{'s' * (report.samples != 1)}"
    lines = [f"float16 arithmetic, sums in {sums} (modelled, {samples}):"]
    first = report.first_overflow
    if first is not None:
        lines.append(
            f"  layer '{first.name}' ({first.op}) passes 65504: {first.overflowed} values in "
            f"{first.overflowed_samples} of {samples} become infinite"
        )
    for output in report.outputs:
        agreement = "" if output.agreement is None else f", same class in {output.agreement:.0%}"
        far = f"off by {output.relative:.1e} of its largest value{agreement}"
        if output.saturated >= MOSTLY:
            far += f"; {output.saturated:.0%} of its values are at an end of their range"
        if not output.finite:
            far = "infinite or NaN where float32 is not"
        lines.append(f"  output '{output.name}': {far}")
    worst = report.worst
    if worst is not None and worst.own_relative > 0:
        lines.append(f"  layer '{worst.name}' ({worst.op}) adds most: {worst.own_relative:.1e}")
    lines += [f"  constant '{name}': {why}" for name, why in report.constants]
    if report.not_simulated:
        name, why = report.not_simulated[0]
        more = len(report.not_simulated) - 1
        lines.append(f"  not simulated: '{name}' {why}" + (f", and {more} more" if more else ""))
    return tuple(lines)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
