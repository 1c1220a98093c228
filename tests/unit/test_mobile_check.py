"""The verdict on a GPU's result: what is right, and every way in which it can be wrong."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import pytest
from gpu_drivers import any_driver
from mobile_models import (
    empty,
    float_net,
    float_ops,
    hybrid_net,
    int8_net,
    strided,
    two_ports,
)

from edge_export.mobile.check import check
from edge_export.mobile.compare import Tolerance
from edge_export.mobile.first_wrong import first_mismatched, first_wrong
from edge_export.mobile.model import Verdict
from edge_export.mobile.probe import Probe, pseudo_random
from edge_export.mobile.source import mobile_model
from edge_quantize.errors import GpuUnavailableError, InputDataError
from edge_quantize.gpu import Driver, GpuRun, GpuSession
from edge_quantize.graph import Graph
from edge_quantize.graph.writer import write_tflite

Change = Callable[[int, list[np.ndarray[Any, Any]]], None]


@pytest.fixture(scope="module")
def driver() -> Driver:
    return any_driver()


def verdict(graph: Graph, driver: Driver, rows: int = 6, **options: Any) -> Verdict:
    probe = pseudo_random(graph, rows)
    model = mobile_model(write_tflite(graph), graph.name)
    return check(model, probe, driver=driver, **options).verdict


def tampered(driver: Driver, change: Change) -> Callable[[bytes], GpuSession]:
    """Sessions of the real backend whose outputs are changed on the way out, as a wrong GPU would:
    `change` gets the number of the run and the outputs."""

    class Tampered(GpuSession):
        runs = 0

        def run(self, inputs: Sequence[Any], repeats: int = 1) -> GpuRun:
            found = super().run(inputs, repeats)
            outputs = [np.array(each) for each in found.outputs]
            change(self.runs, outputs)
            self.runs += 1
            return GpuRun(tuple(outputs), found.seconds)

    return partial(Tampered, driver=driver)


class TestRight:
    def test_a_float_model(self, driver: Driver) -> None:
        found = verdict(float_net(), driver)
        assert found.state == "right"
        assert found.on_gpu == found.operators == 5
        assert found.samples == 6
        assert found.source == "pseudo-random, normally distributed (seed 1)"
        assert found.runtime.startswith("ai-edge-litert")
        assert found.adapter
        assert found.arithmetic == "float32"
        (output,) = found.outputs
        assert output.within
        assert output.relative is not None
        assert output.relative <= 1e-3 == output.tolerance
        assert output.agreement == 1.0

    def test_inputs_and_outputs_of_other_orders_and_shapes(self, driver: Driver) -> None:
        found = verdict(two_ports(), driver)
        assert found.state == "right", found.why
        assert [each.name for each in found.outputs] == ["both", "small"]
        assert all(each.within for each in found.outputs)


class TestTheStridedConvolution:
    """An int8 1x1 convolution with a stride of 2: "fully accelerated", and wrong."""

    def test_it_is_caught_and_named(self, driver: Driver) -> None:
        found = verdict(strided(), driver)
        assert found.state == "wrong"
        assert "LSB" in found.why
        assert found.outputs[0].max_abs > 50
        assert found.warnings
        assert all("Shape mismatch" in line for line in found.warnings)
        assert found.first_wrong is not None
        assert (found.first_wrong.index, found.first_wrong.op) == (1, "CONV_2D")
        assert found.first_wrong.name == "conv_2d_1"
        assert found.first_wrong.max_abs > 50

    def test_the_backends_own_mismatch_is_enough(self, driver: Driver) -> None:
        """With weights of 0 every number agrees."""
        graph = strided(zero=True)
        found = verdict(graph, driver)
        assert found.outputs[0].max_abs == 0
        assert found.state == "wrong"
        assert "shapes do not match" in found.why
        assert found.first_wrong is not None
        assert found.first_wrong.index == 1

    def test_the_operator_is_found_among_many_by_halving(self, driver: Driver) -> None:
        operator = first_mismatched(strided(), partial(GpuSession, driver=driver))
        assert operator is not None
        assert operator.index == 1

    def test_none_is_named_where_all_are_right(self, driver: Driver) -> None:
        graph = float_net()
        row = pseudo_random(graph, 1).rows[0]
        session = partial(GpuSession, driver=driver)
        assert first_wrong(graph, row, session, Tolerance()) is None
        assert first_mismatched(graph, session) is None


class TestNothingOfTheCpuPasses:
    def test_a_model_that_ran_on_the_cpu(self, driver: Driver) -> None:
        cpu = partial(GpuSession, accelerators=("cpu",), driver=driver)
        found = verdict(float_net(), driver, open_session=cpu)
        assert found.state == "refused"
        assert "GPU" in found.why
        assert found.on_gpu == 0
        assert not found.outputs

    def test_a_model_of_which_the_cpu_ran_a_part(self, driver: Driver) -> None:
        both = partial(GpuSession, accelerators=("gpu", "cpu"), driver=driver)
        found = verdict(float_ops("part", "EXP", "LOG_SOFTMAX"), driver, open_session=both)
        assert found.state == "refused"
        assert "LOG_SOFTMAX" in found.why

    def test_every_kind_of_operator_that_the_gpu_lacks_is_listed(self, driver: Driver) -> None:
        graph = float_ops("lacking", "EXP", "LOG_SOFTMAX", "ZEROS_LIKE", "LOG_SOFTMAX")
        found = verdict(graph, driver)
        assert found.state == "refused"
        assert "LOG_SOFTMAX, ZEROS_LIKE" in found.why
        assert [line.split(":")[0] for line in found.problems] == ["LOG_SOFTMAX", "ZEROS_LIKE"]

    def test_a_model_that_computes_nothing(self, driver: Driver) -> None:
        """LiteRT calls it fully accelerated, and gives back memory that nobody wrote."""
        found = verdict(empty(), driver)
        assert found.state == "refused"
        assert "computes nothing" in found.why

    def test_no_driver_is_an_error_that_says_what_brings_one(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("EDGE_AUTOGLM_GPU", "none")
        graph = float_net()
        with pytest.raises(GpuUnavailableError):
            check(mobile_model(write_tflite(graph), "net"), pseudo_random(graph, 1))


class TestWrongNumbers:
    def test_too_large_a_difference(self, driver: Driver) -> None:
        def off(_: int, outputs: list[np.ndarray[Any, Any]]) -> None:
            outputs[0] += 0.01

        found = verdict(float_net(), driver, open_session=tampered(driver, off))
        assert found.state == "wrong"
        assert not found.outputs[0].within
        assert found.outputs[0].max_abs == pytest.approx(0.01, rel=0.01)
        assert found.outputs[0].rms == pytest.approx(0.01, rel=0.01)

    @pytest.mark.parametrize(("more", "state"), [(1, "right"), (2, "wrong")])
    def test_integers_may_be_off_by_one(self, more: int, state: str, driver: Driver) -> None:
        def off(_: int, outputs: list[np.ndarray[Any, Any]]) -> None:
            outputs[0].reshape(-1)[0] = np.clip(int(outputs[0].reshape(-1)[0]) + more, -128, 127)

        graph = int8_net()
        assert verdict(graph, driver, open_session=tampered(driver, off)).state == state

    def test_a_nan_in_one_sample(self, driver: Driver) -> None:
        def nan(number: int, outputs: list[np.ndarray[Any, Any]]) -> None:
            if number == 3:
                outputs[0][0, 1] = np.nan

        found = verdict(float_net(), driver, open_session=tampered(driver, nan))
        assert found.state == "wrong"
        assert "NaN or infinite on the GPU" in found.why
        assert found.outputs[0].max_abs == np.inf

    def test_an_overflow_of_the_model_itself(self, driver: Driver) -> None:
        found = verdict(float_ops("over", *["EXP"] * 5), driver)
        assert found.state == "wrong"
        assert "on the CPU too" in found.why
        assert found.why.endswith("first at EXP 'exp_2'")
        assert found.first_wrong is None

    def test_an_output_that_stands_still(self, driver: Driver) -> None:
        """As where a backend never writes it."""

        def still(_: int, outputs: list[np.ndarray[Any, Any]]) -> None:
            outputs[0][:] = 0.25

        found = verdict(float_net(), driver, open_session=tampered(driver, still))
        assert found.state == "wrong"
        assert "the same for every input" in found.why

    def test_a_repeated_run_that_differs(self, driver: Driver) -> None:
        def restless(number: int, outputs: list[np.ndarray[Any, Any]]) -> None:
            if number == 6:  # after all rows comes the first once more
                outputs[0][0, 0] += 0.05

        found = verdict(float_net(), driver, open_session=tampered(driver, restless))
        assert found.state == "wrong"
        assert "differs between two runs" in found.why

    def test_samples_of_another_model(self, driver: Driver) -> None:
        graph = float_net()
        probe = Probe((((np.zeros((1, 4, 4, 3), np.float32)),),), "by hand")
        with pytest.raises(InputDataError, match=r"\[1, 8, 8, 3\]"):
            check(mobile_model(write_tflite(graph), "net"), probe, driver=driver)


class TestWhereTheOutputShowsNothing:
    def test_the_layers_are_compared_instead(self, driver: Driver) -> None:
        graph = float_ops("sign", "EXP", "SIGN")
        found = verdict(graph, driver)
        assert found.state == "right", found.why
        assert any("the 2 layers were compared one by one" in note for note in found.notes)

    def test_and_one_of_them_may_be_wrong(self, driver: Driver) -> None:
        def hidden(_: int, outputs: list[np.ndarray[Any, Any]]) -> None:
            if len(outputs) == 2:  # both layers side by side
                outputs[0] *= 1.5

        found = verdict(
            float_ops("sign", "EXP", "SIGN"), driver, open_session=tampered(driver, hidden)
        )
        assert found.state == "wrong"
        assert "EXP" in found.why


class TestIntegerWeightsWithFloatActivations:
    """LiteRT's CPU rounds the activations of such layers, GPUs do not."""

    def test_the_gpu_is_compared_with_what_the_weights_stand_for(self, driver: Driver) -> None:
        found = verdict(hybrid_net(), driver)
        assert found.state == "right", found.why
        assert any("integer weights and float activations" in note for note in found.notes)
