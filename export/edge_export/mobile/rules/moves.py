"""Conditions of operators that move, pick or reduce elements."""

from __future__ import annotations

from edge_quantize.graph.model import DType

from .checks import READABLE, described
from .node import Node, elements
from .reasons import Refused, refused

_FLOATS = frozenset({DType.FLOAT32, DType.FLOAT16})
_REFLECT = 0


def one_computed(node: Node) -> Refused | None:
    """Its input alone is computed; what shapes the result is constant."""
    if len(node.runtime) == 1:
        return None
    if not node.runtime:
        return refused("constant-input")
    return refused("computed-operand", tensor=node.runtime[-1].name)


def block_size(node: Node) -> Refused | None:
    return refused("block-size") if int(node.option("block_size", 0)) <= 1 else None


def permutation(node: Node) -> Refused | None:
    order = node.operand(1)
    if order is None or not order.is_constant:
        return refused("axes-runtime")
    if order.dtype is not DType.INT32:
        return refused("axes-type", dtype=order.dtype.value)
    if not 2 <= elements(order.shape) <= 4:
        return refused("permutation", rank=elements(order.shape))
    return None


def start_computed(node: Node) -> Refused | None:
    start = node.operand(2)
    return refused("start-constant") if start is None or start.is_constant else None


def paddings(node: Node) -> Refused | None:
    sides, value = node.operand(1), node.operand(2)
    if sides is None:
        return refused("operand-count", count=len(node.operands), allowed="2 or 3")
    if found := one_computed(node):
        return found
    if len(sides.shape) != 2 or sides.shape[0] not in (3, 4):
        return refused("paddings", rank=sides.shape[0] if sides.shape else 0)
    if sides.dtype is not DType.INT32:
        return refused("index-type", **described(sides))
    if value is None:
        return None
    if value.dtype is DType.INT32:
        return refused("pad-value-crash")
    if value.dtype not in READABLE or value.encoding:
        return refused("pad-value", dtype=value.encoding or value.dtype.value)
    return None


def mirrored(node: Node) -> Refused | None:
    return refused("mirror-mode") if int(node.option("mode", 0)) != _REFLECT else None


def _bounds(node: Node, positions: tuple[int, ...]) -> Refused | None:
    for position in positions:
        tensor = node.operand(position)
        if tensor is None or not tensor.is_constant:
            return refused("begin-runtime")
        if tensor.dtype is not DType.INT32:
            return refused("index-type", **described(tensor))
    return None


def sliced(node: Node) -> Refused | None:
    source = node.operand(0)
    if source is None or source.is_constant:
        return refused("constant-input")
    if found := _bounds(node, (1, 2)):
        return found
    if not 1 <= len(source.shape) <= 4:
        return refused("rank", tensor=source.name, rank=len(source.shape), most=4)
    return None


def strided(node: Node) -> Refused | None:
    for mask in ("ellipsis_mask", "new_axis_mask", "shrink_axis_mask"):
        if int(node.option(mask, 0)):
            return refused("slice-mask", mask=mask)
    if found := _bounds(node, (1, 2, 3)):
        return found
    source, begin = node.operand(0), node.operand(1)
    if source is None or begin is None:
        return refused("operand-count", count=len(node.operands), allowed=4)
    count, rank = elements(begin.shape), len(source.shape)
    if rank <= 4 and count != rank:
        return refused("slice-short", count=count, rank=rank)
    if any(step < 0 for step in node.integers(3) or ()):
        return refused("reverse-slice")
    return None


def axes(node: Node) -> Refused | None:
    """Constant int32 axes, of at most four dimensions."""
    source, chosen = node.operand(0), node.operand(1)
    if source is None or source.is_constant:
        return refused("constant-input")
    if chosen is None or not chosen.is_constant:
        return refused("axes-runtime")
    if chosen.dtype is not DType.INT32:
        return refused("axes-type", dtype=chosen.dtype.value)
    return None


