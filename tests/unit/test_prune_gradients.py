"""Gradients by the chain rule against finite differences through the reference runtime."""

from __future__ import annotations

import numpy as np
import pytest
from float_graphs import FloatNet, float_nets
from hypothesis import HealthCheck, given, settings

from edge_quantize.errors import PruningError
from edge_quantize.graph.model import DType, Graph
from edge_quantize.prune.gradients import backward, require_gradients
from edge_quantize.run import activations, outputs

STEP = 1e-3


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(float_nets())
def test_the_gradient_at_the_input_is_the_slope_of_the_output(
    made: tuple[FloatNet, Graph],
) -> None:
    net, graph = made
    samples = net.samples(graph, 1)
    (values,) = activations(graph, samples)
    (end,) = graph.outputs
    probe = net.random.standard_normal((1, *graph.tensors[end].shape[1:])).astype(np.float32)
    by_tensor, _ = backward(graph, values, {end: probe})
    gradient = by_tensor[graph.inputs[0]][0].astype(np.float64)

    def along(direction: np.ndarray) -> list[float]:
        """The slope from both sides; they differ where a RELU or a maximum turns in between."""
        found = []
        for sign in (1, -1):
            moved = samples.inputs[0] + sign * STEP * direction
            one = outputs(graph, type(samples)((moved.astype(np.float32),)))[0]
            base = outputs(graph, samples)[0]
            found.append(float(((one - base) * probe).sum()) * sign / STEP)
        return found

    checked = 0
    for _ in range(12):
        direction = net.random.standard_normal(samples.inputs[0].shape)
        up, down = along(direction)
        expected = float((gradient * direction[0]).sum())
        scale = max(1.0, abs(expected), float(np.abs(gradient).sum()) / gradient.size**0.5)
        if abs(up - down) < 0.02 * scale:
            assert expected == pytest.approx((up + down) / 2, abs=0.03 * scale)
            checked += 1
    assert checked or up != down  # else nothing but kinks was met


def test_an_operator_without_a_known_gradient_is_named() -> None:
    net = FloatNet("odd", 0)
    x = net.builder.operator(
        "EXP", [net.input(4)], dtype=DType.FLOAT32, shape=(1, 4), name="strange"
    )
    graph = net.build(net.dense(x, 3, "classes"))
    with pytest.raises(PruningError, match="no gradient is known of EXP \\('strange'\\)"):
        require_gradients(graph)
