"""The figures of `make bench`: what counts as missed."""

from __future__ import annotations

import importlib.util
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest


@pytest.fixture(scope="module")
def bench() -> ModuleType:
    path = Path(__file__).parents[2] / "tools" / "bench.py"
    spec = importlib.util.spec_from_file_location("bench", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["bench"] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def good(bench: ModuleType) -> Any:
    return bench.Figures(
        board="stm32f746", model="kws", toolchain="gcc 12.2.1 (somewhere)", beside_peer=True,
        bit_exact=True, macs=1000, instructions=4_000_000, cycles=3_000_000, latency_ms=14.0,
        arena=10_000, flash_less_weights=17_000, weights=20_000, static_ram=2_000, stack=500,
        export_s=0.1, all_s=3.0,
    )  # fmt: skip


def test_figures_within_their_targets_miss_nothing(good: Any) -> None:
    assert good.misses() == []


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"instructions": 7_700_000}, "stm32f746: kws: instructions 1.01x the peer's"),
        ({"arena": 30_000}, "arena 1.31x the peer's"),
        ({"flash_less_weights": 30_000}, "flash less weights 0.69x the peer's"),
        ({"bit_exact": False}, "outputs differ from tflite_micro's"),
        ({"model": "vww", "export_s": 3.0}, "export took 3.0 s"),
    ],
)
def test_each_target_is_judged(good: Any, changes: dict[str, Any], words: str) -> None:
    (line,) = replace(good, **changes).misses()
    assert words in line


def test_the_peer_is_no_measure_for_other_cores_and_compilers(good: Any) -> None:
    slow = replace(good, instructions=70_000_000)
    assert replace(slow, beside_peer=False).misses() == []
    assert replace(slow, toolchain="zig 0.17").misses() == []
    assert replace(slow, beside_peer=False, bit_exact=False).misses()


def test_qemu_must_count_what_our_own_emulation_counts(bench: ModuleType, good: Any) -> None:
    same = replace(good, board="mps2-an500", cycles=None, latency_ms=None)
    assert bench.disagreements([good, same]) == []
    off = replace(same, instructions=good.instructions + 1)
    assert bench.disagreements([good, off]) == [
        "mps2-an500: kws: 4,000,001 instructions, on stm32f746 4,000,000"
    ]
    assert bench.disagreements([good]) is None
    assert bench.disagreements([good, replace(off, toolchain="zig 0.17")]) is None


def test_every_virtual_board_takes_part_the_flagship_first(bench: ModuleType) -> None:
    names = [board.name for board in bench.virtual_boards()]
    assert names[0] == "stm32f746"
    assert {"mps2-an500", "mps3-an547", "nucleo-f746zg", "nucleo-l4r5zi"} <= set(names)