def selected(node: Node) -> Refused | None:
    if len(node.operands) != 3 or not node.results or None in node.operands:
        return refused("operand-count", count=len(node.operands), allowed=3)
    condition, then, other = (t for t in node.operands if t is not None)
    shape = node.results[0].shape
    shapes = [list(t.shape) for t in (condition, then, other)]
    if condition.dtype not in _FLOATS | {DType.BOOL} or len(condition.shape) > len(shape):
        return refused("select-shape", shapes=shapes)
    for mine, wanted in zip(reversed(condition.shape), reversed(shape), strict=False):
        if mine not in (1, wanted):
            return refused("select-shape", shapes=shapes)
    for tensor in (then, other):
        single = len(tensor.shape) <= 1 and elements(tensor.shape) <= 1
        if tensor.shape != shape and not single:
            return refused("select-shape", shapes=shapes)
    return None


def one_hot(node: Node) -> Refused | None:
    indices = node.operand(0)
    if indices is None:
        return refused("operand-count", count=len(node.operands), allowed=4)
    if int(node.option("axis", -1)) != -1 and (
        not indices.shape or int(node.option("axis", -1)) != indices.shape[-1]
    ):
        return refused("one-hot-axis")
    if len(indices.shape) >= 4 and indices.shape[3] != 1:
        return refused("one-hot-channels")
    return None


def cumulative(node: Node) -> Refused | None:
    source, axis = node.operand(0), node.operand(1)
    if source is None or source.dtype not in _FLOATS:
        return refused("cumsum-type", dtype=source.dtype.value if source else "nothing")
    if axis is None or not axis.is_constant:
        return refused("axes-runtime")
    if axis.dtype is not DType.INT32:
        return refused("axes-type", dtype=axis.dtype.value)
    return None


def one_hot_strict(node: Node) -> Refused | None:
    """What TensorFlow Lite's own delegate asks beside that."""
    if len(node.operands) != 4 or None in node.operands:
        return refused("operand-count", count=len(node.operands), allowed=4)
    indices, _, on, off = (t for t in node.operands if t is not None)
    sizes = indices.shape[:-1] if len(indices.shape) <= 3 else indices.shape[1:-1]
    values = all(
        t.is_constant and t.dtype is DType.FLOAT32 and elements(t.shape) <= 1 for t in (on, off)
    )
    if indices.dtype is not DType.INT32 or any(n != 1 for n in sizes) or not values:
        return refused("one-hot-form")
    return None


def two_dimensions_constant(node: Node) -> Refused | None:
    """SELECT: what it chooses from has two dimensions only as a constant."""
    for tensor in node.operands[1:3]:
        if tensor is not None and not tensor.is_constant and len(tensor.shape) == 2:
            return refused("rank-exact", tensor=tensor.name, rank=2, allowed="1, 3 or 4")
    return None


def three_or_four(node: Node) -> Refused | None:
    source = node.operand(0)
    if source is None or len(source.shape) in (3, 4):
        return None
    return refused("rank-exact", tensor=source.name, rank=len(source.shape), allowed="3 or 4")


def gathered(node: Node) -> Refused | None:
    indices = node.operand(1)
    if indices is None:
        return refused("operand-count", count=len(node.operands), allowed=2)
    if len(indices.shape) != 1:
        return refused("index-rank", rank=len(indices.shape))
    if indices.dtype is not DType.INT32:
        return refused("index-type", **described(indices))
    return None


def looked_up(node: Node) -> Refused | None:
    indices, values = node.operand(0), node.operand(1)
    if indices is None or values is None:
        return refused("operand-count", count=len(node.operands), allowed=2)
    if not values.is_constant:
        return refused("table-runtime")
    quantized = values.dtype in (DType.INT2, DType.INT4, DType.INT8)
    if not quantized and values.dtype is not DType.FLOAT32:
        return refused("weights-type", dtype=values.dtype.value)
    return None


def top(node: Node) -> Refused | None:
    number = node.operand(1)
    if number is None or not number.is_constant:
        return refused("axes-runtime")
    return None


def axis_of_arg_max(node: Node) -> Refused | None:
    found = axes(node)
    if found is not None and found.code == "axes-type":
        axis = node.operand(1)
        assert axis is not None
        return refused("index-type", **described(axis))
    return found


def resized(node: Node) -> Refused | None:
    both = node.option("align_corners", False) and node.option("half_pixel_centers", False)
    return refused("resize-mode") if both else None
