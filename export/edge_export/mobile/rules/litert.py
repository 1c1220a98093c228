"""What LiteRT's GPU accelerator takes: ML Drift, which runs on Android through OpenCL.

Compared with the backend itself, operator by operator: `python tools/gpu_rules` asks LiteRT's
WebGPU build, and keeps what it said in `litert_gpu.json`. That the OpenCL build of phones takes the
same is assumed, since both are ML Drift; delegates.json says so.

That an operator is taken says nothing of its result, nor that its program compiles: some forms,
most of them with integer or boolean operands, end in an error of the shader (`tools/gpu_rules`
counts them). Only the check of a whole model tells, and refuses it.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

from edge_quantize.graph.model import DType

from . import checks as c
from . import moves as m
from .findings import findings
from .table import Check, Rule, RuleSet, table

_FLOATS = frozenset({DType.FLOAT32, DType.FLOAT16})
_INTS = frozenset({DType.INT8, DType.INT16, DType.INT32})
_UINTS = frozenset({DType.UINT8, DType.UINT16, DType.UINT32})
_BOOL = frozenset({DType.BOOL})
_BF16 = frozenset({DType.BFLOAT16})
# What every operator may read and write; rows add to it.
_READ = _FLOATS | _BOOL | {DType.INT2, DType.INT4, DType.INT8, DType.UINT8}
_WRITTEN = _FLOATS | {DType.INT8, DType.UINT8}
_ANY = _FLOATS | _INTS | _UINTS | _BOOL | _BF16
_ALL = _ANY | _READ
_LOGICAL = _INTS | _BOOL


def _row(
    op: str, *checks: Check, version: int = 0, more: frozenset[DType] = frozenset(),
    inputs: frozenset[DType] | None = None, outputs: frozenset[DType] | None = None,
) -> Rule:  # fmt: skip
    read = _READ | more if inputs is None else inputs
    written = _WRITTEN | more if outputs is None else outputs
    return Rule(op, read, written, version, checks)


def _unary() -> Iterator[Rule]:
    wide = {"ABS": 5, "GELU": 3}
    takes_integers = {"ABS", "COS", "NEG", "SIGN", "SIN"}
    for op in ("ABS", "CEIL", "COS", "ELU", "EXP", "FLOOR", "GELU", "LOG", "LOGISTIC", "NEG",
               "ROUND", "RSQRT", "SIGN", "SIN", "SQRT", "SQUARE", "TANH"):  # fmt: skip
        more = _INTS if op in takes_integers else frozenset()
        yield _row(op, c.one_operand, c.per_tensor, version=wide.get(op, 2), more=more)
    yield _row("HARD_SWISH", c.one_operand, c.per_tensor)
    for op in ("RELU", "RELU6", "RELU_N1_TO_1", "LEAKY_RELU"):
        yield _row(op, c.one_operand, c.per_tensor, version=2)
    yield _row("LOGICAL_NOT", c.one_operand, version=2, inputs=_LOGICAL, outputs=_LOGICAL)
    yield _row("SOFTMAX", c.beta, c.one_operand, c.per_tensor, version=4)
    yield _row("CAST", c.one_operand, inputs=_ALL, outputs=_ANY)
    yield _row("QUANTIZE", c.one_operand, c.per_tensor, version=2)
    yield _row("DEQUANTIZE", c.dequantize, version=3)
    yield _row("PRELU", c.prelu, c.per_tensor, version=1)
    yield _row("BITCAST", inputs=_ALL, outputs=_ANY)


def _binary() -> Iterator[Rule]:
    wide = {"ADD": 6, "MUL": 8, "MAXIMUM": 4, "MINIMUM": 4, "FLOOR_DIV": 3}
    same = {"ADD", "MUL"}
    takes_integers = {"ADD", "ATAN2", "DIV", "FLOOR_DIV", "FLOOR_MOD", "MAXIMUM", "MINIMUM", "MUL",
                      "RIGHT_SHIFT", "SUB"}  # fmt: skip
    for op in ("ADD", "ATAN2", "DIV", "FLOOR_DIV", "FLOOR_MOD", "MAXIMUM", "MINIMUM", "MUL", "POW",
               "RIGHT_SHIFT", "SQUARED_DIFFERENCE", "SUB"):  # fmt: skip
        checks: list[Check] = [c.activation, c.elementwise, c.per_tensor]
        checks[1:1] = [] if op in same else [c.different_operands]
        more = _INTS if op in takes_integers else frozenset()
        yield _row(op, *checks, version=wide.get(op, 2), more=more)
    yield _row("ADD_N", c.two_of_add_n, c.elementwise, c.per_tensor, version=6)
    for op in ("EQUAL", "NOT_EQUAL", "GREATER", "GREATER_EQUAL", "LESS", "LESS_EQUAL"):
        yield _row(op, c.different_operands, c.elementwise, version=2,
                   inputs=_READ | _INTS | _UINTS, outputs=_WRITTEN | _BOOL)  # fmt: skip
    for op in ("LOGICAL_AND", "LOGICAL_OR"):
        yield _row(op, c.different_operands, c.elementwise, version=2, inputs=_LOGICAL,
                   outputs=_LOGICAL)  # fmt: skip


def _weighted() -> Iterator[Rule]:
    yield _row("CONV_2D", c.activation, c.convolution, c.per_tensor, version=6, more=_BF16)
    yield _row("DEPTHWISE_CONV_2D", c.activation, c.convolution, c.per_tensor, version=6)
    yield _row("FULLY_CONNECTED", c.activation, c.dense, c.per_tensor, version=14)
    yield _row("TRANSPOSE_CONV", c.weights_of_float, c.per_tensor, version=3,
               inputs=_READ | {DType.INT32})  # fmt: skip
    yield _row("BATCH_MATMUL", c.matrices, c.per_tensor)
    for op in ("AVERAGE_POOL_2D", "MAX_POOL_2D"):
        yield _row(op, c.activation, c.per_tensor, version=2)
    yield _row("LSTM", c.lstm, version=4)


def _moved() -> Iterator[Rule]:
    yield _row("CONCATENATION", c.activation, version=6, inputs=_ALL, outputs=_ANY)
    yield _row("PACK", inputs=_ALL, outputs=_ANY)
    yield _row("RESHAPE", m.one_computed, version=1, inputs=_ALL, outputs=_ANY)
    yield _row("TRANSPOSE", m.permutation, version=9, inputs=_ALL, outputs=_ANY)
    yield _row("SLICE", m.sliced, version=8, inputs=_ALL, outputs=_ANY)
    yield _row("STRIDED_SLICE", m.strided, version=2, inputs=_ALL, outputs=_ANY)
    yield _row("REVERSE_V2", m.axes, inputs=_ALL, outputs=_ANY)
    yield _row("PAD", m.paddings, version=5, inputs=_ALL, outputs=_ANY)
    yield _row("PADV2", m.paddings, version=5, inputs=_ALL, outputs=_ANY)
    yield _row("MIRROR_PAD", m.mirrored, m.paddings, version=5)
    yield _row("SPLIT", outputs=_WRITTEN)
    yield _row("SPLIT_V")
    yield _row("UNPACK")
    yield _row("TILE", m.one_computed, more=_INTS)
    for op in ("SPACE_TO_DEPTH", "DEPTH_TO_SPACE"):
        yield _row(op, m.block_size)
    yield _row("DYNAMIC_UPDATE_SLICE", m.start_computed, inputs=_ALL, outputs=_ANY)
    yield _row("RESIZE_BILINEAR", m.one_computed, m.resized, version=3)
    yield _row("RESIZE_NEAREST_NEIGHBOR", m.one_computed, version=3)


def _picked() -> Iterator[Rule]:
    for op in ("MEAN", "SUM", "REDUCE_MAX", "REDUCE_MIN", "REDUCE_PROD"):
        yield _row(op, m.axes, more=frozenset() if op == "MEAN" else _INTS)
    for op in ("REDUCE_ALL", "REDUCE_ANY"):
        yield _row(op, m.axes, inputs=_BOOL, outputs=_BOOL)
    for op in ("SELECT", "SELECT_V2"):
        yield _row(op, m.selected, version=1, inputs=_ALL, outputs=_ANY)
    yield _row("ARG_MAX", m.axis_of_arg_max, inputs=_READ | {DType.INT32},
               outputs=frozenset({DType.INT32}))  # fmt: skip
    yield _row("TOPK_V2", m.top, version=1, outputs=_WRITTEN | {DType.INT32})
    yield _row("ONE_HOT", m.one_hot, version=1, inputs=_READ | {DType.INT32})
    yield _row("CUMSUM", m.cumulative, version=1)
    yield _row("GATHER", m.gathered, inputs=_ALL, outputs=_ANY)
    yield _row("EMBEDDING_LOOKUP", m.looked_up, inputs=_READ | {DType.INT32})


_CUSTOM = ("Convolution2DTransposeBias", "MaxPoolingWithArgmax2D", "MaxUnpooling2D", "Resampler")


def rule_set(source: str) -> RuleSet:
    """The rules; `source` says what they were compared with."""
    rows = table([*_unary(), *_binary(), *_weighted(), *_moved(), *_picked()])
    return RuleSet("LiteRT's GPU accelerator", source, True, rows, frozenset(_CUSTOM))


@cache
def litert_rules() -> RuleSet:
    """The rules, with the version of LiteRT that they were compared with."""
    found = findings()
    return rule_set(
        f"{found.runtime} GPU accelerator (WebGPU; OpenCL assumed to be the same), "
        f"{len(found.places)} one-operator models compiled on {found.adapter}"
    )
