"""The PlatformIO project made from board files: what stands in it, and when it is written."""

from __future__ import annotations

import configparser
import os
import stat
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from edge_boards.board import PlatformIO
from edge_boards.data import data_path
from edge_boards.elf import EM_RISCV, Elf
from edge_boards.errors import ImageError, ToolchainError
from edge_boards.loader import list_boards, load_board
from edge_boards.platformio import tool
from edge_boards.platformio.build import framework_sizes
from edge_boards.platformio.ini import by_framework
from edge_boards.platformio.project import (
    firmware_ini,
    project_files,
    update_firmware,
    write_project,
)
from edge_boards.toolchain import ModelSources, zig
from edge_boards.toolchain.linker import linker_script

FIRMWARE = data_path("firmware")
BOARDS = list_boards()
F746 = load_board("stm32f746")


def parsed(text: str) -> configparser.ConfigParser:
    ini = configparser.ConfigParser(interpolation=None)
    ini.read_string(text)
    return ini


def test_the_shipped_project_is_what_the_board_files_make() -> None:
    assert update_firmware(BOARDS, FIRMWARE, check=True) == [], (
        "run python -m edge_boards.platformio"
    )


def test_every_board_that_platformio_knows_has_an_environment() -> None:
    ini = parsed((FIRMWARE / "platformio.ini").read_text(encoding="utf-8"))
    known = {board.name: board for board in BOARDS if board.platformio is not None}
    assert len(known) >= 20
    assert {s.removeprefix("env:") for s in ini.sections() if s.startswith("env:")} == set(known)
    for name, board in known.items():
        section = ini[f"env:{name}"]
        assert board.platformio is not None
        assert section["board"] == board.platformio.board
        assert section["extends"] == ("arduino" if by_framework(board) else "bare")


def test_a_project_has_the_very_environment_of_the_shipped_file() -> None:
    files = project_files(F746)
    mine = parsed(files["platformio.ini"].decode())
    shipped = parsed((FIRMWARE / "platformio.ini").read_text(encoding="utf-8"))
    for section in ("env", "bare", "env:stm32f746"):
        assert dict(mine[section]) == dict(shipped[section])
    assert files["platformio/stm32f746/image.ld"].decode() == linker_script(F746)


def test_all_that_is_compiled_is_in_the_project() -> None:
    files = project_files(F746)
    wanted = parsed(files["platformio.ini"].decode())["env:stm32f746"]["build_src_filter"].split()
    for pattern in (word[2:-1] for word in wanted if word.startswith("+<")):
        assert any(name.startswith(pattern) for name in files), pattern
    assert not any("host" in name or "sketch" in name for name in files)
    for name, content in files.items():
        if not name.startswith("platformio"):
            assert (FIRMWARE / name).read_bytes() == content


def test_an_option_of_the_board_file_comes_beside_ours() -> None:
    options = ("build_flags = -DMINE=1", "monitor_speed = 9600", "lib_deps = Some Library")
    board = replace(load_board("bluepill"), platformio=PlatformIO("b", "p", "arduino", options))
    section = parsed(firmware_ini((board,), FIRMWARE))["env:bluepill"]
    assert section["build_flags"].split() == ["${arduino.build_flags}", "-DMINE=1"]
    assert section["lib_deps"].split("\n") == ["${env.lib_deps}", "Some Library"]
    assert section["monitor_speed"] == "9600"


def test_a_board_that_platformio_does_not_know() -> None:
    with pytest.raises(ToolchainError, match=r"stm32f746.toml has no table \[platformio\]"):
        project_files(replace(F746, platformio=None))


def test_files_that_are_right_stay_and_files_of_an_earlier_version_go(tmp_path: Path) -> None:
    project = write_project(F746, tmp_path)
    kept, changed = project / "runtime" / "eag_wire.c", project / "runtime" / "eag_cbor.c"
    old = project / "runtime" / "eag_gone.c"
    of_the_user = project / "notes.txt"
    os.utime(kept, (1, 1))
    changed.write_text("x", encoding="utf-8")
    old.write_text("x", encoding="utf-8")
    of_the_user.write_text("x", encoding="utf-8")
    assert write_project(F746, tmp_path) == project
    assert kept.stat().st_mtime == 1
    assert changed.read_bytes() == (FIRMWARE / "runtime" / "eag_cbor.c").read_bytes()
    assert not old.exists()
    assert of_the_user.exists()


