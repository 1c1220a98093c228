"""How far a backend's outputs are from those of the runtime that is right by definition."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from edge_autoglm.measure.profile import tolerance
from edge_export.mobile.expected import spelt_out
from edge_export.verify import max_abs_diff
from edge_quantize.reference import best_reference

from .base import Array, Backend, BackendError, Judge, said_by
from .litert_cpu import LiteRtCpu
from .model import RunModel, read_run_model
from .onnx_cpu import OnnxCpu

Outputs = tuple[Array, ...]
# What a right GPU may be off: one rounding of a quantized output, float sums in another order.
INTEGER_TOLERANCE, FLOAT_TOLERANCE = 1.0, 1e-3
_QUANTIZED_BYTES = 2  # wider integers are counts and indices, which are right or wrong


@dataclass(frozen=True)
class Difference:
    """The output that is furthest off, over all inputs: LSB, or with `relative` the largest
    difference by the largest expected value. `tolerance` is in the same unit. `rounding`: beyond
    it because integers were rounded to neighbours between layers, and for nothing else."""

    largest: float
    relative: bool
    tolerance: float
    inputs: int
    rounding: bool = False

    @property
    def good(self) -> bool:
        return self.rounding or self.largest <= self.tolerance

    def __str__(self) -> str:
        if math.isinf(self.largest):
            return "no number" if self.relative else "another shape"
        return f"{self.largest:.1e}" if self.relative else f"{self.largest:g} LSB"


@dataclass(frozen=True)
class Expected:
    """What a judge says: `outputs` by input; `name` with which runtime. `integer` and `floating`
    are how far a right result may be off. `as_file`: it ran the model as the file has it."""

    judge: Judge
    name: str
    outputs: tuple[Outputs, ...]
    integer: float = INTEGER_TOLERANCE
    floating: float = FLOAT_TOLERANCE
    as_file: bool = True

    def difference(self, found: Sequence[Outputs]) -> Difference:
        """`found` may be of the first inputs only."""
        return difference(self.outputs[: len(found)], found, self.integer, self.floating)


def apart_by(
    expected: Expected,
    backend: Backend,
    model: RunModel,
    inputs: Sequence[Outputs],
    found: Sequence[Outputs],
) -> Difference:
    """How far `found` is off, and whether that is rounding alone."""
    apart = expected.difference(found)
    if apart.good or math.isinf(apart.largest):
        return apart
    return replace(apart, rounding=backend.only_rounds(model, inputs[: len(found)], found))


def difference(
    wanted: Sequence[Outputs],
    found: Sequence[Outputs],
    integer: float = INTEGER_TOLERANCE,
    floating: float = FLOAT_TOLERANCE,
) -> Difference:
    """The worst output, measured by its tolerance."""
    worst = Difference(0.0, False, 0.0, len(found))
    for number in range(len(wanted[0])):
        pairs = [(a[number], b[number]) for a, b in zip(wanted, found, strict=True)]
        kind = pairs[0][0].dtype
        relative = kind.kind == "f"
        small = kind.kind in "iu" and kind.itemsize <= _QUANTIZED_BYTES
        allowed = floating if relative else integer if small else 0.0
        if any(a.shape != b.shape or a.dtype != b.dtype for a, b in pairs):
            return Difference(math.inf, False, allowed, len(found))
        apart = max(_apart(a, b) for a, b in pairs)
        if relative and apart:
            sizes = [np.abs(a[np.isfinite(a)].astype(np.float64)).max(initial=0) for a, _ in pairs]
            apart = apart / float(max(sizes)) if any(sizes) else math.inf
        here = Difference(apart, relative, allowed, len(found))
        if not number or _share(here) > _share(worst):
            worst = here
    return worst


def _apart(a: Array, b: Array) -> float:
    # An infinity is no distance from itself, which subtracting would not say.
    elsewhere = a != b
    return max_abs_diff(a[elsewhere], b[elsewhere])


def _share(apart: Difference) -> float:
    """Of what is allowed."""
    if not apart.largest:
        return 0.0
    return apart.largest / apart.tolerance if apart.tolerance else math.inf


class Judges:
    """What each judge says of a model's inputs, asked when it is first needed."""

    def __init__(self, model: RunModel, inputs: Sequence[Outputs]) -> None:
        self._model, self._inputs = model, inputs
        self._said: dict[Judge, Expected] = {}

    def of(self, judge: Judge) -> Expected:
        """Raises BackendError where the judge is not here or refuses the model."""
        if judge not in self._said:
            self._said[judge] = self._ask(judge)
        return self._said[judge]

    @property
    def said(self) -> Mapping[Judge, Expected]:
        return self._said

    def _ask(self, judge: Judge) -> Expected:
        if judge is Judge.MICRO:
            return self._micro()
        runtime: Backend = LiteRtCpu() if judge is Judge.LITERT else OnnxCpu()
        found = runtime.available()
        if not found.ok:
            raise BackendError(
                f"no reference: {found.why}" + (f"; {found.mend}" if found.mend else "")
            )
        model, name = self._model, judge.value
        floating = spelt_out(model.graph) if model.graph is not None else None
        if floating is not model.graph and floating is not None:
            # LiteRT's CPU rounds activations to int8 before int8 weights; a GPU does not.
            model, name = read_run_model(floating), f"{name}, weights as float"
        with runtime.load(model) as loaded:
            outputs = tuple(loaded.infer(each).outputs for each in self._inputs)
        return Expected(judge, name, outputs, as_file=model is self._model)

    def _micro(self) -> Expected:
        assert self._model.graph is not None
        with said_by("reference", BackendError):
            reference = best_reference(self._model.graph)
            outputs = tuple(reference.run(each) for each in self._inputs)
        integer, floating = tolerance(reference), tolerance(reference, relative=True)
        return Expected(Judge.MICRO, reference.name, outputs, integer, floating)
