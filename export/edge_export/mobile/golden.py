"""What a package's own test compares a phone with, and what float16 arithmetic would do to it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from edge_quantize.data import Samples
from edge_quantize.errors import QuantizeError
from edge_quantize.graph import Graph, Tensor
from edge_quantize.graph.analysis import operator_macs
from edge_quantize.half import HalfReport, margins, simulate_half
from edge_quantize.ingest.tflite import read_tflite
from edge_quantize.quality import classifies
from edge_quantize.run import real

from .compare import Tolerance
from .expected import Array, Cpu, Outputs
from .model import Golden, MobileModel, OutputDifference
from .probe import Probe

_ROWS = 4  # float16 arithmetic is simulated on so many
_MANY_MACS = 50_000_000  # from here on one has to do: the simulation takes seconds a row
# Steps of a quantized output: both sides round its real values to float32, an int16's to 1/128.
_ROUNDING = 0.01


def most_telling(graph: Graph, answers: Sequence[Outputs]) -> list[int]:
    """The rows in the order of how much an error would show in the CPU's `answers` to them: first
    those with the fewest values at the ends of their range, of equal ones those whose values are
    farthest from the ends, then as they come."""

    def rank(number: int) -> tuple[float, float, int]:
        apart = [each for each in _margins(graph, answers[number]) if each is not None]
        share = sum(float(np.mean(each == 0)) for each in apart)
        return share, -sum(float(np.mean(each)) for each in apart), number

    return sorted(range(len(answers)), key=rank)


def blind(graph: Graph, answers: Sequence[Outputs]) -> bool:
    """Whether every value of every answer lies at an end of its range, so that none shows a small
    error."""
    found = [each for row in answers for each in _margins(graph, row)]
    return bool(found) and all(each is not None and not each.any() for each in found)


def _margins(graph: Graph, row: Outputs) -> list[npt.NDArray[np.float64] | None]:
    return [
        margins(graph, index, real(array, graph.tensors[index].quantization))
        if array.size
        else None
        for index, array in zip(graph.outputs, row, strict=True)
    ]


def half_report(
    model: MobileModel, probe: Probe, answers: Sequence[Outputs] = ()
) -> HalfReport | None:
    """float16 arithmetic with sums in float16 too, the least exact that phones have, on the rows
    that tell most by the CPU's `answers`; None for what cannot be run layer by layer."""
    graph = read_tflite(model.content)
    macs = sum(operator_macs(graph, operator) or 0 for operator in graph.operators)
    order = most_telling(graph, answers) if answers else range(len(probe.rows))
    rows = [probe.rows[n] for n in order[: _ROWS if macs < _MANY_MACS else 1]]
    try:
        stacked = tuple(np.stack(arrays) for arrays in zip(*rows, strict=True))
        found = simulate_half(model.content, Samples(stacked, source=probe.source), "half")
    except QuantizeError:
        return None
    classes = classifies(graph) or bool(model.labels)
    outputs = tuple(
        each if classes and not at else replace(each, agreement=None)
        for at, each in enumerate(found.outputs)
    )
    return replace(found, outputs=outputs)


def golden(
    model: MobileModel,
    probe: Probe,
    judged: Sequence[OutputDifference] = (),
    answers: Sequence[Outputs] = (),
) -> Golden | None:
    """The CPU's answer to the row that tells most; `answers` are those to all rows where they are
    known already. A phone, which the test asks for float32, may be off by what the check allowed
    (`judged`, empty where there was none), or by twice what rounding alone made of it there; None
    where the CPU does not run the model."""
    graph = read_tflite(model.content)
    try:
        if not answers:
            with Cpu(graph, model.content) as cpu:
                answers = [cpu.run(probe.fed(graph, n)) for n in range(len(probe.rows))]
        chosen = most_telling(graph, answers)[0]
        row, outputs = probe.fed(graph, chosen), answers[chosen]
    except QuantizeError:
        return None
    tensors = [graph.tensors[index] for index in graph.outputs]
    allowed = [_allowed(each) for each in judged] or [Tolerance().of(each) for each in tensors]
    return Golden(
        tuple(_little(array) for array in row),
        tuple(_little(array) for array in outputs),
        tuple(map(_absolute, tensors, outputs, allowed)),
    )


def _allowed(judged: OutputDifference) -> float:
    if not judged.rounding:
        return judged.tolerance
    # Another GPU rounds at other places.
    return 2 * (judged.max_abs if judged.relative is None else judged.relative)


def _absolute(tensor: Tensor, expected: Array, tolerance: float) -> float:
    """A tolerance of the check (relative for floats, in LSB for integers) in the real numbers of
    this inference."""
    if tensor.dtype.numpy.kind == "f":
        return tolerance * float(np.abs(expected[np.isfinite(expected)]).max(initial=0.0))
    if tensor.quantization is None:
        return tolerance
    return (tolerance + _ROUNDING) * max(tensor.quantization.scales)


def _little(array: Array) -> bytes:
    return array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes()
