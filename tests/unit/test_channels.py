"""Channels: which go together, and graphs without some of them."""

from __future__ import annotations

import numpy as np
import pytest

from edge_quantize.errors import GraphEditError
from edge_quantize.graph.builder import GraphBuilder
from edge_quantize.graph.channels import ChannelGroup, Role, channel_groups, remove_channels
from edge_quantize.graph.model import Graph
from edge_quantize.graph.options import ConcatenationOptions, DepthwiseConv2DOptions, Padding
from edge_quantize.graph.structure import structure_problems
from edge_quantize.reference import LiteRtReference

RNG = np.random.default_rng(3)


def conv(b: GraphBuilder, x: int, depth: int, out: int, name: str, size: int = 1) -> int:
    data = RNG.integers(-90, 90, (out, size, size, depth)).astype(np.int8)
    w = b.weights(f"{name}_w", data, RNG.uniform(0.002, 0.006, out).tolist())
    bias = b.bias(f"{name}_b", RNG.integers(-500, 500, out), x, w)
    return b.conv_2d(x, w, bias, 0.05, -4)


def depthwise(b: GraphBuilder, x: int, depth: int, multiplier: int, name: str) -> int:
    out = depth * multiplier
    data = RNG.integers(-90, 90, (1, 3, 3, out)).astype(np.int8)
    w = b.weights(f"{name}_w", data, RNG.uniform(0.002, 0.006, out).tolist(), axis=3)
    bias = b.bias(f"{name}_b", RNG.integers(-500, 500, out), x, w)
    return b.depthwise_conv_2d(x, w, bias, 0.05, 3, depth_multiplier=multiplier)


def dense(b: GraphBuilder, x: int, depth: int, out: int) -> int:
    data = RNG.integers(-90, 90, (out, depth)).astype(np.int8)
    w = b.weights("dense_w", data, [0.004])
    return b.fully_connected(x, w, None, 0.1, 0)


def residual_graph() -> Graph:
    """Two convolutions of 4 channels added, a third of 6 beside them, flattened into a dense."""
    b = GraphBuilder("residual")
    x = b.input("x", (1, 4, 4, 3), 0.03, 1)
    first, second = conv(b, x, 3, 4, "first", 3), conv(b, x, 3, 4, "second")
    total = b.elementwise("ADD", first, second, 0.05, -4)
    both = b.operator("CONCATENATION", (total, conv(b, x, 3, 6, "third")), ConcatenationOptions(3))
    deep = depthwise(b, both, 10, 2, "deep")
    pooled = b.pool("MAX_POOL_2D", deep, (2, 2), (2, 2))
    flat = b.reshape(pooled, (1, 80))
    return b.build([dense(b, flat, 80, 5)])


def silenced(graph: Graph, group: ChannelGroup, keep: np.ndarray) -> Graph:
    """The same graph whose consumers do not hear the channels that are to go."""
    tensors = list(graph.tensors)
    for member in group.of(Role.CONSUMER):
        tensor = tensors[member.tensor]
        gone = (member.channels >= 0) & ~keep[member.channels]
        data = np.array(tensor.data)
        data[(slice(None),) * member.axis + (gone,)] = 0
        tensors[member.tensor] = type(tensor)(
            tensor.index, tensor.name, tensor.shape, tensor.dtype, tensor.quantization, data
        )
    return Graph(graph.name, tuple(tensors), graph.operators, graph.inputs, graph.outputs)


def test_operands_of_an_add_share_a_group_and_a_concatenation_keeps_its_parts_apart() -> None:
    groups = channel_groups(residual_graph())
    assert [(g.channels, g.producers, g.consumers) for g in groups] == [
        (4, (0, 1), (8,)),
        (6, (3,), (8,)),
    ]


def test_a_flattened_channel_is_found_at_every_pixel_of_the_row() -> None:
    graph = residual_graph()
    first, third = channel_groups(graph)
    (member,) = first.of(Role.CONSUMER)
    pixel = [0, 0, 1, 1, 2, 2, 3, 3] + [-1] * 12
    assert (member.axis, member.channels.tolist()) == (1, pixel * 4)
    (member,) = third.of(Role.CONSUMER)
    assert member.channels[8:20].tolist() == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5]


@pytest.mark.parametrize("which", [0, 1])
def test_a_graph_without_channels_that_nobody_hears_computes_the_same(which: int) -> None:
    graph = residual_graph()
    group = channel_groups(graph)[which]
    keep = np.arange(group.channels) % 3 != 1
    silent = silenced(graph, group, keep)
    smaller = remove_channels(silent, {channel_groups(silent)[which]: keep})
    assert list(structure_problems(smaller)) == []
    assert smaller.constant_bytes < graph.constant_bytes
    x = RNG.integers(-128, 128, (1, 4, 4, 3)).astype(np.int8)
    (before,), (after,) = LiteRtReference(silent).run([x]), LiteRtReference(smaller).run([x])
    assert np.array_equal(before, after)


