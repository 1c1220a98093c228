"""What TensorFlow Lite's Metal delegate takes: TFLite's own GPU delegate, which is not LiteRT's.

From its source, unchecked here: no Mac ran it. `model_builder.cc` says which operators, versions
and element types it takes, `gpu_compatibility.cc` in which form. What it takes it may still fail to
build; then it takes nothing, and says so in the app's log.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

from edge_quantize.graph.model import DType

from . import checks as c
from . import moves as m
from .table import Check, Rule, RuleSet, table

SOURCE = (
    "TensorFlow Lite's GPU delegate, from its source (tflite/delegates/gpu/common/model_builder.cc "
    "and tflite/tools/versioning/gpu_compatibility.cc of LiteRT f677904, August 2026), unchecked "
    "here"
)
_FLOATS = frozenset({DType.FLOAT32, DType.FLOAT16})
# With quantized models allowed, as they are unless an app says otherwise.
_BOTH = _FLOATS | {DType.INT8, DType.UINT8}
_BOOL = frozenset({DType.BOOL})
_INT = frozenset({DType.INT32})
_CUSTOM = ("Convolution2DTransposeBias", "MaxPoolingWithArgmax2D", "MaxUnpooling2D", "Resampler")


def _row(
    op: str, *checks: Check, version: int = 0, inputs: frozenset[DType] = frozenset(),
    outputs: frozenset[DType] = frozenset(),
) -> Rule:  # fmt: skip
    """`inputs` and `outputs` are what it takes beside float and 8 bits."""
    return Rule(op, _BOTH | inputs, _BOTH | outputs, version, checks)


def _elementwise() -> Iterator[Rule]:
    for op in ("ABS", "COS", "ELU", "EXP", "FLOOR", "GELU", "LOG", "LOGISTIC", "NEG", "RSQRT",
               "SIGN", "SIN", "SQRT", "SQUARE", "TANH"):  # fmt: skip
        yield _row(op, c.one_operand, version=2)
    yield _row("HARD_SWISH", c.one_operand)
    for op in ("RELU", "RELU6", "RELU_N1_TO_1", "RELU_0_TO_1", "LEAKY_RELU"):
        yield _row(op, version=2)
    yield _row("PRELU", c.prelu, version=1)
    yield _row("SOFTMAX", c.beta, version=2)
    yield _row("CAST", c.cast, inputs=_BOOL | _INT, outputs=_BOOL | _INT)
    yield _row("QUANTIZE", c.one_operand, version=2)
    yield _row("DEQUANTIZE", c.dequantize, version=3)
    yield _row("ADD", c.strict_broadcast, c.elementwise, c.activation, version=2)
    yield _row("MUL", c.strict_broadcast, c.elementwise, c.activation, version=3)
    yield _row("ADD_N", c.two_of_add_n, version=2)
    for op in ("DIV", "FLOOR_DIV", "FLOOR_MOD", "MAXIMUM", "MINIMUM", "POW", "SQUARED_DIFFERENCE",
               "SUB"):  # fmt: skip
        yield _row(op, c.different_operands, c.elementwise, c.activation, version=2)
    for op in ("EQUAL", "NOT_EQUAL", "GREATER", "GREATER_EQUAL", "LESS", "LESS_EQUAL"):
        yield _row(op, c.compared, version=2, outputs=_BOOL)
    yield _row("LOGICAL_AND", c.elementwise, version=2, inputs=_BOOL, outputs=_BOOL)


def _weighted() -> Iterator[Rule]:
    yield _row("CONV_2D", c.activation, c.convolution, version=6)
    yield _row("DEPTHWISE_CONV_2D", c.depthwise_four, c.activation, c.convolution, version=6)
    yield _row("FULLY_CONNECTED", c.activation, c.dense, version=9)
    yield _row("TRANSPOSE_CONV", c.weights_of_float, version=3)
    yield _row("BATCH_MATMUL", c.matrices)
    for op in ("AVERAGE_POOL_2D", "MAX_POOL_2D"):
        yield _row(op, c.activation, version=2)
    yield _row("LSTM", c.lstm, version=4)


def _moved() -> Iterator[Rule]:
    yield _row("CONCATENATION", c.activation, version=2)
    yield _row("PACK")
    yield _row("UNPACK")
    yield _row("SPLIT")
    yield _row("SPLIT_V")
    yield _row("RESHAPE", m.one_computed, version=1)
    yield _row("TRANSPOSE", m.permutation, version=4)
    yield _row("SLICE", m.three_or_four, m.sliced, version=2)
    yield _row("STRIDED_SLICE", m.three_or_four, m.strided, version=4)
    yield _row("PAD", m.paddings, version=2)
    yield _row("PADV2", m.paddings, version=2)
    yield _row("MIRROR_PAD", m.mirrored, m.paddings, version=2)
    yield _row("TILE", m.one_computed)
    yield _row("SPACE_TO_DEPTH", m.block_size, version=2)
    yield _row("DEPTH_TO_SPACE", m.block_size)
    yield _row("RESIZE_BILINEAR", m.one_computed, m.resized, version=3)
    yield _row("RESIZE_NEAREST_NEIGHBOR", m.one_computed, version=3)
    for op in ("MEAN", "SUM", "REDUCE_MAX", "REDUCE_MIN", "REDUCE_PROD"):
        yield _row(op, m.axes)
    for op in ("SELECT", "SELECT_V2"):
        yield _row(op, m.selected, m.two_dimensions_constant, version=1, inputs=_BOOL)
    yield _row("ONE_HOT", m.one_hot, m.one_hot_strict, version=1, inputs=_INT)
    yield _row("CUMSUM", m.cumulative, version=1)
    yield _row("GATHER", m.gathered, version=1, inputs=_INT)


@cache
def metal_rules() -> RuleSet:
    rows = table([*_elementwise(), *_weighted(), *_moved()])
    return RuleSet("the Metal delegate", SOURCE, False, rows, frozenset(_CUSTOM))
