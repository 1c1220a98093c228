"""What a verdict is made from: what is fed, how far apart two results are, a model cut apart, and
the shapes and names of a file."""

from __future__ import annotations

import contextlib
import math
from dataclasses import replace

import numpy as np
import pytest
from float_graphs import FloatNet, float_nets
from hypothesis import given, settings
from hypothesis import strategies as st
from mobile_models import (
    float_net,
    float_ops,
    hybrid_net,
    int8_net,
    strided,
    two_functions,
    two_ports,
)

from edge_export.errors import MobileError
from edge_export.mobile.apart import computing, constant_tensors, cut_after, cut_apart
from edge_export.mobile.compare import Tolerance, difference, finite, steady
from edge_export.mobile.delegation import predict
from edge_export.mobile.expected import Cpu, hybrid, spelt_out
from edge_export.mobile.golden import blind, golden, half_report, most_telling
from edge_export.mobile.model import Target, Variant
from edge_export.mobile.probe import from_samples, pseudo_random
from edge_export.mobile.shapes import with_shapes
from edge_export.mobile.source import mobile_model, variant_of
from edge_export.mobile.taken import compile_problem, taken
from edge_quantize.data import Samples
from edge_quantize.errors import ModelFileError, UnsupportedModelError
from edge_quantize.gpu import Refusal, read_log
from edge_quantize.graph import DType, Graph, Quantization, Tensor
from edge_quantize.graph.builder import GraphBuilder
from edge_quantize.graph.writer import write_tflite
from edge_quantize.half import float16_weights
from edge_quantize.ingest.tflite import read_tflite
from edge_quantize.reference import LiteRtReference

TWO_FUNCTIONS = two_functions("other", "main")
FLOAT = Tensor(0, "y", (1, 3), DType.FLOAT32)
INT8 = Tensor(0, "y", (1, 3), DType.INT8, Quantization((0.5,), (0,)))
INDEX = Tensor(0, "y", (1, 3), DType.INT32)


class TestDifference:
    def test_relative_is_to_the_largest_value_of_all_samples(self) -> None:
        cpu = [np.array([[1.0, -8.0, 0.0]], np.float32), np.array([[0.5, 0.0, 0.0]], np.float32)]
        gpu = [cpu[0], np.array([[0.5, 0.004, 0.0]], np.float32)]
        found = difference(FLOAT, "y", cpu, gpu, 1e-3, classes=True)
        assert found.max_abs == pytest.approx(0.004)
        assert found.relative == pytest.approx(0.0005)
        assert found.rms == pytest.approx(math.sqrt(0.004**2 / 6))
        assert found.agreement == 1.0
        assert found.within

    def test_integers_are_counted_in_their_own_steps(self) -> None:
        cpu = [np.array([[-128, 0, 127]], np.int8)]
        gpu = [np.array([[127, 0, -128]], np.int8)]
        found = difference(INT8, "y", cpu, gpu, 1.0)
        assert found.max_abs == 255  # no wrap-around
        assert found.relative is None
        assert not found.within

    def test_what_is_not_finite_on_one_side_only_is_infinitely_far(self) -> None:
        cpu = [np.array([[1.0, np.inf, 3.0]], np.float32)]
        same = difference(FLOAT, "y", cpu, [cpu[0].copy()], 1e-3)
        assert same.max_abs == 0
        for value in (np.nan, -np.inf, 5.0):
            gpu = [np.array([[1.0, value, 3.0]], np.float32)]
            assert difference(FLOAT, "y", cpu, gpu, 1e-3).max_abs == math.inf

    def test_zeros_on_the_cpu_leave_no_room(self) -> None:
        zeros, little = [np.zeros((1, 3), np.float32)], [np.full((1, 3), 1e-9, np.float32)]
        assert difference(FLOAT, "y", zeros, zeros, 1e-3).within
        assert not difference(FLOAT, "y", zeros, little, 1e-3).within

    def test_tolerances(self) -> None:
        tolerance = Tolerance()
        assert [tolerance.of(each) for each in (FLOAT, INT8, INDEX)] == [1e-3, 1.0, 0.0]

    def test_finite_and_steady(self) -> None:
        one, nan = np.ones(2, np.float32), np.array([1, np.nan], np.float32)
        assert finite([one, np.ones(2, np.int8)])
        assert not finite([one, nan])
        assert steady([one, one + 1e-5], 1e-3, floating=True)
        assert not steady([one, one + 0.1], 1e-3, floating=True)
        assert steady([np.array([3], np.int8), np.array([4], np.int8)], 1.0, floating=False)


