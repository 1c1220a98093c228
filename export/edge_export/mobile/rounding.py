"""Whether integer outputs differ through rounding alone.

Two right runtimes round an integer layer's result to neighbouring steps now and then, and the
layers behind carry that on: a deep int8 model's output may be several steps apart though nothing is
wrong. So a larger difference is believed to be rounding only when every operator is right by
itself: given the very values that the GPU gave it, its result on the CPU is within the tolerance of
the GPU's, and over all of them its steps go up as often as down. A bias of a step is a mistake.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from edge_quantize.errors import QuantizeError
from edge_quantize.graph import Graph
from edge_quantize.graph.writer import write_tflite

from .apart import Apart, computing, cut_apart
from .compare import Array, Tolerance, difference
from .expected import Cpu, Outputs, run_in_order, spelt_out
from .first_wrong import OpenSession

_INTEGERS = "iu"
# An operator's mean step, with its sign. Two ways of rounding differ at values near a half: in few
# of them, both ways. The limit is wide for a result of few elements, which may all be such.
_BIAS, _BIAS_OF_ONE = 0.25, 3.0


def only_rounding(
    graph: Graph,
    rows: Sequence[Sequence[Array]],
    gpu: Sequence[Outputs],
    open_session: OpenSession,
    tolerance: Tolerance,
) -> bool:
    """Whether the GPU's outputs `gpu` for `rows` are what right operators make, each rounding its
    own way. False too for what cannot be cut (custom operators, several subgraphs) or holds no
    integers, and where the backend fails on a part.

    The GPU's values between operators are read by making them outputs; that this changes nothing
    is seen by its outputs, which must be those of the model itself.
    """
    if not _rounds(graph):
        return False
    graph = spelt_out(graph)
    operators = computing(graph)
    inside = tuple(dict.fromkeys(i for operator in operators for i in operator.outputs))
    shown = replace(graph, outputs=inside, labels=(), sha256="")
    apart = cut_apart(graph, operators)
    steps: dict[int, list[Array]] = {}
    try:
        with open_session(write_tflite(shown)) as session, Cpu(apart.graph) as cpu:
            for row, outputs in zip(rows, gpu, strict=True):
                found = dict(zip(inside, run_in_order(session, shown, row), strict=True))
                values = {**dict(zip(graph.inputs, row, strict=True)), **found}
                if not _same(graph, values, outputs, tolerance):
                    return False
                if not _right(apart, graph, values, cpu, tolerance, steps):
                    return False
    except QuantizeError:
        return False
    return not any(_biased(np.concatenate(each)) for each in steps.values())


def _rounds(graph: Graph) -> bool:
    """Whether results between operators are rounded to integers."""
    tensors = (graph.tensors[i] for operator in computing(graph) for i in operator.outputs)
    return any(t.quantization is not None and t.dtype.numpy.kind in _INTEGERS for t in tensors)


def _same(graph: Graph, values: dict[int, Array], outputs: Outputs, tolerance: Tolerance) -> bool:
    """Whether the GPU's outputs are the same with its values between operators looked at."""
    return all(
        difference(
            graph.tensors[index], "", [array], [values[index]], tolerance.of(graph.tensors[index])
        ).within
        for index, array in zip(graph.outputs, outputs, strict=True)
    )


def _right(
    apart: Apart,
    graph: Graph,
    values: dict[int, Array],
    cpu: Cpu,
    tolerance: Tolerance,
    steps: dict[int, list[Array]],
) -> bool:
    """Whether each operator does on the CPU what it did on the GPU, on the GPU's own values.
    `steps` gathers by how much each integer result is off, by tensor."""
    expected = cpu.run([values[index] for index in apart.sources])
    for index, array in zip(apart.results, expected, strict=True):
        tensor = graph.tensors[index]
        found = values[index].reshape(array.shape)
        if not difference(tensor, "", [array], [found], tolerance.of(tensor)).within:
            return False
        if tensor.dtype.numpy.kind in _INTEGERS:
            off = found.astype(np.int64) - array.astype(np.int64)
            steps.setdefault(index, []).append(off.reshape(-1))
    return True


def _biased(steps: Array) -> bool:
    """Whether steps go one way more than chance does."""
    allowed = _BIAS + _BIAS_OF_ONE / math.sqrt(max(steps.size, 1))
    return bool(steps.size) and abs(float(steps.astype(np.float64).mean())) > allowed
