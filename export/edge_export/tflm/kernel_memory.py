"""What each of TFLM's kernels asks the arena for while it is made ready.

A row is what `Init` and `Prepare` of the kernel's file under `tensorflow/lite/micro/kernels` do;
one table is of the reference kernels, one of those that CMSIS-NN's set replaces. What depends on
shapes and types is a function of `kernel_rules`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from edge_quantize.graph.model import Graph, Operator, Tensor

from . import kernel_rules as rules
from .cmsis_nn import Simd
from .kernel_rules import Need, Rule, View
from .structs import KERNELS, OPTIONS


@dataclass(frozen=True)
class Row:
    """`options`: the struct that the parser makes. `data`: the one that Init keeps. `looks_at`:
    the tensors that Prepare makes a TfLiteTensor of, one for every time it does: an input's number,
    `o` for the output, `*` for every input."""

    options: str = ""
    data: str = ""
    looks_at: str = ""
    rule: Rule = rules.nothing


_UNARY = Row(looks_at="0o")
_BINARY = Row(looks_at="01o")
_COMPARISON = Row(data="comparisons.cc OpData", looks_at="01")
_REDUCTION = Row("TfLiteReducerParams", "OpDataReduce", "0o101o", rules.reduce)
_SUM = Row("TfLiteReducerParams", "OpDataReduce", "0o101o", rules.mean)

REFERENCE: Mapping[str, Row] = {
    "ABS": Row(data="OpDataAbsRsqrt", looks_at="0o"),
    "ADD": Row("TfLiteAddParams", "OpDataAdd", "01o"),
    "ADD_N": Row(looks_at="o*", rule=rules.add_n),
    "ARG_MAX": Row("TfLiteArgMaxParams"),
    "ARG_MIN": Row("TfLiteArgMinParams"),
    "AVERAGE_POOL_2D": Row("TfLitePoolParams", "OpDataPooling", "0o"),
    "BATCH_MATMUL": Row(
        "TfLiteBatchMatMulParams",
        "OpDataBatchMatmul",
        "01o",
        rules.batch_matmul,
    ),
    "BATCH_TO_SPACE_ND": _UNARY,
    "BROADCAST_ARGS": _BINARY,
    "BROADCAST_TO": _BINARY,
    "CAST": Row("TfLiteCastParams", looks_at="0o"),
    "CEIL": _UNARY,
    "CONCATENATION": Row("TfLiteConcatenationParams", "concatenation.cc OpData", "0o*"),
    "CONV_2D": Row("TfLiteConvParams", "OpDataConv", "o01012o", rules.convolution(0)),
    "COS": _UNARY,
    "CUMSUM": Row("TfLiteCumsumParams", "", "01o", rules.of_int8("cumsum.cc OpData")),
    "DEPTH_TO_SPACE": Row("TfLiteDepthToSpaceParams", "", "0o", rules.writable_output),
    "DEPTHWISE_CONV_2D": Row(
        "TfLiteDepthwiseConvParams", "OpDataConv", "o01012o", rules.convolution(3)
    ),
    "DEQUANTIZE": Row(data="DequantizeOpData", looks_at="0o"),
    "DIV": Row("TfLiteDivParams", "OpDataDiv", "01o"),
    "DYNAMIC_UPDATE_SLICE": Row(looks_at="012o"),
    "ELU": Row(data="elu.cc OpData", looks_at="0o"),
    "EMBEDDING_LOOKUP": Row(looks_at="01o", rule=rules.embedding_lookup),
    "EQUAL": _COMPARISON,
    "EXP": _UNARY,
    "EXPAND_DIMS": _BINARY,
    "FILL": _BINARY,
    "FLOOR": Row(),
    "FLOOR_DIV": _BINARY,
    "FLOOR_MOD": _BINARY,
    "FULLY_CONNECTED": Row(
        "TfLiteFullyConnectedParams", "OpDataFullyConnected", "012o", rules.fully_connected
    ),
    "GATHER": Row("TfLiteGatherParams", "", "01o", rules.writable_output),
    "GATHER_ND": Row(looks_at="01o", rule=rules.writable_output),
    "GREATER": _COMPARISON,
    "GREATER_EQUAL": _COMPARISON,
    "HARD_SWISH": Row(data="HardSwishParams", looks_at="0o"),
    "L2_NORMALIZATION": Row("TfLiteL2NormParams", "L2NormalizationParams", "0o"),
    "L2_POOL_2D": Row("TfLitePoolParams", "", "0o", rules.writable_output),
    "LEAKY_RELU": Row("TfLiteLeakyReluParams", "LeakyReluOpData", "0o"),
    "LESS": _COMPARISON,
    "LESS_EQUAL": _COMPARISON,
    "LOG": _UNARY,
    "LOG_SOFTMAX": Row(looks_at="0o", rule=rules.of_int8("LogSoftmaxOpData")),
    "LOGICAL_AND": Row(),
    "LOGICAL_NOT": _UNARY,
    "LOGICAL_OR": Row(),
    "LOGISTIC": Row(data="OpDataLogistic", looks_at="0o"),
    "MAX_POOL_2D": Row("TfLitePoolParams", "OpDataPooling", "0o"),
    "MAXIMUM": Row(),
    "MEAN": _SUM,
    "MINIMUM": Row(),
    "MIRROR_PAD": Row("TfLiteMirrorPaddingParams", "OpDataMirrorPad", "01o", rules.mirror_pad),
    "MUL": Row("TfLiteMulParams", "OpDataMul", "01o"),
    "NEG": Row(),
    "NOT_EQUAL": _COMPARISON,
    "PACK": Row("TfLitePackParams"),
    "PAD": Row(data="pad_common.cc OpData", looks_at="*o"),
    "PADV2": Row(data="pad_common.cc OpData", looks_at="*o"),
    "PRELU": Row(data="PreluParams", looks_at="01o"),
    "QUANTIZE": Row(data="OpDataQuantizeReference", looks_at="0o"),
    "REDUCE_ALL": _REDUCTION,
    "REDUCE_MAX": _REDUCTION,
    "REDUCE_MIN": _REDUCTION,
    "RELU": Row(data="ReluOpData", looks_at="0o"),
    "RELU6": Row(data="Relu6OpData", looks_at="0"),
    "RESHAPE": Row("TfLiteReshapeParams", looks_at="0o"),
    "RESIZE_BILINEAR": Row("TfLiteResizeBilinearParams", looks_at="01o"),
    "RESIZE_NEAREST_NEIGHBOR": Row("TfLiteResizeNearestNeighborParams", looks_at="01o"),
    "REVERSE_V2": _BINARY,
    "ROUND": _UNARY,
    "RSQRT": Row(data="OpDataAbsRsqrt", looks_at="0o"),
    "SELECT_V2": Row(data="select.cc OpData", looks_at="012o"),
    "SHAPE": Row("TfLiteShapeParams"),
    "SIN": _UNARY,
    "SLICE": Row(looks_at="012o"),
    "SOFTMAX": Row("TfLiteSoftmaxParams", "SoftmaxParams", "0o", rules.softmax),
    "SPACE_TO_BATCH_ND": Row(data="SpaceToBatchParams", looks_at="0o"),
    "SPACE_TO_DEPTH": Row("TfLiteSpaceToDepthParams", "", "0o", rules.writable_output),
    "SPLIT": Row("TfLiteSplitParams", looks_at="0"),
    "SPLIT_V": Row("TfLiteSplitVParams", looks_at="2"),
    "SQRT": _UNARY,
    "SQUARE": _UNARY,
    "SQUARED_DIFFERENCE": Row(data="squared_difference.cc OpData", looks_at="01o"),
    "SQUEEZE": Row("TfLiteSqueezeParams", looks_at="0o"),
    "STRIDED_SLICE": Row("TfLiteStridedSliceParams", "StridedSliceParams", "0123o"),
    "SUB": Row("TfLiteSubParams", "OpDataSub", "01o"),
    "SUM": _SUM,
    "SVDF": Row("TfLiteSVDFParams", "OpDataSvdf", "01234o", rules.svdf),
    "TANH": Row(data="tanh.cc OpData", looks_at="00o"),
    "TRANSPOSE": _BINARY,
    "TRANSPOSE_CONV": Row(
        "TfLiteTransposeConvParams",
        "transpose_conv.cc OpData",
        "o21213o",
        rules.transpose_convolution,
    ),
    "UNPACK": Row("TfLiteUnpackParams"),
    "ZEROS_LIKE": _UNARY,
}

# The kernels that the set `cmsis_nn` has instead, where they ask for something else.
CMSIS_NN: Mapping[str, Row] = {
    "ADD": Row("TfLiteAddParams", "cmsis_nn/add.cc OpData", "01o"),
    "AVERAGE_POOL_2D": Row(
        "TfLitePoolParams", "cmsis_nn/pooling.cc OpData", "0o0o", rules.average_pool_cmsis
    ),
    "BATCH_MATMUL": Row(
        "TfLiteBatchMatMulParams",
        "cmsis_nn/batch_matmul.cc OpData",
        "01o",
        rules.batch_matmul,
    ),
    "CONV_2D": Row(
        "TfLiteConvParams", "cmsis_nn/conv.cc OpData", "01o012o", rules.convolution_cmsis
    ),
    "DEPTHWISE_CONV_2D": Row(
        "TfLiteDepthwiseConvParams",
        "cmsis_nn/depthwise_conv.cc OpData",
        "01o012o",
        rules.depthwise_cmsis,
    ),
    "FULLY_CONNECTED": Row(
        "TfLiteFullyConnectedParams",
        "cmsis_nn/fully_connected.cc OpData",
        "012o",
        rules.fully_connected_cmsis,
    ),
    "MAX_POOL_2D": Row("TfLitePoolParams", "cmsis_nn/pooling.cc OpData", "0o"),
    "SOFTMAX": Row("TfLiteSoftmaxParams", "CMSISNNSoftmaxParams", "0o", rules.softmax),
    "SVDF": Row("TfLiteSVDFParams", "CmsisNnOpDataSvdf", "01234o", rules.svdf_cmsis),
    "TRANSPOSE_CONV": Row(
        "TfLiteTransposeConvParams",
        "cmsis_nn/transpose_conv.cc OpData",
        "o21213o",
        rules.transpose_convolution_cmsis,
    ),
}


@dataclass(frozen=True)
class KernelMemory:
    """What one operator asks for; sizes in bytes."""

    options: tuple[int, int] | None  # size and alignment
    data: int  # of Init; 0 when it keeps nothing
    kept: tuple[int, ...]  # of Prepare, in order
    scratch: tuple[int, ...]  # in order
    temporaries: tuple[Tensor, ...]  # one TfLiteTensor each


def kernel_memory(graph: Graph, operator: Operator, simd: Simd | None) -> KernelMemory | None:
    """What `operator` asks for with the reference kernels (`simd` None) or with CMSIS-NN's; None
    for an operator that is not modelled."""
    row = REFERENCE.get(operator.op)
    if simd is not None:
        row = CMSIS_NN.get(operator.op, row)
    if row is None:
        return None
    view = View(graph.operands(operator), graph.results(operator), operator.options, simd)
    need: Need = row.rule(view)
    options = OPTIONS.get(row.options)
    return KernelMemory(
        options=(options.size, options.align) if options else None,
        data=KERNELS[row.data].size if row.data else 0,
        kept=need.kept,
        scratch=need.scratch,
        temporaries=tuple(_temporaries(view, row.looks_at)),
    )


def _temporaries(view: View, looks_at: str) -> list[Tensor]:
    found: list[Tensor | None] = []
    for mark in looks_at:
        if mark == "*":
            found += view.inputs
        elif mark == "o":
            found += view.outputs[:1]
        else:
            found.append(view.input(int(mark)))
    return [tensor for tensor in found if tensor is not None]
