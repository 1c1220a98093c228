"""How channels run through each operator.

Every place along the channel axis of an activation is a *unit*; units that can only go together
are united into *atoms*. A layer with weights makes fresh units along its output; everything else
hands on or unites those of its operands. Units of which something unknown is done are pinned.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from .model import Graph, Operator, Tensor
from .options import ConcatenationOptions, DepthwiseConv2DOptions, ReducerOptions
from .shapes import BINARY, UNARY, shape_fault

_MOST_UNITS = 1 << 20  # along one axis; a file may claim any number


class Role(enum.Enum):
    ACTIVATION = "activation"
    PRODUCER = "producer"  # weights and bias of a layer that makes the channel, along its output
    CONSUMER = "consumer"  # weights that sum over the channel, along their input
    CHANNELWISE = "channelwise"  # depthwise weights, biases of those, constant operands of ADD...


@dataclass(frozen=True)
class Axis:
    """The units along one axis of a tensor."""

    axis: int
    units: tuple[int, ...]


@dataclass(frozen=True)
class Use:
    """A tensor's axis that runs over units; of a constant, as one operator's operand."""

    tensor: int
    along: Axis
    role: Role
    operator: int = -1
    position: int = -1


@dataclass(frozen=True)
class Component:
    """Atoms that layers make side by side, in order, and the first of those layers."""

    operator: int
    atoms: tuple[int, ...]


class Trace:
    """The units of a graph: `axes` of activations by tensor, `uses`, and atoms `pinned`."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.axes: dict[int, Axis] = {}
        self.uses: list[Use] = []
        self._parents: list[int] = []
        self._pins: set[int] = set()
        self._made: list[tuple[int, tuple[int, ...]]] = []  # operator, units
        for index in graph.inputs:
            self.pin(self.fresh(index))
        for operator in graph.operators:
            fault = shape_fault(graph, operator)
            rule = _RULES.get(operator.op, _unknown) if fault is None else _unknown
            rule(self, operator)
        for index in graph.outputs:
            self.pin(self.axes.get(index))
        self.pinned = {self.atom(unit) for unit in self._pins}

    def atom(self, unit: int) -> int:
        while self._parents[unit] != unit:
            self._parents[unit] = self._parents[self._parents[unit]]
            unit = self._parents[unit]
        return unit

    def unite(self, first: int, second: int) -> None:
        one, other = sorted((self.atom(first), self.atom(second)))
        self._parents[other] = one

    def fresh(self, tensor: int, axis: int = -1) -> Axis | None:
        """New units along an axis of an activation; None where it has no dimension, or too many
        to follow."""
        shape = self.graph.tensors[tensor].shape
        if not shape or shape[axis] > _MOST_UNITS:
            return None
        start = len(self._parents)
        self._parents.extend(range(start, start + shape[axis]))
        found = Axis(axis % len(shape), tuple(range(start, start + shape[axis])))
        self.axes[tensor] = found
        return found

    def pin(self, along: Axis | None) -> None:
        if along is not None:
            self._pins.update(along.units)

    def along(self, tensor: int) -> Axis | None:
        """An activation's axis; None for a constant, a variable or a scalar."""
        return self.axes.get(tensor)

    def made(self, operator: Operator, along: Axis) -> None:
        self._made.append((operator.index, along.units))

    def constant(
        self, operator: Operator, position: int, axis: int, units: tuple[int, ...], role: Role
    ) -> None:
        use = Use(operator.inputs[position], Axis(axis, units), role, operator.index, position)
        self.uses.append(use)

    def components(self) -> Iterator[Component]:
        """Atoms grouped by the layers that make them, in order of the layers."""
        found: list[tuple[int, list[int]]] = []
        where: dict[int, int] = {}
        for maker, units in self._made:
            atoms = list(dict.fromkeys(self.atom(unit) for unit in units))
            old = sorted({where[atom] for atom in atoms if atom in where})
            target = old[0] if old else len(found)
            if not old:
                found.append((maker, []))
            for other in old[1:]:
                found[target][1].extend(found[other][1])
                found[other] = (found[other][0], [])
            found[target][1].extend(a for a in atoms if a not in where)
            for atom in found[target][1]:
                where[atom] = target
        return (Component(operator, tuple(atoms)) for operator, atoms in found if atoms)


def followed(source: Tensor, along: Axis, shape: tuple[int, ...], trace: Trace) -> Axis | None:
    """The axis of `shape` that carries the units of `source` once its elements are read as that
    shape. Units that then lie in one place of it are united (a row taken apart into pixels)."""
    if source.elements == 0 or not shape:
        return None
    places = np.reshape(
        np.asarray(along.units), [-1 if i == along.axis else 1 for i in range(len(source.shape))]
    )
    labels = np.broadcast_to(places, source.shape).reshape(shape)
    axis = _carrier(labels)
    columns = np.moveaxis(labels, axis, 0).reshape(shape[axis], -1)
    for column in columns[(columns != columns[:, :1]).any(axis=1)]:
        for unit in np.unique(column):
            trace.unite(int(column[0]), int(unit))
    return Axis(axis, tuple(int(unit) for unit in columns[:, 0]))


