"""Conditions of operators that compute. Each takes a node, and says why it is refused."""

from __future__ import annotations

from edge_quantize.graph.model import DType, Tensor
from edge_quantize.graph.options import Activation

from .node import Node, elements
from .reasons import Refused, refused

# What is read as float while the GPU program is made.
READABLE = frozenset(
    {DType.FLOAT32, DType.FLOAT16, DType.INT4, DType.INT8, DType.UINT8, DType.INT32}
)
_ROWS = frozenset({DType.INT4, DType.INT8, DType.INT2})


def depthwise_four(node: Node) -> Refused | None:
    """TensorFlow Lite's own delegate."""
    for tensor in (node.operand(0), node.operand(1), *node.results):
        if tensor is not None and len(tensor.shape) != 4:
            return refused("rank-exact", tensor=tensor.name, rank=len(tensor.shape), allowed=4)
    return None


def described(tensor: Tensor) -> dict[str, object]:
    return {"tensor": tensor.name, "dtype": tensor.dtype.value, "shape": list(tensor.shape)}


def one_operand(node: Node) -> Refused | None:
    """An operator with one operand that is computed, and no constant."""
    if len(node.runtime) != 1 or node.constants:
        return refused("operand-count", count=len(node.operands), allowed="1, computed")
    return None


def activation(node: Node) -> Refused | None:
    if node.activation is Activation.SIGN_BIT:
        return refused("activation", activation=node.activation.name)
    return None


def per_tensor(node: Node) -> Refused | None:
    """What is computed carries one scale."""
    for tensor in (*node.runtime, *node.results):
        quantized = tensor.dtype in (DType.INT8, DType.UINT8)
        if quantized and tensor.quantization is not None and tensor.quantization.per_channel:
            return refused("per-channel", tensor=tensor.name)
    return None


def beta(node: Node) -> Refused | None:
    value = float(node.option("beta", 1.0))
    return refused("softmax-beta", beta=value) if value != 1.0 else None


def compared(node: Node) -> Refused | None:
    """TensorFlow Lite's own delegate has no booleans: a comparison goes into what reads it."""
    floats = (DType.FLOAT32, DType.FLOAT16)
    good = len(node.readers) == 1 and node.readers[0][1] in floats
    if good and node.readers[0][0] in ("CAST", "SELECT", "SELECT_V2"):
        return None
    return refused("compared-only")


def strict_broadcast(node: Node) -> Refused | None:
    """ADD and MUL in TensorFlow Lite's own delegate."""
    first, second = node.operand(0), node.operand(1)
    if first is None or second is None:
        return refused("operand-count", count=len(node.operands), allowed=2)
    long, short = sorted((first.shape, second.shape), key=len, reverse=True)
    if len(short) <= 1 or len(long) == len(short):
        return None
    taken = (len(long), len(short)) == (4, 3) and long[0] == 1
    if (len(long), len(short)) == (4, 2):
        taken = (long[0] == 1 and short == (1, 1)) or short == (long[0], long[3])
    if taken:
        return None
    return refused("broadcast", first=list(first.shape), second=list(second.shape))


def cast(node: Node) -> Refused | None:
    """TensorFlow Lite's own delegate: bool and float, float and int32."""
    source, result = node.operand(0), node.results[0] if node.results else None
    if source is None or result is None or source.is_constant:
        return refused("constant-input")
    floats = {DType.FLOAT32, DType.FLOAT16}
    pair = {source.dtype, result.dtype}
    if DType.BOOL in pair and pair & floats:
        return None
    if {source.dtype, result.dtype} <= {DType.FLOAT32, DType.INT32}:
        return None
    return refused("cast-types", source=source.dtype.value, result=result.dtype.value)


def two_of_add_n(node: Node) -> Refused | None:
    count = len(node.operands)
    return refused("add-n", count=count) if count != 2 else None


def convolution(node: Node) -> Refused | None:
    """Input computed; weights computed or constant; a bias that is constant."""
    source, weights, bias = (node.operand(i) for i in range(3))
    if source is None or weights is None:
        return refused("operand-count", count=len(node.constants), allowed="an input and weights")
    if source.is_constant:
        return refused("constant-input")
    if bias is not None and not bias.is_constant:
        code = "runtime-bias" if weights.is_constant else "runtime-weights"
        return refused(code, what="weights and bias")
    if weights.is_constant and (weights.encoding or weights.dtype not in READABLE):
        return refused("weights-type", dtype=weights.encoding or weights.dtype.value)
    return None


def dense(node: Node) -> Refused | None:
    found = convolution(node)
    if found is not None:
        return found
    if node.option("shuffled_weights", False):
        return refused("shuffled")
    source, weights = node.operand(0), node.operand(1)
    assert source is not None
    assert weights is not None
    if weights.quantization is not None and weights.dtype not in _ROWS:
        return refused("weights-type", dtype=weights.dtype.value)
    kept = node.option("keep_num_dims", False)
    if kept and node.results and len(source.shape) != len(node.results[0].shape):
        return refused("rank-exact", tensor=node.results[0].name, rank=len(node.results[0].shape),
                       allowed=len(source.shape))  # fmt: skip
    return None


