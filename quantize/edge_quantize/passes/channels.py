"""Channels that no output depends on, taken out.

A channel may go when each layer that sums over it does without: because its weights for the channel
are all zero, or because the channel is constant for every input (see `bounds`), so that what it
adds is a number that the bias can hold. Where windows reach over a border, padding takes part of
that number away there; it is computed for every position, and the channel stays unless it is the
same at all of them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from edge_quantize.errors import GraphEditError
from edge_quantize.graph.channels import ChannelGroup, Role, channel_groups, remove_channels
from edge_quantize.graph.edit import Rewrite
from edge_quantize.graph.model import DType, Graph, Operator, Quantization, Tensor

from .accumulate import Linear, bias_values, linear
from .bounds import Bounds, tensor_bounds
from .result import NOTHING, Change, Edit, Settings
from .windows import Reals

Mask = npt.NDArray[np.bool_]
_INT32 = 2.0**31
_WINDOW_REACH = 255.0  # of an int8 input with its zero point taken off
_FLAT = 1e-12  # relative: the same number, computed in double precision in another order


@dataclass(frozen=True, eq=False)
class Reading:
    """How a layer reads the places along its weights' input axis.

    `silent`: its weights there are zero. `constant`: the input there is constant, and what it adds
    is the same at every position: `adds` [places, outputs], in units of the bias.
    """

    layer: Linear | None
    silent: Mask
    constant: Mask
    adds: Reals

    @property
    def dispensable(self) -> Mask:
        return self.silent | self.constant


@dataclass
class _Plan:
    allow_none: bool
    keep: dict[ChannelGroup, Mask] = field(default_factory=dict)
    adds: dict[int, Reals] = field(default_factory=dict)  # operator -> what its bias takes up
    changes: list[Change] = field(default_factory=list)


def remove_dead_channels(graph: Graph, settings: Settings) -> Edit:
    """Take out every channel that may go; at least one of each group stays."""
    groups = channel_groups(graph)
    if not groups:
        return graph, NOTHING
    bounds = tensor_bounds(graph)
    readings = {
        index: _reading(graph, graph.operators[index], bounds)
        for index in sorted({i for group in groups for i in group.consumers})
    }
    for allow_none in (True, False):
        plan = _Plan(allow_none)
        for group in groups:
            _plan_group(graph, group, readings, settings, plan)
        if not plan.keep:
            break
        folded = _with_biases(graph, plan.adds, readings)
        # New biases have channels too; the groups are the same ones in the same order.
        again = zip(groups, channel_groups(folded), strict=True)
        keep = {new: plan.keep[old] for old, new in again if old in plan.keep}
        try:
            smaller = remove_channels(folded, keep, allow_none=allow_none)
        except GraphEditError:
            if allow_none:
                continue  # some layer would be left with nothing at all
            raise
        return smaller, tuple(plan.changes)
    return graph, NOTHING


def _plan_group(
    graph: Graph,
    group: ChannelGroup,
    readings: dict[int, Reading],
    settings: Settings,
    plan: _Plan,
) -> None:
    may_go = np.ones(group.channels, np.bool_)
    silent = np.ones(group.channels, np.bool_)
    consumers = group.of(Role.CONSUMER)
    for member in consumers:
        reading = readings[member.operator]
        here = member.channels >= 0
        channels = member.channels[here]
        np.logical_and.at(may_go, channels, reading.dispensable[here])
        np.logical_and.at(silent, channels, reading.silent[here])
    keep = ~may_go
    if keep.any() or not (plan.allow_none and _is_part(group)):
        _keep_enough(graph, group, keep, settings)
    if keep.all():
        return
    added: dict[int, Reals] = {}
    for member in consumers:
        reading = readings[member.operator]
        gone = (member.channels >= 0) & ~keep[member.channels]
        total = reading.adds[gone & ~reading.silent].sum(axis=0)
        sofar = added.get(member.operator, plan.adds.get(member.operator, 0.0))
        added[member.operator] = sofar + total
    if not all(_fits(readings[index].layer, total) for index, total in added.items()):
        return
    plan.keep[group] = keep
    plan.adds.update(added)
    plan.changes.append(_change(group, keep, silent))


def _is_part(group: ChannelGroup) -> bool:
    """Whether the group lies beside others in some activation."""
    return any((member.channels < 0).any() for member in group.of(Role.ACTIVATION))


def _keep_enough(graph: Graph, group: ChannelGroup, keep: Mask, settings: Settings) -> None:
    """Mark further channels to be kept: never none, and as many as alignment asks for."""
    least = 1
    for index in group.producers:
        operator = graph.operators[index]
        scales = graph.tensors[operator.inputs[1]].quantization
        if operator.op == "FULLY_CONNECTED" and scales is not None and scales.per_channel:
            least = 2  # with one scale left its multiplier would be computed in another way
    wanted = max(least, int(keep.sum()))
    if settings.align > 1 and _aligned(graph, group, settings):
        wanted = -(-wanted // settings.align) * settings.align
    spare = np.flatnonzero(~keep)[: max(0, min(wanted, keep.size) - int(keep.sum()))]
    keep[spare] = True


def _aligned(graph: Graph, group: ChannelGroup, settings: Settings) -> bool:
    if settings.align_all:
        return group.name not in settings.unaligned
    # Depthwise kernels of 3x3 that take four channels at a time need an eighth of the
    # instructions of one that does not: worth up to three channels more in every case.
    return any(
        graph.operators[member.operator].op == "DEPTHWISE_CONV_2D"
        and graph.tensors[member.tensor].shape[1:3] == (3, 3)
        for member in group.of(Role.CHANNELWISE)
        if member.position == 1
    )


def _change(group: ChannelGroup, keep: Mask, silent: Mask) -> Change:
    gone = ~keep
    unread, constant = int((gone & silent).sum()), int((gone & ~silent).sum())
    proofs = []
    if constant:
        proofs.append(f"{constant} constant for every input, folded into biases")
    if unread:
        proofs.append(f"{unread} read with weights of zero only")
    return Change(
        "dead-channels",
        group.name,
        f"{int(keep.sum())} of {group.channels} channels stay",
        "; ".join(proofs),
    )


def _reading(graph: Graph, operator: Operator, bounds: dict[int, Bounds]) -> Reading:
    source, weights = (graph.tensors[i] for i in operator.inputs[:2])
    assert weights.data is not None
    values = np.moveaxis(weights.data, -1, 0).reshape(weights.shape[-1], -1)
    places, outputs = len(values), weights.shape[0]
    symmetric = weights.quantization is None or not any(weights.quantization.zero_points)
    # Float activations with int8 weights are quantized by their range while running, to which
    # every channel belongs.
    plain = weights.dtype is DType.FLOAT32 or source.dtype is not DType.FLOAT32
    silent: Mask = ~values.any(axis=1) & np.full(places, symmetric and plain)
    constant = np.zeros(places, np.bool_)
    adds = np.zeros((places, outputs))
    layer = linear(graph, operator)
    if layer is not None:
        given = bounds[operator.inputs[0]].mapped(lambda b: _by_place(layer, operator, b))
        fixed = given.constant.reshape(-1, places).all(axis=0)
        for place in np.flatnonzero(fixed & ~silent):
            found = _contribution(layer, given.low, int(place))
            if found is not None:
                constant[place], adds[place] = True, found
    return Reading(layer, silent, constant, adds)


def _by_place(layer: Linear, operator: Operator, array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """An input with the places along the weights' input axis last."""
    if operator.op == "FULLY_CONNECTED":
        return array.reshape(-1, layer.weights.shape[1])
    return array


