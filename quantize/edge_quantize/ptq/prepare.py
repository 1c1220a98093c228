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
from edge_quantize.graph.names import layer_names
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
    return _integer(tensor) or tensor.dtype is DType.FLOAT16


def _floating(tensor: Tensor) -> Tensor:
    assert tensor.data is not None
    data = real(tensor.data, tensor.quantization)
    data.setflags(write=False)
    return replace(tensor, dtype=DType.FLOAT32, quantization=None, data=data)


def _problems(graph: Graph) -> list[str]:
    """A line for each kind of problem, with the first that have it: a line each would bury them."""
    problems = [f"the file has another subgraph, '{name}'" for name in graph.other_subgraphs]
    if not graph.operators:
        problems.append("the model has no operator")
    problems += [*unreadable(graph), *_quantized(graph)]
    kinds = {
        "keeps state between runs": [t for t in graph.tensors if t.is_variable],
        "holds NaN or infinity": [t for t in graph.tensors if not _finite(t)],
    }
    for tensor in graph.tensors:
        if tensor.encoding and tensor.is_constant:
            kinds.setdefault(f"is stored with {tensor.encoding}", []).append(tensor)
    return problems + [
        f"tensor {some([repr(t.name) for t in found])} {kind}"
        for kind, found in kinds.items()
        if found
    ]


def unreadable(graph: Graph) -> list[str]:
    """What no change of a graph can deal with: operators that nobody here knows, open dimensions;
    a line each."""
    problems = []
    names = layer_names(graph)
    custom = [o for o in graph.operators if o.op.startswith("CUSTOM")]
    if custom:
        named = some([f"'{names[o.index]}' ({o.op})" for o in custom])
        problems.append(f"custom operators in layer {named}: replace them by built-in ones")
    opened = [
        f"{list(tensor.shape_signature)} of tensor '{tensor.name}'"
        for tensor in graph.tensors
        # An open batch dimension that the converter fixed at 1 is what Keras models always have.
        if (dims := [i for i, n in enumerate(tensor.shape_signature) if n < 0])
        and (dims != [0] or tensor.shape[:1] != (1,))
    ]
    if opened:
        problems.append(
            f"dynamic shape {some(opened)}: convert the model with every dimension fixed"
        )
    return problems


def some(names: list[str]) -> str:
    """The first of `names`, and how many more."""
    more = len(names) - _MOST_NAMED
    return ", ".join(names[:_MOST_NAMED]) + (f" and {more} more" if more > 0 else "")


def _quantized(graph: Graph) -> list[str]:
    layers: list[str] = []
    kinds: dict[str, None] = {}
    names = layer_names(graph)
    for operator in graph.operators:
        held = [t.dtype.value for t in graph.results(operator) if _integer(t)]
        if held:
            layers.append(f"'{names[operator.index]}' ({operator.op})")
            kinds.update(dict.fromkeys(held))
    if layers:
        named = f"layer {some(layers)}; start from the float model"
        return [f"quantized already ({', '.join(kinds)}): {named}"]
    inputs = [t for t in map(graph.tensor, graph.inputs) if _integer(t)]
    return [f"input '{t.name}' is quantized already ({t.dtype.value})" for t in inputs]


def _integer(tensor: Tensor) -> bool:
    return tensor.dtype in _INTEGERS and tensor.quantization is not None


def _finite(tensor: Tensor) -> bool:
    if tensor.data is None or tensor.dtype not in (DType.FLOAT32, DType.FLOAT16):
        return True
    return bool(np.isfinite(np.asarray(tensor.data, np.float32)).all())
