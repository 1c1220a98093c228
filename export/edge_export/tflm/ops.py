"""Which operators TensorFlow Lite Micro has, and which models it refuses or computes wrongly.

`tflm_problems` gives every reason why TFLM must not be given it, `stops_with_checks` what only a
library without its checks runs. The table and the rules are facts of TFLM at the version that
`edge_export.tflm.structs` names: the methods from `micro_mutable_op_resolver.h`, the element types
from the kernels under `micro/kernels`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from edge_quantize.graph.model import DType, Graph, Operator, Tensor
from edge_quantize.problem import Problem, operator_problem

from .cmsis_nn import Simd
from .kernel_memory import kernel_memory
from .kernel_sets import KERNEL_SETS

_MOST_DIMENSIONS = 6  # kMaxSmallSize of RuntimeShape: a higher rank stops the program


@dataclass(frozen=True)
class TflmOp:
    """One operator: its method of `MicroMutableOpResolver`, and the element types it computes in.

    `types` are those of input `typed_by`; empty where the kernel does not look at them.
    """

    method: str
    types: frozenset[DType] = frozenset()
    typed_by: int = 0


_F = frozenset({DType.FLOAT32})
_B = frozenset({DType.BOOL})
_8 = frozenset({DType.INT8})
_16 = frozenset({DType.INT16})
_32 = frozenset({DType.INT32})
_64 = frozenset({DType.INT64})
_U8 = frozenset({DType.UINT8})
_U32 = frozenset({DType.UINT32})

TFLM_OPS: dict[str, TflmOp] = {
    "ABS": TflmOp("AddAbs", _F | _8 | _16),
    "ADD": TflmOp("AddAdd", _F | _8 | _16 | _32),
    "ADD_N": TflmOp("AddAddN", _F | _8),
    "ARG_MAX": TflmOp("AddArgMax", _F | _8),
    "ARG_MIN": TflmOp("AddArgMin", _F | _8),
    "AVERAGE_POOL_2D": TflmOp("AddAveragePool2D", _F | _8 | _16),
    "BATCH_MATMUL": TflmOp("AddBatchMatMul", _F | _8 | _16),
    "BATCH_TO_SPACE_ND": TflmOp("AddBatchToSpaceNd", _F | _8),
    "BROADCAST_ARGS": TflmOp("AddBroadcastArgs", _32 | _64),
    "BROADCAST_TO": TflmOp("AddBroadcastTo"),
    "CAST": TflmOp("AddCast", _F | _8 | _16 | _32 | _U32 | _B),
    "CEIL": TflmOp("AddCeil", _F),
    "CONCATENATION": TflmOp("AddConcatenation", _F | _8 | _16 | _32 | _64 | _B),
    "CONV_2D": TflmOp("AddConv2D", _F | _8 | _16),
    "COS": TflmOp("AddCos", _F),
    "CUMSUM": TflmOp("AddCumSum", _F | _8),
    "DEPTH_TO_SPACE": TflmOp("AddDepthToSpace", _F | _8),
    "DEPTHWISE_CONV_2D": TflmOp("AddDepthwiseConv2D", _F | _8 | _16),
    "DEQUANTIZE": TflmOp("AddDequantize", _8 | _16 | _U8),
    "DIV": TflmOp("AddDiv", _F | _8 | _32),
    "DYNAMIC_UPDATE_SLICE": TflmOp("AddDynamicUpdateSlice", _F | _8 | _16 | _32),
    "ELU": TflmOp("AddElu", _F | _8),
    "EMBEDDING_LOOKUP": TflmOp("AddEmbeddingLookup", _F | _8, typed_by=1),
    "EQUAL": TflmOp("AddEqual", _F | _8 | _32 | _64 | _B),
    "EXP": TflmOp("AddExp", _F),
    "EXPAND_DIMS": TflmOp("AddExpandDims", _F | _8 | _16),
    "FILL": TflmOp("AddFill", _F | _8 | _32, typed_by=1),
    "FLOOR": TflmOp("AddFloor", _F),
    "FLOOR_DIV": TflmOp("AddFloorDiv", _F),
    "FLOOR_MOD": TflmOp("AddFloorMod", _F),
    "FULLY_CONNECTED": TflmOp("AddFullyConnected", _F | _8 | _16),
    "GATHER": TflmOp("AddGather", _F | _8),
    "GATHER_ND": TflmOp("AddGatherNd", _F | _8),
    "GREATER": TflmOp("AddGreater", _F | _8 | _16 | _32 | _64),
    "GREATER_EQUAL": TflmOp("AddGreaterEqual", _F | _8 | _32 | _64),
    "HARD_SWISH": TflmOp("AddHardSwish", _F | _8),
    "L2_NORMALIZATION": TflmOp("AddL2Normalization", _F | _8),
    "L2_POOL_2D": TflmOp("AddL2Pool2D", _F),
    "LEAKY_RELU": TflmOp("AddLeakyRelu", _F | _8 | _16),
    "LESS": TflmOp("AddLess", _F | _8 | _32 | _64),
    "LESS_EQUAL": TflmOp("AddLessEqual", _F | _8 | _32 | _64),
    "LOG": TflmOp("AddLog", _F),
    "LOG_SOFTMAX": TflmOp("AddLogSoftmax", _F | _8),
    "LOGICAL_AND": TflmOp("AddLogicalAnd", _B),
    "LOGICAL_NOT": TflmOp("AddLogicalNot", _B),
    "LOGICAL_OR": TflmOp("AddLogicalOr", _B),
    "LOGISTIC": TflmOp("AddLogistic", _F | _8 | _16),
    "MAX_POOL_2D": TflmOp("AddMaxPool2D", _F | _8 | _16),
    "MAXIMUM": TflmOp("AddMaximum", _F | _8 | _16 | _32 | _64),
    "MEAN": TflmOp("AddMean", _F | _8 | _16),
    "MINIMUM": TflmOp("AddMinimum", _F | _8 | _16 | _32 | _64),
    "MIRROR_PAD": TflmOp("AddMirrorPad", _F | _8),
    "MUL": TflmOp("AddMul", _F | _8 | _16 | _32),
    "NEG": TflmOp("AddNeg", _F),
    "NOT_EQUAL": TflmOp("AddNotEqual", _F | _8 | _32 | _64 | _B),
    "PACK": TflmOp("AddPack", _F | _8 | _16 | _32 | _64),
    "PAD": TflmOp("AddPad", _F | _8 | _16 | _32),
    "PADV2": TflmOp("AddPadV2", _F | _8 | _16 | _32),
    "PRELU": TflmOp("AddPrelu", _F | _8 | _16),
    "QUANTIZE": TflmOp("AddQuantize", _F | _8 | _16 | _32 | _U8),
    "REDUCE_ALL": TflmOp("AddReduceAll", _B),
    "REDUCE_MAX": TflmOp("AddReduceMax", _F | _8),
    "REDUCE_MIN": TflmOp("AddReduceMin", _F | _8),
    "RELU": TflmOp("AddRelu", _F | _8 | _16),
    "RELU6": TflmOp("AddRelu6", _F | _8 | _16),
    "RESHAPE": TflmOp("AddReshape"),
    "RESIZE_BILINEAR": TflmOp("AddResizeBilinear", _F | _8),
    "RESIZE_NEAREST_NEIGHBOR": TflmOp("AddResizeNearestNeighbor", _F | _8 | _16),
    "REVERSE_V2": TflmOp("AddReverseV2", _F | _8 | _16 | _32 | _64 | _U8 | _B),
    "ROUND": TflmOp("AddRound", _F),
    "RSQRT": TflmOp("AddRsqrt", _F | _8 | _16),
    "SELECT_V2": TflmOp("AddSelectV2", _F | _8 | _16, typed_by=1),
    "SHAPE": TflmOp("AddShape"),
    "SIN": TflmOp("AddSin", _F),
    "SLICE": TflmOp("AddSlice", _F | _8 | _16 | _32 | _B),
    "SOFTMAX": TflmOp("AddSoftmax", _F | _8 | _16),
    "SPACE_TO_BATCH_ND": TflmOp("AddSpaceToBatchNd", _F | _8),
    "SPACE_TO_DEPTH": TflmOp("AddSpaceToDepth", _F | _8),
    "SPLIT": TflmOp("AddSplit", _F | _8 | _16 | _32, typed_by=1),
    "SPLIT_V": TflmOp("AddSplitV", _F | _8 | _16 | _32),
    "SQRT": TflmOp("AddSqrt", _F),
    "SQUARE": TflmOp("AddSquare", _F),
    "SQUARED_DIFFERENCE": TflmOp("AddSquaredDifference", _F | _8 | _16 | _32),
    "SQUEEZE": TflmOp("AddSqueeze"),
    "STRIDED_SLICE": TflmOp("AddStridedSlice", _F | _8 | _16 | _32 | _B),
    "SUB": TflmOp("AddSub", _F | _8 | _16 | _32),
    "SUM": TflmOp("AddSum", _F | _8 | _16),
    "SVDF": TflmOp("AddSvdf", _F | _8),
    "TANH": TflmOp("AddTanh", _F | _8 | _16),
    "TRANSPOSE": TflmOp("AddTranspose", _F | _8 | _16),
    "TRANSPOSE_CONV": TflmOp("AddTransposeConv", _F | _8 | _16, typed_by=2),
    "UNIDIRECTIONAL_SEQUENCE_LSTM": TflmOp("AddUnidirectionalSequenceLSTM", _F | _8 | _16),
    "UNPACK": TflmOp("AddUnpack", _F | _8 | _16 | _32),
    "ZEROS_LIKE": TflmOp("AddZerosLike", _F | _8 | _32 | _64),
}
"""By the schema's name: the operators that a program generated here can register."""