class TestProbe:
    def test_the_same_seed_gives_the_same_rows(self) -> None:
        one, other = pseudo_random(float_net(), 3), pseudo_random(float_net(), 3)
        for first, second in zip(one.rows, other.rows, strict=True):
            np.testing.assert_array_equal(first[0], second[0])
        assert one.source == other.source
        assert (one.rows[0][0] != one.rows[1][0]).any()

    def test_integers_run_over_all_of_their_type_and_come_back_exactly(self) -> None:
        graph = int8_net()
        probe = pseudo_random(graph, 20)
        fed = np.concatenate([probe.fed(graph, n)[0].reshape(-1) for n in range(20)])
        assert fed.dtype == np.int8
        assert (fed.min(), fed.max()) == (-128, 127)
        assert probe.rows[0][0].dtype == np.float32  # real numbers, for the float variants

    def test_a_float_input_takes_the_range_of_the_quantize_behind_it(self) -> None:
        b = GraphBuilder("ranged")
        x = b.input("x", (1, 500), dtype=DType.FLOAT32)
        graph = b.build([b.quantize(x, 0.5, -128)])
        values = pseudo_random(graph, 4).rows[0][0]
        assert values.min() >= 0
        assert 100 < values.max() <= 127.5

    def test_a_users_integers_become_the_reals_that_they_stand_for(self) -> None:
        graph = int8_net()
        given = np.full((2, 6, 6, 3), 10, np.int8)
        given[1] = -3
        probe = from_samples(graph, Samples((given,), source="mine"))
        assert probe.source == "mine"
        assert probe.rows[0][0] == pytest.approx(0.5)
        np.testing.assert_array_equal(probe.fed(graph, 1)[0], given[1:2])


class TestApart:
    @settings(max_examples=15)
    @given(float_nets())
    def test_operators_side_by_side_give_what_they_give_in_a_row(
        self, made: tuple[FloatNet, Graph]
    ) -> None:
        _, graph = made
        row = pseudo_random(graph, 1).rows[0]
        whole = LiteRtReference(graph, preserve=True, optimized=True)
        whole.run(row)
        values = {**dict(zip(graph.inputs, row, strict=True)), **whole.tensors()}
        apart = cut_apart(graph, computing(graph))
        assert len(apart.operators) == len(apart.results) == len(graph.operators)
        alone = LiteRtReference(apart.graph, optimized=True)
        outputs = alone.run([values[index] for index in apart.sources])
        for index, array in zip(apart.results, outputs, strict=True):
            np.testing.assert_array_equal(array, values[index])

    def test_weights_behind_a_dequantize_stay_with_their_operator(self) -> None:
        graph = read_tflite(float16_weights(write_tflite(float_net())).content)
        assert any(o.op == "DEQUANTIZE" for o in graph.operators)
        assert not any(o.op == "DEQUANTIZE" for o in computing(graph))
        assert constant_tensors(graph) > {t.index for t in graph.constants()}
        apart = cut_apart(graph, computing(graph)[1:2])
        assert [o.op for o in apart.graph.operators][-1] == "CONV_2D"
        assert len(apart.graph.inputs) == len(apart.graph.outputs) == 1
        write_tflite(apart.graph)

    def test_a_model_is_cut_after_an_operator(self) -> None:
        graph = two_ports()
        cut = cut_after(graph, graph.operators[0])
        assert [o.op for o in cut.operators] == ["LOGISTIC"]
        assert [cut.tensors[i].name for i in cut.inputs] == ["right"]


class TestExpected:
    def test_layers_of_integer_weights_and_float_activations_are_known(self) -> None:
        graph = hybrid_net()
        assert [o.op for o in hybrid(graph)] == ["FULLY_CONNECTED"]
        assert not hybrid(spelt_out(graph))
        for other in (float_net(), int8_net()):
            assert not hybrid(other)
            assert spelt_out(other) is other

    def test_the_cpu_keeps_the_order_of_inputs_and_outputs(self) -> None:
        graph = two_ports()
        row = (np.ones((1, 4), np.float32), np.zeros((1, 2), np.float32))
        with Cpu(graph) as cpu:
            both, small = cpu.run(row)
        np.testing.assert_array_equal(both, [[1, 1, 1, 1, 0.5, 0.5]])
        np.testing.assert_array_equal(small, [[0.5, 0.5]])