def _carrier(labels: np.ndarray) -> int:
    """The only axis along which labels vary; the last where there are several or none."""
    varying = [
        axis for axis in range(labels.ndim) if (labels != np.take(labels, [0], axis=axis)).any()
    ]
    return varying[0] if len(varying) == 1 else labels.ndim - 1


def _unknown(trace: Trace, operator: Operator) -> None:
    for index in operator.inputs:
        if index >= 0:
            trace.pin(trace.along(index))
    for index in operator.outputs:
        trace.pin(trace.fresh(index))


def _same(trace: Trace, operator: Operator) -> None:
    """One element in, one element out."""
    along = trace.along(operator.inputs[0])
    if along is None or len(operator.outputs) != 1:
        _unknown(trace, operator)
    else:
        trace.axes[operator.outputs[0]] = along


def _produce(trace: Trace, operator: Operator, weights_axis: int, axis: int = -1) -> None:
    made = trace.fresh(operator.outputs[0], axis)
    if made is None:
        return
    trace.made(operator, made)
    trace.constant(operator, 1, weights_axis, made.units, Role.PRODUCER)
    if _has_bias(operator):
        trace.constant(operator, 2, 0, made.units, Role.PRODUCER)


def _has_bias(operator: Operator) -> bool:
    return len(operator.inputs) > 2 and operator.inputs[2] >= 0


def _plain_weights(trace: Trace, operator: Operator, rank: int) -> bool:
    """Whether weights and bias are constants of the usual shapes."""
    source, weights, *rest = trace.graph.operands(operator)
    bias = rest[0] if rest else None
    plain = [weights] if bias is None else [weights, bias]
    return (
        source is not None
        and weights is not None
        and len(weights.shape) == rank
        and (bias is None or len(bias.shape) == 1)
        and all(t is not None and t.is_constant and not t.encoding for t in plain)
    )


def _conv(trace: Trace, operator: Operator) -> None:
    along = trace.along(operator.inputs[0])
    plain = _plain_weights(trace, operator, rank=4)
    weights = trace.graph.tensors[operator.inputs[1]]
    # Grouped convolutions read a part of the channels each.
    if not plain or along is None or along.axis != 3 or len(along.units) != weights.shape[3]:
        _unknown(trace, operator)
        return
    trace.constant(operator, 1, 3, along.units, Role.CONSUMER)
    _produce(trace, operator, weights_axis=0)


def _depthwise(trace: Trace, operator: Operator) -> None:
    along = trace.along(operator.inputs[0])
    options = operator.options
    plain = _plain_weights(trace, operator, rank=4)
    if not plain or along is None or along.axis != 3:
        _unknown(trace, operator)
        return
    if len(along.units) == 1:
        # Every output reads the one channel: a convolution by another name.
        _produce(trace, operator, weights_axis=3)
        return
    assert isinstance(options, DepthwiseConv2DOptions)
    units = tuple(unit for unit in along.units for _ in range(options.depth_multiplier))
    if len(units) != trace.graph.tensors[operator.outputs[0]].shape[3]:
        _unknown(trace, operator)
        return
    trace.constant(operator, 1, 3, units, Role.CHANNELWISE)
    if _has_bias(operator):
        trace.constant(operator, 2, 0, units, Role.CHANNELWISE)
    trace.axes[operator.outputs[0]] = Axis(3, units)


