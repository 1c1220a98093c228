"""ONNX Runtime's backends. Its CPU provider stands for the others in how a session is made; that
nothing falls back to it without a word is seen with providers that are not here."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from backend_models import INT64, linear_int8, linear_onnx, need_onnxruntime
from cli_tools import call

from edge_autoglm.backends import (
    BackendRefusedError,
    BackendRunError,
    BackendUnavailableError,
    RunModel,
    find_backend,
    read_run_model,
    select_backend,
)
from edge_autoglm.backends.child import Child
from edge_autoglm.backends.choose import ports_of
from edge_autoglm.backends.model import inputs_of
from edge_autoglm.backends.onnx_cpu import OnnxCpu
from edge_autoglm.backends.onnx_cuda import OnnxCuda
from edge_autoglm.backends.onnx_probe import probe_model
from edge_quantize.errors import UnsupportedModelError

W = np.array([[1.0, -2.0, 0.5], [3.0, 1.0, -1.0]], np.float32)
X = np.array([[2.0, 1.0]], np.float32)


@pytest.fixture
def model(tmp_path: Path) -> RunModel:
    path = tmp_path / "linear.onnx"
    path.write_bytes(linear_onnx(W))
    return read_run_model(path)


def test_without_onnxruntime_the_line_that_installs_it_is_said(
    model: RunModel, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("edge_autoglm.backends.onnx_session.find_spec", lambda _: None)
    for name, install in (
        ("onnx-cpu", "pip install onnxruntime"), ("onnx-cuda", "pip install onnxruntime-gpu"),
        ("onnx-rocm", "pip install onnxruntime-migraphx"),
    ):  # fmt: skip
        here = find_backend(name).available()
        assert not here.ok
        assert here.mend == install
        with pytest.raises(BackendUnavailableError, match=install):
            select_backend(name, model)
    call(capsys, "bench", model.path).refused("onnxruntime is not installed", "pip install")


def test_a_tflite_model_is_not_theirs() -> None:
    for name in ("onnx-cpu", "onnx-cuda", "onnx-rocm"):
        assert "takes .onnx files only" in find_backend(name).refuses(read_run_model(linear_int8()))


def test_an_onnx_model_is_not_the_others(model: RunModel) -> None:
    for name in ("litert-cpu", "litert-gpu", "c", "virtual:stm32f746", "board:stm32f746"):
        assert ".tflite" in find_backend(name).refuses(model)


def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "cut.onnx"
    path.write_bytes(linear_onnx(W)[:-40])
    with pytest.raises(UnsupportedModelError, match="not a whole ONNX model"):
        read_run_model(path)


class TestWithTheRuntime:
    @pytest.fixture(autouse=True)
    def runtime(self) -> None:
        need_onnxruntime()

    def test_the_cpu_computes_and_is_asked_what_it_used(self, model: RunModel) -> None:
        with OnnxCpu().load(model) as loaded:
            run = loaded.infer([X], repeats=4)
            np.testing.assert_allclose(run.outputs[0], np.maximum(X @ W, 0))
            assert run.seconds is not None
            assert len(run.seconds) == 4
            assert loaded.facts[1:] == ("CPUExecutionProvider", "one thread")
            memory = loaded.memory()
            assert memory is not None
            assert memory.value > 10 << 20

    def test_the_runtime_itself_falls_back_without_a_word(self, model: RunModel) -> None:
        # What this is all about; should it change, the checks below say nothing any more.
        child = Child("onnx", "onnx")
        answer = child.ask(
            BackendRunError, "load", content=model.content, provider="CUDAExecutionProvider",
            alone=False,
        )  # fmt: skip
        child.close()
        if "CUDAExecutionProvider" in answer["providers"]:
            pytest.skip("a CUDA GPU is here")
        assert answer["providers"] == ["CPUExecutionProvider"]

    @pytest.mark.parametrize("provider", ["CUDAExecutionProvider", "ROCMExecutionProvider"])
    def test_a_fall_back_to_the_cpu_is_an_error(self, model: RunModel, provider: str) -> None:
        import onnxruntime

        if provider in onnxruntime.get_available_providers():
            pytest.skip(f"{provider} is here")
        with pytest.raises(BackendRefusedError, match=f"{provider} .*CPU|{provider} did not"):
            OnnxCuda().load_with(provider, model)

    def test_the_probes_model_is_sound(self) -> None:
        with OnnxCpu().load(RunModel("probe", "onnx", probe_model(), None)) as loaded:
            (y,) = loaded.infer([np.array([-3.0], np.float32)]).outputs
        assert y.tolist() == [0.0]

    def test_open_dimensions_are_one(self, model: RunModel) -> None:
        ports = ports_of(model)
        assert [ports.tensors[i].shape for i in (*ports.inputs, *ports.outputs)] == [(1, 2), (1, 3)]
        given = inputs_of(ports, np.arange(8, dtype=np.float32).reshape(4, 2), 3)
        assert len(given) == 3
        assert given[0][0].shape == (1, 2)

    def test_wrong_inputs_are_an_error_in_a_line(self, model: RunModel) -> None:
        with OnnxCpu().load(model) as loaded:
            for bad in ([], [np.zeros((1, 5), np.float32)], [np.zeros((1, 2), np.int8)]):
                with pytest.raises(BackendRunError) as caught:
                    loaded.infer(bad)
                assert "\n" not in str(caught.value)
            assert loaded.infer([X]).outputs

    def test_a_model_that_the_runtime_refuses_is_refused_in_its_words(self, tmp_path: Path) -> None:
        path = tmp_path / "odd.onnx"
        path.write_bytes(linear_onnx(W, element=INT64))  # MatMul of int64 and float
        with pytest.raises(BackendRefusedError, match=r"^onnx-cpu: .*[Tt]ype") as caught:
            OnnxCpu().load(read_run_model(path))
        assert "\n" not in str(caught.value)

    def test_auto_takes_the_cpu_and_says_why_no_gpu(self, model: RunModel) -> None:
        found = select_backend("auto", model)
        why = dict(found.passed_over)
        if found.chosen.name == "onnx-cpu":
            assert "CPU" in found.why
            assert "onnx-cuda" in why
        assert ".tflite" in why["litert-cpu"]

    def test_bench_has_a_row_for_every_backend(
        self, model: RunModel, capsys: pytest.CaptureFixture[str]
    ) -> None:
        answer = call(capsys, "bench", model.path, "-n", "20")
        assert answer.code == 0, answer
        # A path is not broken: what names it is to be copied.
        long = [line for line in answer.out.splitlines() if len(line) > 80]
        assert all(str(model.path) in line for line in long), long
        for name in ("litert-gpu", "onnx-cuda", "onnx-rocm", "litert-cpu", "onnx-cpu", "c"):
            assert f" {name} " in answer.out
        assert "reference" in answer.out
