"""The commands of docs/platformio.md, run in order where they need no board and no registry."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from cli_tools import environment
from platformio_core import prepare_core, variables

from edge_boards.data import data_path

ROOT = Path(__file__).resolve().parents[2]
COMMAND = re.compile(r"^    ((?:\w+=\S+ )?(?:edge-autoglm|pio) .+)$", re.MULTILINE)
NEEDS_A_BOARD = re.compile(r"edge-autoglm (flash|profile|verify|monitor)")


def test_the_commands_work(tmp_path: Path) -> None:
    text = (ROOT / "docs" / "platformio.md").read_text(encoding="utf-8")
    commands = COMMAND.findall(text)
    assert len(commands) >= 7
    core = prepare_core(tmp_path / "core")
    work = tmp_path / "work"
    work.mkdir()
    shutil.copy(ROOT / "examples" / "digits" / "digits_int8.tflite", work)
    (work / "firmware").symlink_to(data_path("firmware"))
    programs = tmp_path / "bin"
    programs.mkdir()
    for name, module in (("edge-autoglm", "edge_autoglm"), ("pio", "platformio")):
        (programs / name).write_text(f'#!/bin/sh\nexec "{sys.executable}" -m {module} "$@"\n')
        (programs / name).chmod(0o755)
    env = environment(**variables(core), PATH=f"{programs}{os.pathsep}{os.environ['PATH']}")
    for command in commands:
        if NEEDS_A_BOARD.search(command):
            continue
        # Nothing is built into the checkout.
        there = (
            {"PLATFORMIO_WORKSPACE_DIR": str(tmp_path / "checkout")}
            if "-d firmware" in command
            else {}
        )
        done = subprocess.run(
            command, shell=True, cwd=work, env={**env, **there}, capture_output=True, text=True
        )
        assert done.returncode == 0, (command, done.stdout, done.stderr)
