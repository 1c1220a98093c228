"""One operator, three ways: a row's kernel on the host, the same on an emulated Cortex-M7, and the
tflite_micro interpreter."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from kernel_harness import Kernels

from edge_export.kernels.row import KernelRow, LayerView
from edge_export.kernels.table import KERNELS
from edge_quantize.graph import Graph, Tensor
from edge_quantize.graph.writer import write_tflite

runtime: Any = pytest.importorskip(
    "tflite_micro.python.tflite_micro.runtime", reason="no tflite_micro wheel on this machine"
)

Array = npt.NDArray[Any]


def layer_of(graph: Graph) -> LayerView:
    """The graph's only operator."""
    (operator,) = graph.operators
    return LayerView(graph, operator)


def accepting_rows(graph: Graph) -> list[KernelRow]:
    """Every row with code that takes the graph's only operator."""
    layer = layer_of(graph)
    rows = [row for row in KERNELS if row.op == layer.operator.op and not row.is_alias]
    return [row for row in rows if row.refuses(layer) is None]


def refusals(graph: Graph) -> dict[str, str]:
    """Why each row that serves the operator does not take it."""
    layer = layer_of(graph)
    reasons = {r.name: r.refuses(layer) for r in KERNELS if r.op == layer.operator.op}
    return {name: reason for name, reason in reasons.items() if reason is not None}


def run_row(
    row: KernelRow,
    graph: Graph,
    inputs: list[Array],
    kernels: Kernels,
    in_place: int | None = None,
) -> Array:
    """The graph's only operator by one row; `inputs` in the order of `graph.inputs`."""
    layer = layer_of(graph)
    binding = row.bind(layer)
    values = dict(zip(graph.inputs, inputs, strict=True))
    operands = [values[layer.operator.inputs[position]] for position in binding.operands]
    output = layer.output
    raw = kernels.run_operands(row.name, binding, operands, output.nbytes, in_place)
    return np.frombuffer(raw, output.dtype.numpy).reshape(output.shape)


def reference(graph: Graph, inputs: list[Array]) -> Array:
    """What the tflite_micro interpreter gives for the only output.

    The interpreter as it is: `TflmReference` refuses element types that whole models may not use
    yet, and kernels that have them are tested too.
    """
    interpreter = runtime.Interpreter.from_bytes(write_tflite(graph), arena_size=1 << 20)
    for position, value in enumerate(inputs):
        interpreter.set_input(value, position)
    interpreter.invoke()
    return np.array(interpreter.get_output(0))


def random_inputs(graph: Graph, seed: int) -> list[Array]:
    """Inputs of the graph over their dtypes' whole range, the extremes included."""
    generator = np.random.default_rng(seed)
    return [_random(graph.tensor(index), generator) for index in graph.inputs]


def _random(tensor: Tensor, generator: np.random.Generator) -> Array:
    kind = tensor.dtype.numpy
    if np.issubdtype(kind, np.floating):
        return generator.normal(0.0, 4.0, tensor.shape).astype(np.float32)
    info = np.iinfo(kind.name)
    values = generator.integers(info.min, info.max, tensor.shape, endpoint=True)
    flat = values.reshape(-1)
    if flat.size >= 4:
        flat[generator.integers(flat.size)] = info.min
        flat[generator.integers(flat.size)] = info.max
    return values.astype(kind)
