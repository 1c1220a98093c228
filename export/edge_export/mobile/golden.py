"""What a package's own test compares a phone with, and what float16 arithmetic would do to it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edge_quantize.data import Samples
from edge_quantize.errors import QuantizeError
from edge_quantize.graph import Graph, Tensor
from edge_quantize.graph.analysis import operator_macs
from edge_quantize.half import HalfReport, simulate_half
from edge_quantize.ingest.tflite import read_tflite
from edge_quantize.run import real

from .compare import Tolerance
from .expected import Array, Cpu, Outputs
from .model import Golden, MobileModel, OutputDifference
from .probe import Probe

_ROWS = 4  # float16 arithmetic is simulated on so many
_MANY_MACS = 50_000_000  # from here on one has to do: the simulation takes seconds a row
_MARGIN = 2.0  # a phone may add up in another order than the simulation does
_UNSIMULATED = 1e-2  # relative; where nothing says what float16 does


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
    half: HalfReport | None,
    outputs: Outputs | None = None,
    seen: Sequence[OutputDifference] = (),
) -> Golden | None:
    """The CPU's answer to the first row: `outputs` where it is known already. A phone may be off by
    what the check allows, by twice what the simulation of float16 loses, or twice what rounding
    alone was `seen` to do; None where the CPU does not run the model."""
    graph = read_tflite(model.content)
    try:
        row = probe.fed(graph, 0)
        if outputs is None:
            with Cpu(graph, model.content) as cpu:
                outputs = cpu.run(row)
    except QuantizeError:
        return None
    return Golden(
        tuple(_little(array) for array in row),
        tuple(_little(array) for array in outputs),
        tuple(
            max(
                _allowed(graph, index, array, None if half is None else half.outputs[at].max_abs),
                _rounded(graph.tensors[index], seen[at]) if seen else 0.0,
            )
            for at, (index, array) in enumerate(zip(graph.outputs, outputs, strict=True))
        ),
    )


def _allowed(graph: Graph, index: int, expected: Array, lost: float | None) -> float:
    tensor = graph.tensors[index]
    largest = float(np.abs(real(expected, tensor.quantization)).max(initial=0.0))
    if tensor.quantization is not None:
        least = Tolerance().lsb * max(tensor.quantization.scales)
    elif tensor.dtype.numpy.kind != "f":
        return 0.0
    else:
        least = Tolerance().relative * largest
    if lost is None or not np.isfinite(lost):
        lost = _UNSIMULATED * largest
    return max(least, _MARGIN * lost)


def _rounded(tensor: Tensor, seen: OutputDifference) -> float:
    """Twice the difference that rounding made, in real numbers; 0 where it made none."""
    scale = max(tensor.quantization.scales) if tensor.quantization is not None else 1.0
    return _MARGIN * seen.max_abs * scale if seen.rounding else 0.0


def _little(array: Array) -> bytes:
    return array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes()