# TFLM has these, but they need further subgraphs or variables that outlive an inference.
_NEEDS_STATE = frozenset(
    {"ASSIGN_VARIABLE", "CALL_ONCE", "IF", "READ_VARIABLE", "VAR_HANDLE", "WHILE"}
)
# Weighted operators: the input positions of weights and bias.
_WEIGHTS = {
    "CONV_2D": (1, 2),
    "DEPTHWISE_CONV_2D": (1, 2),
    "FULLY_CONNECTED": (1, 2),
    "TRANSPOSE_CONV": (1, 3),
}
_WEIGHT_TYPES = {
    DType.FLOAT32: (DType.FLOAT32,),
    DType.INT8: (DType.INT8, DType.INT4),
    DType.INT16: (DType.INT8,),
}
# As what a kernel reads the bias, whatever the file says that it is.
_BIAS_TYPES = {DType.FLOAT32: (DType.FLOAT32,), DType.INT8: (DType.INT32,)}
_BIAS_TYPES_INT16 = {
    "CONV_2D": (DType.INT32, DType.INT64),
    "DEPTHWISE_CONV_2D": (DType.INT64,),
    "FULLY_CONNECTED": (DType.INT64,),
    "TRANSPOSE_CONV": (DType.INT16, DType.INT64),
}
# Their kernels take the integers as they are: inputs (so many from the first; None: all) and output
# must be of one scale and zero point.
_UNSCALED: dict[str, int | None] = {
    "BROADCAST_TO": 1,
    "CONCATENATION": None,
    "EXPAND_DIMS": 1,
    "MAXIMUM": None,
    "MINIMUM": None,
    "PAD": 1,
    "RESHAPE": 1,
    "REVERSE_V2": 1,
    "SLICE": 1,
    "SQUEEZE": 1,
    "TRANSPOSE": 1,
}
_DENSE_RANKS_OF_CMSIS_NN = range(2, 5)
_LEAST_REQUEST_OF_DENSE = 4  # fully_connected.cc of CMSIS-NN's set, of buffer_conv_1x1_idx


