"""Real models on the backends of this machine and on a virtual board."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from aot_models import classifier
from backend_models import need_gpu
from cli_tools import Program, command
from search_models import classifier as float_classifier
from search_models import samples

from edge_autoglm import optimize, select_backend
from edge_autoglm.backends import (
    Availability,
    Backend,
    BackendError,
    Loaded,
    RunModel,
    find_backend,
    read_run_model,
)
from edge_autoglm.backends.litert_cpu import LiteRtCpu
from edge_autoglm.backends.litert_gpu import LiteRtGpu
from edge_autoglm.backends.model import generated
from edge_autoglm.backends.virtual_board import VirtualBoard
from edge_autoglm.errors import UsageError
from edge_autoglm.measure.figures import Kind
from edge_autoglm.search.api import Optimized
from edge_boards import virtual
from edge_quantize.graph.writer import write_tflite
from edge_quantize.reference import best_reference
from edge_quantize.run import quantized, real

Models = Callable[[str], Path]


class AsAGpu(LiteRtGpu):
    """SwiftShader taken for a GPU, to see how one is judged."""

    def available(self) -> Availability:
        return replace(super().available(), checks_only=False)

    def load(self, model: RunModel) -> Loaded:
        loaded = super().load(model)
        loaded.checks_only = False
        return loaded


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    program = Program(tmp_path_factory.mktemp("user"))
    (program.folder / "tiny.tflite").write_bytes(write_tflite(classifier()))
    yield program
    program.stop_boards()


@pytest.fixture(scope="module")
def optimized(tmp_path_factory: pytest.TempPathFactory) -> Optimized:
    return optimize(
        float_classifier(), "stm32f746", level=2, data=samples(60),
        output=tmp_path_factory.mktemp("optimized") / "o",
    )  # fmt: skip


@pytest.mark.parametrize("name", ["kws_int8.tflite", "ad_int8.tflite", "ad_float.tflite"])
def test_a_gpu_that_computes_right_is_said_to(
    name: str, mlperf_tiny: Models, program: Program
) -> None:
    need_gpu()
    done = program.done(
        "bench", mlperf_tiny(name), "--backends", "litert-gpu,litert-cpu", "-n", "20",
        "--json", "b.json",
    )  # fmt: skip
    assert all(len(line) <= 80 for line in done.stdout.splitlines())
    gpu, cpu = json.loads((program.folder / "b.json").read_bytes())["backends"]
    assert gpu["difference"]["largest"] <= (1e-3 if "float" in name else 1)
    assert gpu["against"] == "LiteRT on the CPU"
    assert cpu["difference"] is None
    assert gpu["memory"]["value"] > cpu["memory"]["value"]


def test_int8_weights_in_a_float_model_are_judged_by_the_floats_they_stand_for(
    mlperf_tiny: Models, program: Program
) -> None:
    """LiteRT's CPU rounds the activations to int8 there, so that it is the one that is off."""
    need_gpu()
    done = program.done(
        "bench", mlperf_tiny("kws_float.tflite"), "--backends", "litert-gpu,litert-cpu", "-n", "5",
        "--json", "h.json",
    )  # fmt: skip
    assert re.search(r"litert-cpu .*e-0\d ~ ", done.stdout)
    assert "litert-cpu: ~ is what this runtime gives an app" in done.stdout
    gpu, cpu = json.loads((program.folder / "h.json").read_bytes())["backends"]
    assert gpu["difference"]["largest"] < 1e-5
    assert 1e-4 < cpu["difference"]["largest"] < 0.1
    assert cpu["doubt"] is None
    assert "weights as float" in done.stdout


def test_the_int8_convolutions_that_a_gpu_gets_wrong_are_caught(
    mlperf_tiny: Models, program: Program
) -> None:
    """1x1 convolutions of stride 2: LiteRT says that all is accelerated."""
    need_gpu()
    path = mlperf_tiny("ic")
    done = program.run("bench", path, "--backends", "litert-gpu,litert-cpu", "-n", "5")
    assert done.returncode == 1
    assert "LSB ✗" in done.stdout
    assert "wrong: litert-gpu" in done.stderr
    found = select_backend("auto", path, candidates=[AsAGpu(), LiteRtCpu()])
    assert found.chosen.name == "litert-cpu"
    assert "wrong: " in dict(found.passed_over)["litert-gpu"]


