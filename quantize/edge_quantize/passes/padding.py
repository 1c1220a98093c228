"""PAD in front of a layer that can pad by itself."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from edge_quantize.graph.edit import Rewrite, writers
from edge_quantize.graph.model import DType, Graph, Operator
from edge_quantize.graph.options import (
    Conv2DOptions,
    DepthwiseConv2DOptions,
    Padding,
    Pool2DOptions,
)
from edge_quantize.graph.shapes import ShapeError, window

from .bounds import is_int8
from .result import NOTHING, Change, Edit, Settings

_FLOAT_LOWEST = float(np.finfo(np.float32).min)


def fold_padding(graph: Graph, _: Settings) -> Edit:
    """Let a VALID window over a padded tensor be a SAME window over the tensor itself, where each
    window then lies as before. `.tflite` has no other padding than those two."""
    written = writers(graph)
    rewrite = Rewrite(graph)
    changes = []
    for operator in graph.operators:
        pad = written.get(operator.inputs[0]) if operator.inputs else None
        if pad is None or pad.op not in ("PAD", "PADV2"):
            continue
        options = operator.options
        if not isinstance(options, Conv2DOptions | DepthwiseConv2DOptions | Pool2DOptions):
            continue
        if options.padding is not Padding.VALID or not _neutral(graph, pad, operator):
            continue
        if not _same_windows(graph, pad, operator):
            continue
        rewrite.replace(
            replace(
                operator,
                inputs=(pad.inputs[0], *operator.inputs[1:]),
                options=replace(options, padding=Padding.SAME),
            )
        )
        what = f"{pad.op} folded into the SAME padding of {operator.op}"
        proof = "every window lies as before, and padding contributes the same"
        changes.append(Change("padding", graph.layer_name(operator), what, proof))
    return (rewrite.graph(), tuple(changes)) if changes else (graph, NOTHING)


def _neutral(graph: Graph, pad: Operator, operator: Operator) -> bool:
    """Whether the value padded with is what the layer's own padding amounts to: zero for sums,
    nothing at all for a maximum; averages count their padding."""
    source, padded = graph.tensors[pad.inputs[0]], graph.tensors[pad.outputs[0]]
    if source.quantization != padded.quantization:
        return False
    value: Any = 0.0 if source.dtype is DType.FLOAT32 else None
    if is_int8(source) and source.quantization is not None:
        value = source.quantization.zero_point
    if pad.op == "PADV2":
        filler = graph.tensors[pad.inputs[2]].data
        value = filler.reshape(-1)[0] if filler is not None and filler.size == 1 else None
    if value is None or source.dtype not in (DType.FLOAT32, DType.INT8):
        return False
    if operator.op == "MAX_POOL_2D":
        return bool(value <= (_FLOAT_LOWEST if source.dtype is DType.FLOAT32 else -128))
    if operator.op not in ("CONV_2D", "DEPTHWISE_CONV_2D"):
        return False
    zero = 0.0
    if source.dtype is DType.INT8:
        if not is_int8(source) or source.quantization is None:
            return False
        zero = source.quantization.zero_point
    return bool(value == zero)


def _same_windows(graph: Graph, pad: Operator, operator: Operator) -> bool:
    paddings = graph.tensors[pad.inputs[1]].data
    source = graph.tensors[pad.inputs[0]]
    if paddings is None or paddings.shape != (4, 2) or len(source.shape) != 4:
        return False
    around = [(int(before), int(after)) for before, after in paddings]
    if around[0] != (0, 0) or around[3] != (0, 0):
        return False
    options = operator.options
    assert isinstance(options, Conv2DOptions | DepthwiseConv2DOptions | Pool2DOptions)
    if isinstance(options, Pool2DOptions):
        taps, dilations = (options.filter_h, options.filter_w), (1, 1)
    else:
        weights = graph.tensors[operator.inputs[1]]
        taps = (weights.shape[1], weights.shape[2])
        dilations = (options.dilation_h, options.dilation_w)
    strides = (options.stride_h, options.stride_w)
    for axis in (0, 1):
        size, (before, after) = source.shape[1 + axis], around[1 + axis]
        step = (taps[axis], strides[axis], dilations[axis])
        try:
            own = window(size, *step, Padding.SAME)
            given = window(size + before + after, *step, Padding.VALID)
        except ShapeError:
            return False
        # A last pad that no window reaches changes nothing.
        if (own.outputs, own.before) != (given.outputs, before):
            return False
    return True
