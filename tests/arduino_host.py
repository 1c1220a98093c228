"""The Arduino sketch as a process of this machine: the shipping sketch, port and runtime with an
exported model and the stub of the Arduino API (`tests/arduino_stub`)."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest
from firmware_host import FLAGS, host_compiler
from platformio_core import STUB

from edge_boards.board import Board
from edge_boards.data import data_path
from edge_boards.platformio.ini import app_source, source_folders
from edge_boards.toolchain.generate import board_header, build_id_header, models_source
from edge_export import ExportResult

CXX_FLAGS = ("-std=c++11", "-O1", "-g", "-Wall", "-Wextra", "-Werror", "-fno-exceptions")
BUILD_ID = bytes(range(8))


def cxx_compiler() -> str:
    """A C++ compiler of this machine; skips the test where there is none."""
    for name in ("c++", "g++", "clang++"):
        if found := shutil.which(name):
            return found
    pytest.skip("no C++ compiler on PATH: c++, g++ or clang++")


def sketch_sources(board: Board) -> tuple[list[Path], list[Path]]:
    """The sketch's sources as PlatformIO compiles them, and the folders of their headers."""
    firmware = data_path("firmware")
    folders = [firmware / name for name in source_folders(firmware, board)]
    sources = [
        p for folder in folders for p in sorted(folder.glob("*")) if p.suffix in (".c", ".cpp")
    ]
    return [*sources, firmware / app_source(board)], folders


def write_generated(folder: Path, board: Board, models: Sequence[str]) -> Path:
    """The three files that a build makes; gives the one that is compiled."""
    (folder / "eag_board.h").write_text(board_header(board), encoding="utf-8")
    (folder / "eag_build_id.h").write_text(build_id_header(BUILD_ID), encoding="utf-8")
    (folder / "eag_models.c").write_text(models_source(models), encoding="utf-8")
    return folder / "eag_models.c"


def build_sketch(
    folder: Path, board: Board, exported: ExportResult, defines: Sequence[str] = ()
) -> Path:
    """Compiles the sketch with an exported model and gives the program's path."""
    sources, folders = sketch_sources(board)
    sources += [write_generated(folder, board, [exported.name]), STUB / "host.cpp"]
    includes = [f"-I{path}" for path in (folder, STUB, *folders, *exported.include_paths)]
    work = folder / "objects"
    work.mkdir()
    c, cxx = [host_compiler(), *FLAGS], [cxx_compiler(), *CXX_FLAGS]
    for command, suffix in ((c, ".c"), (cxx, ".cpp")):
        files = [p.resolve() for p in (*sources, *exported.source_paths) if p.suffix == suffix]
        done = subprocess.run(
            [*command, *(f"-D{d}" for d in defines), *includes, "-c", *files],
            cwd=work, capture_output=True, text=True,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
    objects = sorted(work.glob("*.o"))
    program = folder / "sketch"
    done = subprocess.run(
        [cxx_compiler(), *objects, "-o", str(program)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return program