def test_shapes_scales_and_depth_multiplier_follow() -> None:
    graph = residual_graph()
    first, third = channel_groups(graph)
    smaller = remove_channels(
        graph, {first: [True, False, True, False], third: [False, False, False, True, True, True]}
    )
    shapes = {smaller.layer_name(o): smaller.results(o)[0].shape for o in smaller.operators}
    assert list(shapes.values())[2:] == [
        (1, 4, 4, 2),
        (1, 4, 4, 3),
        (1, 4, 4, 5),
        (1, 4, 4, 10),
        (1, 2, 2, 10),
        (1, 40),
        (1, 5),
    ]
    weights = smaller.operands(smaller.operators[0])[1]
    old = graph.operands(graph.operators[0])[1]
    assert weights is not None
    assert old is not None
    assert weights.quantization is not None
    assert old.quantization is not None
    assert weights.quantization.scales == old.quantization.scales[::2]
    options = smaller.operators[5].options
    assert isinstance(options, DepthwiseConv2DOptions)
    assert options.depth_multiplier == 2


def test_a_constant_that_two_layers_share_is_cut_for_each_by_itself() -> None:
    b = GraphBuilder("shared")
    x = b.input("x", (1, 4, 4, 3), 0.03, 1)
    w = b.weights("w", RNG.integers(-9, 9, (4, 1, 1, 3)).astype(np.int8), [0.01])
    one, other = b.conv_2d(x, w, None, 0.05, 0), b.conv_2d(x, w, None, 0.05, 0)
    graph = b.build([conv(b, one, 4, 2, "one"), conv(b, other, 4, 2, "other")])
    first, second = channel_groups(graph)
    smaller = remove_channels(
        graph, {first: [True, True, True, False], second: [True] + [False] * 3}
    )
    assert [smaller.results(o)[0].shape[3] for o in smaller.operators] == [3, 1, 2, 2]


def test_channels_that_reach_the_caller_or_are_mixed_are_not_offered() -> None:
    b = GraphBuilder("pinned")
    x = b.input("x", (1, 1, 1, 3), 0.03, 1)
    inner = conv(b, x, 3, 4, "inner")
    out = conv(b, inner, 4, 5, "out")
    mixed = b.softmax(conv(b, inner, 4, 6, "mixed"))
    groups = channel_groups(b.build([out, mixed]))
    assert [group.channels for group in groups] == [4]


def test_a_single_channel_spread_by_a_depthwise_layer_is_a_producer() -> None:
    b = GraphBuilder("spread")
    x = b.input("x", (1, 5, 5, 1), 0.03, 1)
    spread = depthwise(b, x, 1, 8, "spread")
    graph = b.build([conv(b, spread, 8, 2, "out")])
    (group,) = channel_groups(graph)
    smaller = remove_channels(graph, {group: np.arange(8) < 3})
    options = smaller.operators[0].options
    assert isinstance(options, DepthwiseConv2DOptions)
    assert (group.producers, options.depth_multiplier) == ((0,), 3)


def test_channels_that_meet_something_else_along_their_axis_are_not_offered() -> None:
    b = GraphBuilder("crosswise")
    x = b.input("x", (1, 4, 4, 3), 0.03, 1)
    turn = b.constant("t", np.array([0, 3, 1, 2], np.int32))
    # Its one channel lies along the rows now, and its columns along the other's channels.
    turned = b.operator("TRANSPOSE", (conv(b, x, 3, 1, "single"), turn))
    total = b.elementwise("ADD", conv(b, x, 3, 4, "many"), turned, 0.05, -4)
    assert channel_groups(b.build([dense(b, b.reshape(total, (1, 64)), 64, 5)])) == ()


def test_padding_along_the_channels_is_not_followed() -> None:
    b = GraphBuilder("padded")
    x = b.input("x", (1, 4, 4, 3), 0.03, 1)
    inner = conv(b, x, 3, 4, "inner")
    padded = b.pad(inner, [(0, 0), (0, 0), (0, 0), (0, 2)])
    assert channel_groups(b.build([conv(b, padded, 6, 2, "out")])) == ()
    b = GraphBuilder("framed")
    x = b.input("x", (1, 4, 4, 3), 0.03, 1)
    framed = b.pad(conv(b, x, 3, 4, "inner"), [(0, 0), (1, 1), (1, 1), (0, 0)])
    w = b.weights("w", np.ones((2, 3, 3, 4), np.int8), [0.01])
    graph = b.build([b.conv_2d(framed, w, None, 0.1, 0, padding=Padding.VALID)])
    assert [group.channels for group in channel_groups(graph)] == [4]


@pytest.mark.parametrize(
    ("mask", "said"),
    [
        ([True, True, False], r"bool\[4\] is needed"),
        ([1, 1, 1, 0], r"bool\[4\] is needed"),
        ([False] * 4, "at least one must stay"),
    ],
)
def test_a_mask_that_does_not_fit_is_refused(mask: list[bool], said: str) -> None:
    graph = residual_graph()
    with pytest.raises(GraphEditError, match=said):
        remove_channels(graph, {channel_groups(graph)[0]: mask})


def test_a_group_of_another_graph_is_refused() -> None:
    b = GraphBuilder("other")
    x = b.input("x", (1, 4, 4, 3), 0.03, 1)
    other = b.build([conv(b, conv(b, x, 3, 7, "inner"), 7, 2, "out")])
    with pytest.raises(GraphEditError, match="not of residual"):
        remove_channels(residual_graph(), {channel_groups(other)[0]: [False] + [True] * 6})
