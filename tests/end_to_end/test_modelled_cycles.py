"""Where the weights lie costs what the cycle model's source says."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip("unicorn", reason="unicorn is not installed (extra: virtual)")
pytest.importorskip("capstone", reason="capstone is not installed (extra: virtual)")

from machine_transport import MachineTransport

from edge_autoglm import pipeline
from edge_autoglm.device.session import Session
from edge_boards.loader import load_board
from edge_export import load_export

BOARD = load_board("stm32f746")
LINE = 32


def modelled(folder: Path) -> tuple[int, tuple[int, ...]]:
    """Modelled cycles of the second inference, read by the firmware from its own counter, and
    the instructions of each step."""
    built = pipeline.build(load_export(folder), BOARD)
    transport = MachineTransport(BOARD, built.image.binary.read_bytes())
    with Session(transport) as session:
        model = session.model()
        session.invoke(model, 2)
        transport.machine.count(True)
        session.profile(model, 2)
        cycles = sum(session.step_cycles(model))
        steps = transport.machine.counter.take()
        return cycles, tuple(step.instructions for step in steps)


def test_moving_ads_weights_to_ram_saves_seven_and_a_half_cycles_a_line(
    mlperf_tiny: Callable[[str], Path], tmp_path: Path
) -> None:
    exported = pipeline.export(mlperf_tiny("ad"), BOARD, tmp_path / "flash")
    in_flash, before = modelled(tmp_path / "flash")
    plan = json.loads((exported.directory / "plan.json").read_text(encoding="utf-8"))
    moved = 0
    for record in plan["constants"]:
        # The largest that the SRAM holds beside each other: not quite all of 264 KB.
        if record["kind"] == "weights" and moved + record["size"] < 240_000:
            record["region"] = "sram"
            record.pop("offset")
            moved += record["size"]
    assert moved > 180_000
    changed = tmp_path / "plan.json"
    changed.write_text(json.dumps(plan), encoding="utf-8")
    pipeline.export(mlperf_tiny("ad"), BOARD, tmp_path / "ram", pipeline.Asked(plan=changed))
    in_ram, after = modelled(tmp_path / "ram")
    assert after == before, "the same instructions ran"
    assert (in_flash - in_ram) / (moved / LINE) == pytest.approx(7.5, rel=0.1)
