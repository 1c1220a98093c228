"""Without the extra `virtual` every way to a virtual board says the one line that installs it."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
from importlib.machinery import ModuleSpec
from pathlib import Path

import pytest
from cli_tools import call

from edge_boards import load_board
from edge_boards.virtual.client import check_needs

LINE = "pip install 'edge-autoglm[virtual]'"
ON_BOARD = ["--board", "stm32f746", "--port", "virtual"]


@pytest.fixture(params=["unicorn", "capstone"])
def missing(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    find = importlib.util.find_spec

    def find_spec(name: str, package: str | None = None) -> ModuleSpec | None:
        return None if name == request.param else find(name, package)

    monkeypatch.setattr(importlib.util, "find_spec", find_spec)
    monkeypatch.setenv("EDGE_AUTOGLM_STATE", str(tmp_path / "state"))
    return str(request.param)


@pytest.mark.parametrize(
    "arguments",
    [
        ["virtual", "start", "stm32f746"],
        ["profile", *ON_BOARD],
        # The file does not exist: that there is no virtual board is said before it is looked at.
        ["flash", "no_such_folder", *ON_BOARD],
    ],
)
def test_the_install_line_is_said_before_anything_starts(
    arguments: list[str], missing: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    answer = call(capsys, *arguments)
    assert answer.code == 1
    assert answer.err == f"edge-autoglm: the virtual board needs {missing}: {LINE}\n"
    assert not (tmp_path / "state").exists()


def test_a_board_in_qemu_needs_neither(missing: str) -> None:
    if shutil.which("qemu-system-arm") is None:
        pytest.skip("qemu-system-arm is not installed")
    check_needs(load_board("mps2-an500"))
    code = "import sys; import edge_boards.virtual.qemu.process; sys.exit(%r in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code % missing], check=False).returncode == 0
