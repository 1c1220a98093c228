"""The float model that an integer model stands for.

Not the model it was quantized from: its weights are the rounded ones. But it computes in float what
the integers compute, so it serves where a GPU gets the integer model wrong.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from ai_edge_litert import schema_py_generated as schema

from edge_quantize.errors import UnsupportedModelError
from edge_quantize.graph.edit import fused_activation
from edge_quantize.graph.model import DType, Graph, Operator, Quantization, Tensor
from edge_quantize.graph.names import layer_names
from edge_quantize.graph.options import Activation
from edge_quantize.ingest.tflite import read_tflite
from edge_quantize.run import real

from . import tables

_INTEGERS = frozenset({DType.INT4, DType.INT8, DType.UINT8, DType.INT16})
_SUMS = frozenset({DType.INT32, DType.INT64})
_LAYERS = frozenset({"CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "TRANSPOSE_CONV"})
# They take the integers for what they are, not for the reals that these stand for.
_OF_INTEGERS = frozenset({"CAST", "BITCAST", "BITWISE_XOR", "RIGHT_SHIFT", "ASSIGN_VARIABLE"})
_CLAMPED = frozenset({"CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "ADD", "SUB", "MUL"})


@dataclass(frozen=True)
class FloatVariant:
    """`content` is the float32 `.tflite` file. `ports` names the inputs and outputs that were
    integers and are float32 now, `clamps` the layers (operator's name in the graph) that got the
    activation which their integers' range stood for. `notes` are remarks for the user."""

    content: bytes
    ports: tuple[str, ...]
    clamps: tuple[str, ...]
    notes: tuple[str, ...]


def float_variant(content: bytes) -> FloatVariant:
    """The file with every quantized tensor as float32: constants as the reals they stand for,
    activations computed in float, QUANTIZE and DEQUANTIZE gone.

    Names, order and signature of inputs and outputs stay. Those that were integers become float32
    of the same shape, real numbers in and out: a package gives its caller real numbers either way,
    and the rounding at the ends goes. A layer whose integers could not fall below 0 (its zero point
    is the least integer) gets RELU, or RELU6 where they end at 6, so that a clamp which only the
    range expressed is kept. Upper ends otherwise are the calibration's, and are not clamped at.

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
    return _made(content, graph, quantized)


def _made(content: bytes, graph: Graph, quantized: dict[int, Quantization]) -> FloatVariant:
    model = tables.unpacked(content)
    (subgraph,) = model.subgraphs
    for index, quantization in quantized.items():
        table = subgraph.tensors[index]
        table.type = tables.FLOAT32
        table.quantization = None
        data = graph.tensors[index].data
        if data is not None:
            table.buffer = tables.new_buffer(model, real(data, quantization))
    clamps = []
    dropped = set()
    for operator, table in zip(graph.operators, subgraph.operators, strict=True):
        options = table.builtinOptions
        if options is not None and hasattr(options, "quantizedBiasType"):
            options.quantizedBiasType = schema.TensorType.FLOAT32
        if options is not None and hasattr(options, "asymmetricQuantizeInputs"):
            options.asymmetricQuantizeInputs = False
        clamp = _clamp(graph, operator)
        if clamp is not None:
            options.fusedActivationFunction = getattr(schema.ActivationFunctionType, clamp.name)
            clamps.append(graph.layer_name(operator))
        if _moves(operator, quantized):
            dropped.add(operator.index)
    _bypass(subgraph, dropped)
    tables.drop_unused_buffers(model)
    ends = [i for i in (*graph.inputs, *graph.outputs) if i in quantized]
    ports = tuple(dict.fromkeys(graph.tensors[i].name for i in ends))
    notes = []
    if ports:
        kinds = {graph.tensors[i].dtype.value for i in ends}
        notes.append(f"inputs and outputs that were {' and '.join(sorted(kinds))} are float32")
    if clamps:
        notes.append(f"{len(clamps)} layers got the activation that their integers' range implied")
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


def _clamp(graph: Graph, operator: Operator) -> Activation | None:
    """The activation that the range of an operator's integers stands for, where it has none."""
    if operator.op not in _CLAMPED or fused_activation(operator) is not Activation.NONE:
        return None
    (result,) = graph.results(operator)
    quantization = result.quantization
    if quantization is None or result.dtype not in (DType.INT8, DType.UINT8):
        return None
    limits = np.iinfo(result.dtype.value)
    if quantization.zero_point != limits.min:
        return None
    most = quantization.scale * (int(limits.max) - quantization.zero_point)
    return Activation.RELU6 if abs(most - 6) <= quantization.scale / 2 else Activation.RELU


def _bypass(subgraph: Any, dropped: set[int]) -> None:
    """Drop QUANTIZE and DEQUANTIZE; their readers read what they read. Where the result is the
    model's output it is the one that stays, with its name, and the source gives way."""
    ends = set(tables.indices(subgraph.outputs))
    starts = set(tables.indices(subgraph.inputs))
    for index in sorted(dropped):
        operator = subgraph.operators[index]
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
    subgraph.operators = [o for i, o in enumerate(subgraph.operators) if i not in dropped]


def _renamed(values: Any, gone: int, stays: int) -> npt.NDArray[np.int32]:
    return np.array([stays if i == gone else i for i in tables.indices(values)], np.int32)
