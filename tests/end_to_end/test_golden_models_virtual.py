"""The committed small models on virtual boards, a Cortex-M7, a Cortex-M4, and a Cortex-M55 with the
portable kernels: many of them linked into one image of the shipping app, each bit-exact to
tflite_micro over the wire."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

pytest.importorskip("unicorn", reason="unicorn is not installed (extra: virtual)")

import qemu_boards
from machine_transport import MachineTransport
from qemu_boards import need_qemu

from edge_autoglm.device.session import Session
from edge_boards.board import Board
from edge_boards.errors import ToolchainError
from edge_boards.loader import load_board
from edge_boards.toolchain import (
    BuildRequest,
    Image,
    ModelSources,
    Toolchain,
    build_image,
    find_toolchain,
)
from edge_export.aot.package import export_model
from edge_quantize.graph import Graph
from edge_quantize.ingest.tflite import read_tflite
from edge_quantize.reference import TflmReference, tflm_available

MODELS = sorted((Path(__file__).resolve().parents[1] / "golden" / "models").glob("*.tflite"))
BUILDS = (
    *(("stm32f746", "gcc"), ("stm32f746", "zig"), ("nucleo-l4r5zi", "gcc")),
    *(("mps3-an547", "gcc"), pytest.param(("mps3-an547", "zig"), marks=pytest.mark.slow)),
)
IN_ONE_IMAGE = 48


def batches() -> Iterator[list[Path]]:
    for start in range(0, len(MODELS), IN_ONE_IMAGE):
        yield MODELS[start : start + IN_ONE_IMAGE]


@pytest.fixture(params=BUILDS, ids=" ".join)
def target(request: pytest.FixtureRequest) -> tuple[Board, Toolchain]:
    name, compiler = request.param
    board = load_board(name)
    if in_qemu(board):
        need_qemu()
    try:
        return board, find_toolchain(board, compiler)
    except ToolchainError as error:
        pytest.skip(str(error))


def in_qemu(board: Board) -> bool:
    return board.virtual is not None and board.virtual.model == "qemu"


@contextmanager
def running(board: Board, image: Image, state: Path) -> Iterator[Session]:
    """A session with the image on the virtual board."""
    if in_qemu(board):
        with (
            qemu_boards.running(board, image.binary, state) as info,
            qemu_boards.talk(info) as session,
        ):
            yield session
    else:
        with Session(MachineTransport(board, image.binary.read_bytes())) as session:
            yield session


def inputs_of(graph: Graph, seed: int) -> list[npt.NDArray[Any]]:
    generator = np.random.default_rng(seed)
    arrays: list[npt.NDArray[Any]] = []
    for index in graph.inputs:
        tensor = graph.tensor(index)
        if tensor.dtype.value == "float32":
            arrays.append(generator.normal(0.0, 3.0, tensor.shape).astype(np.float32))
        else:
            kind = np.iinfo(tensor.dtype.value)
            values = generator.integers(kind.min, kind.max, tensor.shape, endpoint=True)
            arrays.append(values.astype(tensor.dtype.value))
    return arrays


def linked(paths: list[Path], board: Board, folder: Path) -> tuple[ModelSources, ...]:
    """Every model's generated folder, as the build takes it."""
    return tuple(
        export_model(
            read_tflite(path), board, folder / path.stem, name=f"m_{path.stem}"
        ).model_sources()
        for path in paths
    )


@pytest.mark.parametrize(
    "paths", list(batches()), ids=lambda paths: f"{paths[0].stem}..{paths[-1].stem}"
)
def test_models_on_the_board_equal_tflite_micro(
    paths: list[Path], target: tuple[Board, Toolchain], tmp_path: Path
) -> None:
    board, toolchain = target
    if not tflm_available():
        pytest.skip("no tflite_micro wheel on this machine")
    request = BuildRequest(board, "profile", linked(paths, board, tmp_path), tmp_path / "image")
    image = build_image(request, toolchain)
    wrong: list[str] = []
    with running(board, image, tmp_path / "state") as session:
        assert len(session.models) == len(paths)
        for path in paths:
            graph = read_tflite(path)
            reference = TflmReference(graph)
            model = session.model(f"m_{path.stem}")
            for seed in range(2):
                inputs = inputs_of(graph, seed)
                for position, value in enumerate(inputs):
                    session.write_input(model, position, value.tobytes())
                session.invoke(model)
                for position, wanted in enumerate(reference.run(inputs)):
                    if (
                        session.read_output(model, position)
                        != np.ascontiguousarray(wanted).tobytes()
                    ):
                        wrong.append(f"{path.stem}, input {seed}, output {position}")
    assert wrong == []
