"""The four MLPerf Tiny models on the virtual boards, built with gcc and with zig: bit-exact to
tflite_micro on 20 pseudo-random inputs and on the real samples."""

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
from edge_autoglm.device.messages import ModelInfo
from edge_autoglm.device.session import Session
from edge_autoglm.measure.verify import infer
from edge_boards.errors import ToolchainError
from edge_boards.loader import load_board
from edge_boards.toolchain import find_toolchain
from edge_quantize.graph import Graph
from edge_quantize.inputs import lcg_inputs, quantize_array
from edge_quantize.reference import TflmReference, tflm_available

# The Nucleo has the DISCO's chip: the other compiler would show nothing new there.
BUILDS = (
    ("stm32f746", "gcc"),
    ("stm32f746", "zig"),
    ("nucleo-f746zg", "gcc"),
    ("nucleo-l4r5zi", "gcc"),
    ("nucleo-l4r5zi", "zig"),
)
INPUTS = 20
AD_WINDOW = 5 * 128  # frames x mel bins
AD_WINDOWS = 10

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


def generated(session: Session, model: ModelInfo, seed: int) -> tuple[bytes, ...]:
    """One inference on inputs that the board makes itself, from the same generator."""
    session.invoke(model, seed)
    return tuple(session.read_output(model, index) for index in range(len(model.outputs)))


def real(name: str, graph: Graph, folder: Path) -> Iterator[tuple[npt.NDArray[Any], ...]]:
    """The keyword sample, and windows of the machine recording."""
    if name == "kws":
        yield (np.load(folder / "kws_samples.npy").reshape(1, 49, 10, 1).astype(np.int8),)
    if name == "ad":
        frames = np.fromfile(folder / "ad_normal_id_01_00000000.bin", "<f4").reshape(-1, 128)
        for start in range(0, AD_WINDOWS * 19, 19):
            window = frames[start : start + 5].reshape(1, AD_WINDOW)
            yield (quantize_array(window, graph.tensor(graph.inputs[0])),)


@pytest.mark.parametrize(("board_name", "toolchain"), BUILDS)
@pytest.mark.parametrize("name", ["ad", "kws", "ic", "vww"])
def test_the_board_equals_tflite_micro(
    name: str, board_name: str, toolchain: str, mlperf_tiny: Callable[[str], Path], tmp_path: Path
) -> None:
    if not tflm_available():
        pytest.skip("no tflite_micro wheel on this machine")
    board = load_board(board_name)
    try:
        find_toolchain(board, toolchain)
    except ToolchainError as error:
        pytest.skip(str(error))
    path = mlperf_tiny(name)
    graph = pipeline.read_model(path)
    built = pipeline.build(pipeline.export(path, board, tmp_path / name), board, toolchain)
    reference = TflmReference(graph)

    def expected(arrays: tuple[npt.NDArray[Any], ...]) -> tuple[bytes, ...]:
        return tuple(np.ascontiguousarray(a).tobytes() for a in reference.run(arrays))

    with Session(MachineTransport(board, built.image.binary.read_bytes())) as session:
        model = session.model()
        seed = 2
        for number in range(INPUTS):
            arrays, after = lcg_inputs(graph, seed)
            if number == 0:  # over the wire once: 27,648 bytes of vww take their time
                assert infer(session, model, arrays) == expected(arrays)
            assert generated(session, model, seed) == expected(arrays)
            seed = after
        for arrays in real(name, graph, path.parent):
            assert infer(session, model, arrays) == expected(arrays)