def tflm_problems(graph: Graph, kernels: str = "cmsis-nn") -> list[Problem]:
    """Every reason why TFLM refuses `graph`, or would compute it wrongly; empty when there is none.

    `kernels` is one of KERNEL_SETS. What the file does around the graph (a buffer that lies outside
    the flatbuffer) is not seen here. Raises KeyError for a set that does not exist.
    """
    optimized = KERNEL_SETS[kernels] is not None
    problems = [
        Problem(f"the file has another subgraph, '{name}': only one subgraph is supported")
        for name in graph.other_subgraphs
    ]
    if not graph.operators:
        problems.append(Problem("the model has no operator"))
    used = {i for o in graph.operators for i in (*o.inputs, *o.outputs) if i >= 0}
    for index in sorted(used | set(graph.inputs) | set(graph.outputs)):
        tensor = graph.tensor(index)
        problems += [Problem(reason, tensor=tensor.name) for reason in _tensor_reasons(tensor)]
    for operator in graph.operators:
        problems += [
            operator_problem(graph, operator, reason, tensor)
            for tensor, reason in _operator_reasons(graph, operator, optimized)
        ]
    return problems


def stops_with_checks(graph: Graph, kernels: str = "cmsis-nn") -> list[Problem]:
    """Operators at which a library that has its checks in it, as TFLM's own build does unless it is
    told BUILD_TYPE=release, stops for ever in the first inference, though it computes them. For a
    graph without `tflm_problems`; see there for `kernels`."""
    simd = KERNEL_SETS[kernels]
    problems = []
    requests = 0
    for operator in graph.operators:
        reason = None
        if operator.op == "DEPTHWISE_CONV_2D":
            reason = _depthwise_stop(graph, operator, simd is not None)
        elif operator.op == "FULLY_CONNECTED" and simd is not None:
            reason = _dense_stop(graph, operator, requests)
        if reason:
            problems.append(operator_problem(graph, operator, reason))
        requests += _scratch_requests(graph, operator, simd)
    return problems


