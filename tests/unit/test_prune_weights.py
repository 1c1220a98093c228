"""Single weights and shared ones: which become what, and what it saves stored compressed."""

from __future__ import annotations

import numpy as np
import pytest
from float_graphs import FloatNet
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_quantize.errors import PruningError
from edge_quantize.graph.model import Graph
from edge_quantize.prune import Unstructured, cluster_weights, prune_weights, stored_int8


def net() -> Graph:
    made = FloatNet("net", 0)
    x = made.depthwise(made.conv(made.input(6, 6, 2), 8, "stem", size=3), "deep")
    return made.build(made.dense(made.flatten(x), 5, "classes"))


def weights(graph: Graph) -> list[np.ndarray]:
    return [
        np.asarray(graph.tensors[o.inputs[1]].data) for o in graph.operators if len(o.inputs) == 3
    ]


@settings(max_examples=20, deadline=None)
@given(st.floats(0.05, 0.95))
def test_the_smallest_weights_of_each_layer_become_zero(sparsity: float) -> None:
    graph = net()
    pruned = prune_weights(graph, Unstructured(sparsity))
    for before, after, layer in zip(
        weights(graph), weights(pruned.graph), pruned.layers, strict=True
    ):
        gone = after == 0
        assert layer.zeros == gone.sum() == round(sparsity * before.size)
        assert np.array_equal(after[~gone], before[~gone])
        assert not gone.any() or np.abs(before[gone]).max() <= np.abs(before[~gone]).min()


def test_of_all_layers_together_the_share_is_the_whole_graphs() -> None:
    pruned = prune_weights(net(), Unstructured(0.5, everywhere=True))
    assert pruned.zero_share == pytest.approx(0.5, abs=0.001)
    assert len({round(layer.zeros / layer.weights, 2) for layer in pruned.layers}) > 1


def test_a_pattern_leaves_n_of_each_m_along_the_inputs_of_an_output() -> None:
    graph = net()
    pruned = prune_weights(graph, Unstructured(pattern=(2, 4)))
    conv, deep, dense = weights(pruned.graph)
    for rows in (conv.reshape(8, -1), np.moveaxis(deep, 3, 0).reshape(8, -1), dense):
        whole = rows.shape[1] // 4 * 4
        assert ((rows[:, :whole].reshape(len(rows), -1, 4) != 0).sum(2) == 2).all()
        assert (rows[:, whole:] != 0).all()


@pytest.mark.parametrize("clusters", [2, 16, 256])
def test_a_layer_has_no_more_values_than_clusters_and_zeros_stay(clusters: int) -> None:
    sparse = prune_weights(net(), Unstructured(0.5)).graph
    clustered = cluster_weights(sparse, clusters)
    for before, after, layer in zip(
        weights(sparse), weights(clustered.graph), clustered.layers, strict=True
    ):
        assert layer.distinct == len(np.unique(after)) <= clusters
        assert np.array_equal(before == 0, after == 0)
        if clusters > 2:
            assert np.square(after - before).mean() < 0.1 * np.square(before).mean()


def test_both_make_int8_weights_smaller_only_when_deflated() -> None:
    made = FloatNet("wide", 0)
    graph = made.build(made.dense(made.dense(made.input(256), 128, "a"), 10, "b"))
    before = stored_int8(graph, per_channel=False)
    sparse = stored_int8(prune_weights(graph, Unstructured(0.7)).graph, per_channel=False)
    shared = stored_int8(cluster_weights(graph, 16).graph, per_channel=False)
    assert before.plain == sparse.plain == shared.plain == 256 * 128 + 128 * 10
    assert sparse.compressed < 0.7 * before.compressed
    assert shared.compressed < 0.7 * before.compressed


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "one of sparsity and an N:M pattern"),
        ({"sparsity": 0.5, "pattern": (2, 4)}, "one of sparsity and an N:M pattern"),
        ({"sparsity": 1.0}, "not between 0 and 1"),
        ({"pattern": (4, 4)}, "4:4 is none"),
        ({"pattern": (0, 4)}, "0:4 is none"),
    ],
)
def test_a_wrong_request_is_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(PruningError, match=message):
        Unstructured(**options)  # type: ignore[arg-type]


def test_a_number_of_clusters_that_is_none_is_refused() -> None:
    for clusters in (1, 257):
        with pytest.raises(PruningError, match="2 to 256 can be asked for"):
            cluster_weights(net(), clusters)
