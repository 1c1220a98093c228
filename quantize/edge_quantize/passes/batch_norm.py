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
from edge_quantize.graph.model import DType, Graph, Operator
from edge_quantize.graph.options import Activation

from .accumulate import Linear, bias_values, linear
from .affine import Affine, affine
from .result import NOTHING, Change, Edit, Settings

Reals = npt.NDArray[np.float64]
_LAYERS = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED")
_FLAT = 1e-12


def fold_batch_norm(graph: Graph, _: Settings) -> Edit:
    """Fold one MUL, ADD or SUB by a constant for each channel into the layer before, or into all
    those behind."""
    read, written = readers(graph), writers(graph)
    for operator in graph.operators:
        found = affine(graph, operator)
        if found is None:
            continue
        rewrite = Rewrite(graph)
        before = written.get(found.source)
        if before is not None and _fold_back(graph, rewrite, read, before, found):
            where = [before]
            rewrite.drop(operator.index)
        else:
            where = _fold_on(graph, rewrite, read, found)
        if where:
            names = ", ".join(f"{o.op} '{graph.layer_name(o)}'" for o in where)
            what = f"{operator.op} by a constant folded into {names}"
            layer = graph.layer_name(operator)
            change = Change("batch-norm", layer, what, "the same linear map, to rounding")
            return rewrite.graph(), (change,)
    return graph, NOTHING


def _float_layer(graph: Graph, operator: Operator) -> Linear | None:
    layer = linear(graph, operator) if operator.op in _LAYERS else None
    return layer if layer is not None and layer.source.dtype is DType.FLOAT32 else None


def _fold_back(
    graph: Graph,
    rewrite: Rewrite,
    read: Mapping[int, list[Operator]],
    before: Operator,
    found: Affine,
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
    _set_weights(rewrite, before, layer, layer.values * found.scale.reshape(shape))
    _set_bias(rewrite, before, layer, bias_values(layer) * found.scale + found.shift)
    changed = replace(rewrite.operator(before.index), outputs=found.operator.outputs)
    rewrite.replace(with_activation(changed, fused_activation(found.operator) or Activation.NONE))
    return True


def _fold_on(
    graph: Graph, rewrite: Rewrite, read: Mapping[int, list[Operator]], found: Affine
) -> list[Operator]:
    """Into the layers that read the operator's output, all of them or none.

    A scale goes past a shift that padding keeps from being folded: s x + t is s (x + t / s).
    """
    (output,) = found.operator.outputs
    if output in graph.outputs or fused_activation(found.operator) is not Activation.NONE:
        return []
    behind = read[output]
    if _into_layers(graph, rewrite, behind, output, found.source, found):
        rewrite.drop(found.operator.index)
        return behind
    past = affine(graph, behind[0]) if len(behind) == 1 else None
    if (
        past is None
        or found.shift.any()
        or not found.scale.all()
        or (past.scale != 1.0).any()
        or past.operator.outputs[0] in graph.outputs
        or fused_activation(past.operator) is not Activation.NONE
    ):
        return []
    (shifted,) = past.operator.outputs
    if not _into_layers(graph, rewrite, read[shifted], shifted, shifted, found):
        return []
    name = f"{graph.layer_name(past.operator)}/constant"
    values = (past.shift / found.scale).astype(np.float32)
    constant = rewrite.constant(name, values, DType.FLOAT32)
    rewrite.replace(replace(past.operator, op="ADD", inputs=(found.source, constant)))
    rewrite.drop(found.operator.index)
    return read[shifted]


def _into_layers(
    graph: Graph,
    rewrite: Rewrite,
    layers: list[Operator],
    old: int,
    new: int,
    found: Affine,
) -> bool:
    """Let layers read `new`, which is `old` without the map, and do the map by their weights."""
    folds = []
    for operator in layers:
        layer = _float_layer(graph, operator)
        if layer is None or operator.inputs[0] != old:
            return False
        scaled, shifted = (_over_input(layer, operator, v) for v in (found.scale, found.shift))
        if scaled is None or shifted is None:
            return False
        added = layer.apply(shifted, layer.values).reshape(-1, layer.output.shape[-1])
        if (np.ptp(added, axis=0) > _FLAT * np.abs(added).max(axis=0)).any():
            return False  # padding takes part of the shift away at the borders
        folds.append((operator, layer, added[0]))
    for operator, layer, added in folds:
        scale = _over_weights(layer, operator, found.scale)
        _set_weights(rewrite, operator, layer, layer.values * scale)
        _set_bias(rewrite, operator, layer, bias_values(layer) + added)
        rewrite.set_input(operator.index, 0, new)
    return bool(folds)


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