def _contribution(layer: Linear, given: npt.NDArray[Any], place: int) -> Reals | None:
    """What a constant place adds to each output's accumulator; None where positions differ."""
    one = slice(place, place + 1)
    x = given[..., one].astype(np.float64) - layer.zero_point
    added = layer.apply(x, layer.values[..., one]).reshape(-1, layer.output.shape[-1])
    if layer.source.dtype is DType.INT16 and added.any():
        return None  # their accumulators and biases are left alone
    spread = np.ptp(added, axis=0)
    if (spread > _FLAT * np.abs(added).max(axis=0)).any():
        return None
    return np.asarray(added[0])


def _fits(layer: Linear | None, added: Reals) -> bool:
    """Whether bias and partial sums stay within int32 (within float32's range)."""
    if layer is None or not added.any():
        return True
    bias = np.abs(bias_values(layer) + added)
    if layer.source.dtype is DType.FLOAT32:
        return bool((bias < np.finfo(np.float32).max).all())
    over = tuple(range(1, layer.values.ndim))
    return bool((bias + _WINDOW_REACH * np.abs(layer.values).sum(axis=over) < _INT32).all())


def _with_biases(graph: Graph, adds: dict[int, Reals], readings: dict[int, Reading]) -> Graph:
    rewrite = Rewrite(graph)
    for index, added in adds.items():
        layer = readings[index].layer
        if layer is None or not added.any():
            continue
        total = bias_values(layer) + added
        name = layer.bias.name if layer.bias is not None else f"{layer.output.name}/bias"
        if layer.source.dtype is DType.FLOAT32:
            tensor = rewrite.constant(name, total.astype(np.float32), DType.FLOAT32)
        else:
            tensor = rewrite.constant(
                name, total.astype(np.int64), DType.INT32, _bias_quantization(layer)
            )
        rewrite.set_input(index, 2, tensor)
    return rewrite.graph()


def _bias_quantization(layer: Linear) -> Quantization:
    if layer.bias is not None and layer.bias.quantization is not None:
        return layer.bias.quantization
    scales = _scales(layer.source)[0], _scales(layer.weights)
    products = tuple(float(np.float32(scales[0] * scale)) for scale in scales[1])
    return Quantization(products, (0,) * len(products), 0)


def _scales(tensor: Tensor) -> tuple[float, ...]:
    assert tensor.quantization is not None
    return tensor.quantization.scales
