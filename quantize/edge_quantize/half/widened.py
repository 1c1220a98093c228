"""The float model that an integer model stands for.

Not the model it was quantized from: its weights are the rounded ones. But it computes in float what
the integers compute, so it serves where a GPU gets the integer model wrong.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from ai_edge_litert import schema_py_generated as schema

from edge_quantize.errors import UnsupportedModelError
from edge_quantize.graph.model import DType, Graph, Operator, Quantization, Tensor
from edge_quantize.graph.names import layer_names
from edge_quantize.ingest.tflite import read_tflite
from edge_quantize.run import real

from . import tables
from .clamps import Clamp, clamp_of

_INTEGERS = frozenset({DType.INT4, DType.INT8, DType.UINT8, DType.INT16})
_SUMS = frozenset({DType.INT32, DType.INT64})
_LAYERS = frozenset({"CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "TRANSPOSE_CONV"})
# They take the integers for what they are, not for the reals that these stand for.
_OF_INTEGERS = frozenset({"CAST", "BITCAST", "BITWISE_XOR", "RIGHT_SHIFT", "ASSIGN_VARIABLE"})


@dataclass(frozen=True)
class FloatVariant:
    """`content` is the float32 `.tflite` file. `ports` names the inputs and outputs that were
    integers and are float32 now, `clamps` the layers (operator's name in the graph) that got the
    activation which their integers' range stood for. `notes` are remarks for the user."""

    content: bytes
    ports: tuple[str, ...]
    clamps: tuple[str, ...]
    notes: tuple[str, ...]


def float_variant(content: bytes, *, clamp: bool = True) -> FloatVariant:
    """The file with every quantized tensor as float32: constants as the reals they stand for,
    activations computed in float, QUANTIZE and DEQUANTIZE gone.

    Names, order and signature of inputs and outputs stay. Those that were integers become float32
    of the same shape, real numbers in and out: a package gives its caller real numbers either way,
    and the rounding at the ends goes. So does the cut that an integer input makes at the ends of
    its range; that of a QUANTIZE inside the model stays.

    Integers end somewhere, and models come to rely on it: a layer's results are clamped to what
    its integers reach, by the fused activation where that is the same, else by MINIMUM and MAXIMUM,
    which GPU backends fuse into the layer. Without `clamp` only the fused ones are set.

    A float model whose weights are integers (dynamic range) is widened alike. A model without
    quantized tensors is returned as it is. Raises ModelFileError, and UnsupportedModelError, with
    every reason, for what has no such form: further subgraphs, custom operators on integers,
    integer state, operators that read integers as such, content that was not read.
    """
    graph = read_tflite(content)
    quantized = {t.index: q for t in graph.tensors if (q := _quantization(graph, t)) is not None}
    if not quantized:
        return FloatVariant(content, (), (), ("the model is float already",))
    problems = tuple(_problems(graph, quantized))
    if problems:
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        raise UnsupportedModelError(
            f"{graph.name}: has no float variant: {problems[0]}{more}", problems
        )
    return _made(content, graph, quantized, clamp)


def _made(
    content: bytes, graph: Graph, quantized: dict[int, Quantization], clamp: bool
) -> FloatVariant:
    model = tables.unpacked(content)
    (subgraph,) = model.subgraphs
    for index, quantization in quantized.items():
        table = subgraph.tensors[index]
        table.type = tables.FLOAT32
        table.quantization = None
        data = graph.tensors[index].data
        if data is not None:
            table.buffer = tables.new_buffer(model, real(data, quantization))
    clamps, dropped, operators = [], [], []
    for operator, table in zip(graph.operators, subgraph.operators, strict=True):
        operators.append(table)
        options = table.builtinOptions
        if options is not None and hasattr(options, "quantizedBiasType"):
            options.quantizedBiasType = schema.TensorType.FLOAT32
        if options is not None and hasattr(options, "asymmetricQuantizeInputs"):
            options.asymmetricQuantizeInputs = False
        found = clamp_of(graph, operator)
        if _moves(operator, quantized):
            dropped.append(table)
        if found is None or not (clamp or found.fused):
            continue
        clamps.append(graph.layer_name(operator))
        if found.fused:
            number = getattr(schema.ActivationFunctionType, found.fused.name)
            options.fusedActivationFunction = number
        if clamp:
            operators += _clamping(model, table, found)
    subgraph.operators = operators
    _bypass(subgraph, dropped)
    tables.drop_unused_buffers(model)
    ends = [i for i in (*graph.inputs, *graph.outputs) if i in quantized]
    ports = tuple(dict.fromkeys(graph.tensors[i].name for i in ends))
    notes = []
    if ports:
        kinds = {graph.tensors[i].dtype.value for i in ends}
        notes.append(f"inputs and outputs that were {' and '.join(sorted(kinds))} are float32")
    if clamps:
        notes.append(f"{len(clamps)} layers are clamped to what their integers reached")
    return FloatVariant(tables.packed(model), ports, tuple(clamps), tuple(notes))


def _quantization(graph: Graph, tensor: Tensor) -> Quantization | None:
    """What the tensor's integers stand for; None for one that is not quantized."""
    if tensor.dtype in _INTEGERS:
        return tensor.quantization
    if tensor.dtype not in _SUMS or tensor.data is None:
        return None
    if tensor.quantization is not None:
        return tensor.quantization
    return _bias_quantization(graph, tensor)


def _bias_quantization(graph: Graph, tensor: Tensor) -> Quantization | None:
    """A bias without scales of its own: those of the input times those of the weights."""
    for operator in graph.operators:
        if operator.op not in _LAYERS or tensor.index not in operator.inputs[2:]:
            continue
        transposed = operator.op == "TRANSPOSE_CONV"
        place = 3 if transposed else 2
        if operator.inputs.index(tensor.index) != place:
            continue
        source = graph.tensors[operator.inputs[2 if transposed else 0]].quantization
        weights = graph.tensors[operator.inputs[1]].quantization
        if source is not None and weights is not None:
            scales = tuple(source.scale * scale for scale in weights.scales)
            return Quantization(scales, (0,) * len(scales), 0)
    return None


def _problems(graph: Graph, quantized: dict[int, Quantization]) -> Iterator[str]:
    names = layer_names(graph)
    for name in graph.other_subgraphs:
        yield f"the file has another subgraph, '{name}'"
    for tensor in graph.tensors:
        if tensor.encoding and tensor.is_constant:
            yield f"tensor '{tensor.name}' is stored with {tensor.encoding}"
        if tensor.is_variable and tensor.index in quantized:
            yield f"tensor '{tensor.name}' is integer state, kept between runs"
    for operator in graph.operators:
        touched = {*operator.inputs, *operator.outputs} & quantized.keys()
        if not touched:
            continue
        where = f"layer '{names[operator.index]}' ({operator.op})"
        if operator.op.startswith("CUSTOM"):
            yield f"{where} is a custom operator on integers"
        elif operator.op in _OF_INTEGERS:
            yield f"{where} reads the integers as such"
        elif operator.op in tables.CONTROL_FLOW:
            yield f"{where} hands integers to another subgraph"
    # A range of zero width stands for one number only: nothing can be computed from it.
    for index in quantized:
        if graph.tensors[index].data is None and min(quantized[index].scales) <= 0:
            yield f"tensor '{graph.tensors[index].name}' has scale 0"


def _moves(operator: Operator, quantized: dict[int, Quantization]) -> bool:
    """Whether the operator only changes how the same reals are held."""
    if operator.op not in ("QUANTIZE", "DEQUANTIZE"):
        return False
    return bool({*operator.inputs, *operator.outputs} & quantized.keys())


def _clamping(model: Any, table: Any, clamp: Clamp) -> list[Any]:
    """MINIMUM and MAXIMUM behind an operator; the last of them writes the operator's result."""
    (subgraph,) = model.subgraphs
    ends = [("MINIMUM", clamp.high), ("MAXIMUM", clamp.low)]
    steps = [(op, end) for op, end in ends if end is not None]
    added = []
    writer = table
    for op, end in steps:
        (result,) = tables.indices(writer.outputs)
        name = subgraph.tensors[result].name or b""
        source = copy.copy(subgraph.tensors[result])
        source.name = name + f"/before_{op.lower()}".encode()
        limit = schema.TensorT()
        limit.name = name + f"/{op.lower()}".encode()
        limit.shape, limit.type, limit.hasRank = np.array([1], np.int32), tables.FLOAT32, True
        limit.buffer = tables.new_buffer(model, np.array([end], np.float32))
        subgraph.tensors += [source, limit]
        place = len(subgraph.tensors)
        operator = schema.OperatorT()
        operator.opcodeIndex = tables.operator_code(model, op, 1)
        operator.inputs = np.array([place - 2, place - 1], np.int32)
        operator.outputs = np.array([result], np.int32)
        operator.builtinOptionsType = schema.BuiltinOptions.MaximumMinimumOptions
        operator.builtinOptions = schema.MaximumMinimumOptionsT()
        writer.outputs = np.array([place - 2], np.int32)
        added.append(operator)
        writer = operator
    return added


def _bypass(subgraph: Any, dropped: list[Any]) -> None:
    """Drop QUANTIZE and DEQUANTIZE; their readers read what they read. Where the result is the
    model's output it is the one that stays, with its name, and the source gives way."""
    ends = set(tables.indices(subgraph.outputs))
    starts = set(tables.indices(subgraph.inputs))
    for operator in dropped:
        (source,), (result,) = tables.indices(operator.inputs), tables.indices(operator.outputs)
        gone, stays = result, source
        if result in ends:
            if source in starts | ends or subgraph.tensors[source].buffer:
                name = tables.text(subgraph.tensors[result].name)
                raise UnsupportedModelError(
                    f"output '{name}' is an input, a constant or another output in another element "
                    "type: there is no float variant of that"
                )
            gone, stays = source, result
        for other in subgraph.operators:
            other.inputs = _renamed(other.inputs, gone, stays)
            other.outputs = _renamed(other.outputs, gone, stays)
    subgraph.operators = [o for o in subgraph.operators if not any(o is d for d in dropped)]


def _renamed(values: Any, gone: int, stays: int) -> npt.NDArray[np.int32]:
    return np.array([stays if i == gone else i for i in tables.indices(values)], np.int32)
