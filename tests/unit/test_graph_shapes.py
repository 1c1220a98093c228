"""Result shapes and paddings are TensorFlow Lite's."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_quantize.graph.builder import GraphBuilder
from edge_quantize.graph.model import Graph
from edge_quantize.graph.options import Padding
from edge_quantize.graph.shapes import ShapeError, Window, window
from edge_quantize.inputs import lcg_inputs
from edge_quantize.reference import LiteRtReference


def litert_shapes(graph: Graph) -> list[tuple[int, ...]]:
    """What LiteRT makes of the graph, which recomputes shapes on its own."""
    inputs, _ = lcg_inputs(graph)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return [array.shape for array in LiteRtReference(graph).run(inputs)]


@pytest.mark.parametrize(
    ("size", "taps", "stride", "dilation", "padding", "expected"),
    [
        (96, 3, 2, 1, Padding.SAME, Window(48, 0, 1)),
        (49, 10, 2, 1, Padding.SAME, Window(25, 4, 5)),
        (8, 3, 1, 1, Padding.SAME, Window(8, 1, 1)),
        (8, 3, 1, 2, Padding.SAME, Window(8, 2, 2)),
        (8, 1, 2, 1, Padding.SAME, Window(4, 0, 0)),
        (8, 3, 1, 1, Padding.VALID, Window(6, 0, 0)),
        (8, 3, 2, 2, Padding.VALID, Window(2, 0, 0)),
        (5, 5, 1, 1, Padding.VALID, Window(1, 0, 0)),
    ],
)
def test_windows(
    size: int, taps: int, stride: int, dilation: int, padding: Padding, expected: Window
) -> None:
    assert window(size, taps, stride, dilation, padding) == expected


@pytest.mark.parametrize("bad", [(0, 1, 1, 1), (4, 0, 1, 1), (4, 1, 0, 1), (4, 1, 1, -1)])
def test_windows_of_no_size_are_refused(bad: tuple[int, int, int, int]) -> None:
    with pytest.raises(ShapeError, match="must be positive"):
        window(*bad, Padding.SAME)


def test_a_window_larger_than_its_input_is_refused() -> None:
    with pytest.raises(ShapeError, match="a window of 5 does not fit into 4"):
        window(4, 3, 1, 2, Padding.VALID)


sizes = st.integers(1, 9)


@settings(max_examples=60, deadline=None)
@given(
    height=sizes, width=sizes, taps=st.tuples(sizes, sizes),
    stride=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    dilation=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    padding=st.sampled_from(Padding),
)  # fmt: skip
def test_convolutions_have_the_shape_litert_gives_them(
    height: int,
    width: int,
    taps: tuple[int, int],
    stride: tuple[int, int],
    dilation: tuple[int, int],
    padding: Padding,
) -> None:
    b = GraphBuilder("conv")
    x = b.input("x", (1, height, width, 2), 0.1)
    w = b.weights("w", np.ones((3, *taps, 2), np.int8), [0.1])
    bias = b.bias("bias", [0, 0, 0], x, w)
    try:
        y = b.conv_2d(x, w, bias, 0.1, 0, stride=stride, dilation=dilation, padding=padding)
    except ShapeError:
        assert padding is Padding.VALID
        return
    graph = b.build([y])
    assert litert_shapes(graph) == [graph.tensors[y].shape]


def test_every_other_operator_has_the_shape_litert_gives_it() -> None:
    b = GraphBuilder("all")
    x = b.input("x", (1, 5, 7, 4), 0.1)
    one = b.input("one", (1, 1, 1, 4), 0.1)
    d = b.weights("d", np.ones((1, 3, 2, 8), np.int8), [0.1] * 8, axis=3)
    f = b.weights("f", np.ones((6, 4), np.int8), [0.1])
    outputs = [
        b.depthwise_conv_2d(x, d, None, 0.1, 0, stride=(2, 3), depth_multiplier=2),
        b.pool("AVERAGE_POOL_2D", x, (2, 3), (2, 2), padding=Padding.SAME),
        b.pool("MAX_POOL_2D", x, (2, 3), (1, 2)),
        b.fully_connected(x, f, None, 0.1, 0),
        b.fully_connected(x, f, None, 0.1, 0, keep_num_dims=True),
        b.elementwise("ADD", x, one, 0.1, 0),
        b.elementwise("MUL", one, x, 0.1, 0),
        b.mean(x, [1, -2], 0.1, 0, keep_dims=True),
        b.mean(x, [2], 0.1, 0, keep_dims=False),
        b.pad(x, [(0, 0), (1, 2), (0, 3), (0, 0)]),
        b.reshape(x, (7, -1)),
        b.concatenation([x, x], -1),
        b.concatenation([x, x, x], 1),
        b.softmax(b.reshape(x, (1, 140))),
        b.operator("RELU", (x,)),
        b.operator("RELU6", (x,)),
        b.quantize(x, 0.3, 4),
        b.dequantize(x),
    ]
    graph = b.build(outputs)
    assert litert_shapes(graph) == [graph.tensors[i].shape for i in outputs]


@pytest.mark.parametrize(
    ("first", "second"), [((1, 4), (1, 3)), ((1, 2, 2, 4), (2, 4, 4)), ((3,), (2,))]
)
def test_shapes_that_do_not_broadcast(first: tuple[int, ...], second: tuple[int, ...]) -> None:
    b = GraphBuilder("add")
    x, y = b.input("x", first), b.input("y", second)
    with pytest.raises(ShapeError, match="do not broadcast"):
        b.elementwise("ADD", x, y, 1.0, 0)


@pytest.mark.parametrize("shape", [(5, 5), (-1, -1), (-2, 8), (7, -1), (0, -1)])
def test_new_shapes_that_cannot_be(shape: tuple[int, ...]) -> None:
    b = GraphBuilder("reshape")
    x = b.input("x", (1, 16))
    with pytest.raises(ShapeError):
        b.reshape(x, shape)


def test_concatenation_of_unequal_rests_is_refused() -> None:
    b = GraphBuilder("concatenation")
    x, y = b.input("x", (1, 4, 4, 2)), b.input("y", (1, 4, 3, 2))
    with pytest.raises(ShapeError, match="differ outside axis 3"):
        b.concatenation([x, y], 3)