def _scratch_requests(graph: Graph, operator: Operator, simd: Simd | None) -> int:
    """How many scratch buffers the operator asks for; 0 where that cannot be said."""
    try:
        memory = kernel_memory(graph, operator, simd)
    except (ValueError, IndexError, AssertionError):
        return 0
    return len(memory.scratch) if memory else 0


def _depthwise_stop(graph: Graph, operator: Operator, optimized: bool) -> str | None:
    """The reference kernels compare the channels with the size of a bias that is not there."""
    operands, (output, *_) = graph.operands(operator), graph.results(operator)
    if (len(operands) > 2 and operands[2] is not None) or output.shape[-1] == 1:
        return None
    if optimized and output.dtype is not DType.FLOAT32:
        return None
    return "has no bias: give it one of zeros, or build TFLM with BUILD_TYPE=release"


def _dense_stop(graph: Graph, operator: Operator, requests: int) -> str | None:
    """CMSIS-NN's set takes the number of a scratch buffer, one of its own, for too small."""
    x, weights, *_ = graph.operands(operator)
    (output,) = graph.results(operator)
    if x is None or weights is None or x.dtype is not DType.INT8 or weights.dtype is DType.INT4:
        return None
    as_convolution = len(output.shape) > 2 and weights.shape[-1] % 4 == 0
    per_channel = weights.quantization is not None and weights.quantization.per_channel
    if not as_convolution or per_channel or requests >= _LEAST_REQUEST_OF_DENSE:
        return None
    return (
        f"has {len(output.shape)} dimensions and one scale for all weights: quantize them per "
        "channel, reshape its input to two dimensions, or build TFLM with BUILD_TYPE=release"
    )


def _tensor_reasons(tensor: Tensor) -> Iterator[str]:
    if tensor.encoding:
        yield f"{tensor.encoding} is not known to TFLM: store it dense, inside the flatbuffer"
    elif tensor.dtype.opaque:
        yield f"element type {tensor.dtype.value} is not known to TFLM"
    if len(tensor.shape) > _MOST_DIMENSIONS:
        yield f"has {len(tensor.shape)} dimensions; TFLM takes {_MOST_DIMENSIONS}"
    open_dimensions = [i for i, n in enumerate(tensor.shape_signature) if n < 0]
    if open_dimensions and (open_dimensions != [0] or tensor.shape[:1] != (1,)):
        yield (
            f"dynamic shape {list(tensor.shape_signature)}: convert the model with every "
            "dimension fixed"
        )
    elif tensor.elements == 0:
        yield f"shape {list(tensor.shape)} is empty or was left open"


