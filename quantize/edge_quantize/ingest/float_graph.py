"""A graph as every later step takes it: float, one subgraph, every dimension fixed, batch 1."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from edge_quantize.errors import UnsupportedModelError
from edge_quantize.graph.edit import compacted
from edge_quantize.graph.model import DType, Graph, Operator, Tensor

_INTEGERS = frozenset({DType.INT8, DType.UINT8, DType.INT16, DType.INT4, DType.INT2, DType.UINT4})
_MOST_NAMED = 4


def float_graph(graph: Graph) -> tuple[Graph, tuple[str, ...]]:
    """The graph with its batch fixed to 1 and half-precision weights widened, and what was done.

    Raises UnsupportedModelError, with every reason, for further subgraphs, custom operators, a
    model that is quantized already and dimensions beyond the batch that are open.
    """
    problems = [
        f"the file has another subgraph, '{name}' (a loop, a branch or a second signature): only "
        "one is supported"
        for name in graph.other_subgraphs
    ]
    problems += _custom(graph) + _quantized(graph) + _open_dimensions(graph)
    if problems:
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        raise UnsupportedModelError(f"{graph.name}: {problems[0]}{more}", tuple(problems))
    notes = []
    if any(graph.tensors[i].shape_signature for i in graph.inputs):
        notes.append("batch: open in the source, fixed at 1")
    graph = replace(graph, tensors=tuple(replace(t, shape_signature=()) for t in graph.tensors))
    graph, widened = _widened(graph)
    if widened:
        notes.append(f"{widened} float16 constants: widened to float32, without loss")
    states = sum(tensor.is_variable for tensor in graph.tensors)
    if states:
        notes.append(
            f"{states} variable tensors: an interpreter keeps them from one inference to the next; "
            "reset it where a sequence begins"
        )
    return graph, tuple(notes)


def _custom(graph: Graph) -> list[str]:
    names = sorted({o.op.partition(":")[2] for o in graph.operators if o.op.startswith("CUSTOM:")})
    return [
        f"custom operator '{name}': replace it by built-in ones (no runtime here has it)"
        for name in names
    ]


def _quantized(graph: Graph) -> list[str]:
    """The first sign of it says it; each layer in a line would bury that."""
    held = [
        (o, t)
        for o in graph.operators
        for t in graph.results(o)
        if t.dtype in _INTEGERS and t.quantization is not None
    ]
    if held:
        operator, tensor = held[0]
        layers = len({o.index for o, _ in held})
        count = f"{layers} of {len(graph.operators)} operators compute in {tensor.dtype.value}"
        first = f"the first is {operator.op} '{tensor.name}'"
        return [f"already quantized: {count}, {first}; start from the float model"]
    packed = [t for t in graph.constants() if t.dtype in _INTEGERS and t.quantization is not None]
    if packed:
        count = f"{len(packed)} of its constants are {packed[0].dtype.value}"
        first = f"the first is '{packed[0].name}'"
        return [f"already quantized: {count}, {first}; start from the float model"]
    return []


def _open_dimensions(graph: Graph) -> list[str]:
    problems = []
    for index in graph.inputs:
        tensor = graph.tensors[index]
        open_ = [i for i, n in enumerate(tensor.shape_signature) if n < 0]
        if open_ == [0] and tensor.shape[0] == 1:
            continue
        problems += [
            f"input '{tensor.name}': dimension {i} of {list(tensor.shape_signature)} is open; "
            "convert the model with it fixed"
            for i in open_
            if i or tensor.shape[0] != 1
        ]
    return problems


def _widened(graph: Graph) -> tuple[Graph, int]:
    """DEQUANTIZE of a float16 constant is a float32 constant."""
    tensors = list(graph.tensors)
    kept: list[Operator] = []
    for operator in graph.operators:
        source = graph.operands(operator)[0] if operator.inputs else None
        if operator.op == "DEQUANTIZE" and source is not None and _half(source):
            (result,) = graph.results(operator)
            assert source.data is not None
            data = source.data.astype(np.float32)
            data.setflags(write=False)
            tensors[result.index] = replace(result, data=data)
        else:
            kept.append(operator)
    count = len(graph.operators) - len(kept)
    if not count or any(tensors[i].is_constant for i in graph.outputs):
        return graph, 0
    numbered = tuple(replace(o, index=i) for i, o in enumerate(kept))
    return compacted(replace(graph, tensors=tuple(tensors), operators=numbered)), count


def _half(tensor: Tensor) -> bool:
    return tensor.is_constant and tensor.dtype is DType.FLOAT16 and not tensor.encoding


def renamed(graph: Graph, inputs: Sequence[str], outputs: Sequence[str]) -> Graph:
    """With the source's names on inputs and outputs, where no other tensor has them."""
    taken = {t.name for t in graph.tensors}
    tensors = list(graph.tensors)
    for index, name in [
        *zip(graph.inputs, inputs, strict=True),
        *zip(graph.outputs, outputs, strict=True),
    ]:
        # An output may be an input too, or be given out twice: its first name stays.
        if name and name not in taken and tensors[index] is graph.tensors[index]:
            tensors[index] = replace(tensors[index], name=name)
            taken.add(name)
    return replace(graph, tensors=tuple(tensors))


def named_in(problems: Sequence[str]) -> str:
    """A few of many, for one line."""
    more = f" and {len(problems) - _MOST_NAMED} more" if len(problems) > _MOST_NAMED else ""
    return ", ".join(problems[:_MOST_NAMED]) + more