class TestSource:
    def test_what_a_file_is_already(self) -> None:
        half = float16_weights(write_tflite(float_net())).content
        assert variant_of(float_net()) is Variant.FLOAT32
        assert variant_of(read_tflite(half)) is Variant.FLOAT16
        assert variant_of(int8_net()) is Variant.INT8
        assert variant_of(hybrid_net()) is Variant.FLOAT32

    def test_ports_have_the_signatures_names(self) -> None:
        b = GraphBuilder("names")
        x = b.input("serving_default_x:0", (1, 4), dtype=DType.FLOAT32)
        y = b.operator("EXP", [x], dtype=DType.FLOAT32, name="StatefulPartitionedCall:0")
        model = mobile_model(write_tflite(b.build([y])), "names")
        assert model.signature == "serving_default"
        assert [(p.name, p.tensor) for p in model.inputs] == [
            ("serving_default_x", "serving_default_x:0")
        ]
        assert model.outputs[0].tensor == "StatefulPartitionedCall:0"

    def test_it_is_the_main_subgraph_that_is_run_whichever_signature_is_first(self) -> None:
        content = two_functions("other", "main")
        assert mobile_model(content, "two").signature == "main"
        with Cpu(read_tflite(content), content) as cpu:
            (found,) = cpu.run([np.ones((1, 8), np.float32)])
        np.testing.assert_allclose(found, np.e, rtol=1e-6)

    @given(at=st.integers(8, 2000), value=st.integers(0, 255))
    def test_a_damaged_file_is_a_model_or_says_that_it_is_damaged(
        self, at: int, value: int
    ) -> None:
        damaged = bytearray(TWO_FUNCTIONS)
        damaged[at % len(damaged)] = value
        with contextlib.suppress(ModelFileError, UnsupportedModelError, MobileError):
            mobile_model(bytes(damaged), "damaged")

    def test_a_main_subgraph_that_no_signature_names_cannot_be_run(self) -> None:
        with pytest.raises(MobileError, match=r"signatures \(other\)"):
            mobile_model(two_functions("other"), "two")


class TestShapes:
    @pytest.fixture
    def opened(self) -> bytes:
        graph = float_ops("open", "EXP")
        tensors = tuple(replace(t, shape=(1, 1), shape_signature=(-1, -1)) for t in graph.tensors)
        return write_tflite(replace(graph, tensors=tensors))

    def test_an_open_dimension_has_to_be_given(self, opened: bytes) -> None:
        model = mobile_model(opened, "open")
        with pytest.raises(MobileError, match=r"'x' is \[\?, \?\].*--shape x=1,224"):
            with_shapes(model, read_tflite(opened), {})

    def test_and_all_others_follow(self, opened: bytes) -> None:
        model = with_shapes(mobile_model(opened, "open"), read_tflite(opened), {"x": (1, 12)})
        assert [p.shape for p in (*model.inputs, *model.outputs)] == [(1, 12), (1, 12)]
        graph = read_tflite(model.content)
        assert not any(t.shape_signature for t in graph.tensors)
        values = np.linspace(0, 1, 12, dtype=np.float32).reshape(1, 12)
        np.testing.assert_allclose(LiteRtReference(graph).run([values])[0], np.exp(values), 1e-6)

    def test_what_is_fixed_cannot_be_chosen(self) -> None:
        content = write_tflite(float_net())
        model, graph = mobile_model(content, "net"), read_tflite(content)
        assert with_shapes(model, graph, {"x": (1, 8, 8, 3)}) is model
        for shapes, words in (
            ({"x": (1, 9, 9, 3)}, "only what is"),
            ({"x": (8, 8, 3)}, "only what is"),
            ({"y": (1,)}, "no such input"),
        ):
            with pytest.raises(MobileError, match=words):
                with_shapes(model, graph, shapes)

    def test_a_size_that_the_model_cannot_compute_with(self) -> None:
        """The dense layer behind takes 8 features."""
        net = FloatNet("dense", 0)
        graph = net.build(net.dense(net.input(8), 4, "dense"))
        x = graph.inputs[0]
        tensors = tuple(
            replace(t, shape_signature=(1, -1)) if t.index == x else t for t in graph.tensors
        )
        content = write_tflite(replace(graph, tensors=tensors))
        with pytest.raises(MobileError, match=r"cannot compute with inputs of \[1, 5\]"):
            with_shapes(mobile_model(content, "dense"), read_tflite(content), {"x": (1, 5)})


@settings(max_examples=20)
@given(st.integers(1, 5), st.integers(0, 2**31))
def test_every_row_fits_every_model(count: int, seed: int) -> None:
    for graph in (float_net(), strided(), two_ports()):
        probe = pseudo_random(graph, count, seed)
        assert len(probe.rows) == count
        for number in range(count):
            for array, index in zip(probe.fed(graph, number), graph.inputs, strict=True):
                assert array.shape == graph.tensors[index].shape
                assert array.dtype == graph.tensors[index].dtype.numpy


