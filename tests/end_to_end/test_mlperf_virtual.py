"""The four MLPerf Tiny models on the virtual STM32F746, each built with gcc and with zig:
bit-exact to tflite_micro on 20 pseudo-random inputs and on the real samples."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

pytest.importorskip("unicorn", reason="unicorn is not installed (extra: virtual)")

from machine_transport import MachineTransport

from edge_autoglm import pipeline
from edge_autoglm.device.session import Session
from edge_autoglm.measure.verify import infer
from edge_boards.errors import ToolchainError
from edge_boards.loader import load_board
from edge_boards.toolchain import find_toolchain
from edge_quantize.graph import Graph
from edge_quantize.inputs import lcg_inputs, quantize_array
from edge_quantize.reference import TflmReference, tflm_available

BOARD = load_board("stm32f746")
INPUTS = 20
AD_WINDOW = 5 * 128  # frames x mel bins
AD_WINDOWS = 10

pytestmark = pytest.mark.slow


def pseudo_random(graph: Graph) -> Iterator[tuple[npt.NDArray[Any], ...]]:
    state = 2
    for _ in range(INPUTS):
        arrays, state = lcg_inputs(graph, state)
        yield arrays


def real(name: str, graph: Graph, folder: Path) -> Iterator[tuple[npt.NDArray[Any], ...]]:
    """The keyword sample, and windows of the machine recording."""
    if name == "kws":
        yield (np.load(folder / "kws_samples.npy").reshape(1, 49, 10, 1).astype(np.int8),)
    if name == "ad":
        frames = np.fromfile(folder / "ad_normal_id_01_00000000.bin", "<f4").reshape(-1, 128)
        for start in range(0, AD_WINDOWS * 19, 19):
            window = frames[start : start + 5].reshape(1, AD_WINDOW)
            yield (quantize_array(window, graph.tensor(graph.inputs[0])),)


@pytest.mark.parametrize("toolchain", ["gcc", "zig"])
@pytest.mark.parametrize("name", ["ad", "kws", "ic", "vww"])
def test_the_board_equals_tflite_micro(
    name: str, toolchain: str, mlperf_tiny: Callable[[str], Path], tmp_path: Path
) -> None:
    if not tflm_available():
        pytest.skip("no tflite_micro wheel on this machine")
    try:
        find_toolchain(BOARD, toolchain)
    except ToolchainError as error:
        pytest.skip(str(error))
    path = mlperf_tiny(name)
    graph = pipeline.read_model(path)
    built = pipeline.build(pipeline.export(path, BOARD, tmp_path / name), BOARD, toolchain)
    reference = TflmReference(graph)
    compared = 0
    with Session(MachineTransport(BOARD, built.image.binary.read_bytes())) as session:
        model = session.model()
        for arrays in (*pseudo_random(graph), *real(name, graph, path.parent)):
            expected = tuple(np.ascontiguousarray(a).tobytes() for a in reference.run(arrays))
            assert infer(session, model, arrays) == expected
            compared += 1
    assert compared >= INPUTS
