"""The real `pio run -t upload`, with a stand-in of the platform `ststm32` whose uploader copies."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from pathlib import Path

import pytest
from platformio_core import prepare_core

from edge_autoglm.errors import FlashError
from edge_autoglm.flash.job import Job
from edge_autoglm.flash.platformio import program
from edge_autoglm.flash.programmers import PROGRAMMERS
from edge_autoglm.flash.runner import ToolError
from edge_autoglm.flash.tool import find_tool
from edge_boards.board import Programmer
from edge_boards.loader import load_board

IMAGE = os.urandom(5000)

# What ststm32's builder does with these two targets and `upload_protocol = custom`.
_BUILDER = """\
from os.path import join
from SCons.Script import COMMAND_LINE_TARGETS, AlwaysBuild, DefaultEnvironment

env = DefaultEnvironment()
assert "nobuild" in COMMAND_LINE_TARGETS
firmware = join("$BUILD_DIR", "firmware.bin")
AlwaysBuild(env.Alias("nobuild", firmware))
assert env.subst("$UPLOAD_PROTOCOL") == "custom"
upload = [env.VerboseAction("$UPLOADCMD", "Uploading $SOURCE")]
AlwaysBuild(env.Alias("upload", firmware, upload))
"""


@pytest.fixture
def core(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = prepare_core(tmp_path / "core")
    (folder / "platforms" / "ststm32" / "builder" / "main.py").write_text(_BUILDER)
    monkeypatch.setenv("PLATFORMIO_CORE_DIR", str(folder))
    return folder


def job(upload: str, **changes: object) -> Job:
    board = load_board("stm32f746")
    assert board.platformio is not None
    options = ("upload_protocol = custom", f"upload_command = {upload}")
    own = replace(board, platformio=replace(board.platformio, options=options))
    tool = PROGRAMMERS["platformio"].tool
    assert tool is not None
    made = Job(
        own, Programmer("platformio"), IMAGE, board.flash.address, None, tool=find_tool(tool)
    )
    return replace(made, **changes)  # type: ignore[arg-type]


def test_an_image_of_ours_is_uploaded_as_if_platformio_had_linked_it(
    core: Path, tmp_path: Path
) -> None:
    there = tmp_path / "uploaded"
    told: list[int] = []
    program(
        job(
            f"cp $SOURCE {there} && echo $UPLOAD_PORT",
            port="/dev/ttyACM7",
            progress=lambda done, _: told.append(done),
        )
    )
    assert core.is_dir()
    assert there.read_bytes() == IMAGE
    assert told[-1] == len(IMAGE)


def test_an_uploader_that_fails_is_shown_with_its_words(core: Path) -> None:
    with pytest.raises(ToolError, match=r"no probe was found.* half an image now") as caught:
        program(job("echo Error: open failed && false"))
    assert core.is_dir()
    assert any("open failed" in line for line in caught.value.problems)


def test_a_platform_that_is_not_installed_is_named_with_the_command_that_gets_it(
    core: Path,
) -> None:
    made = job("true")
    assert made.board.platformio is not None
    other = replace(made.board.platformio, platform="edge-autoglm-no-such-platform")
    begun = time.monotonic()
    with pytest.raises(FlashError, match="pkg install --global --platform edge-autoglm-no-such"):
        program(replace(made, board=replace(made.board, platformio=other)))
    # PlatformIO itself would ask a network that may not be there, for a minute.
    assert time.monotonic() - begun < 30
    assert core.is_dir()
