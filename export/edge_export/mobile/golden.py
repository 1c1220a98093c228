"""What a package's own test compares a phone with, and what float16 arithmetic would do to it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edge_quantize.data import Samples
from edge_quantize.errors import QuantizeError
from edge_quantize.graph import Tensor
from edge_quantize.graph.analysis import operator_macs
from edge_quantize.half import HalfReport, simulate_half
from edge_quantize.ingest.tflite import read_tflite

from .compare import Tolerance
from .expected import Array, Cpu, Outputs
from .model import Golden, MobileModel, OutputDifference
from .probe import Probe

_ROWS = 4  # float16 arithmetic is simulated on so many
_MANY_MACS = 50_000_000  # from here on one has to do: the simulation takes seconds a row
# Steps of a quantized output: both sides round its real values to float32, an int16's to 1/128.
_ROUNDING = 0.01


def half_report(model: MobileModel, probe: Probe) -> HalfReport | None:
    """float16 arithmetic with sums in float16 too, the least exact that phones have; None for what
    cannot be run layer by layer."""
    graph = read_tflite(model.content)
    macs = sum(operator_macs(graph, operator) or 0 for operator in graph.operators)
    rows = probe.rows[: _ROWS if macs < _MANY_MACS else 1]
    try:
        stacked = tuple(np.stack(arrays) for arrays in zip(*rows, strict=True))
        return simulate_half(model.content, Samples(stacked, source=probe.source), "half")
    except QuantizeError:
        return None


def golden(
    model: MobileModel,
    probe: Probe,
    judged: Sequence[OutputDifference] = (),
    outputs: Outputs | None = None,
) -> Golden | None:
    """The CPU's answer to the first row: `outputs` where it is known already. A phone, which the
    test asks for float32, may be off by what the check allowed (`judged`, empty where there was
    none), or by twice what rounding alone made of it there; None where the CPU does not run the
    model."""
    graph = read_tflite(model.content)
    try:
        row = probe.fed(graph, 0)
        if outputs is None:
            with Cpu(graph, model.content) as cpu:
                outputs = cpu.run(row)
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