def _fully_connected(trace: Trace, operator: Operator) -> None:
    along = trace.along(operator.inputs[0])
    weights = trace.graph.tensors[operator.inputs[1]]
    read = None
    if _plain_weights(trace, operator, rank=2) and along is not None:
        source = trace.graph.tensors[operator.inputs[0]]
        depth = weights.shape[1]
        read = followed(source, along, (source.elements // depth, depth), trace)
    if read is None or read.axis != 1:
        _unknown(trace, operator)
        return
    trace.constant(operator, 1, 1, read.units, Role.CONSUMER)
    _produce(trace, operator, weights_axis=0)


def _window(trace: Trace, operator: Operator) -> None:
    """Pooling and resizing: channels apart from each other."""
    along = trace.along(operator.inputs[0])
    if along is None or along.axis != 3:
        _unknown(trace, operator)
    else:
        trace.axes[operator.outputs[0]] = along


def _reshape(trace: Trace, operator: Operator) -> None:
    along = trace.along(operator.inputs[0])
    output = trace.graph.tensors[operator.outputs[0]]
    # A shape that is computed while running would have to be computed otherwise.
    computed = any(not trace.graph.tensors[i].is_constant for i in operator.inputs[1:] if i >= 0)
    reached = None
    if along is not None and not computed:
        source = trace.graph.tensors[operator.inputs[0]]
        reached = followed(source, along, output.shape, trace)
    if reached is None:
        _unknown(trace, operator)
    else:
        trace.axes[operator.outputs[0]] = reached


def _spread(trace: Trace, operator: Operator, axis: int) -> bool:
    """Whether operands whose channels lie along another axis than `axis` are one element there."""
    rank = len(trace.graph.tensors[operator.outputs[0]].shape)
    for index in operator.inputs:
        along, shape = trace.along(index), trace.graph.tensors[index].shape
        own = axis - (rank - len(shape))
        if along is not None and 0 <= own != along.axis and shape[own] > 1:
            return False
    return True


def _elementwise(trace: Trace, operator: Operator) -> None:
    """Two operands that broadcast; channels meet where both have them."""
    output = trace.graph.tensors[operator.outputs[0]]
    rank = len(output.shape)
    aligned: list[Axis] = []
    for index in operator.inputs:
        along = trace.along(index)
        if along is not None:
            behind = rank - len(trace.graph.tensors[index].shape)
            aligned.append(Axis(along.axis + behind, along.units))
    wide = [along for along in aligned if len(along.units) > 1] or aligned[:1]
    constants = [p for p, i in enumerate(operator.inputs) if trace.along(i) is None]
    if (
        not wide
        or not _spread(trace, operator, wide[0].axis)
        or len({(along.axis, len(along.units)) for along in wide}) > 1
        or len(wide[0].units) != output.shape[wide[0].axis]
        or any(not trace.graph.tensors[operator.inputs[p]].is_constant for p in constants)
    ):
        _unknown(trace, operator)
        return
    carried = wide[0]
    for along in wide[1:]:
        for one, other in zip(carried.units, along.units, strict=True):
            trace.unite(one, other)
    for position in constants:
        shape = trace.graph.tensors[operator.inputs[position]].shape
        axis = carried.axis - (rank - len(shape))
        if axis >= 0 and shape[axis] == len(carried.units) and len(carried.units) > 1:
            trace.constant(operator, position, axis, carried.units, Role.CHANNELWISE)
    trace.axes[operator.outputs[0]] = carried


def _concatenation(trace: Trace, operator: Operator) -> None:
    output = trace.graph.tensors[operator.outputs[0]]
    parts = [trace.along(index) for index in operator.inputs]
    options = operator.options
    known = [part for part in parts if part is not None]
    if (
        len(known) != len(parts)
        or len({part.axis for part in known}) != 1
        or not isinstance(options, ConcatenationOptions)
    ):
        _unknown(trace, operator)
        return
    axis = known[0].axis
    if options.axis % len(output.shape) == axis:
        units = tuple(unit for part in known for unit in part.units)
        trace.axes[operator.outputs[0]] = Axis(axis, units)
        return
    for part in known[1:]:
        for one, other in zip(known[0].units, part.units, strict=True):
            trace.unite(one, other)
    trace.axes[operator.outputs[0]] = known[0]


def _mean(trace: Trace, operator: Operator) -> None:
    along = trace.along(operator.inputs[0])
    source = trace.graph.tensors[operator.inputs[0]]
    data = trace.graph.tensors[operator.inputs[1]].data
    if along is None or data is None:
        _unknown(trace, operator)
        return
    axes = {int(axis) % len(source.shape) for axis in data.reshape(-1)}
    if along.axis in axes:
        _unknown(trace, operator)
        return
    options = operator.options
    kept = isinstance(options, ReducerOptions) and options.keep_dims
    gone = 0 if kept else sum(axis < along.axis for axis in axes)
    trace.axes[operator.outputs[0]] = Axis(along.axis - gone, along.units)


def _pad(trace: Trace, operator: Operator) -> None:
    along = trace.along(operator.inputs[0])
    data = trace.graph.tensors[operator.inputs[1]].data
    if along is None or data is None or np.asarray(data)[along.axis].any():
        _unknown(trace, operator)
    else:
        trace.axes[operator.outputs[0]] = along


def _transpose(trace: Trace, operator: Operator) -> None:
    along = trace.along(operator.inputs[0])
    data = trace.graph.tensors[operator.inputs[1]].data
    if along is None or data is None:
        _unknown(trace, operator)
        return
    order = [int(axis) % data.size for axis in data.reshape(-1)]
    trace.axes[operator.outputs[0]] = Axis(order.index(along.axis), along.units)


_WINDOWS = (
    *("AVERAGE_POOL_2D", "MAX_POOL_2D", "L2_POOL_2D"),
    *("RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR"),
)
_RULES: dict[str, Callable[[Trace, Operator], None]] = {
    "CONV_2D": _conv,
    "DEPTHWISE_CONV_2D": _depthwise,
    "FULLY_CONNECTED": _fully_connected,
    **dict.fromkeys(UNARY, _same),
    **dict.fromkeys(BINARY, _elementwise),
    **dict.fromkeys(_WINDOWS, _window),
    "RESHAPE": _reshape,
    "SQUEEZE": _reshape,
    "EXPAND_DIMS": _reshape,
    "CONCATENATION": _concatenation,
    "MEAN": _mean,
    "PAD": _pad,
    "PADV2": _pad,
    "TRANSPOSE": _transpose,
}
