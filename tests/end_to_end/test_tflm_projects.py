"""A TFLM folder builds without edge-autoglm: by its CMakeLists.txt and its platformio.ini, for
boards whose images are ours and for an Arduino core. TFLM is the stand-in of `tests/tflm_fake`."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("unicorn", reason="unicorn is not installed (extra: virtual)")

from machine_transport import MachineTransport
from platformio_core import prepare_core, variables
from tflm_fakes import OPS, SIZE, fake_headers, fake_library, model

from edge_autoglm import pipeline
from edge_autoglm.device.session import Session
from edge_boards.board import Board
from edge_boards.loader import load_board
from edge_export.tflm.tree import ENVIRONMENT, library_folder

BOARD = load_board("stm32f746")
PIO = [sys.executable, "-m", "platformio"]


@pytest.fixture
def project(tmp_path: Path) -> Callable[[Board], tuple[Path, Path]]:
    """An exported folder of the toy model, and the tree that goes with it."""

    def make(board: Board, **core: object) -> tuple[Path, Path]:
        tree = fake_headers(tmp_path / "tree")
        built_for = replace(board, core=replace(board.core, **core))  # type: ignore[arg-type]
        parts = library_folder(board.core).split("/")
        fake_library(tree, built_for, "FAKE_CMSIS_NN", folder=parts[1])
        path, _ = model(tmp_path)
        asked = pipeline.Asked("tflm", arena=1024)
        return pipeline.export(path, board, tmp_path / "toy", asked).directory, tree

    return make


def run(*command: object, cwd: Path, **changes: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        list(map(str, command)), cwd=cwd, env={**os.environ, **changes},
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip


def works(image: bytes) -> None:
    """The image serves the wire and computes what the stand-in computes."""
    content = bytes(range(SIZE))
    with Session(MachineTransport(BOARD, image)) as session:
        toy = session.model()
        session.write_input(toy, 0, content)
        session.profile(toy)
        assert session.read_output(toy) == bytes((byte + OPS) % 256 for byte in content)
        assert all(session.step_cycles(toy))


def test_cmake_builds_an_image_that_runs(
    project: Callable[[Board], tuple[Path, Path]], tmp_path: Path
) -> None:
    if shutil.which("cmake") is None:
        pytest.skip("no cmake on PATH")
    folder, tree = project(BOARD)
    made = run("cmake", "-B", tmp_path / "out", f"-DTFLM_DIR={tree}", cwd=folder)
    assert made.returncode == 0, made.stderr
    built = run("cmake", "--build", tmp_path / "out", cwd=folder)
    assert built.returncode == 0, built.stdout + built.stderr
    works((tmp_path / "out" / "profile.bin").read_bytes())


def test_cmake_says_what_is_missing(
    project: Callable[[Board], tuple[Path, Path]], tmp_path: Path
) -> None:
    if shutil.which("cmake") is None:
        pytest.skip("no cmake on PATH")
    folder, tree = project(BOARD)
    none = run("cmake", "-B", tmp_path / "a", cwd=folder, **{ENVIRONMENT: ""})
    assert none.returncode != 0
    assert "TFLM_DIR is no tflite-micro checkout" in none.stderr
    shutil.rmtree(tree / "gen")
    half = run("cmake", "-B", tmp_path / "b", f"-DTFLM_DIR={tree}", cwd=folder)
    assert half.returncode != 0
    assert "OPTIMIZED_KERNEL_DIR=cmsis_nn" in half.stderr


def test_platformio_builds_an_image_that_runs(
    project: Callable[[Board], tuple[Path, Path]], tmp_path: Path
) -> None:
    folder, tree = project(BOARD)
    core = variables(prepare_core(tmp_path / "core"))
    built = run(*PIO, "run", cwd=folder, **core, **{ENVIRONMENT: str(tree)})
    assert built.returncode == 0, built.stdout + built.stderr
    works((folder / ".pio" / "build" / BOARD.name / "firmware.bin").read_bytes())


def test_platformio_says_what_is_missing(
    project: Callable[[Board], tuple[Path, Path]], tmp_path: Path
) -> None:
    folder, tree = project(BOARD)
    core = variables(prepare_core(tmp_path / "core"))
    none = run(*PIO, "run", cwd=folder, **core, **{ENVIRONMENT: ""})
    assert none.returncode != 0
    assert "TFLM: name a tflite-micro checkout in custom_tflm" in none.stdout + none.stderr
    shutil.rmtree(tree / "gen")
    half = run(*PIO, "run", cwd=folder, **core, **{ENVIRONMENT: str(tree)})
    assert half.returncode != 0
    assert "OPTIMIZED_KERNEL_DIR=cmsis_nn microlite" in half.stdout + half.stderr


def test_platformio_links_a_sketch_for_an_arduino_core(
    project: Callable[..., tuple[Path, Path]], tmp_path: Path
) -> None:
    board = load_board("nucleo-f401re")
    # The stand-in for the Arduino core uses no FPU.
    folder, tree = project(board, fpu=None)
    assert (folder / "src" / "main.cpp").is_file()
    assert not (folder / "CMakeLists.txt").exists()
    core = variables(prepare_core(tmp_path / "core"))
    built = run(*PIO, "run", cwd=folder, **core, **{ENVIRONMENT: str(tree)})
    assert built.returncode == 0, built.stdout + built.stderr
    assert (folder / ".pio" / "build" / board.name / "firmware.elf").is_file()
