"""Integer outputs that are further apart than one step: rounding, or a mistake."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from aot_models import classifier
from gpu_drivers import any_driver
from mobile_models import float_net, strided

from edge_autoglm.backends.judge import Judges, apart_by
from edge_autoglm.backends.litert_gpu import LiteRtGpu
from edge_autoglm.backends.model import read_run_model
from edge_export.mobile.check import check
from edge_export.mobile.compare import Tolerance
from edge_export.mobile.expected import Array, Cpu, Outputs, run_in_order
from edge_export.mobile.probe import pseudo_random
from edge_export.mobile.rounding import only_rounding
from edge_export.mobile.source import mobile_model
from edge_quantize.gpu import GpuSession
from edge_quantize.gpu.session import GpuRun
from edge_quantize.graph import Graph
from edge_quantize.graph.builder import GraphBuilder
from edge_quantize.graph.writer import write_tflite
from edge_quantize.ingest.tflite import read_tflite


class Skewed(GpuSession):
    """A GPU that gets one tensor wrong by some steps: `tensor` by its place among the outputs that
    it is asked for, from the last."""

    steps = 0

    def run(self, inputs: Sequence[Array], repeats: int = 1) -> GpuRun:
        found = super().run(inputs, repeats)
        last = np.clip(found.outputs[-1].astype(int) + self.steps, -128, 127)
        return replace(found, outputs=(*found.outputs[:-1], last.astype(np.int8)))


def on_the_cpu(steps: int) -> type[Skewed]:
    return type("Skewed", (Skewed,), {"steps": steps})


def rows_of(graph: Graph, count: int = 3) -> list[tuple[Array, ...]]:
    random = np.random.default_rng(5)
    shapes = [graph.tensors[index].shape for index in graph.inputs]
    return [
        tuple(random.integers(-128, 128, shape).astype(np.int8) for shape in shapes)
        for _ in range(count)
    ]


@pytest.mark.parametrize(("steps", "right"), [(0, True), (1, True), (3, False)])
def test_an_operator_that_is_itself_off_by_more_than_a_step_is_no_rounding(
    steps: int, right: bool
) -> None:
    graph = read_tflite(write_tflite(classifier("model")))
    kind = on_the_cpu(steps)

    def opened(content: bytes) -> GpuSession:
        return kind(content, ("cpu",))

    rows = rows_of(graph)
    with opened(write_tflite(graph)) as session:
        found: list[Outputs] = [run_in_order(session, graph, row) for row in rows]
    assert only_rounding(graph, rows, found, opened, Tolerance()) is right


def test_steps_that_all_go_one_way_are_no_rounding() -> None:
    b = GraphBuilder("wide")
    x = b.input("x", (1, 8, 8, 3), scale=0.05)
    w = b.weights(
        "w", np.random.default_rng(3).integers(-60, 61, (8, 3, 3, 3), np.int8), [0.01] * 8
    )
    y = b.conv_2d(x, w, b.bias("b", np.arange(8), x, w), 0.4, 0)
    graph = read_tflite(write_tflite(b.build([y])))
    rows = rows_of(graph)
    for steps, right in ((0, True), (1, False)):
        kind = on_the_cpu(steps)

        def opened(content: bytes, kind: type[Skewed] = kind) -> GpuSession:
            return kind(content, ("cpu",))

        with opened(write_tflite(graph)) as session:
            found: list[Outputs] = [run_in_order(session, graph, row) for row in rows]
        assert only_rounding(graph, rows, found, opened, Tolerance()) is right


def test_outputs_that_the_parts_do_not_make_are_no_rounding() -> None:
    graph = read_tflite(write_tflite(classifier("model")))
    rows = rows_of(graph)
    with Cpu(graph) as cpu:
        found = [tuple(np.roll(array, 1) for array in cpu.run(row)) for row in rows]

    def opened(content: bytes) -> GpuSession:
        return GpuSession(content, ("cpu",))

    assert not only_rounding(graph, rows, found, opened, Tolerance())


def test_a_float_model_is_never_excused_by_rounding() -> None:
    graph = read_tflite(write_tflite(float_net()))
    row = (np.zeros((1, 8, 8, 3), np.float32),)

    def opened(_: bytes) -> GpuSession:
        raise AssertionError("nothing is to be run")

    assert not only_rounding(graph, [row], [(np.zeros((1, 4), np.float32),)], opened, Tolerance())


def test_the_gpu_is_right_where_steps_add_up_and_every_operator_is_right() -> None:
    any_driver()
    content = write_tflite(classifier("model"))
    model = mobile_model(content, "model")
    verdict = check(model, pseudo_random(read_tflite(content), 16)).verdict
    (output,) = verdict.outputs
    assert output.max_abs > 1  # a softmax behind steps of 0.2
    assert (output.within, output.rounding) == (False, True)
    assert verdict.state == "right"
    assert "rounding alone" in verdict.why


def test_a_wrong_operator_is_not_taken_for_rounding() -> None:
    any_driver()
    content = write_tflite(strided())
    verdict = check(mobile_model(content, "m"), pseudo_random(read_tflite(content), 16)).verdict
    assert verdict.state == "wrong"
    assert not any(each.rounding for each in verdict.outputs)


def test_bench_and_auto_judge_the_gpu_by_the_same_rule() -> None:
    any_driver()
    backend = LiteRtGpu()
    for graph, right in ((classifier("model"), True), (strided(), False)):
        model = read_run_model(graph)
        assert model.graph is not None
        probe = pseudo_random(model.graph, 16)
        inputs = [probe.fed(model.graph, number) for number in range(16)]
        expected = Judges(model, inputs).of(backend.judge)
        with backend.load(model) as loaded:
            found = [loaded.infer(row).outputs for row in inputs]
        apart = apart_by(expected, backend, model, inputs, found)
        assert apart.largest > apart.tolerance
        assert apart.good is right
