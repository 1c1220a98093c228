"""TRANSPOSEs are folded only where what follows computes the same without them."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_quantize.graph.builder import GraphBuilder
from edge_quantize.graph.model import DType, Graph
from edge_quantize.graph.options import (
    FullyConnectedOptions,
    NoOptions,
    Options,
    ReducerOptions,
    ReshapeOptions,
    SchemaOptions,
)
from edge_quantize.ingest.conversion import TOLERANCE, random_inputs, relative_difference
from edge_quantize.ingest.transposes import fold_transposes, transposes
from edge_quantize.reference import LiteRtReference


class Chain:
    """A graph of one operator after the other, on one input."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.b = GraphBuilder("chain")
        self.last = self.input = self.b.input("x", shape, dtype=DType.FLOAT32)
        self.shape = shape

    def _then(
        self, op: str, operands: tuple[int, ...], shape: tuple[int, ...], options: Options
    ) -> Chain:
        self.last = self.b.operator(
            op, (self.last, *operands), options, dtype=DType.FLOAT32, shape=shape
        )
        self.shape = shape
        return self

    def transpose(self, order: tuple[int, ...]) -> Chain:
        place = self.b.constant(f"order_{self.last}", np.asarray(order, np.int32))
        shape = tuple(self.shape[i] for i in order)
        return self._then("TRANSPOSE", (place,), shape, SchemaOptions("TransposeOptions"))

    def reshape(self, *shape: int) -> Chain:
        place = self.b.constant(f"shape_{self.last}", np.asarray(shape, np.int32))
        return self._then("RESHAPE", (place,), shape, ReshapeOptions(shape))

    def mean(self, *axes: int) -> Chain:
        place = self.b.constant(f"axes_{self.last}", np.asarray(axes, np.int32))
        left = tuple(n for i, n in enumerate(self.shape) if i not in axes)
        return self._then("MEAN", (place,), left, ReducerOptions())

    def dense(self, rows: int = 3) -> Chain:
        random = np.random.default_rng(3)
        w = random.normal(size=(rows, self.shape[-1])).astype(np.float32)
        place = self.b.constant(f"w_{self.last}", w)
        return self._then("FULLY_CONNECTED", (place, -1), (1, rows), FullyConnectedOptions())

    def relu(self) -> Chain:
        return self._then("RELU", (), self.shape, NoOptions())

    def graph(self, *also: int) -> Graph:
        return self.b.build([self.last, *also])


def folded(graph: Graph) -> Graph:
    """Folded, and shown to compute the same."""
    after = fold_transposes(graph)
    for row in random_inputs(graph):
        before, now = LiteRtReference(graph).run(row), LiteRtReference(after).run(row)
        for a, b in zip(before, now, strict=True):
            assert a.shape == b.shape
            assert relative_difference(b, a) < TOLERANCE
    return after


TO_FIRST = (0, 3, 1, 2)


def test_a_flattened_image_is_flattened_as_it_is_with_the_weights_turned() -> None:
    graph = folded(Chain((1, 3, 2, 4)).transpose(TO_FIRST).reshape(1, 24).dense().graph())
    assert [o.op for o in graph.operators] == ["RESHAPE", "FULLY_CONNECTED"]


def test_a_mean_over_rows_and_columns_takes_them_where_they_are() -> None:
    graph = folded(Chain((1, 3, 2, 4)).transpose(TO_FIRST).mean(2, 3).graph())
    assert [o.op for o in graph.operators] == ["MEAN"]


def test_a_line_that_passes_as_an_image_of_one_row_needs_no_transpose() -> None:
    chain = Chain((1, 5, 4)).transpose((0, 2, 1)).reshape(1, 4, 1, 5).transpose((0, 2, 3, 1))
    assert [o.op for o in folded(chain.relu().graph()).operators] == ["RESHAPE", "RELU"]
    after = Chain((1, 1, 5, 8)).transpose(TO_FIRST).reshape(1, 8, 5).mean(2)
    assert [o.op for o in folded(after.graph()).operators] == ["MEAN"]


def test_where_another_reader_needs_it_it_stays() -> None:
    chain = Chain((1, 3, 2, 4)).transpose(TO_FIRST)
    turned = chain.last
    assert transposes(folded(chain.mean(2, 3).graph(turned))) == 1


def test_a_mean_that_leaves_dimensions_in_another_order_keeps_it() -> None:
    assert transposes(folded(Chain((1, 3, 2, 4)).transpose((0, 3, 2, 1)).mean(1).graph())) == 1


@given(
    shape=st.lists(st.integers(1, 3), min_size=3, max_size=4).map(lambda s: (1, *s[1:])),
    data=st.data(),
)
def test_whatever_follows_the_outputs_stay(shape: tuple[int, ...], data: st.DataObject) -> None:
    orders = list(itertools.permutations(range(len(shape))))
    chain = Chain(shape).transpose(data.draw(st.sampled_from(orders)))
    follows = data.draw(st.sampled_from(["mean", "dense", "transpose", "drop", "relu"]))
    if follows == "mean":
        axes = st.lists(st.integers(0, len(shape) - 1), min_size=1, unique=True)
        chain.mean(*data.draw(axes))
    elif follows == "dense":
        chain.reshape(1, int(np.prod(shape))).dense()
    elif follows == "transpose":
        chain.transpose(data.draw(st.sampled_from(orders)))
    elif follows == "drop":
        chain.reshape(1, *(n for n in chain.shape if n != 1))
        chain.mean(
            *data.draw(st.lists(st.integers(0, len(chain.shape) - 1), max_size=2, unique=True))
        )
    else:
        chain.relu()
    folded(chain.relu().graph())


def test_a_permutation_that_is_computed_is_left_alone() -> None:
    b = GraphBuilder("computed")
    x = b.input("x", (1, 2, 3), dtype=DType.FLOAT32)
    order = b.input("order", (3,), dtype=DType.INT32)
    y = b.operator("TRANSPOSE", (x, order), NoOptions(), dtype=DType.FLOAT32, shape=(1, 3, 2))
    graph = b.build([y])
    assert fold_transposes(graph).operators == graph.operators


pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")
