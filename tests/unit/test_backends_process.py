"""Backends in processes of their own: what they compute, how they fail, and what they leave."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from aot_models import classifier
from backend_models import float_net, need_gpu, need_onnxruntime, two_inputs

from edge_autoglm.backends import (
    BackendError,
    BackendRefusedError,
    BackendRunError,
    RunModel,
    find_backend,
    read_run_model,
)
from edge_autoglm.backends.child import Child
from edge_autoglm.backends.generated_c import GeneratedC
from edge_autoglm.backends.model import generated
from edge_autoglm.backends.onnx_probe import probe_model
from edge_boards import load_board
from edge_quantize.errors import InputDataError
from edge_quantize.reference import LiteRtReference


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def children() -> set[int]:
    mine = os.getpid()
    found = set()
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = entry.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == mine and fields[0] != "Z":
            found.add(int(entry.parent.name))
    return found


def test_the_generated_c_answers_as_the_cpu(temporary: Path) -> None:
    model = read_run_model(classifier())
    (inputs,) = generated(classifier(), 1)
    with find_backend("c").load(model) as c, find_backend("litert-cpu").load(model) as cpu:
        run = c.infer(inputs, repeats=3)
        assert run.seconds is not None
        assert len(run.seconds) == 3
        (wanted,), (found,) = cpu.infer(inputs).outputs, run.outputs
        assert np.abs(wanted.astype(int) - found.astype(int)).max() <= 1
    assert not [*temporary.iterdir()]


@pytest.mark.parametrize("name", ["litert-cpu", "litert-gpu"])
def test_several_inputs_and_outputs_keep_the_models_order(name: str) -> None:
    if name == "litert-gpu":
        need_gpu()
    graph = two_inputs()
    (inputs,) = generated(graph, 1)
    wanted = LiteRtReference(graph).run(inputs)
    with find_backend(name).load(read_run_model(graph)) as loaded:
        found = loaded.infer(inputs).outputs
    assert [each.shape for each in found] == [(1, 5), (1, 2)]
    for a, b in zip(wanted, found, strict=True):
        np.testing.assert_allclose(b, a, rtol=1e-5)


def test_memory_is_that_of_the_process_and_not_of_the_one_that_started_it() -> None:
    ours = np.ones(300 << 20, np.uint8)
    for name in ("litert-cpu", "c"):
        with find_backend(name).load(read_run_model(classifier())) as loaded:
            memory = loaded.memory()
            assert memory is not None
            assert 10 << 20 < memory.value < ours.nbytes


@pytest.mark.parametrize("name", ["litert-cpu", "c"])
def test_inputs_that_do_not_fit_are_refused(name: str) -> None:
    with find_backend(name).load(read_run_model(classifier())) as loaded:
        for bad in ([], [np.zeros((1, 2), np.int8)], [np.zeros((1, 8, 8, 3), np.float32)]):
            with pytest.raises(InputDataError):
                loaded.infer(bad)
        (inputs,) = generated(classifier(), 1)
        assert loaded.infer(inputs).outputs  # and it goes on


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="processes are read from /proc")
@pytest.mark.parametrize("name", ["litert-cpu", "litert-gpu", "c"])
def test_a_backend_that_dies_is_an_error_and_no_end_of_ours(name: str, temporary: Path) -> None:
    if name == "litert-gpu":
        need_gpu()
    graph = classifier() if name == "c" else float_net()
    (inputs,) = generated(graph, 1)
    before = children()
    with find_backend(name).load(read_run_model(graph)) as loaded:
        (pid,) = children() - before
        os.kill(pid, signal.SIGKILL)
        with pytest.raises(BackendRunError, match=f"{name}: .*SIGKILL"):
            loaded.infer(inputs)
        with pytest.raises(BackendRunError):
            loaded.infer(inputs)
    assert children() == before
    assert not [*temporary.iterdir()]


def test_a_model_that_fits_no_board_says_so_and_leaves_nothing(temporary: Path) -> None:
    board = load_board("bluepill")
    large = read_run_model(classifier(side=96))
    with pytest.raises(BackendRefusedError, match=r"^c: tiny: .* B"):
        GeneratedC(board).load(large)
    assert not [*temporary.iterdir()]


def test_an_engine_that_fails_says_why_in_one_line(temporary: Path) -> None:
    child = Child("c", "c")
    with pytest.raises(BackendError) as caught:
        child.ask(BackendError, "run", inputs=(), repeats=1)  # before it loaded anything
    assert "\n" not in str(caught.value)
    child.close()
    assert not [*temporary.iterdir()]


@pytest.mark.parametrize("name", ["litert-cpu", "c", "onnx-cpu"])
def test_modules_in_the_users_folder_are_not_taken_for_ours(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("numpy", "onnxruntime", "edge_export", "json"):
        (tmp_path / f"{module}.py").write_text("raise SystemExit('the user has one too')")
    monkeypatch.chdir(tmp_path)
    graph = classifier()
    model = read_run_model(graph)
    if name == "onnx-cpu":
        need_onnxruntime()
        model = RunModel("probe", "onnx", probe_model(), None)
    with find_backend(name).load(model) as loaded:
        inputs = generated(graph, 1)[0] if model.graph else [np.zeros(1, np.float32)]
        assert loaded.infer(inputs).outputs


def test_a_child_may_be_closed_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    """The second time its number may be another process's."""
    child = Child("c", "c")
    child.close()
    monkeypatch.setattr(os, "killpg", lambda *_: pytest.fail("somebody else was killed"))
    child.close()
    with pytest.raises(BackendRunError, match="gone"):
        child.ask(BackendError, "run", inputs=(), repeats=1)


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_an_engine_whose_starter_was_killed_does_not_run_for_ever(tmp_path: Path) -> None:
    model = classifier()
    loading = {"content": read_run_model(model).content, "name": "m",
               "board": load_board("stm32f746"), "folder": str(tmp_path)}  # fmt: skip
    running = {"inputs": generated(model, 1)[0], "repeats": 10**9}
    with subprocess.Popen(
        [sys.executable, "-m", "edge_autoglm.backends.worker", "c", "-27"],  # and 30 to spare
        stdin=subprocess.PIPE, env={**os.environ, "TMPDIR": str(tmp_path)},
        stdout=subprocess.DEVNULL,
    ) as worker:  # fmt: skip
        assert worker.stdin is not None
        pickle.dump(("load", loading), worker.stdin)
        pickle.dump(("run", running), worker.stdin)
        worker.stdin.close()
        try:
            assert worker.wait(60) == -signal.SIGALRM
        finally:
            worker.kill()


def test_what_hangs_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge_autoglm.backends.child.PATIENCE_SECONDS", 1.0)
    child = Child("c", "c")
    os.kill(child.pid, signal.SIGSTOP)
    with pytest.raises(BackendRunError, match="1 s"):
        child.ask(BackendError, "run", inputs=(), repeats=1)
    child.close()


def test_an_interrupted_run_ends_its_process_and_is_not_gone_on_with(
    temporary: Path,
) -> None:
    graph = classifier()
    (inputs,) = generated(graph, 1)
    with find_backend("c").load(read_run_model(graph)) as loaded:
        threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT)).start()
        with pytest.raises(KeyboardInterrupt):
            loaded.infer(inputs, repeats=100_000_000)
        with pytest.raises(BackendRunError, match="gone"):
            loaded.infer(inputs)
        begun = time.monotonic()
    assert time.monotonic() - begun < 2  # and is not waited for
    assert not [*temporary.iterdir()]
