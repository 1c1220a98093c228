"""The program that prints what quantizing reaches."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

TOOL = Path(__file__).resolve().parents[2] / "tools" / "bench_quantize.py"


def run(*arguments: str, data: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(TOOL), *arguments], capture_output=True, text=True, check=False,
        env={**os.environ, "EDGE_AUTOGLM_DATA": str(data)},
    )  # fmt: skip


def test_it_starts_without_frameworks_and_knows_its_sections(tmp_path: Path) -> None:
    assert "mixed" in run("--help", data=tmp_path).stdout
    answer = run("--only", "nonsense", data=tmp_path)
    assert answer.returncode == 2
    assert "nonsense" in answer.stderr


def test_it_says_when_the_models_are_not_there(tmp_path: Path) -> None:
    answer = run("--only", "ad", "--require", data=tmp_path)
    assert answer.returncode == 1
    assert "EDGE_AUTOGLM_DATA" in answer.stdout + answer.stderr
