"""What the ends of an operator's integers do to its results, for a form that computes in float."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edge_quantize.graph.edit import fused_activation
from edge_quantize.graph.model import DType, Graph, Operator, Tensor
from edge_quantize.graph.options import Activation

# Results lie between -1 and 1, or between the ends of what goes in.
_BOUNDED = frozenset({"LOGISTIC", "SOFTMAX", "LOG_SOFTMAX", "TANH", "L2_NORMALIZATION"})
_MOVING = frozenset(
    (
        *("RESHAPE", "SQUEEZE", "EXPAND_DIMS", "TRANSPOSE", "SLICE", "STRIDED_SLICE", "SPLIT"),
        *("SPLIT_V", "UNPACK", "GATHER", "GATHER_ND", "TILE", "PAD", "PADV2", "MIRROR_PAD"),
        *("CONCATENATION", "MAX_POOL_2D", "AVERAGE_POOL_2D", "MEAN", "REDUCE_MAX", "REDUCE_MIN"),
        *("SPACE_TO_DEPTH", "DEPTH_TO_SPACE", "SPACE_TO_BATCH_ND", "BATCH_TO_SPACE_ND", "PACK"),
        *("RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR", "MAXIMUM", "MINIMUM", "REVERSE_V2"),
        *("BROADCAST_TO", "SELECT", "SELECT_V2", "QUANTIZE"),
    )
)
_RANGES = {
    Activation.RELU: (0.0, np.inf),
    Activation.RELU6: (0.0, 6.0),
    Activation.RELU_N1_TO_1: (-1.0, 1.0),
    Activation.TANH: (-1.0, 1.0),
}
_FUSING = frozenset({"CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "ADD", "SUB", "MUL"})
_OPERATORS = {"RELU": Activation.RELU, "RELU6": Activation.RELU6}


@dataclass(frozen=True)
class Clamp:
    """`fused` is the activation to set, `low` and `high` the ends that it leaves to be clamped at;
    each None where there is nothing to do."""

    fused: Activation | None = None
    low: float | None = None
    high: float | None = None


def clamp_of(graph: Graph, operator: Operator) -> Clamp | None:
    """None where the results cannot pass the ends of their integers, or are no integers."""
    results = graph.results(operator)
    if len(results) != 1 or not _quantized(results[0]) or operator.op in _BOUNDED:
        return None
    low, high = ends(results[0])
    sources = [t for t in graph.operands(operator) if t is not None and not t.is_constant]
    ranges = [ends(t) for t in sources if _quantized(t)]
    # QUANTIZE of a float tensor cuts off what lies beyond.
    moving = operator.op in _MOVING and (operator.op != "QUANTIZE" or len(ranges) == len(sources))
    if moving and all(bottom >= low and top <= high for bottom, top in ranges):
        return None
    near = (high - low) / (1 << 9)  # half an LSB of eight bits
    active = fused_activation(operator) or _OPERATORS.get(operator.op, Activation.NONE)
    fused = None
    if operator.op in _FUSING and active is Activation.NONE and low == 0:
        fused = active = Activation.RELU6 if abs(high - 6) <= near else Activation.RELU
    bottom, top = _RANGES.get(active, (-np.inf, np.inf))
    clamp = Clamp(
        fused,
        low if low > bottom + near else None,
        high if high < top - near else None,
    )
    return None if clamp == Clamp() else clamp


def ends(tensor: Tensor) -> tuple[float, float]:
    """The least and the largest real that an activation's integers stand for."""
    assert tensor.quantization is not None
    limits = np.iinfo(tensor.dtype.value)
    scale, zero_point = tensor.quantization.scale, tensor.quantization.zero_point
    return scale * (int(limits.min) - zero_point), scale * (int(limits.max) - zero_point)


def _quantized(tensor: Tensor) -> bool:
    if tensor.quantization is None or tensor.quantization.per_channel:
        return False
    return tensor.dtype in (DType.INT8, DType.UINT8, DType.INT16)
