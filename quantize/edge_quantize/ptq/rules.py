"""Per operator: what its integer form asks of quantization.

Source: TensorFlow Lite's 8-bit quantization specification
(https://ai.google.dev/edge/litert/models/quantization_spec), and for int16 activations the
kernels of TensorFlow Lite Micro. Versions are the lowest of TensorFlow Lite's schema that mean the
operator with these types.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field

from edge_quantize.graph.model import DType, Graph, Operator


class Kind(enum.Enum):
    """How an operator's scales hang together."""

    WEIGHTED = "weights, a bias, and activations with a scale each"
    FREE = "every operand and the result with a scale of its own"
    SAME = "operands and results share one scale: values are only moved or compared"
    FIXED = "the operand has a scale of its own, the result's is given"


@dataclass(frozen=True)
class Version:
    """An operator's schema version with int8 and with int16 activations (None: not defined)."""

    int8: int
    int16: int | None


@dataclass(frozen=True)
class OpRule:
    """`fixed` holds (scale, zero point) of the result by activation type."""

    kind: Kind
    version: Version
    axis: int = 0  # of the weights' output channels
    weights: int = 1  # operand positions, for Kind.WEIGHTED
    fixed: dict[DType, tuple[float, int]] = field(default_factory=dict)


def _same(int8: int = 1, int16: int | None = None) -> OpRule:
    return OpRule(Kind.SAME, Version(int8, int16))


def _free(int8: int, int16: int | None) -> OpRule:
    return OpRule(Kind.FREE, Version(int8, int16))


def _fixed(int8: tuple[float, int], int16: tuple[float, int], version: Version) -> OpRule:
    return OpRule(Kind.FIXED, version, fixed={DType.INT8: int8, DType.INT16: int16})


_UNIT = (1 / 256, -128)  # [0, 1)
_SIGNED = (1 / 128, 0)  # [-1, 1)
_UNIT_16 = (1 / 32768, 0)

RULES: dict[str, OpRule] = {
    "CONV_2D": OpRule(Kind.WEIGHTED, Version(3, 4)),
    "DEPTHWISE_CONV_2D": OpRule(Kind.WEIGHTED, Version(3, 5), axis=3),
    "FULLY_CONNECTED": OpRule(Kind.WEIGHTED, Version(4, 7)),
    "AVERAGE_POOL_2D": _same(2, 3),
    "MAX_POOL_2D": _same(2, 3),
    "PAD": _same(2, 3),
    "PADV2": _same(2, 3),
    "MIRROR_PAD": _same(2, 3),
    "RESHAPE": _same(1, 1),
    "EXPAND_DIMS": _same(1, 1),
    "SQUEEZE": _same(1, 1),
    "TRANSPOSE": _same(2, 4),
    "SLICE": _same(2, 4),
    "STRIDED_SLICE": _same(2, 4),
    "SPLIT": _same(2, 4),
    "SPLIT_V": _same(2, 2),
    "UNPACK": _same(2, 4),
    "PACK": _same(2, 3),
    "GATHER": _same(2, 4),
    "SPACE_TO_DEPTH": _same(2, None),
    "DEPTH_TO_SPACE": _same(1, None),
    "RESIZE_NEAREST_NEIGHBOR": _same(2, 4),
    "RESIZE_BILINEAR": _same(2, 4),
    "CONCATENATION": _same(2, 3),
    "MAXIMUM": _same(2, 3),
    "MINIMUM": _same(2, 3),
    "RELU6": _same(2, 3),
    "RELU": _free(2, 3),
    "LEAKY_RELU": _free(2, 2),
    "HARD_SWISH": _free(1, None),
    "ADD": _free(2, 5),
    "SUB": _free(2, 5),
    "MUL": _free(2, 4),
    "MEAN": _free(2, 3),
    "SOFTMAX": _fixed(_UNIT, _UNIT_16, Version(2, 3)),
    "LOGISTIC": _fixed(_UNIT, _UNIT_16, Version(2, 3)),
    "TANH": _fixed(_SIGNED, _UNIT_16, Version(2, 3)),
    "L2_NORMALIZATION": OpRule(Kind.FIXED, Version(2, None), fixed={DType.INT8: _SIGNED}),
}


def version(op: str, activations: DType) -> int:
    """The schema version of `op` with these activations."""
    found = RULES[op].version
    chosen = found.int16 if activations is DType.INT16 else found.int8
    assert chosen is not None
    return chosen


def has_reals(graph: Graph, operator: Operator) -> bool:
    """Whether it computes with real numbers at all; shapes and indices are left alone."""
    return any(graph.tensors[i].dtype is DType.FLOAT32 for i in operator.outputs)


def weight_positions(operator: Operator) -> tuple[int, ...]:
    """Operands that are weights and bias; none of operators without weights."""
    rule = RULES.get(operator.op)
    if rule is None or rule.kind is not Kind.WEIGHTED:
        return ()
    return (rule.weights, rule.weights + 1)