class TestGolden:
    """The row that a phone's own test is made of tells an error."""

    def saturating(self) -> tuple[Graph, bytes]:
        """A dense layer and a softmax, which ends at 0 and 1."""
        net = FloatNet("classes", 0)
        graph = net.build(net.softmax(net.dense(net.input(4), 3, "dense")))
        return graph, write_tflite(graph)

    def test_the_least_saturated_row_is_taken(self) -> None:
        graph, content = self.saturating()
        probe = pseudo_random(graph, 4)
        one_hot = (np.array([[0, 1, 0]], np.float32),)
        flat = (np.array([[0.3, 0.4, 0.3]], np.float32),)
        near = (np.array([[0.98, 0.01, 0.01]], np.float32),)
        answers = (one_hot, near, flat, flat)
        assert most_telling(graph, answers) == [2, 3, 1, 0]
        found = golden(mobile_model(content, "classes"), probe, answers=answers)
        assert found is not None
        assert found.outputs == (flat[0].tobytes(),)
        assert found.inputs == (probe.fed(graph, 2)[0].tobytes(),)

    def test_an_end_of_the_integers_is_an_end(self) -> None:
        graph = int8_net()
        shape = graph.tensors[graph.outputs[0]].shape
        low, middle = (np.full(shape, value, np.int8) for value in (-128, 5))
        assert most_telling(graph, ((low,), (middle,))) == [1, 0]
        assert blind(graph, ((low,), (np.full(shape, 127, np.int8),)))
        assert not blind(graph, ((low,), (middle,)))

    def test_outputs_without_ends_are_taken_as_they_come(self) -> None:
        graph = hybrid_net()
        rows = tuple((np.full((1, 8), value, np.float32),) for value in (0, 1, 2))
        assert most_telling(graph, rows) == [0, 1, 2]
        assert not blind(graph, rows)

    def test_float16_is_simulated_on_the_rows_that_tell_most(self) -> None:
        graph, content = self.saturating()
        model, probe = mobile_model(content, "classes"), pseudo_random(graph, 6)
        with Cpu(graph, content) as cpu:
            answers = [cpu.run(probe.fed(graph, n)) for n in range(6)]
        found = half_report(model, probe, answers)
        assert found is not None
        assert found.samples == 4
        assert found.outputs[0].agreement is not None
        assert found.outputs[0].saturated == 0

    def test_outputs_that_are_no_classes_have_no_same_class(self) -> None:
        graph = hybrid_net()
        found = half_report(mobile_model(write_tflite(graph), "dense"), pseudo_random(graph, 2))
        assert found is not None
        assert found.outputs[0].agreement is None


class TestOperatorsWithoutAReferenceKernel:
    @pytest.mark.parametrize("op", ["ROUND", "CEIL", "ELU"])
    def test_litert_runs_them_with_its_ordinary_ones(self, op: str) -> None:
        graph = float_ops("op", op)
        x = np.array([[-1.6, -0.4, 0, 0.4, 0.6, 1.2, 2.7, 3]], np.float32)
        functions = {"ROUND": np.round, "CEIL": np.ceil}
        wanted = functions.get(op, lambda v: np.where(v > 0, v, np.expm1(v)))(x)
        (found,) = LiteRtReference(graph).run([x])
        assert np.allclose(found, wanted, atol=1e-6)

    def test_open_shapes_of_such_a_model_are_fixed(self) -> None:
        graph = float_ops("open", "ROUND")
        tensors = tuple(replace(t, shape=(1, 1), shape_signature=(-1, -1)) for t in graph.tensors)
        content = write_tflite(replace(graph, tensors=tensors))
        model = with_shapes(mobile_model(content, "open"), read_tflite(content), {"x": (1, 5)})
        assert model.outputs[0].shape == (1, 5)


class TestWhatIsCounted:
    """The backend's log counts what unpacks float16 weights as the CPU's."""

    def test_only_operators_that_compute_are(self) -> None:
        net = FloatNet("cut", 3)
        y = net.softmax(
            net.dense(net.mean(net.conv(net.input(8, 8, 3), 16, "one", size=3)), 4, "d")
        )
        end = net.builder.operator("LOG_SOFTMAX", [y], dtype=DType.FLOAT32, shape=(1, 4), version=1)
        content = float16_weights(write_tflite(net.builder.build([end]))).content
        graph = read_tflite(content)
        weights = len(graph.operators) - 5
        assert weights > 0
        log = read_log("")
        refusal = Refusal("LOG_SOFTMAX", "Operation is not supported.")
        log = replace(log, refused=(refusal,), on_gpu=4, on_cpu=1 + weights)
        assert taken(graph, log) == (4, 5)
        assert "(1 of 5 operators would be the CPU's)" in compile_problem("", log, graph)
        made = predict(graph, Target.ANDROID_GPU)
        assert (len(made.counted), len(made.refused)) == (5, 1)