def _operator_reasons(
    graph: Graph, operator: Operator, optimized: bool
) -> Iterator[tuple[str, str]]:
    row = TFLM_OPS.get(operator.op)
    if row is None:
        if operator.op.startswith("CUSTOM:"):
            yield "", "custom operators are not supported: replace it by built-in ones"
        elif operator.op in _NEEDS_STATE:
            yield "", "needs further subgraphs or resource variables, which are not supported"
        else:
            yield "", "TFLM has no such operator"
        return
    operands = graph.operands(operator)
    typed = operands[row.typed_by] if row.typed_by < len(operands) else None
    if typed is not None and row.types and typed.dtype not in row.types:
        wanted = ", ".join(sorted(dtype.value for dtype in row.types))
        yield typed.name, f"is {typed.dtype.value}; TFLM computes this in {wanted}"
        return
    positions = _WEIGHTS.get(operator.op)
    if positions is not None and typed is not None:
        weights, bias = (operands[i] if i < len(operands) else None for i in positions)
        yield from _weight_reasons(typed, weights)
        yield from _bias_reasons(operator, typed, bias, optimized)
        if operator.op == "FULLY_CONNECTED" and weights is not None:
            yield from _dense_reasons(graph, operator, typed, weights, optimized)
        if operator.op == "TRANSPOSE_CONV" and weights is not None and weights.dtype is DType.INT4:
            yield weights.name, "is int4, which TFLM's kernel does not take: quantize it to int8"
    if operator.op in _UNSCALED:
        yield from _scale_reasons(graph, operator)
    if operator.op in ("QUANTIZE", "DEQUANTIZE"):
        # Both kernels read the first scale only, whatever the tensor has.
        for tensor in (*operands, *graph.results(operator)):
            if tensor is not None and tensor.quantization and tensor.quantization.per_channel:
                reason = (
                    "is quantized per channel, and TFLM would use its first scale for all: "
                    "quantize the whole model, activations too"
                )
                yield tensor.name, reason


def _scale_reasons(graph: Graph, operator: Operator) -> Iterator[tuple[str, str]]:
    operands = graph.operands(operator)[: _UNSCALED[operator.op]]
    for output in graph.results(operator)[:1]:
        if output.dtype not in (DType.INT8, DType.INT16):
            continue
        for tensor in operands:
            if tensor is not None and _affine(tensor) != _affine(output):
                reason = (
                    f"has another scale or zero point than '{output.name}', and TFLM does not "
                    "rescale here: give both the same, or put a QUANTIZE between"
                )
                yield tensor.name, reason


def _affine(tensor: Tensor) -> tuple[tuple[float, ...], tuple[int, ...]] | None:
    quantization = tensor.quantization
    return (quantization.scales, quantization.zero_points) if quantization else None


def _bias_reasons(
    operator: Operator, activation: Tensor, bias: Tensor | None, optimized: bool
) -> Iterator[tuple[str, str]]:
    if bias is None:
        return
    allowed: tuple[DType, ...] = _BIAS_TYPES.get(activation.dtype, ())
    if activation.dtype is DType.INT16:
        allowed = _BIAS_TYPES_INT16[operator.op]
        if operator.op == "FULLY_CONNECTED" and not optimized:
            allowed = (DType.INT32, DType.INT64)
    if bias.dtype not in allowed:
        wanted = " or ".join(dtype.value for dtype in allowed)
        reason = f"is {bias.dtype.value}, and TFLM would read it as {wanted}: convert it to that"
        yield bias.name, reason


def _dense_reasons(
    graph: Graph, operator: Operator, activation: Tensor, weights: Tensor, optimized: bool
) -> Iterator[tuple[str, str]]:
    per_channel = weights.quantization is not None and weights.quantization.per_channel
    if per_channel and weights.dtype is DType.INT4:
        yield weights.name, "is int4 and quantized per channel; TFLM takes one scale there"
    if not optimized:
        return
    for output in graph.results(operator):
        if len(output.shape) not in _DENSE_RANKS_OF_CMSIS_NN:
            yield output.name, f"has {len(output.shape)} dimensions; CMSIS-NN takes 2 to 4"
    if per_channel and activation.dtype is DType.INT16:
        yield weights.name, "is quantized per channel; beside int16, CMSIS-NN takes one scale"


def _weight_reasons(activation: Tensor, weights: Tensor | None) -> Iterator[tuple[str, str]]:
    if weights is None:
        yield "", "has no weights"
    elif weights.dtype not in _WEIGHT_TYPES[activation.dtype]:
        reason = (
            f"is {weights.dtype.value} where the activations are {activation.dtype.value}: "
            "TFLM has no hybrid kernels; quantize weights and activations alike"
        )
        yield weights.name, reason
