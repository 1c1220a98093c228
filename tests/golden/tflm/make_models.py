"""Writes `tests/golden/tflm/models`: one small model for every operator that TFLM has beyond those
of `tests/golden/models`, and for the element types that its kernels treat differently.

    python tests/golden/tflm/make_models.py [FOLDER]

They are there for what TFLM allocates, so their numbers mean nothing; the same bytes come out every
time.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

FOLDER = Path(__file__).parent / "models"
F, I8, I16, I32, BOOL, I64 = "FLOAT32", "INT8", "INT16", "INT32", "BOOL", "INT64"
I4 = "INT4"  # two in a byte of the file, the low half first
_NUMPY = {
    F: "float32",
    I8: "int8",
    I16: "int16",
    I32: "int32",
    BOOL: "bool",
    I64: "int64",
    I4: "int8",
}
SAME, VALID = schema.Padding.SAME, schema.Padding.VALID


@dataclass
class T:
    """A tensor. `scales` are given to int8 and int16 ones; `data` makes it a constant."""

    kind: str
    shape: Sequence[int]
    data: Any = None
    channels: int = 1
    axis: int = 0
    scale: float = 0.05
    zero_point: int = 0
    variable: bool = False


@dataclass
class Model:
    op: str
    inputs: list[T | None]
    outputs: list[T]
    table: str = ""
    options: dict[str, Any] = field(default_factory=dict)


MODELS: dict[str, Model] = {}


def add(name: str, *arguments: Any, **options: Any) -> None:
    MODELS[name] = Model(*arguments, options=options)


def weights(kind: str, shape: Sequence[int], channels: int = 1, axis: int = 0) -> T:
    count = int(np.prod(shape))
    values = np.arange(count) * 37 % 15 - 7
    values[values == 0] = 7  # some are divided by
    return T(kind, shape, values.astype(_NUMPY[kind]).reshape(shape), channels, axis)


def bias(kind: str, count: int, channels: int = 1) -> T:
    # Input scale times weight scale, where there are scales.
    scale = 0.0025 if kind != F else 1.0
    return T(kind, [count], np.arange(count), channels, scale=scale)


def ints(*values: Any, kind: str = I32) -> T:
    data = np.array(values, _NUMPY[kind])
    return T(kind, data.shape, data)


def scalar(value: Any, kind: str = I32) -> T:
    return T(kind, [], np.array(value, _NUMPY[kind]))


def _unary() -> None:
    for kind in (F, I8):
        add(f"abs_{kind.lower()}", "ABS", [T(kind, [1, 7])], [T(kind, [1, 7])])
        # Of nothing below zero.
        x = T(kind, [1, 7], zero_point=-128)
        add(f"rsqrt_{kind.lower()}", "RSQRT", [x], [T(kind, [1, 7])])
    for op in ("SIN", "COS", "LOG", "SQRT", "SQUARE", "EXP", "CEIL", "FLOOR", "ROUND", "NEG"):
        add(op.lower(), op, [T(F, [1, 7])], [T(F, [1, 7])])
    for kind in (F, I8):
        suffix = kind.lower()
        x, y = T(kind, [1, 4, 4, 3]), T(kind, [1, 4, 4, 3])
        add(f"elu_{suffix}", "ELU", [x], [y])
        add(f"hard_swish_{suffix}", "HARD_SWISH", [x], [T(kind, [1, 4, 4, 3], scale=0.1)])
        add(f"l2_norm_{suffix}", "L2_NORMALIZATION", [x], [y], "L2NormOptions")
        add(f"leaky_relu_{suffix}", "LEAKY_RELU", [x], [y], "LeakyReluOptions", alpha=0.1)
        add(
            f"log_softmax_{suffix}",
            "LOG_SOFTMAX",
            [x],
            [T(kind, [1, 4, 4, 3], scale=16 / 256, zero_point=127)],
        )
        add(
            f"logistic_{suffix}",
            "LOGISTIC",
            [x],
            [T(kind, [1, 4, 4, 3], scale=1 / 256, zero_point=-128)],
        )
        add(f"tanh_{suffix}", "TANH", [x], [T(kind, [1, 4, 4, 3], scale=1 / 128)])
        add(f"relu_{suffix}_4d", "RELU", [x], [y])
        add(f"relu6_{suffix}_4d", "RELU6", [x], [y])
        add(f"zeros_like_{suffix}", "ZEROS_LIKE", [x], [y])
        add(f"prelu_{suffix}", "PRELU", [x, weights(kind, [1, 1, 3])], [y])
    add("logistic_int16", "LOGISTIC", [T(I16, [1, 9])], [T(I16, [1, 9], scale=1 / 32768)])
    add("tanh_int16", "TANH", [T(I16, [1, 9])], [T(I16, [1, 9], scale=1 / 32768)])
    add("logical_not", "LOGICAL_NOT", [T(BOOL, [1, 5])], [T(BOOL, [1, 5])])
    add(
        "cast",
        "CAST",
        [T(F, [1, 5])],
        [T(I32, [1, 5])],
        "CastOptions",
        inDataType=schema.TensorType.FLOAT32,
        outDataType=schema.TensorType.INT32,
    )
    add(
        "shape",
        "SHAPE",
        [T(F, [1, 5, 2])],
        [T(I32, [3])],
        "ShapeOptions",
        outType=schema.TensorType.INT32,
    )


def _binary() -> None:
    for kind in (F, I8, I32):
        suffix, shape = kind.lower(), [1, 3, 5]
        x, y, z = T(kind, shape), T(kind, shape), T(kind, shape)
        add(f"sub_{suffix}", "SUB", [x, y], [z], "SubOptions")
        add(f"squared_difference_{suffix}", "SQUARED_DIFFERENCE", [x, y], [z])
        add(f"maximum_{suffix}", "MAXIMUM", [x, y], [z])
        add(f"minimum_{suffix}", "MINIMUM", [x, y], [z])
        add(f"less_{suffix}", "LESS", [x, y], [T(BOOL, shape)])
        add(f"equal_{suffix}", "EQUAL", [x, y], [T(BOOL, shape)])
    add("div_float32", "DIV", [T(F, [1, 6]), T(F, [1, 6])], [T(F, [1, 6])], "DivOptions")
    add("div_int8", "DIV", [T(I8, [1, 6]), weights(I8, [1, 6])], [T(I8, [1, 6])], "DivOptions")
    for op in ("FLOOR_DIV", "FLOOR_MOD"):
        add(op.lower(), op, [T(F, [1, 6]), T(F, [1, 6])], [T(F, [1, 6])])
    for op in ("LOGICAL_AND", "LOGICAL_OR"):
        add(op.lower(), op, [T(BOOL, [1, 6]), T(BOOL, [1, 6])], [T(BOOL, [1, 6])])
    for op in ("NOT_EQUAL", "GREATER", "GREATER_EQUAL", "LESS_EQUAL"):
        add(op.lower(), op, [T(I8, [1, 6]), T(I8, [1, 6])], [T(BOOL, [1, 6])])
    for kind in (F, I8):
        three = [T(kind, [1, 4]), T(kind, [1, 4]), T(kind, [1, 4])]
        add(f"add_n_{kind.lower()}", "ADD_N", three, [T(kind, [1, 4], scale=0.2)])
        add(
            f"select_v2_{kind.lower()}",
            "SELECT_V2",
            [T(BOOL, [1, 4]), T(kind, [1, 4]), T(kind, [1, 4])],
            [T(kind, [1, 4])],
        )
    add("add_int16", "ADD", [T(I16, [1, 8]), T(I16, [1, 8])], [T(I16, [1, 8])], "AddOptions")
    add("mul_int16", "MUL", [T(I16, [1, 8]), T(I16, [1, 8])], [T(I16, [1, 8])], "MulOptions")
    add("mul_float32", "MUL", [T(F, [1, 8]), T(F, [1, 8])], [T(F, [1, 8])], "MulOptions")


def _shapes() -> None:
    for kind in (F, I8):
        s = kind.lower()
        x = T(kind, [1, 4, 4, 4])
        add(
            f"depth_to_space_{s}",
            "DEPTH_TO_SPACE",
            [x],
            [T(kind, [1, 8, 8, 1])],
            "DepthToSpaceOptions",
            blockSize=2,
        )
        add(
            f"space_to_depth_{s}",
            "SPACE_TO_DEPTH",
            [x],
            [T(kind, [1, 2, 2, 16])],
            "SpaceToDepthOptions",
            blockSize=2,
        )
        add(
            f"batch_to_space_{s}",
            "BATCH_TO_SPACE_ND",
            [T(kind, [4, 2, 2, 1]), ints(2, 2), ints([0, 0], [0, 0])],
            [T(kind, [1, 4, 4, 1])],
        )
        add(
            f"space_to_batch_{s}",
            "SPACE_TO_BATCH_ND",
            [T(kind, [1, 4, 4, 1]), ints(2, 2), ints([0, 0], [0, 0])],
            [T(kind, [4, 2, 2, 1])],
        )
        add(
            f"mirror_pad_{s}",
            "MIRROR_PAD",
            [T(kind, [2, 3]), ints([1, 1], [1, 1])],
            [T(kind, [4, 5])],
            "MirrorPadOptions",
            mode=schema.MirrorPadMode.REFLECT,
        )
        add(
            f"pack_{s}",
            "PACK",
            [T(kind, [3]), T(kind, [3])],
            [T(kind, [2, 3])],
            "PackOptions",
            axis=0,
            valuesCount=2,
        )
        add(
            f"unpack_{s}",
            "UNPACK",
            [T(kind, [2, 3])],
            [T(kind, [3]), T(kind, [3])],
            "UnpackOptions",
            axis=0,
            num=2,
        )
        add(
            f"split_{s}",
            "SPLIT",
            [scalar(1), T(kind, [1, 6])],
            [T(kind, [1, 3]), T(kind, [1, 3])],
            "SplitOptions",
            numSplits=2,
        )
        add(
            f"split_v_{s}",
            "SPLIT_V",
            [T(kind, [1, 6]), ints(2, 4), scalar(1)],
            [T(kind, [1, 2]), T(kind, [1, 4])],
            "SplitVOptions",
            numSplits=2,
        )
        add(f"slice_{s}", "SLICE", [T(kind, [2, 6]), ints(0, 1), ints(2, 3)], [T(kind, [2, 3])])
        add(
            f"strided_slice_{s}",
            "STRIDED_SLICE",
            [T(kind, [2, 6]), ints(0, 1), ints(2, 5), ints(1, 2)],
            [T(kind, [2, 2])],
            "StridedSliceOptions",
        )
        add(f"transpose_{s}", "TRANSPOSE", [T(kind, [2, 3]), ints(1, 0)], [T(kind, [3, 2])])
        add(
            f"gather_{s}",
            "GATHER",
            [T(kind, [4, 3]), ints(2, 0)],
            [T(kind, [2, 3])],
            "GatherOptions",
            axis=0,
        )
        add(f"gather_nd_{s}", "GATHER_ND", [T(kind, [4, 3]), ints([1], [3])], [T(kind, [2, 3])])
        add(f"reverse_{s}", "REVERSE_V2", [T(kind, [2, 3]), ints(1)], [T(kind, [2, 3])])
        add(
            f"resize_bilinear_{s}",
            "RESIZE_BILINEAR",
            [x, ints(8, 8)],
            [T(kind, [1, 8, 8, 4])],
            "ResizeBilinearOptions",
        )
        add(
            f"resize_nearest_{s}",
            "RESIZE_NEAREST_NEIGHBOR",
            [x, ints(8, 8)],
            [T(kind, [1, 8, 8, 4])],
            "ResizeNearestNeighborOptions",
        )
        add(f"cumsum_{s}", "CUMSUM", [T(kind, [2, 3]), ints(1)], [T(kind, [2, 3])], "CumsumOptions")
        add(f"broadcast_to_{s}", "BROADCAST_TO", [T(kind, [1, 3]), ints(2, 3)], [T(kind, [2, 3])])
        add(f"fill_{s}", "FILL", [ints(2, 3), T(kind, [])], [T(kind, [2, 3])])
        add(
            f"dynamic_update_slice_{s}",
            "DYNAMIC_UPDATE_SLICE",
            [T(kind, [4, 3]), T(kind, [2, 3]), T(I32, [2])],
            [T(kind, [4, 3])],
        )
        add(f"expand_dims_{s}", "EXPAND_DIMS", [T(kind, [2, 3]), ints(0)], [T(kind, [1, 2, 3])])
        add(
            f"embedding_{s}",
            "EMBEDDING_LOOKUP",
            [T(I32, [2]), weights(kind, [5, 4])],
            [T(kind, [2, 4])],
        )
        add(
            f"arg_max_{s}",
            "ARG_MAX",
            [T(kind, [1, 9]), ints(1)],
            [T(I32, [1])],
            "ArgMaxOptions",
            outputType=schema.TensorType.INT32,
        )
        add(
            f"arg_min_{s}",
            "ARG_MIN",
            [T(kind, [1, 9]), ints(1)],
            [T(I32, [1])],
            "ArgMinOptions",
            outputType=schema.TensorType.INT32,
        )
        for op in ("REDUCE_MAX", "REDUCE_MIN", "SUM", "MEAN"):
            add(f"{op.lower()}_{s}", op, [x, ints(1, 2)], [T(kind, [1, 4])], "ReducerOptions")
    add(
        "mean_int16", "MEAN", [T(I16, [1, 4, 4, 4]), ints(1, 2)], [T(I16, [1, 4])], "ReducerOptions"
    )
    add("reduce_all", "REDUCE_ALL", [T(BOOL, [2, 3]), ints(1)], [T(BOOL, [2])], "ReducerOptions")
    add("broadcast_args", "BROADCAST_ARGS", [T(I32, [2]), T(I32, [2])], [T(I32, [2])])
    add(
        "concatenation_float32",
        "CONCATENATION",
        [T(F, [1, 3]), T(F, [1, 2])],
        [T(F, [1, 5])],
        "ConcatenationOptions",
        axis=1,
    )
    add("pad_float32", "PAD", [T(F, [1, 3]), ints([0, 0], [1, 2])], [T(F, [1, 6])])
    add(
        "reshape_float32",
        "RESHAPE",
        [T(F, [2, 3]), ints(6)],
        [T(F, [6])],
        "ReshapeOptions",
        newShape=[6],
    )


def _weighted() -> None:
    conv = {"padding": SAME, "strideH": 1, "strideW": 1}
    for name, kind, filters, accumulators in (
        ("float32", F, F, F),
        ("int16", I16, I8, I64),
        ("int16_bias32", I16, I8, I32),
        ("int4", I8, I4, I32),
    ):
        channels = 1 if kind is F else 5
        x = T(kind, [1, 6, 7, 3])
        add(
            f"conv_{name}",
            "CONV_2D",
            [x, weights(filters, [5, 3, 3, 3], channels), bias(accumulators, 5, channels)],
            [T(kind, [1, 6, 7, 5])],
            "Conv2DOptions",
            **conv,
        )
        channels = 1 if kind is F else 3
        add(
            f"depthwise_{name}",
            "DEPTHWISE_CONV_2D",
            [x, weights(filters, [1, 5, 3, 3], channels, 3), bias(accumulators, 3, channels)],
            [T(kind, [1, 6, 7, 3])],
            "DepthwiseConv2DOptions",
            depthMultiplier=1,
            **conv,
        )
        if name != "int16_bias32":
            add(
                f"dense_{name}",
                "FULLY_CONNECTED",
                [T(kind, [1, 12]), weights(filters, [5, 12]), bias(accumulators, 5)],
                [T(kind, [1, 5])],
                "FullyConnectedOptions",
            )
    add(
        "conv_line",
        "CONV_2D",
        [T(I8, [1, 1, 20, 4]), weights(I8, [6, 1, 5, 4], 6), bias(I32, 6, 6)],
        [T(I8, [1, 1, 20, 6])],
        "Conv2DOptions",
        **conv,
    )
    add(
        "conv_line_stride3",
        "CONV_2D",
        [T(I8, [1, 1, 20, 4]), weights(I8, [6, 1, 6, 4], 6), bias(I32, 6, 6)],
        [T(I8, [1, 1, 7, 6])],
        "Conv2DOptions",
        padding=SAME,
        strideH=1,
        strideW=3,
    )
    add(
        "conv_groups",
        "CONV_2D",
        [T(I8, [1, 5, 5, 4]), weights(I8, [6, 3, 3, 2], 6), bias(I32, 6, 6)],
        [T(I8, [1, 5, 5, 6])],
        "Conv2DOptions",
        **conv,
    )
    add(
        "conv_batch",
        "CONV_2D",
        [T(I8, [2, 5, 5, 3]), weights(I8, [6, 3, 3, 3], 6), bias(I32, 6, 6)],
        [T(I8, [2, 5, 5, 6])],
        "Conv2DOptions",
        **conv,
    )
    add(
        "depthwise_batch",
        "DEPTHWISE_CONV_2D",
        [T(I8, [2, 6, 7, 3]), weights(I8, [1, 5, 5, 3], 3, 3), bias(I32, 3, 3)],
        [T(I8, [2, 6, 7, 3])],
        "DepthwiseConv2DOptions",
        depthMultiplier=1,
        **conv,
    )
    add(
        "depthwise_wide_pad",
        "DEPTHWISE_CONV_2D",
        [T(I8, [1, 2, 2, 8]), weights(I8, [1, 3, 3, 8], 8, 3), bias(I32, 8, 8)],
        [T(I8, [1, 1, 1, 8])],
        "DepthwiseConv2DOptions",
        depthMultiplier=1,
        padding=SAME,
        strideH=3,
        strideW=3,
    )
    add(
        "dense_3d_per_channel",
        "FULLY_CONNECTED",
        [T(I8, [1, 3, 12]), weights(I8, [5, 12], 5), bias(I32, 5, 5)],
        [T(I8, [1, 3, 5])],
        "FullyConnectedOptions",
        keepNumDims=True,
    )
    add(
        "dense_activations_times_activations",
        "FULLY_CONNECTED",
        [T(I8, [1, 12]), T(I8, [5, 12]), None],
        [T(I8, [1, 5])],
        "FullyConnectedOptions",
    )
    for name, kind, filters, accumulators in (
        ("float32", F, F, F),
        ("int8", I8, I8, I32),
        ("int16", I16, I8, I64),
    ):
        channels = 1 if kind is F else 4
        for suffix, depth, stride in (("", 3, 2), ("_deep", 20, 2), ("_stride3", 3, 3)):
            add(
                f"transpose_conv_{name}{suffix}",
                "TRANSPOSE_CONV",
                [
                    ints(1, 4 * stride, 5 * stride, 4),
                    weights(filters, [4, 3, 3, depth], channels),
                    T(kind, [1, 4, 5, depth]),
                    bias(accumulators, 4, channels),
                ],
                [T(kind, [1, 4 * stride, 5 * stride, 4])],
                "TransposeConvOptions",
                padding=SAME,
                strideH=stride,
                strideW=stride,
            )
    for name, kind in (("float32", F), ("int8", I8)):
        for suffix, adj in (("", False), ("_transposed", True)):
            right = [5, 4] if adj else [4, 5]
            add(
                f"batch_matmul_{name}{suffix}",
                "BATCH_MATMUL",
                [T(kind, [2, 3, 4]), T(kind, [2, *right])],
                [T(kind, [2, 3, 5])],
                "BatchMatMulOptions",
                adjY=adj,
            )
    for name, kind, time, wide in (("float32", F, F, F), ("int8", I8, I16, I32)):
        # 4 filters of rank 2 over 6 steps of 3 inputs.
        add(
            f"svdf_{name}",
            "SVDF",
            [
                T(kind, [1, 3]),
                weights(kind, [4, 3]),
                weights(time, [4, 6]),
                bias(wide, 2),
                T(time, [1, 24], variable=True),
            ],
            [T(kind, [1, 2])],
            "SVDFOptions",
            rank=2,
        )
    for name, kind in (("float32", F), ("int16", I16)):
        for op in ("AVERAGE_POOL_2D", "MAX_POOL_2D"):
            add(
                f"{op.lower()}_{name}",
                op,
                [T(kind, [1, 4, 4, 3])],
                [T(kind, [1, 2, 2, 3])],
                "Pool2DOptions",
                padding=VALID,
                strideH=2,
                strideW=2,
                filterHeight=2,
                filterWidth=2,
            )
        add(
            f"softmax_{name}",
            "SOFTMAX",
            [T(kind, [1, 9])],
            [T(kind, [1, 9], scale=1 / 32768)],
            "SoftmaxOptions",
            beta=1.0,
        )
    add(
        "l2_pool",
        "L2_POOL_2D",
        [T(F, [1, 4, 4, 3])],
        [T(F, [1, 2, 2, 3])],
        "Pool2DOptions",
        padding=VALID,
        strideH=2,
        strideW=2,
        filterHeight=2,
        filterWidth=2,
    )


for build in (_unary, _binary, _shapes, _weighted):
    build()


def content(name: str) -> bytes:
    """The file of one of MODELS."""
    spec = MODELS[name]
    model, graph = schema.ModelT(), schema.SubGraphT()
    model.version, model.description, graph.name = 3, name, "main"
    model.buffers = [schema.BufferT()]
    graph.tensors = []

    def tensor(t: T | None, label: str) -> int:
        if t is None:
            return -1
        made = schema.TensorT()
        made.name, made.shape = label, list(t.shape)
        made.type = getattr(schema.TensorType, t.kind)
        made.isVariable = t.variable
        if t.kind in (I8, I16, I4) or (t.data is not None and label.endswith("bias")):
            quantization = schema.QuantizationParametersT()
            quantization.scale = [t.scale] * t.channels
            quantization.zeroPoint = [t.zero_point] * t.channels
            quantization.quantizedDimension = t.axis
            made.quantization = quantization
        if t.data is not None:
            buffer = schema.BufferT()
            raw = np.frombuffer(np.asarray(t.data).astype(_NUMPY[t.kind]).tobytes(), np.uint8)
            if t.kind == I4:
                halves = np.append(raw, np.zeros(raw.size % 2, np.uint8)) & 15
                raw = halves[::2] | halves[1::2] << 4
            buffer.data = raw
            made.buffer = len(model.buffers)
            model.buffers.append(buffer)
        graph.tensors.append(made)
        return len(graph.tensors) - 1

    weighted = spec.op in ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "TRANSPOSE_CONV")
    bias_at = {"TRANSPOSE_CONV": 3, "SVDF": 3}.get(spec.op, 2 if weighted else -1)
    operator = schema.OperatorT()
    operator.inputs = [
        tensor(t, "bias" if i == bias_at and t and t.kind != F else f"input_{i}")
        for i, t in enumerate(spec.inputs)
    ]
    operator.outputs = [tensor(t, f"output_{i}") for i, t in enumerate(spec.outputs)]
    if spec.table:
        operator.builtinOptionsType = getattr(schema.BuiltinOptions, spec.table)
        operator.builtinOptions = getattr(schema, spec.table + "T")()
        for key, value in spec.options.items():
            assert hasattr(operator.builtinOptions, key), (name, key)
            setattr(operator.builtinOptions, key, value)
    code = schema.OperatorCodeT()
    code.builtinCode = getattr(schema.BuiltinOperator, spec.op)
    code.deprecatedBuiltinCode = min(code.builtinCode, 127)
    model.operatorCodes = [code]
    graph.operators = [operator]
    graph.inputs = [
        index
        for t, index in zip(spec.inputs, operator.inputs, strict=True)
        if t is not None and t.data is None and not t.variable
    ]
    graph.outputs = list(operator.outputs)
    model.subgraphs = [graph]
    builder = flatbuffers.Builder(4096)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def main(folder: Path = FOLDER) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for stale in folder.glob("*.tflite") if folder == FOLDER else ():
        stale.unlink()
    for name in MODELS:
        (folder / f"{name}.tflite").write_bytes(content(name))


if __name__ == "__main__":
    main(*(Path(argument) for argument in sys.argv[1:2]))
