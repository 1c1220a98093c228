"""Per operator: what the kernels need of types, shapes, quantization and options.

A rule yields (tensor name or "", reason) for every fault. The bounds are those of TensorFlow Lite
Micro's kernels, whose arithmetic the kernels here reproduce.
"""

from __future__ import annotations

from .computed import (
    DEQUANTIZES,
    QUANTIZES,
    binary,
    conversion,
    pool,
    requantizing,
    saturating,
    softmax,
)
from .moved import concatenation, pad_value, relu6, same, symmetric_same
from .parts import Fault, Rule
from .weighted import weighted

__all__ = ["RULES", "SUPPORTED_OPS", "Fault", "Rule"]

RULES: dict[str, Rule] = {
    "CONV_2D": weighted(axis=0),
    "DEPTHWISE_CONV_2D": weighted(axis=3),
    "FULLY_CONNECTED": weighted(axis=0),
    "AVERAGE_POOL_2D": pool,
    "MAX_POOL_2D": pool,
    "ADD": binary,
    "SUB": binary,
    "MUL": binary,
    "MEAN": requantizing(most=2),
    "PAD": symmetric_same(most=2),
    "PADV2": pad_value,
    "RESHAPE": same(most=2),
    "EXPAND_DIMS": same(most=2),
    "SQUEEZE": same(most=1),
    "SOFTMAX": softmax,
    "CONCATENATION": concatenation,
    "LOGISTIC": saturating,
    "TANH": saturating,
    "RELU": requantizing(most=1, only_symmetric=True),
    "RELU6": relu6,
    "QUANTIZE": conversion(QUANTIZES),
    "DEQUANTIZE": conversion(DEQUANTIZES),
}
SUPPORTED_OPS = frozenset(RULES)
