"""Small random graphs with branches, every buffer packed tight: each layer bit for bit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from aot_models import board
from int4_models import with_int4_weights

from edge_export import HostModel, compile_model, export_model, verify_host
from edge_quantize.graph import DType, Graph
from edge_quantize.graph.builder import GraphBuilder
from edge_quantize.graph.options import Activation, Padding
from edge_quantize.inputs import LCG_SEED, lcg_inputs
from edge_quantize.reference import TflmReference, tflm_available

pytestmark = pytest.mark.skipif(not tflm_available(), reason="tflite_micro is not installed")
FEATURES = {"portable": frozenset[str](), "dsp": frozenset({"dsp"})}


class Maker:
    """Grows a graph by random operators on its newest tensor, now and then joining an older one."""

    def __init__(self, seed: int, dtype: DType = DType.INT8) -> None:
        self.random = np.random.default_rng(seed)
        self.wide = dtype is DType.INT16  # zero points are 0, scales smaller by as much
        self.b = GraphBuilder(f"random_{seed}")
        shape = (1, self._int(3, 12), self._int(3, 12), self._int(1, 9))
        self.last = self.b.input("image", shape, self._scale(), self._zero(20), dtype)
        self.shapes = {self.last: shape}
        self.serial = 0

    def _int(self, low: int, high: int) -> int:
        return int(self.random.integers(low, high + 1))

    def _scale(self) -> float:
        return float(self.random.uniform(0.05, 0.4)) / (256 if self.wide else 1)

    def _zero(self, most: int) -> int:
        return 0 if self.wide else self._int(-most, most)

    def _weights(self, shape: tuple[int, ...], axis: int, source: int) -> tuple[int, int]:
        self.serial += 1
        channels = shape[axis]
        data = self.random.integers(-127, 128, shape).astype(np.int8)
        count = channels if self.random.random() < 0.7 else 1
        scales = [float(s) for s in self.random.uniform(0.002, 0.02, count)]
        w = self.b.weights(f"w{self.serial}", data, scales, axis=axis)
        bias = self.random.integers(-2000, 2000, channels) * (256 if self.wide else 1)
        return w, self.b.bias(f"b{self.serial}", bias, source, w)

    def _window(self, size: int) -> int:
        return self._int(1, min(4, size))

    def grow(self) -> None:
        kind = self.random.choice(["conv", "conv", "depthwise", "join", "pool", "pad", "point"])
        source, (_, h, w, c) = self.last, self.shapes[self.last]
        padding = Padding.SAME if self.random.random() < 0.6 else Padding.VALID
        stride = (self._int(1, 2), self._int(1, 2))
        zero = self._zero(30)
        activation = Activation.RELU if self.random.random() < 0.4 else Activation.NONE
        if kind in ("conv", "point"):
            kernel = (1, 1) if kind == "point" else (self._window(h), self._window(w))
            stride = (1, 1) if kind == "point" else stride
            weights, bias = self._weights((self._int(1, 12), *kernel, c), 0, source)
            new = self.b.conv_2d(
                source,
                weights,
                bias,
                self._scale(),
                zero,
                stride=stride,
                padding=padding,
                activation=activation,
            )
        elif kind == "depthwise":
            kernel = (3, 3) if min(h, w) >= 3 else (1, 1)
            # The reference takes only equal strides here.
            stride = (stride[0], stride[0])
            weights, bias = self._weights((1, *kernel, c), 3, source)
            new = self.b.depthwise_conv_2d(
                source,
                weights,
                bias,
                self._scale(),
                zero,
                stride=stride,
                padding=padding,
                activation=activation,
            )
        elif kind == "join":
            same = [t for t, s in self.shapes.items() if s == self.shapes[source]]
            other = same[self._int(0, len(same) - 1)]
            op = str(self.random.choice(["ADD", "ADD", "SUB", "MUL"]))
            new = self.b.elementwise(op, source, other, self._scale(), zero, activation=activation)
        elif kind == "pool":
            op = "AVERAGE_POOL_2D" if self.random.random() < 0.5 else "MAX_POOL_2D"
            new = self.b.pool(op, source, (self._window(h), self._window(w)), stride)
        else:
            new = self.b.pad(source, [(0, 0), (self._int(0, 2), 1), (0, self._int(0, 2)), (0, 0)])
        self.last = new
        self.shapes[new] = self.b._tensors[new].shape

    def finish(self) -> Graph:
        elements = int(np.prod(self.shapes[self.last]))
        flat = self.b.reshape(self.last, (1, elements))
        weights, bias = self._weights((self._int(2, 7), elements), 0, flat)
        logits = self.b.fully_connected(flat, weights, bias, self._scale(), 0)
        outputs = [self.b.softmax(logits)]
        if self.random.random() < 0.5:
            outputs.append(self.last)  # an output in the middle must outlive everything after it
        return self.b.build(outputs)


def random_graph(seed: int, dtype: DType = DType.INT8) -> Graph:
    maker = Maker(seed, dtype)
    for _ in range(maker._int(2, 8)):
        maker.grow()
    return maker.finish()


@pytest.mark.parametrize("features", FEATURES)
@pytest.mark.parametrize("seed", range(12))
def test_a_random_graph_is_bit_exact(tmp_path: Path, seed: int, features: str) -> None:
    check(random_graph(seed), tmp_path / "out", FEATURES[features])


@pytest.mark.parametrize("features", FEATURES)
@pytest.mark.parametrize("seed", range(12, 20))
def test_a_random_graph_with_int4_weights_is_bit_exact(
    tmp_path: Path, seed: int, features: str
) -> None:
    check(with_int4_weights(random_graph(seed), every=2), tmp_path / "out", FEATURES[features])


@pytest.mark.parametrize("features", FEATURES)
@pytest.mark.parametrize("seed", range(26, 34))
def test_a_random_graph_of_int16_is_bit_exact(tmp_path: Path, seed: int, features: str) -> None:
    check(random_graph(seed, DType.INT16), tmp_path / "out", FEATURES[features])


@pytest.mark.parametrize("seed", range(34, 37))
def test_a_random_graph_of_int16_that_is_taken_apart_is_bit_exact(
    tmp_path: Path, seed: int
) -> None:
    graph = random_graph(seed, DType.INT16)
    check(graph, tmp_path / "out", FEATURES["dsp"], fuse_ops=False)


@pytest.mark.parametrize("seed", range(20, 26))
def test_a_random_graph_that_is_taken_apart_is_bit_exact(tmp_path: Path, seed: int) -> None:
    graph = with_int4_weights(random_graph(seed), every=2)
    check(graph, tmp_path / "out", FEATURES["dsp"], fuse_ops=False)


def check(graph: Graph, folder: Path, features: frozenset[str], fuse_ops: bool = True) -> None:
    """Every layer's output, with every buffer packed tight, is the reference's."""
    export = export_model(graph, board(), folder, features=features, fuse_ops=fuse_ops)
    state, inputs = LCG_SEED, []
    for _ in range(4):
        arrays, state = lcg_inputs(graph, state)
        inputs.append(arrays)
    reference = TflmReference(graph, preserve=True)
    with HostModel(export, flags=("-O1",)) as model:
        verdict = verify_host(graph, model, reference, inputs)
        assert verdict.bit_exact, str(verdict)
        reference.run(inputs[0])
        expected = reference.tensors()
        for output in model.run_steps(inputs[0]):
            tensor = graph.operators[output.layer].outputs[0]
            assert output.content == np.ascontiguousarray(expected[tensor]).tobytes(), output.name


def test_the_random_graphs_do_share_memory() -> None:
    """Else the test above would prove nothing about overlapping buffers."""
    shared = 0
    for seed in range(12):
        compiled = compile_model(random_graph(seed), board())
        places = {p.name: p for p in compiled.plan.placements}
        for step in compiled.program.steps:
            result = places[step.results[0]]
            for operand in (places[name] for name in step.operands):
                shared += (
                    operand.region == result.region
                    and operand.offset < result.offset + result.size
                    and result.offset < operand.offset + operand.size
                )
    assert shared >= 12
