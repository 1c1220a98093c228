"""QEMU and the emulation of this package count the same instructions, step by step.

The board in QEMU has the core of the STM32F746, and the same compiler with the same flags makes the
same code of a model for both. What is counted there by the firmware, by a timer, is counted here by
the machine, between two addresses.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

pytest.importorskip("unicorn", reason="unicorn is not installed (extra: virtual)")

from qemu_boards import need_qemu

from edge_autoglm import pipeline
from edge_autoglm.flash import flash_image
from edge_autoglm.measure.run import run_profile
from edge_boards import load_board, virtual

need_qemu()

ROOT = Path(__file__).parents[2]
MODELS = {
    "digits": ROOT / "examples" / "digits" / "digits_int8.tflite",
    **{
        name: ROOT / "tests" / "golden" / "models" / f"{name}.tflite"
        for name in ("net_separable", "net_residual", "net_branches", "net_float_ends")
    },
}
BOARDS = ("stm32f746", "mps2-an500")


@pytest.fixture(scope="module", autouse=True)
def boards(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Both boards, in a state folder of this module's own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EDGE_AUTOGLM_STATE", str(tmp_path_factory.mktemp("state")))
        yield
        for info in virtual.list_running():
            virtual.stop(info.board)


def counts(model: Path, board_name: str, folder: Path) -> list[tuple[str, float]]:
    """Each layer with its instructions, in the second inference."""
    board = load_board(board_name)
    exported = pipeline.export(model, board, folder / board_name)
    image = pipeline.build(exported, board).image
    report = flash_image(board, image, "virtual")
    profile, _ = run_profile(board, report.port, runs=1, warmup=1)
    assert profile.instructions is not None
    assert (profile.cycles is None) == (board_name == "mps2-an500")
    return [
        (layer.name, layer.instructions.value) for layer in profile.layers if layer.instructions
    ]


@pytest.mark.parametrize("name", MODELS)
def test_they_agree_to_the_instruction(name: str, tmp_path: Path) -> None:
    ours, theirs = (counts(MODELS[name], board, tmp_path) for board in BOARDS)
    assert ours == theirs
    assert sum(count for _, count in ours) > 1000


@pytest.mark.slow
@pytest.mark.parametrize("name", ["ad", "kws", "ic", "vww"])
def test_they_agree_on_the_mlperf_models(
    name: str, mlperf_tiny: Callable[[str], Path], tmp_path: Path
) -> None:
    ours, theirs = (counts(mlperf_tiny(name), board, tmp_path) for board in BOARDS)
    assert ours == theirs
