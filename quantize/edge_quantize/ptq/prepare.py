"""The float model in one form: every weight a float32 constant, every activation float32.

Converters leave other forms too: weights stored as float16 or int8 behind DEQUANTIZE, or int8
weights read directly by a float layer (dynamic range). All of them are float models whose weights
were rounded once; what they stand for is what is quantized here.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from edge_quantize.errors import UnsupportedModelError
from edge_quantize.graph.model import DType, Graph, Tensor
from edge_quantize.run import real

_INTEGERS = {DType.INT4, DType.INT8, DType.UINT8, DType.INT16}
_MOST_NAMED = 3


def float_graph(graph: Graph) -> Graph:
    """`graph` with all weights float32 and no DEQUANTIZE of constants; tensor indices stay.

    Raises UnsupportedModelError, naming the layers, for a model that computes in integers already,
    has custom operators, dynamic shapes, state or content that was not read.
    """
    problems = _problems(graph)
    if problems:
        shown = "; ".join(problems[:_MOST_NAMED])
        more = len(problems) - _MOST_NAMED
        raise UnsupportedModelError(
            f"{graph.name}: cannot be quantized: {shown}" + (f"; and {more} more" * (more > 0)),
            tuple(problems),
        )
    tensors = list(graph.tensors)
    kept = []
    for operator in graph.operators:
        if operator.op == "DEQUANTIZE" and tensors[operator.inputs[0]].is_constant:
            source, result = tensors[operator.inputs[0]], tensors[operator.outputs[0]]
            tensors[result.index] = replace(_floating(source), index=result.index, name=result.name)
        else:
            kept.append(operator)
    for operator in kept:
        for index in operator.inputs:
            if index >= 0 and tensors[index].data is not None and _stands_for_reals(tensors[index]):
                tensors[index] = _floating(tensors[index])
    operators = tuple(replace(o, index=number) for number, o in enumerate(kept))
    return replace(graph, tensors=tuple(tensors), operators=operators)


def rounded_weights(graph: Graph) -> tuple[str, ...]:
    """Names of the constants whose values were rounded before this tool saw them."""
    read = {i for operator in graph.operators for i in operator.inputs if i >= 0}
    return tuple(
        t.name for t in graph.tensors if t.index in read and t.is_constant and _stands_for_reals(t)
    )


def _stands_for_reals(tensor: Tensor) -> bool:
    quantized = tensor.dtype in _INTEGERS and tensor.quantization is not None
    return quantized or tensor.dtype is DType.FLOAT16


def _floating(tensor: Tensor) -> Tensor:
    assert tensor.data is not None
    data = real(tensor.data, tensor.quantization)
    data.setflags(write=False)
    return replace(tensor, dtype=DType.FLOAT32, quantization=None, data=data)


def _problems(graph: Graph) -> list[str]:
    problems = [f"the file has another subgraph, '{name}'" for name in graph.other_subgraphs]
    if not graph.operators:
        problems.append("the model has no operator")
    for operator in graph.operators:
        where = f"layer '{graph.layer_name(operator)}' ({operator.op})"
        if operator.op.startswith("CUSTOM"):
            problems.append(f"{where} is a custom operator: replace it by built-in ones")
        for tensor in graph.results(operator):
            if tensor.dtype in _INTEGERS and tensor.quantization is not None:
                problems.append(
                    f"{where} is quantized already ({tensor.dtype.value}): start from the float "
                    "model"
                )
    for tensor in graph.tensors:
        if tensor.is_variable:
            problems.append(f"tensor '{tensor.name}' keeps state between runs")
        if tensor.encoding and tensor.is_constant:
            problems.append(f"tensor '{tensor.name}' is stored with {tensor.encoding}")
        opened = [i for i, n in enumerate(tensor.shape_signature) if n < 0]
        if opened and (opened != [0] or tensor.shape[:1] != (1,)):
            problems.append(
                f"tensor '{tensor.name}' has the dynamic shape {list(tensor.shape_signature)}: "
                "convert the model with every dimension fixed"
            )
        if tensor.data is not None and tensor.dtype in (DType.FLOAT32, DType.FLOAT16):
            values = np.asarray(tensor.data, np.float32)
            if not np.isfinite(values).all():
                problems.append(f"tensor '{tensor.name}' holds NaN or infinity")
    for index in graph.inputs:
        tensor = graph.tensors[index]
        if tensor.dtype in _INTEGERS and tensor.quantization is not None:
            problems.append(f"input '{tensor.name}' is quantized already ({tensor.dtype.value})")
    return problems