def test_a_software_gpu_is_never_chosen_over_the_cpu(mlperf_tiny: Models) -> None:
    if not need_gpu().available().checks_only:
        pytest.skip("a real GPU is here")
    found = select_backend("auto", mlperf_tiny("ad_float.tflite"))
    assert found.chosen.name == "litert-cpu"
    assert "for checking only" in dict(found.passed_over)["litert-gpu"]


def test_a_virtual_board_has_modelled_time_and_no_wall_clock(program: Program) -> None:
    done = program.done(
        "bench", "tiny.tflite", "--backends", "c,virtual", "--board", "stm32f746", "-n", "20",
        "--json", "v.json",
    )  # fmt: skip
    assert "modelled" in done.stdout
    c, board = json.loads((program.folder / "v.json").read_bytes())["backends"]
    assert c["median"]["kind"] == "measured"
    assert board["name"] == "virtual:stm32f746"
    assert board["first"]["kind"] == board["median"]["kind"] == "modelled"
    assert board["load"] is None
    assert board["p95"] is None
    assert 0 < board["median"]["value"] <= board["first"]["value"] < 0.1
    assert board["memory"]["kind"] == "exact"
    assert 0 < board["memory"]["value"] < 320 << 10
    assert board["difference"]["largest"] == c["difference"]["largest"] == 0
    assert "a board's times are its own counter's, of computing alone" in done.stdout


def test_an_emulator_that_counts_instructions_gives_no_time(program: Program) -> None:
    if shutil.which("qemu-system-arm") is None:
        pytest.skip("no qemu-system-arm")
    done = program.done(
        "bench", "tiny.tflite", "--backends", "virtual:mps2-an500", "--json", "q.json"
    )
    (row,) = json.loads((program.folder / "q.json").read_bytes())["backends"]
    assert row["median"] is None
    assert row["difference"]["largest"] == 0
    assert "mps2-an500" in done.stdout


def test_a_virtual_board_of_a_program_leaves_the_users_own_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGE_AUTOGLM_STATE", str(tmp_path / "state"))
    graph = classifier()
    (inputs,) = generated(graph, 1)
    with find_backend("virtual:stm32f746").load(read_run_model(graph)) as loaded:
        assert os.environ["EDGE_AUTOGLM_STATE"] == str(tmp_path / "state")
        assert not virtual.list_running()
        run = loaded.infer(inputs, repeats=2)
        assert loaded.kind is Kind.MODELLED
        assert run.seconds is not None
        assert run.seconds[0] > 0
    (wanted,) = best_reference(graph).run(inputs)
    np.testing.assert_array_equal(run.outputs[0], wanted)
    assert not (tmp_path / "state").exists()


_NOBODY_CLOSES = """
import sys
from pathlib import Path
import numpy as np
from edge_autoglm import optimize
from edge_boards import virtual
from search_models import classifier, samples
kept = optimize(classifier(), "stm32f746", level=2, data=samples(60)).compile()
kept.infer(samples(1, seed=9).inputs[0][0], backend="virtual")
(folder,) = Path(sys.argv[1]).glob("edge-virtual-*")
print(virtual.list_running(state_dir=folder)[0].pid, flush=True)
assert [*Path(sys.argv[1]).glob("edge-host-*")]
if sys.argv[2] == "raise":
    raise RuntimeError("of the user")
"""


@pytest.mark.parametrize(("ending", "code"), [("end", 0), ("raise", 1)])
def test_what_a_program_does_not_close_ends_with_it(
    ending: str, code: int, program: Program
) -> None:
    folder = program.folder / f"unclosed-{ending}"
    folder.mkdir()
    paths = [*sys.path, str(Path(__file__).parents[1])]
    done = subprocess.run(
        [sys.executable, "-c", _NOBODY_CLOSES, str(folder), ending], check=False,
        capture_output=True, text=True, timeout=120,
        env=program.environment(TMPDIR=str(folder), PYTHONPATH=os.pathsep.join(paths)),
    )  # fmt: skip
    assert done.returncode == code, done.stderr
    pid = int(done.stdout)
    until = time.monotonic() + 10
    while Path(f"/proc/{pid}").exists() and time.monotonic() < until:
        time.sleep(0.05)
    assert not Path(f"/proc/{pid}").exists()
    assert not [*folder.iterdir()]