def test_a_stale_shipped_project_is_named_and_mended(tmp_path: Path) -> None:
    for name in ("ports", "platformio"):
        (tmp_path / name).mkdir()
    boards = (replace(load_board("bluepill")),)
    (tmp_path / "ports" / "arduino").mkdir()
    gone = tmp_path / "platformio" / "gone" / "eag_board.h"
    gone.parent.mkdir()
    gone.write_text("", encoding="utf-8")
    named = ["platformio.ini", "platformio/bluepill/eag_board.h", "platformio/gone/eag_board.h"]
    assert update_firmware(boards, tmp_path, check=True) == named
    assert gone.exists()
    assert update_firmware(boards, tmp_path, check=False) == named
    assert not gone.parent.exists()
    assert update_firmware(boards, tmp_path, check=True) == []


def test_the_sizes_of_an_image_for_another_core(tmp_path: Path) -> None:
    """ESP32-C3: constants and code are mapped at addresses of their own, and count as flash."""
    found = zig.find_program()
    if found is None:
        pytest.skip("no zig: pip install ziglang")
    source, script, made = (tmp_path / name for name in ("a.c", "a.ld", "a.elf"))
    source.write_text(
        "int kept = 5; char room[3000]; const char text[500] = {1};\n"
        "void _start(void) { room[kept] = text[kept]; for (;;) {} }\n",
        encoding="utf-8",
    )
    script.write_text(
        "ENTRY(_start) SECTIONS { . = 0x3fc80000; .data : { *(.data .sdata) } "
        ".bss : { *(.bss .sbss) } . = 0x42000020; .text : { *(.text) *(.rodata) } "
        "/DISCARD/ : { *(.eh_frame* .comment .riscv.attributes) } }",
        encoding="utf-8",
    )
    flags = ("-target", "riscv32-freestanding", "-mcpu=generic_rv32+m+c", "-O1", "-nostdlib")
    done = subprocess.run(
        [found[0], "cc", *flags, "-fno-sanitize=all", "-g0", "-T", script, source, "-o", made],
        env={**os.environ, **dict(zig.environment())}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    model = ModelSources("m", (), (), weight_bytes=100, arena=(("dram", 2500),))
    sizes = framework_sizes(Elf.load(made, EM_RISCV), load_board("esp32-c3"), model)
    used = {memory.name: memory.used for memory in sizes.memories}
    assert 504 <= used["flash"] < 700
    assert 3004 <= used["dram"] < 3100
    assert (sizes.weights, sizes.arena, sizes.stack) == (100, 2500, None)
    assert sizes.code == used["flash"] - 100
    assert sizes.static_ram == used["dram"] - 2500
    with pytest.raises(ImageError, match="made for machine 243, not for Arm"):
        Elf.load(made)


class TestFindingPlatformIO:
    def program(self, folder: Path, text: str) -> None:
        """A `pio` on PATH that says so when it is asked for its version."""
        path = folder / "pio"
        path.write_text(f"#!/bin/sh\n{text}\n", encoding="utf-8")
        path.chmod(path.stat().st_mode | stat.S_IXUSR)

    def test_the_one_on_path_is_taken(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self.program(tmp_path, "echo PlatformIO Core, version 6.1.18")
        monkeypatch.setenv("PATH", str(tmp_path))
        core = tool.find_core()
        assert core.command == (str(tmp_path / "pio"),)
        assert core.describe() == "PlatformIO 6.1.18 (pio from PATH)"

    def test_else_that_of_its_editors(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        folder = tmp_path / "penv" / "bin"
        folder.mkdir(parents=True)
        self.program(folder, "echo PlatformIO Core, version 6.1.18")
        monkeypatch.setenv("PATH", "/nonexistent:/bin")
        monkeypatch.setenv("PLATFORMIO_CORE_DIR", str(tmp_path))
        monkeypatch.setattr(tool.importlib.util, "find_spec", lambda _name: None)
        assert tool.find_core().origin == "PlatformIO's own environment"

    @pytest.mark.parametrize(
        ("says", "words"),
        [
            (
                "echo PlatformIO Core, version 5.2.5",
                "PlatformIO 5.2.5 .* is too old, 6.0 is needed",
            ),
            ("echo no module >&2; exit 1", "does not tell its version: no module"),
        ],
    )
    def test_an_old_or_a_broken_one(
        self, says: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self.program(tmp_path, says)
        monkeypatch.setenv("PATH", f"{tmp_path}:/bin")
        with pytest.raises(ToolchainError, match=words):
            tool.find_core()
