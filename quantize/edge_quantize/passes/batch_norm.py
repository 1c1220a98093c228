"""Multiplications and additions by constants, as batch norm leaves them, taken into weights.

For a layer y = W x + b: s * y + t has the weights s W and the bias s b + t; and W (s x + t) + b has
the weights W s and the bias W t + b, provided that padding, which is put around s x + t, sees none
of t. Computed in double precision and rounded to float32 once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from edge_quantize.graph.edit import Rewrite, fused_activation, readers, with_activation, writers
from edge_quantize.graph.model import DType, Graph, Operator, Tensor
from edge_quantize.graph.options import Activation, ElementwiseOptions

from .accumulate import Linear, bias_values, linear
from .result import NOTHING, Change, Edit, Settings

Reals = npt.NDArray[np.float64]
_LAYERS = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED")
_FLAT = 1e-12


def fold_batch_norm(graph: Graph, _: Settings) -> Edit:
    """Fold one MUL, ADD or SUB by a constant for each channel into the layer before or behind."""
    read, written = readers(graph), writers(graph)
    for operator in graph.operators:
        affine = _affine(graph, operator)
        if affine is None:
            continue
        source, scale, shift = affine
        rewrite = Rewrite(graph)
        before = written.get(source)
        if before is not None and _fold_back(graph, rewrite, read, before, operator, scale, shift):
            where = before
        else:
            behind = read[operator.outputs[0]]
            if len(behind) != 1 or not _fold_on(
                graph, rewrite, behind[0], operator, source, scale, shift
            ):
                continue
            where = behind[0]
        rewrite.drop(operator.index)
        what = f"{operator.op} by a constant folded into {where.op} '{graph.layer_name(where)}'"
        change = Change(
            "batch-norm", graph.layer_name(operator), what, "the same linear map, to rounding"
        )
        return rewrite.graph(), (change,)
    return graph, NOTHING


def _affine(graph: Graph, operator: Operator) -> tuple[int, Reals, Reals] | None:
    """(input, scale, shift) of an operator that is x * scale + shift, each [channels]."""
    options = operator.options
    if operator.op not in ("MUL", "ADD", "SUB") or not isinstance(options, ElementwiseOptions):
        return None
    constants = [p for p, i in enumerate(operator.inputs) if graph.tensors[i].is_constant]
    if len(operator.inputs) != 2 or len(constants) != 1:
        return None
    source = operator.inputs[1 - constants[0]]
    constant, output = graph.tensors[operator.inputs[constants[0]]], graph.results(operator)[0]
    x = graph.tensors[source]
    kinds = {x.dtype, constant.dtype, output.dtype}
    if kinds != {DType.FLOAT32} or x.shape != output.shape or not x.shape:
        return None
    values = _per_channel(constant, x.shape[-1])
    if values is None:
        return None
    one, zero = np.ones_like(values), np.zeros_like(values)
    if operator.op == "MUL":
        return source, values, zero
    if operator.op == "ADD":
        return source, one, values
    return (source, one, -values) if constants[0] == 1 else (source, -one, values)


def _per_channel(constant: Tensor, channels: int) -> Reals | None:
    """The constant's values [channels], where it is the same at every other place."""
    if constant.data is None or not np.isfinite(constant.data).all():
        return None
    last = constant.shape[-1] if constant.shape else 1
    if constant.elements not in (1, last) or last not in (1, channels):
        return None
    return np.broadcast_to(constant.data.reshape(-1).astype(np.float64), (channels,))


def _float_layer(graph: Graph, operator: Operator) -> Linear | None:
    layer = linear(graph, operator) if operator.op in _LAYERS else None
    return layer if layer is not None and layer.source.dtype is DType.FLOAT32 else None


def _fold_back(
    graph: Graph,
    rewrite: Rewrite,
    read: Mapping[int, list[Operator]],
    before: Operator,
    operator: Operator,
    scale: Reals,
    shift: Reals,
) -> bool:
    """Into the layer whose output the operator alone reads."""
    layer = _float_layer(graph, before)
    between = before.outputs[0]
    if (
        layer is None
        or len(read[between]) != 1
        or between in graph.outputs
        or fused_activation(before) is not Activation.NONE
    ):
        return False
    shape = [-1 if axis == layer.channel_axis else 1 for axis in range(layer.values.ndim)]
    _set_weights(rewrite, before, layer, layer.values * scale.reshape(shape))
    _set_bias(rewrite, before, layer, bias_values(layer) * scale + shift)
    changed = replace(rewrite.operator(before.index), outputs=operator.outputs)
    rewrite.replace(with_activation(changed, fused_activation(operator) or Activation.NONE))
    return True


def _fold_on(
    graph: Graph,
    rewrite: Rewrite,
    behind: Operator,
    operator: Operator,
    source: int,
    scale: Reals,
    shift: Reals,
) -> bool:
    """Into the layer that alone reads the operator's output."""
    layer = _float_layer(graph, behind)
    if (
        layer is None
        or operator.outputs[0] in graph.outputs
        or behind.inputs[0] != operator.outputs[0]
        or fused_activation(operator) is not Activation.NONE
    ):
        return False
    scaled, shifted = (_over_input(layer, behind, v) for v in (scale, shift))
    if scaled is None or shifted is None:
        return False
    added = layer.apply(shifted, layer.values).reshape(-1, layer.output.shape[-1])
    if (np.ptp(added, axis=0) > _FLAT * np.abs(added).max(axis=0)).any():
        return False  # padding takes part of the shift away at the borders
    _set_weights(rewrite, behind, layer, layer.values * _over_weights(layer, behind, scale))
    _set_bias(rewrite, behind, layer, bias_values(layer) + added[0])
    rewrite.set_input(behind.index, 0, source)
    return True


def _over_input(layer: Linear, operator: Operator, values: Reals) -> Reals | None:
    """One value a channel, over the layer's whole input."""
    full = np.broadcast_to(values, layer.source.shape)
    if operator.op != "FULLY_CONNECTED":
        return full
    rows = full.reshape(-1, layer.weights.shape[1])
    return full if (rows == rows[:1]).all() else None


def _over_weights(layer: Linear, operator: Operator, scale: Reals) -> Reals:
    """What the weights along their input are multiplied by."""
    if operator.op == "DEPTHWISE_CONV_2D":
        return np.repeat(scale, layer.weights.shape[3] // len(scale))
    if operator.op == "FULLY_CONNECTED":
        depth = layer.weights.shape[1]
        row: Reals = np.broadcast_to(scale, layer.source.shape).reshape(-1, depth)[0]
        return row
    return scale


def _set_weights(rewrite: Rewrite, operator: Operator, layer: Linear, values: Reals) -> None:
    data = values.astype(np.float32)
    rewrite.set_input(operator.index, 1, rewrite.constant(layer.weights.name, data, DType.FLOAT32))


def _set_bias(rewrite: Rewrite, operator: Operator, layer: Linear, values: Reals) -> None:
    if layer.bias is None and not values.any():
        return
    name = layer.bias.name if layer.bias is not None else f"{layer.output.name}/bias"
    data = values.astype(np.float32)
    rewrite.set_input(operator.index, 2, rewrite.constant(name, data, DType.FLOAT32))
