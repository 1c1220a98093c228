"""Whole channels taken out of float graphs: what is left computes what was to be left."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from float_graphs import FloatNet, float_nets
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from edge_quantize.data import Samples
from edge_quantize.errors import PruningError
from edge_quantize.graph.analysis import analyse
from edge_quantize.graph.channels import Role, channel_groups
from edge_quantize.graph.model import DType, Graph
from edge_quantize.graph.options import Activation
from edge_quantize.graph.structure import structure_problems
from edge_quantize.prune import Pruned, Structured, prune_channels
from edge_quantize.prune.allocate import Goal, MacCount, allocate
from edge_quantize.prune.importance import by_energy, by_magnitude, by_reconstruction
from edge_quantize.prune.statistics import moments
from edge_quantize.prune.structured import IMPORTANCES
from edge_quantize.run import outputs


def residual_net(seed: int = 0) -> tuple[FloatNet, Graph]:
    """Two residual stages, a depthwise pair and a flatten; 8 to 16 channels."""
    net = FloatNet("residual", seed)
    x = net.conv(net.input(6, 6, 2), 8, "stem", size=3)
    x = net.add(x, net.conv(net.conv(x, 12, "one", size=3), 8, "two"), "sum")
    x = net.conv(net.depthwise(x, "deep", stride=2), 16, "point")
    return net, net.build(net.dense(net.flatten(x), 5, "classes"))


def masked(graph: Graph, pruned: Pruned) -> Graph:
    """`graph` whose layers do not hear the removed channels."""
    tensors = list(graph.tensors)
    for group, keep in pruned.keep.items():
        for member in group.of(Role.CONSUMER):
            gone = (member.channels >= 0) & ~keep[member.channels]
            data = np.array(tensors[member.tensor].data)
            data[(slice(None),) * member.axis + (gone,)] = 0
            tensors[member.tensor] = replace(tensors[member.tensor], data=data)
    return replace(graph, tensors=tuple(tensors))


def rmse(graph: Graph, other: Graph, samples: Samples) -> float:
    one, two = outputs(graph, samples)[0], outputs(other, samples)[0]
    return float(np.sqrt(np.mean((one - two) ** 2)))


@settings(max_examples=40, deadline=None)
@given(float_nets(), st.floats(0.05, 0.6), st.sampled_from(IMPORTANCES), st.booleans())
def test_a_pruned_graph_is_the_graph_with_those_channels_masked(
    made: tuple[FloatNet, Graph], sparsity: float, importance: str, unrepaired: bool
) -> None:
    net, graph = made
    samples = net.samples(graph, 6)
    try:
        pruned = prune_channels(
            graph, samples, Structured(sparsity, importance=importance, repair=not unrepaired)
        )
    except PruningError as error:
        assume("cannot be reached" not in str(error))  # tiny layers keep one channel each
        raise
    assert pruned.unrepaired is not None
    assert not list(structure_problems(pruned.graph))
    wanted, found = (outputs(g, samples)[0] for g in (masked(graph, pruned), pruned.unrepaired))
    assert np.allclose(wanted, found, rtol=1e-4, atol=1e-4 * np.abs(wanted).max())
    assert pruned.macs_after == analyse(pruned.graph).macs < pruned.macs_before
    assert pruned.removed_share >= sparsity - 1e-9


@settings(max_examples=25, deadline=None)
@given(float_nets(), st.floats(0.1, 0.6))
def test_repair_never_makes_a_layer_worse_on_the_data_it_saw(
    made: tuple[FloatNet, Graph], sparsity: float
) -> None:
    net, graph = made
    try:
        pruned = prune_channels(graph, net.samples(graph, 8), Structured(sparsity))
    except PruningError:
        return
    assert pruned.repairs
    assert all(0 <= r.error_after <= r.error_before for r in pruned.repairs)


def test_repair_brings_the_output_closer_on_samples_that_it_did_not_see() -> None:
    net, graph = residual_net()
    fitted, fresh = net.samples(graph, 200), net.samples(graph, 100)
    pruned = prune_channels(graph, fitted, Structured(sparsity=0.3))
    assert pruned.unrepaired is not None
    assert rmse(graph, pruned.graph, fresh) < 0.7 * rmse(graph, pruned.unrepaired, fresh)


def test_a_channel_that_others_repeat_costs_nothing_once_repaired() -> None:
    net = FloatNet("twins", 1)
    x = net.conv(net.input(5, 5, 3), 6, "stem", size=3)
    graph = net.build(net.dense(net.flatten(net.conv(x, 4, "next", size=3)), 3, "classes"))
    stem = graph.operators[0]
    tensors = list(graph.tensors)
    for index in stem.inputs[1:]:
        data = np.array(tensors[index].data)
        data[3:] = data[:3]  # channels 3, 4, 5 say what 0, 1, 2 say
        tensors[index] = replace(tensors[index], data=data)
    graph = replace(graph, tensors=tuple(tensors))
    samples = net.samples(graph, 100)
    pruned = prune_channels(graph, samples, Structured(target_macs=analyse(graph).macs * 6 // 10))
    assert pruned.layers[0].kept == 3
    assert {c % 3 for c in pruned.layers[0].removed} == {0, 1, 2}
    assert rmse(graph, pruned.graph, net.samples(graph, 50)) < 1e-3
    assert pruned.unrepaired is not None
    assert rmse(graph, pruned.unrepaired, net.samples(graph, 50)) > 0.1


def test_a_constant_channel_leaves_its_mean_in_the_bias() -> None:
    net = FloatNet("constant", 2)
    x = net.dense(net.input(6), 5, "hidden", Activation.RELU)
    graph = net.build(net.dense(x, 3, "classes"))
    tensors = list(graph.tensors)
    weights, bias = graph.operators[0].inputs[1:]
    data, offset = np.array(tensors[weights].data), np.array(tensors[bias].data)
    data[2], offset[2] = 0, 7.0
    tensors[weights] = replace(tensors[weights], data=data)
    tensors[bias] = replace(tensors[bias], data=offset)
    graph = replace(graph, tensors=tuple(tensors))
    pruned = prune_channels(graph, net.samples(graph, 30), Structured(sparsity=0.2))
    assert pruned.layers[0].removed == (2,)
    assert rmse(graph, pruned.graph, net.samples(graph, 30)) < 1e-4


@pytest.mark.parametrize("importance", IMPORTANCES)
@pytest.mark.parametrize("align", [1, 4])
def test_a_target_of_macs_is_reached_within_one_step_of_one_layer(
    importance: str, align: int
) -> None:
    net, graph = residual_net()
    samples = net.samples(graph, 10)
    for share in (0.9, 0.6, 0.4):
        target = int(share * analyse(graph).macs)
        wanted = Structured(target_macs=target, importance=importance, align=align, repair=False)
        pruned = prune_channels(graph, samples, wanted)
        assert pruned.macs_after <= target
        # Giving any layer its last step back would go past it.
        groups = channel_groups(graph)
        orders = [by_magnitude(graph, group) for group in groups]
        count = MacCount(graph, orders)
        removed = [len(layer.removed) for layer in pruned.layers]
        assert count.total(removed) == pruned.macs_after
        for number in range(len(groups)):
            allowed = orders[number].steps(align)
            assert removed[number] in allowed
            if removed[number]:
                less = list(removed)
                less[number] = allowed[allowed.index(removed[number]) - 1]
                assert count.total(less) > target


def test_align_keeps_multiples() -> None:
    _, graph = residual_net()
    wanted = Structured(sparsity=0.4, importance="magnitude", repair=False, align=4)
    pruned = prune_channels(graph, None, wanted)
    assert all(layer.kept % 4 == 0 for layer in pruned.layers)
    counts = {10: (0, 2, 6), 8: (0, 4), 3: (0,)}
    for channels, expected in counts.items():
        net = FloatNet("one", 0)
        hidden = net.dense(net.input(4), channels, "hidden")
        graph = net.build(net.dense(hidden, 2, "classes"))
        (group,) = channel_groups(graph)
        assert by_magnitude(graph, group).steps(4) == expected


def test_every_layer_keeps_a_channel_where_others_make_the_rest_of_its_group() -> None:
    net = FloatNet("spanning", 0)
    x = net.input(4, 4, 3)
    both = net.concat([net.conv(x, 2, "few"), net.conv(x, 6, "many")], "both")
    total = net.add(both, net.conv(x, 8, "whole"), "sum")
    graph = net.build(net.dense(net.mean(total), 3, "classes"))
    (group,) = channel_groups(graph)
    assert group.channels == 8
    found = moments(graph, [group], net.samples(graph, 10), gradients=False)
    for elimination in (by_magnitude(graph, group), by_reconstruction(graph, group, found)):
        assert len(elimination.order) == 6
    pruned = prune_channels(graph, net.samples(graph, 20), Structured(sparsity=0.75))
    assert [t.shape[-1] for o in pruned.graph.operators[:2] for t in pruned.graph.results(o)] == [
        1, 1,
    ]  # fmt: skip
    with pytest.raises(PruningError, match=r"it is 0\.750"):
        prune_channels(graph, net.samples(graph, 20), Structured(sparsity=0.8))


def test_no_layer_gives_more_than_its_share_while_others_can_still_give() -> None:
    net, graph = residual_net()
    found = moments(graph, channel_groups(graph), net.samples(graph, 10), gradients=False)
    orders = [by_energy(graph, group, found) for group in channel_groups(graph)]
    total = sum(e.group.channels for e in orders)
    count = MacCount(graph, orders)
    half = allocate(orders, count, Goal(channels=total // 2), 1, most=0.5)
    assert all(r <= e.group.channels / 2 for r, e in zip(half, orders, strict=True))
    more = allocate(orders, count, Goal(channels=total - len(orders)), 1, most=0.5)
    assert sum(more) == total - len(orders)


def test_the_same_input_gives_the_same_graph() -> None:
    net, graph = residual_net()
    samples = net.samples(graph, 40)
    wanted = Structured(sparsity=0.4, importance="taylor")
    first, second = (prune_channels(graph, samples, wanted) for _ in range(2))
    assert first.layers == second.layers
    for one, two in zip(first.graph.tensors, second.graph.tensors, strict=True):
        assert one.data is None or np.array_equal(one.data, two.data)  # type: ignore[arg-type]


def test_costs_never_fall_and_repair_only_lowers_them() -> None:
    net, graph = residual_net()
    groups = channel_groups(graph)
    found = moments(graph, groups, net.samples(graph, 50), gradients=True)
    for group in groups:
        plain, repaired = (f(graph, group, found) for f in (by_energy, by_reconstruction))
        for elimination in (plain, repaired):
            assert sorted({*elimination.order}) == sorted(elimination.order)
            assert len(elimination.order) == group.channels - 1 == len(elimination.costs) - 1
            assert np.all(np.diff(elimination.costs) >= 0)
        assert repaired.costs[1] <= plain.costs[1] * (1 + 1e-6) + 1e-9


def quantized_graph() -> Graph:
    _, graph = residual_net()
    tensors = tuple(t if t.is_constant else replace(t, dtype=DType.INT8) for t in graph.tensors)
    return replace(graph, tensors=tensors)


def with_a_custom_operator() -> Graph:
    _, graph = residual_net()
    first, *others = graph.operators
    return replace(graph, operators=(replace(first, op="CUSTOM:Mine"), *others))


def test_what_cannot_be_done_is_said_in_one_line() -> None:
    net, graph = residual_net()
    data = net.samples(graph, 6)
    macs = analyse(graph).macs
    lonely = FloatNet("lonely", 0)
    alone = lonely.build(lonely.dense(lonely.input(4), 3, "classes"))
    for source, samples, wanted, message in (
        (quantized_graph(), data, Structured(0.5), "already quantized .*: prune the float model"),
        (with_a_custom_operator(), data, Structured(0.5), r"custom operators .*\(CUSTOM:Mine\)"),
        (graph, None, Structured(0.5), "needs? data"),
        (graph, data, Structured(target_macs=macs), f"has {macs:,} MACs"),
        (graph, data, Structured(target_macs=10), r"one channel in each layer [\d,]+ are left"),
        (graph, data, Structured(0.99, align=4), "with 4 channels in each layer it is 0.6"),
        (alone, data, Structured(0.5), "every channel reaches an input or output"),
        (graph, data, Structured(0.5, align=16), "no layer has more than 16 channels"),
    ):
        with pytest.raises(PruningError, match=message) as caught:
            prune_channels(source, samples, wanted)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "one of sparsity and target"),
        ({"sparsity": 0.5, "target_macs": 9}, "one of sparsity and target"),
        ({"sparsity": 0.0}, "not between 0 and 1"),
        ({"sparsity": 1.0}, "not between 0 and 1"),
        ({"sparsity": float("nan")}, "not between 0 and 1"),
        ({"target_macs": 0}, "no target"),
        ({"sparsity": 0.5, "importance": "luck"}, "no importance 'luck'"),
        ({"sparsity": 0.5, "align": 0}, "multiple of 0"),
    ],
)
def test_a_wrong_request_is_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(PruningError, match=message):
        Structured(**options)  # type: ignore[arg-type]
