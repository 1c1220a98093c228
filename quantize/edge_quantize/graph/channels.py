"""Which axes of which tensors share their channels, and their removal.

Channel c of a convolution's output is the same thing as channel c of the pooling behind it, of
both operands of an ADD, of the depthwise weights it meets, and of the input axis of the weights
that read it; behind a flatten it is every C-th element of a row. All of these must go together or
not at all. `channel_groups` follows every channel through the graph; `remove_channels` takes some
of them out, whatever the element type. Neither says whether that changes the outputs: that is for
the pass that chooses.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from edge_quantize.errors import GraphEditError

from .channel_rules import Role, Trace, Use
from .edit import compacted
from .model import DType, Graph, Operator, Quantization, Tensor
from .options import DepthwiseConv2DOptions, ReshapeOptions
from .shapes import ShapeError, infer_shape

Ints = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]
Masks = dict[int, Mask]  # by axis of one tensor

__all__ = ["ChannelGroup", "Member", "Role", "channel_groups", "remove_channels"]


@dataclass(frozen=True, eq=False)
class Member:
    """One axis of one tensor that runs over channels of a group.

    `channels` int64[shape[axis]] is the group's channel at each place along the axis, and -1 where
    another group's lies (behind CONCATENATION). A channel may stand at several places (behind a
    flatten) or have several members in one tensor. A constant is named by its use: `operator` and
    its input `position` (both -1 for an activation), since one constant may serve two layers.
    """

    tensor: int
    axis: int
    channels: Ints
    role: Role
    operator: int = -1
    position: int = -1


@dataclass(frozen=True, eq=False)
class ChannelGroup:
    """Channels 0 to `channels` - 1 that may be removed one by one, each with all its members.

    Groups are compared, and serve as keys, by identity.
    """

    name: str  # the first layer that makes the channels
    channels: int
    members: tuple[Member, ...]

    def of(self, role: Role) -> tuple[Member, ...]:
        return tuple(member for member in self.members if member.role is role)

    @property
    def producers(self) -> tuple[int, ...]:
        """Operators with weights along whose outputs the channels lie, in order."""
        return tuple(sorted({m.operator for m in self.of(Role.PRODUCER)}))

    @property
    def consumers(self) -> tuple[int, ...]:
        """Operators with weights that sum over the channels, in order."""
        return tuple(sorted({m.operator for m in self.of(Role.CONSUMER)}))


def channel_groups(graph: Graph) -> tuple[ChannelGroup, ...]:
    """Every group of channels that can be followed from the layers that make it to those that
    read it, in order of the layers.

    Left out are groups that reach an input or output of the model, a channel-mixing operator
    (SOFTMAX) or one that is not known here.
    """
    trace = Trace(graph)
    roots: dict[int, int] = {}  # atom -> group
    numbers: dict[int, int] = {}  # atom -> its channel number
    names: list[str] = []
    sizes: list[int] = []
    for component in trace.components():
        if any(atom in trace.pinned for atom in component.atoms):
            continue
        for number, atom in enumerate(component.atoms):
            roots[atom] = len(names)
            numbers[atom] = number
        names.append(graph.layer_name(graph.operators[component.operator]))
        sizes.append(len(component.atoms))
    members: list[list[Member]] = [[] for _ in names]
    uses = [Use(t, axis, Role.ACTIVATION) for t, axis in sorted(trace.axes.items())]
    for use in [*uses, *trace.uses]:
        atoms = [trace.atom(unit) for unit in use.along.units]
        for group in sorted({roots[atom] for atom in atoms if atom in roots}):
            channels = np.array([numbers[a] if roots.get(a) == group else -1 for a in atoms])
            channels.setflags(write=False)
            members[group].append(
                Member(use.tensor, use.along.axis, channels, use.role, use.operator, use.position)
            )
    return tuple(
        ChannelGroup(name, size, tuple(found))
        for name, size, found in zip(names, sizes, members, strict=True)
    )


def remove_channels(
    graph: Graph, keep: Mapping[ChannelGroup, npt.ArrayLike], *, allow_none: bool = False
) -> Graph:
    """The graph with only the channels that `keep` marks, bool[channels] for each group named.

    Shapes, per-channel quantization, depth multipliers and the targets of RESHAPE follow; the
    model's inputs and outputs keep theirs. The weights that read a removed channel go with it, so
    its contribution is dropped: who wants it kept folds it into a bias before. With `allow_none` a
    group may go as a whole where it is one part of a CONCATENATION, and its layers with it.

    Raises GraphEditError when a mask has the wrong size or keeps nothing where something must stay,
    or when a group was not made from this graph.
    """
    activations: dict[int, Masks] = {}
    constants: dict[tuple[int, int], Masks] = {}
    for group, wanted in keep.items():
        mask = _mask(group, wanted, allow_none)
        for member in group.members:
            if not 0 <= member.tensor < len(graph.tensors) or (
                graph.tensors[member.tensor].shape[member.axis : member.axis + 1]
                != member.channels.shape
            ):
                raise GraphEditError(f"channels of '{group.name}' are not of {graph.name}")
            stays = np.where(member.channels < 0, True, mask[member.channels])
            if member.role is Role.ACTIVATION:
                masks = activations.setdefault(member.tensor, {})
            else:
                masks = constants.setdefault((member.operator, member.position), {})
            masks[member.axis] = masks.get(member.axis, np.True_) & stays
    edited = _Removal(graph, activations, constants).graph()
    _check_shapes(edited)
    return edited


def _mask(group: ChannelGroup, wanted: npt.ArrayLike, allow_none: bool) -> Mask:
    mask = np.asarray(wanted)
    if mask.dtype != np.bool_ or mask.shape != (group.channels,):
        raise GraphEditError(
            f"channels of '{group.name}': {mask.dtype}{list(mask.shape)} given, "
            f"bool[{group.channels}] is needed"
        )
    if not mask.any() and not allow_none:
        raise GraphEditError(f"channels of '{group.name}': at least one must stay")
    return mask


class _Removal:
    def __init__(
        self,
        graph: Graph,
        activations: dict[int, Masks],
        constants: dict[tuple[int, int], Masks],
    ) -> None:
        self.old = graph
        self.constants = constants
        self.tensors = list(graph.tensors)
        self.cut: dict[tuple[int, bytes], int] = {}  # constants that were cut, by how
        for index, masks in activations.items():
            self.tensors[index] = _cut(graph.tensors[index], masks)

    def graph(self) -> Graph:
        operators = tuple(
            self.operator(operator)
            for operator in self.old.operators
            if not all(self.empty(index) for index in operator.outputs)
        )
        graph = replace(self.old, tensors=tuple(self.tensors), operators=operators, sha256="")
        return compacted(graph)

    def was_cut(self, index: int) -> bool:
        return self.tensors[index].shape != self.old.tensors[index].shape

    def empty(self, index: int) -> bool:
        """Whether nothing is left of a tensor that had something."""
        old = self.old.tensors[index] if index >= 0 else None
        return old is not None and old.elements > 0 and self.tensors[index].elements == 0

    def operator(self, operator: Operator) -> Operator:
        inputs = list(operator.inputs)
        if operator.op == "CONCATENATION":
            inputs = [index for index in inputs if not self.empty(index)]
        elif any(self.empty(index) for index in inputs):
            raise GraphEditError(
                f"channels of '{self.old.layer_name(operator)}': at least one must stay"
            )
        for position, index in enumerate(inputs):
            masks = self.constants.get((operator.index, position))
            if masks is not None:
                inputs[position] = self.constant(index, masks)
        options = operator.options
        # An operator that channels could not be followed through may be anything.
        if any(self.was_cut(index) for index in operator.outputs):
            made = self.tensors[operator.outputs[0]].shape
            if isinstance(options, DepthwiseConv2DOptions):
                multiplier = made[3] // self.tensors[inputs[0]].shape[3]
                options = replace(options, depth_multiplier=multiplier)
            if operator.op == "RESHAPE" and len(inputs) > 1 and inputs[1] >= 0:
                inputs[1] = self.shape_constant(inputs[1], made)
            if isinstance(options, ReshapeOptions) and options.new_shape:
                options = ReshapeOptions(made)
        return replace(operator, inputs=tuple(inputs), options=options)

    def constant(self, index: int, masks: Masks) -> int:
        key = b"".join(bytes([axis]) + masks[axis].tobytes() for axis in sorted(masks))
        return self.add((index, key), _cut(self.old.tensors[index], masks))

    def shape_constant(self, index: int, shape: tuple[int, ...]) -> int:
        data = np.array(shape, np.int32)
        data.setflags(write=False)
        old = self.old.tensors[index]
        tensor = replace(old, dtype=DType.INT32, shape=data.shape, data=data, shape_signature=())
        return self.add((index, data.tobytes()), tensor)

    def add(self, key: tuple[int, bytes], tensor: Tensor) -> int:
        if key not in self.cut:
            self.cut[key] = len(self.tensors)
            self.tensors.append(replace(tensor, index=len(self.tensors)))
        return self.cut[key]


def _cut(tensor: Tensor, masks: Masks) -> Tensor:
    shape, signature = list(tensor.shape), list(tensor.shape_signature)
    data, quantization = tensor.data, tensor.quantization
    for axis, mask in masks.items():
        shape[axis] = int(mask.sum())
        if signature and signature[axis] >= 0:
            signature[axis] = shape[axis]
        if data is not None:
            data = np.compress(mask, data, axis)
        if quantization is not None and quantization.per_channel and quantization.axis == axis:
            quantization = _cut_quantization(quantization, mask)
    if data is not None:
        data = np.ascontiguousarray(data)
        data.setflags(write=False)
    return replace(
        tensor,
        shape=tuple(shape),
        shape_signature=tuple(signature),
        data=data,
        quantization=quantization,
    )


def _cut_quantization(quantization: Quantization, mask: Mask) -> Quantization:
    places = np.flatnonzero(mask)
    return replace(
        quantization,
        scales=tuple(quantization.scales[i] for i in places),
        zero_points=tuple(quantization.zero_points[i] for i in places),
    )


def _check_shapes(graph: Graph) -> None:
    """A wrong shape would let a kernel write outside its buffer."""
    for operator in graph.operators:
        where = f"{graph.name}: operator {operator.index} {operator.op}"
        try:
            shape = infer_shape(operator.op, graph.operands(operator), operator.options)
        except ShapeError as error:
            raise GraphEditError(f"{where}: its channels cannot be removed: {error}") from error
        if shape is not None and graph.results(operator)[0].shape != shape:
            raise GraphEditError(
                f"{where}: its channels cannot be removed: {list(shape)} would come out instead "
                f"of {list(graph.results(operator)[0].shape)}"
            )
