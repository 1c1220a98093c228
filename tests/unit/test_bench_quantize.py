"""The quantization figures: a target is met, missed or not there; nothing passes by not running."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

TOOLS = Path(__file__).resolve().parents[2] / "tools"
sys.path.insert(0, str(TOOLS))

from quantize_figures.row import Row  # noqa: E402


@pytest.mark.parametrize(
    ("row", "missed"),
    [
        (Row("error", 0.2, most=0.2), False),
        (Row("error", 0.21, most=0.2), True),
        (Row("gain", 15.0, least=15.0), False),
        (Row("gain", 14.9, least=15.0), True),
        (Row("error", float("nan"), most=0.2), True),
        (Row("gain", float("nan"), least=15.0), True),
        (Row("a figure without a target", 1e9), False),
    ],
)
def test_a_target_is_met_to_the_last_digit_and_never_by_nan(row: Row, missed: bool) -> None:
    assert row.missed is missed
    assert (row.verdict == "MISSED") is missed


def test_figures_are_shown_as_they_are_judged() -> None:
    assert Row("MACs", 3_727_313, most=3_727_313).shown == "3,727,313"
    assert Row("RMSE", 0.2004, most=0.2).shown == "0.2"
    assert Row("RMSE", 0.2004, most=0.2).verdict == "MISSED"


def run(*arguments: str, data: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(TOOLS / "bench_quantize.py"), *arguments],
        env={"EDGE_AUTOGLM_DATA": str(data), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
    )


def test_a_section_that_is_not_there_is_wrong_usage(tmp_path: Path) -> None:
    done = run("--only", "nothing", data=tmp_path)
    assert done.returncode == 2
    assert "no section is called nothing" in done.stderr


def test_without_models_nothing_is_claimed(tmp_path: Path) -> None:
    assert "EDGE_AUTOGLM_DATA" in run("--only", "ad", data=tmp_path).stdout
    assert run("--only", "ad", "--require", data=tmp_path).returncode == 1
