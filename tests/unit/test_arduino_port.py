"""The Arduino port compiles for every board that needs it: for its own core where a compiler for
that is here, else for a machine of the same word size."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from arduino_host import CXX_FLAGS, sketch_sources, write_generated
from firmware_host import FLAGS
from platformio_core import STUB

from edge_boards import Board
from edge_boards.data import data_path
from edge_boards.elf import SHN_UNDEF, Elf
from edge_boards.loader import list_boards, load_board
from edge_boards.platformio.ini import by_framework
from edge_boards.schema import ARM_CORES
from edge_boards.toolchain import zig
from edge_boards.toolchain.gcc import target_flags
from edge_boards.toolchain.generate import board_header
from edge_export import export_model
from edge_quantize.ingest.tflite import read_tflite

MODEL = Path(__file__).resolve().parents[2] / "examples" / "digits" / "digits_int8.tflite"
BOARDS = [board for board in list_boards() if by_framework(board)]
ONE_A_CORE = list({board.core: board for board in BOARDS}.values())
# RISC-V is compiled as it is. For Xtensa there is no compiler here: x86 has the same word size.
TARGETS = {
    "riscv32imc": ("-target", "riscv32-linux-musl", "-mcpu=generic_rv32+m+c"),
    "xtensa-lx6": ("-target", "x86-linux-musl"),
    "xtensa-lx7": ("-target", "x86-linux-musl"),
}


def framework_defines(board: Board) -> tuple[str, ...]:
    """What the stub needs to know of the core's own API."""
    assert board.platformio is not None
    platform = {"ststm32": "STM32", "espressif32": "ESP32"}.get(board.platformio.platform)
    return (f"-DARDUINO_ARCH_{platform}",) if platform else ()


@dataclass(frozen=True)
class Compilers:
    """Commands for C and C++, target included, and variables they need."""

    c: tuple[str, ...]
    cxx: tuple[str, ...]
    environment: dict[str, str]


def compilers(board: Board) -> Compilers:
    """For the board's core, or what stands in for it; skips the test where there are none."""
    if board.core.name in ARM_CORES:
        if shutil.which("arm-none-eabi-g++") is None:
            pytest.skip("no arm-none-eabi-g++ on PATH")
        flags = target_flags(board.core)
        return Compilers(("arm-none-eabi-gcc", *flags), ("arm-none-eabi-g++", *flags), {})
    found = zig.find_program()
    if found is None:
        pytest.skip("no zig: pip install ziglang")
    target = (*TARGETS[board.core.name], *zig.CLANG_FLAGS)
    program = found[0]
    return Compilers((program, "cc", *target), (program, "c++", *target), dict(zig.environment()))


def compile_sources(
    folder: Path, board: Board, sources: Sequence[Path], include_dirs: Sequence[Path]
) -> list[Path]:
    """The objects of all sources."""
    by = compilers(board)
    includes = [f"-I{path}" for path in (folder, STUB, *include_dirs)]
    work = folder / "objects"
    work.mkdir()
    for command, suffix in (([*by.c, *FLAGS], ".c"), ([*by.cxx, *CXX_FLAGS], ".cpp")):
        files = [path.resolve() for path in sources if path.suffix == suffix]
        # GCC takes all of them at once, zig one at a time.
        calls = [files] if board.core.name in ARM_CORES else [[path] for path in files]
        for call in calls:
            done = subprocess.run(
                [*command, "-g0", *framework_defines(board), *includes, "-c", *call],
                cwd=work, capture_output=True, text=True, env={**os.environ, **by.environment},
            )  # fmt: skip
            assert done.returncode == 0, done.stderr
    objects = sorted(work.glob("*.o"))
    assert len(objects) == len(sources)
    return objects


def test_there_are_boards_of_every_kind() -> None:
    assert {board.core.name for board in BOARDS} >= {
        "cortex-m0plus", "cortex-m3", "cortex-m4", "cortex-m7", "cortex-m33",
        "xtensa-lx6", "xtensa-lx7", "riscv32imc",
    }  # fmt: skip


@pytest.mark.parametrize("board", BOARDS, ids=lambda board: board.name)
def test_what_sees_the_boards_facts_compiles_for_each_board(board: Board, tmp_path: Path) -> None:
    sources, folders = sketch_sources(board)
    own = [path for path in sources if path.suffix == ".cpp" or path.name == "eag_image.c"]
    compile_sources(tmp_path, board, [*own, write_generated(tmp_path, board, ["toy"])], folders)


@pytest.mark.parametrize("board", ONE_A_CORE, ids=lambda board: board.core.name)
def test_sketch_and_model_compile_for_each_core(board: Board, tmp_path: Path) -> None:
    exported = export_model(read_tflite(MODEL), board, tmp_path / "model")
    sources, folders = sketch_sources(board)
    sources += [write_generated(tmp_path, board, [exported.name]), *exported.source_paths]
    objects = compile_sources(tmp_path, board, sources, [*folders, *exported.include_paths])
    if board.core.name not in ARM_CORES:
        return
    # A framework's linker script knows no sections of ours, and defines none of our symbols.
    elves = [Elf.load(path) for path in objects]
    sections = {section.name for elf in elves for section in elf.sections}
    assert [name for name in sections if name.startswith(".eag") or "arena" in name] == []
    names = [(s.name, s.section) for elf in elves for s in elf.symbols]
    defined = {name for name, section in names if section != SHN_UNDEF}
    wanted = {name for name, section in names if section == SHN_UNDEF}
    assert {name for name in wanted - defined if name.startswith("eag_")} == set()


@pytest.mark.parametrize(
    ("core", "has_one"),
    [
        ("cortex-m0plus", False),
        ("cortex-m3", True),
        ("cortex-m4", True),
        ("cortex-m7", True),
        ("cortex-m33", True),
    ],
)
def test_the_cores_with_a_cycle_counter(core: str, has_one: bool) -> None:
    if shutil.which("arm-none-eabi-gcc") is None:
        pytest.skip("no arm-none-eabi-gcc on PATH")
    header = data_path("firmware", "ports", "arduino", "eag_port_inline.h")
    done = subprocess.run(
        ["arm-none-eabi-gcc", f"-mcpu={core}", "-mthumb", "-dM", "-E", header],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert ("#define EAG_ARM_DWT 1" in done.stdout) == has_one


def test_the_frameworks_own_name_of_a_pin_goes_into_the_header() -> None:
    nucleo = load_board("nucleo-f401re")
    assert "#define EAG_TIMING_PIN PA10\n" in board_header(nucleo)
    for pin, define in (("GPIO4", "4"), ("D2", "2")):
        assert f"#define EAG_TIMING_PIN {define}\n" in board_header(replace(nucleo, timing_pin=pin))
    for pin in (None, "P0.06"):  # no name that all cores for the chip have
        assert "EAG_TIMING_PIN" not in board_header(replace(nucleo, timing_pin=pin))
    assert "EAG_CONSOLE_TX" not in board_header(nucleo)  # pins of Serial are the core's


def test_a_console_over_usb_is_told_to_the_port() -> None:
    assert "#define EAG_CONSOLE_USB 1" in board_header(load_board("raspberry-pi-pico"))
    assert "EAG_CONSOLE_USB" not in board_header(load_board("nucleo-f401re"))