def weights_of_float(node: Node) -> Refused | None:
    """The weights of TRANSPOSE_CONV, which has its input third."""
    weights, source, bias = node.operand(1), node.operand(2), node.operand(3)
    if weights is None or source is None:
        return refused("operand-count", count=len(node.operands), allowed="3 or 4")
    if bias is not None and not bias.is_constant:
        return refused("runtime-weights", what="bias is")
    if weights.is_constant and (weights.encoding or weights.dtype not in READABLE):
        return refused("weights-type", dtype=weights.encoding or weights.dtype.value)
    return None


def matrices(node: Node) -> Refused | None:
    first, second = node.operand(0), node.operand(1)
    if first is None or second is None:
        return refused("operand-count", count=len(node.operands), allowed=2)
    if first.is_constant:
        return refused("constant-matrix", **described(first))
    if second.is_constant and (
        second.encoding or second.dtype not in READABLE or not 2 <= len(second.shape) <= 4
    ):
        return refused("constant-matrix", **described(second))
    return None


def elementwise(node: Node) -> Refused | None:
    """Two operands, of which one may be a constant that is read as float (or one int32)."""
    first, second = node.operand(0), node.operand(1)
    if first is None or second is None or len(node.operands) != 2:
        return refused("operand-count", count=len(node.operands), allowed=2)
    if first.is_constant and second.is_constant:
        return refused("constant-input")
    for tensor in (first, second):
        if tensor.is_constant and not _readable_operand(tensor):
            return refused("constant-operand", **described(tensor))
    if not node.constants and len(first.shape) != len(second.shape):
        for tensor in (first, second):
            if not tensor.shape:
                return refused("scalar-operand", tensor=tensor.name)
    return None


def different_operands(node: Node) -> Refused | None:
    """All but ADD and MUL."""
    indices = node.operator.inputs
    return refused("same-operand") if len(indices) == 2 and indices[0] == indices[1] else None


def _readable_operand(tensor: Tensor) -> bool:
    floats = tensor.dtype in (DType.FLOAT32, DType.FLOAT16)
    quantized = tensor.dtype in (DType.INT4, DType.INT8, DType.UINT8) and tensor.quantization
    if tensor.encoding:
        return False
    if elements(tensor.shape) == 1:
        return floats or bool(quantized) or tensor.dtype is DType.INT32
    # Others make LiteRT 2.3 abort.
    taken = floats or quantized or tensor.dtype in (DType.INT32, DType.BOOL)
    return bool(taken) and (len(tensor.shape) <= 4 or not (floats or quantized))


def prelu(node: Node) -> Refused | None:
    source, slope = node.operand(0), node.operand(1)
    if source is None or slope is None:
        return refused("operand-count", count=len(node.operands), allowed=2)
    shape = source.shape
    per_channel = bool(slope.shape) and elements(slope.shape[:-1]) == 1
    if not slope.is_constant or slope.dtype not in READABLE or slope.encoding or not shape:
        return refused("prelu-slope", **described(slope))
    # The channel of a tensor of five dimensions is not its last one to the GPU.
    channels = shape[-1] if len(shape) <= 4 else None
    if per_channel:
        taken = slope.shape[-1] == channels
    else:
        spatial = {3: slope.shape, 4: slope.shape[1:]}.get(len(slope.shape))
        one_batch = len(slope.shape) != 4 or slope.shape[0] == 1
        taken = spatial is not None and one_batch and spatial == shape[-3:]
    return None if taken else refused("prelu-slope", **described(slope))


def dequantize(node: Node) -> Refused | None:
    source = node.operand(0)
    if source is None or source.dtype is DType.INT16:
        return refused("dequantize-type", dtype="int16")
    if source.is_constant:
        return None
    if source.dtype in (DType.FLOAT16, DType.BFLOAT16) or source.quantization is None:
        return refused("dequantize-type", dtype=f"computed {source.dtype.value}")
    if source.dtype is DType.INT4:
        return refused("dequantize-crash")
    if source.quantization.per_channel:
        return refused("per-channel", tensor=source.name)
    return None


def lstm(node: Node) -> Refused | None:
    """The basic form (5 operands, 4 results) or the full one (20 or 24, 1)."""
    form = len(node.operands), len(node.results)
    basic = int(node.option("kernel_type", 0)) == 1
    if basic:
        clipped = float(node.option("cell_clip", 0.0)) or float(node.option("proj_clip", 0.0))
        good = form == (5, 4) and node.activation is Activation.TANH and not clipped
        last = node.results[3].shape if len(node.results) == 4 else ()
        good = good and (not last or last[-1] % 4 == 0)
    else:
        good = form in ((20, 1), (24, 1))
    return None if good else refused("lstm-form")