def test_a_board_that_is_not_plugged_in_is_one_row_with_the_reason(program: Program) -> None:
    done = program.run(
        "bench", "tiny.tflite", "--backends", "litert-cpu,board:stm32f746", "-n", "5"
    )
    assert done.returncode == 1
    assert "no board is attached" in " ".join(done.stdout.split())
    assert "not run: board:stm32f746" in done.stderr


def test_a_compiled_model_runs_on_any_backend(optimized: Optimized) -> None:
    first, *others = samples(3, seed=9).inputs[0]
    with optimized.compile() as compiled:
        (output,) = (compiled.graph.tensors[i] for i in compiled.graph.outputs)
        (source,) = (compiled.graph.tensors[i] for i in compiled.graph.inputs)
        for image in (first, *others):
            wanted = compiled.infer(image)
            np.testing.assert_array_equal(compiled.infer(image, backend="c"), wanted)
        np.testing.assert_array_equal(
            compiled.infer(first, backend="virtual"), compiled.infer(first)
        )
        fed = quantized(first, source).reshape(source.shape)
        with find_backend("litert-cpu").load(read_run_model(compiled.graph)) as cpu:
            (direct,) = cpu.infer([fed]).outputs
        found = compiled.infer(first, backend="litert-cpu")
        np.testing.assert_array_equal(found, real(direct, output.quantization))


def test_a_compiled_model_chooses_once_and_says_what(optimized: Optimized) -> None:
    (image,) = samples(1, seed=9).inputs[0]
    with optimized.compile() as compiled:
        assert compiled.selection is None
        chosen = compiled.infer(image, backend="auto")
        selection = compiled.selection
        assert selection is not None
        assert "c" in dict(selection.passed_over)
        again = compiled.infer(image, backend="auto")
        assert compiled.selection is selection
        np.testing.assert_array_equal(chosen, again)
        np.testing.assert_array_equal(chosen, compiled.infer(image, backend=selection.chosen))


def test_a_backend_is_loaded_once_whichever_way_it_is_asked_for(
    optimized: Optimized, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second one would be a process or a board that nobody closes."""
    loads: list[str] = []
    for kind in (LiteRtCpu, VirtualBoard):
        load = kind.load

        def counted(self: Backend, model: RunModel, load: Any = load) -> Loaded:
            loads.append(self.name)
            return load(self, model)

        monkeypatch.setattr(kind, "load", counted)
    monkeypatch.setenv("EDGE_AUTOGLM_GPU", "none")
    (image,) = samples(1, seed=9).inputs[0]
    with optimized.compile() as compiled:
        for backend in ("litert-cpu", LiteRtCpu(), "auto", "auto"):
            compiled.infer(image, backend=backend)
        assert compiled.selection is not None
        assert compiled.selection.chosen.name == "litert-cpu"
        # One for use; the choice itself loads one for the trial and one as its judge.
        assert loads == ["litert-cpu"] * 3
        for backend in ("virtual", "virtual:stm32f746"):
            compiled.infer(image, backend=backend)
        assert loads[3:] == ["virtual:stm32f746"]


def test_a_compiled_model_refuses_what_cannot_be(optimized: Optimized) -> None:
    (image,) = samples(1, seed=9).inputs[0]
    with optimized.compile() as compiled:
        with pytest.raises(UsageError, match="no backend 'tpu'; there are litert-gpu"):
            compiled.infer(image, backend="tpu")
        with pytest.raises(BackendError, match=r"board:stm32f746: .*no board is attached"):
            compiled.infer(image, backend="board")
        with pytest.raises(ValueError, match="input 0 must be"):
            compiled.infer(np.zeros((2, 2)), backend="litert-cpu")
        assert compiled.infer(image).shape == (1, 4)


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_ctrl_c_ends_it_and_leaves_nothing(program: Program) -> None:
    folder = program.folder / "temporary"
    folder.mkdir()
    process = subprocess.Popen(
        command("bench", "tiny.tflite", "-n", "2000000", "--backends", "litert-cpu,c"),
        cwd=program.folder, env=program.environment(TMPDIR=str(folder)),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    assert process.stderr is not None
    for line in process.stderr:
        if "in turns" in line:
            break
    time.sleep(0.5)
    os.killpg(process.pid, signal.SIGINT)
    said = process.stderr.read()
    assert process.wait(60) == 130
    assert said == "edge-autoglm: interrupted\n"
    assert not [*folder.iterdir()]
