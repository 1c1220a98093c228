"""A real board flashed by the programmers that EDGE_AUTOGLM_HARDWARE_PROGRAMMERS names.

EDGE_AUTOGLM_HARDWARE_PROGRAMMERS=openocd,st-flash pytest tests/hardware

The board is EDGE_AUTOGLM_HARDWARE_BOARD (stm32f746 by default), its port
EDGE_AUTOGLM_HARDWARE_PORT (auto by default); what was in its flash is lost.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from aot_models import classifier

from edge_autoglm import pipeline
from edge_autoglm.flash import flash_image
from edge_boards.loader import load_board
from edge_quantize.graph.writer import write_tflite

pytestmark = pytest.mark.hardware

NAMED = os.environ.get("EDGE_AUTOGLM_HARDWARE_PROGRAMMERS", "").split(",")


@pytest.mark.parametrize("name", [name for name in NAMED if name] or [None])
def test_what_was_flashed_is_what_answers(name: str | None, tmp_path: Path) -> None:
    if name is None:
        pytest.skip("no board: EDGE_AUTOGLM_HARDWARE_PROGRAMMERS names no programmer")
    board = load_board(os.environ.get("EDGE_AUTOGLM_HARDWARE_BOARD", "stm32f746"))
    model = tmp_path / f"tiny_{name.replace('-', '_')}.tflite"
    model.write_bytes(write_tflite(classifier()))
    built = pipeline.build(pipeline.export(model, board, tmp_path / "out"), board)
    told: list[tuple[int, int]] = []
    report = flash_image(
        board,
        built.image,
        os.environ.get("EDGE_AUTOGLM_HARDWARE_PORT", "auto"),
        programmer=name,
        models={built.export.name: bytes.fromhex(built.export.model_sha256)},
        progress=lambda done, total: told.append((done, total)),
    )
    assert report.programmer == name
    assert report.info.build_id == built.image.build_id
    assert told[-1][0] == told[-1][1]
