"""Which operators TensorFlow Lite Micro has, and which models it refuses or computes wrongly.

`resolver_methods` gives what a `MicroMutableOpResolver` has to register for a graph;
`tflm_problems` gives every reason why TFLM must not be given it. The table and the rules are
facts of TFLM at the version that `edge_export.tflm.structs` names: the methods from
`micro_mutable_op_resolver.h`, the element types from the kernels under `micro/kernels`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from edge_quantize.graph.model import DType, Graph, Operator, Tensor
from edge_quantize.problem import Problem, operator_problem

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
# Weighted operators: input position of the weights.
_WEIGHTS = {
    "CONV_2D": 1,
    "DEPTHWISE_CONV_2D": 1,
    "FULLY_CONNECTED": 1,
    "TRANSPOSE_CONV": 1,
}
_WEIGHT_TYPES = {
    DType.FLOAT32: (DType.FLOAT32,),
    DType.INT8: (DType.INT8, DType.INT4),
    DType.INT16: (DType.INT8,),
}


def resolver_methods(graph: Graph) -> tuple[str, ...]:
    """The methods of `MicroMutableOpResolver` that register what `graph` needs, sorted, each once.

    Raises KeyError for an operator that TFLM lacks: ask `tflm_problems` first.
    """
    return tuple(sorted({TFLM_OPS[operator.op].method for operator in graph.operators}))


def tflm_problems(graph: Graph) -> list[Problem]:
    """Every reason why TFLM refuses `graph`, or would compute it wrongly; empty when there is none.

    What the file does around the graph (a buffer that lies outside the flatbuffer) is not seen
    here.
    """
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
            for tensor, reason in _operator_reasons(graph, operator)
        ]
    return problems


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


def _operator_reasons(graph: Graph, operator: Operator) -> Iterator[tuple[str, str]]:
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
    position = _WEIGHTS.get(operator.op)
    if position is not None and typed is not None and position < len(operands):
        yield from _weight_reasons(typed, operands[position])
    if operator.op in ("QUANTIZE", "DEQUANTIZE"):
        # Both kernels read the first scale only, whatever the tensor has.
        for tensor in (*operands, *graph.results(operator)):
            if tensor is not None and tensor.quantization and tensor.quantization.per_channel:
                reason = (
                    "is quantized per channel, and TFLM would use its first scale for all: "
                    "quantize the whole model, activations too"
                )
                yield tensor.name, reason


def _weight_reasons(activation: Tensor, weights: Tensor | None) -> Iterator[tuple[str, str]]:
    if weights is None:
        yield "", "has no weights"
    elif weights.dtype not in _WEIGHT_TYPES[activation.dtype]:
        reason = (
            f"is {weights.dtype.value} where the activations are {activation.dtype.value}: "
            "TFLM has no hybrid kernels; quantize weights and activations alike"
        )
        yield weights.name, reason
