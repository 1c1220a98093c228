"""Which operator it is that the GPU computes wrongly."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace

import numpy as np

from edge_quantize.errors import GpuError, QuantizeError
from edge_quantize.gpu import GpuSession
from edge_quantize.graph import Graph, Operator
from edge_quantize.graph.writer import write_tflite

from .apart import Apart, computing, cut_after, cut_apart
from .compare import Array, Tolerance, difference
from .expected import Cpu, run_in_order
from .model import FirstWrong, OutputDifference

OpenSession = Callable[[bytes], AbstractContextManager[GpuSession]]


def first_wrong(
    graph: Graph,
    row: Sequence[Array],
    open_session: OpenSession,
    tolerance: Tolerance,
) -> FirstWrong | None:
    """The first operator whose own result is wrong on the GPU, fed with the CPU's inputs for it.

    Operators are tried side by side, each alone. Where all are right so, the fault lies in how the
    backend joins them: the model is cut after one operator after the other (by bisection), and the
    first cut that is wrong names it. None where that shows nothing either, or where the model
    cannot be cut (custom operators, several subgraphs).
    """
    try:
        values = layer_values(graph, row)
        alone = layer_differences(graph, values, open_session, tolerance)
        for operator, found in alone:
            if not found.within:
                return _named(graph, operator, found)
        return _bisected(graph, values, open_session, tolerance)
    except QuantizeError:
        return None  # it is a hint; the verdict stands without it


def layer_values(graph: Graph, row: Sequence[Array]) -> Mapping[int, Array]:
    """Every activation's value for one row of inputs, as the CPU computes it."""
    results = tuple(index for operator in computing(graph) for index in operator.outputs)
    # As outputs: delegates keep intermediate tensors to themselves.
    with Cpu(replace(graph, outputs=results, labels=())) as cpu:
        found = cpu.run(row)
    return dict(zip((*graph.inputs, *results), (*row, *found), strict=True))


def layer_differences(
    graph: Graph,
    values: Mapping[int, Array],
    open_session: OpenSession,
    tolerance: Tolerance,
) -> tuple[tuple[Operator, OutputDifference], ...]:
    """Each operator alone, given the right inputs: GPU against CPU. An operator with several
    results has a line for each. Raises GpuError, UnsupportedModelError."""
    apart = cut_apart(graph, computing(graph))
    return tuple(
        (
            graph.operators[operator],
            _difference(graph, index, values[index], array, tolerance),
        )
        for operator, index, array in zip(
            apart.operators, apart.results, _run(apart, values, open_session), strict=True
        )
    )


def first_mismatched(graph: Graph, open_session: OpenSession) -> Operator | None:
    """The first operator at which the backend logs a shape mismatch when compiled alone."""
    operators = computing(graph)

    def logs(part: Sequence[Operator]) -> bool:
        try:
            with open_session(write_tflite(cut_apart(graph, part).graph)) as session:
                return bool(session.log.mismatches)
        except GpuError:
            return False

    if not logs(operators):
        return None
    while len(operators) > 1:
        half = operators[: len(operators) // 2]
        operators = half if logs(half) else operators[len(operators) // 2 :]
    return operators[0]


def _run(apart: Apart, values: Mapping[int, Array], open_session: OpenSession) -> tuple[Array, ...]:
    with open_session(write_tflite(apart.graph)) as session:
        return run_in_order(session, apart.graph, [values[index] for index in apart.sources])


def _bisected(
    graph: Graph,
    values: Mapping[int, Array],
    open_session: OpenSession,
    tolerance: Tolerance,
) -> FirstWrong | None:
    operators = computing(graph)
    low, high, found = 0, len(operators), None
    while low < high:
        middle = (low + high) // 2
        wrong = _prefix(graph, operators[middle], values, open_session, tolerance)
        if wrong is None:
            low = middle + 1
        else:
            high, found = middle, wrong
    return found


def _prefix(
    graph: Graph,
    operator: Operator,
    values: Mapping[int, Array],
    open_session: OpenSession,
    tolerance: Tolerance,
) -> FirstWrong | None:
    """`operator` as the end of the model, which is fed from its own inputs on."""
    cut = cut_after(graph, operator)
    with open_session(write_tflite(cut)) as session:
        outputs = run_in_order(session, cut, [values[index] for index in cut.inputs])
    for index, array in zip(operator.outputs, outputs, strict=True):
        found = _difference(graph, index, values[index], array, tolerance)
        if not found.within:
            return replace(_named(graph, operator, found), alone=False)
    return None


def _difference(
    graph: Graph, index: int, expected: Array, found: Array, tolerance: Tolerance
) -> OutputDifference:
    tensor = graph.tensors[index]
    shaped = np.reshape(found, expected.shape)
    return difference(tensor, tensor.name, [expected], [shaped], tolerance.of(tensor))


def _named(graph: Graph, operator: Operator, found: OutputDifference) -> FirstWrong:
    return FirstWrong(
        operator.index, graph.layer_name(operator), operator.op, found.max_abs, found.relative
    )
