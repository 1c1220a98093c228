"""What is looked at before anything is linked with a TFLM: each thing that is wrong with it is one
clear line, with the command that makes a right one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tflm_fakes import archive, fake_headers, real_tree

from edge_boards.archive import Archive
from edge_boards.armattributes import read_attributes
from edge_boards.board import Board
from edge_boards.elf import Elf
from edge_boards.errors import ImageError
from edge_boards.loader import list_boards, load_board
from edge_boards.toolchain import find_toolchain
from edge_export import TflmTreeError, find_tree
from edge_export.tflm.arena import KERNEL_SETS
from edge_export.tflm.ops import TFLM_OPS
from edge_export.tflm.registrations import INT8_OPS
from edge_export.tflm.tree import LIBRARY, kernel_set, library_folder, make_command

BOARD = load_board("stm32f746")
LOG, CMSIS = "_Z11MicroPrintfPKcz", "arm_convolve_s8"
TFLM = "_ZN6tflite16MicroInterpreter15AllocateTensorsEv"
USUAL = (TFLM, LOG, CMSIS)


def object_for(folder: Path, board: Board, double: bool = False) -> bytes:
    """An object of the board's core, made by whichever compiler there is."""
    core = replace(board.core, fpu="fpv5-d16") if double else board.core
    toolchain = find_toolchain(replace(board, core=core))
    source = folder / "some.c"
    source.write_text("float f(float a) { return a * a; }\n", encoding="ascii")
    done = toolchain.run([*toolchain.flags, "-O1", "-c", "some.c", "-o", "some.o"], folder)
    assert done.returncode == 0, done.stderr
    return (folder / "some.o").read_bytes()


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    return fake_headers(tmp_path / "tflite-micro")


@pytest.fixture
def library(tree: Path, tmp_path: Path) -> Callable[..., Path]:
    """Puts a library of one object where the Makefile would."""

    def make(
        symbols: Iterable[str] = USUAL, board: Board = BOARD, double: bool = False, where: str = ""
    ) -> Path:
        content = object_for(tmp_path, board, double)
        folder = tree / (where or library_folder(BOARD.core))
        return archive(folder / LIBRARY, {"some.o": (content, tuple(symbols))})

    return make


def refused(tree: Path, *words: str, **options: object) -> str:
    with pytest.raises(TflmTreeError) as found:
        find_tree(tree, BOARD, **options)  # type: ignore[arg-type]
    line = str(found.value)
    assert "\n" not in line
    for word in words:
        assert word in line, line
    return line


def test_a_tree_with_the_right_library_is_taken(tree: Path, library: Callable[..., Path]) -> None:
    path = library()
    found = find_tree(tree, BOARD, symbols=["AddConv2D", "Register_CONV_2D_INT8"])
    assert found.library.archive == path
    assert (found.kernels, found.by_op) == ("cmsis-nn", True)
    assert {"TF_LITE_STATIC_MEMORY", "CMSIS_NN"} <= set(found.library.defines)
    assert "TF_LITE_STRIP_ERROR_STRINGS" not in found.library.defines
    assert tree in found.library.include_dirs
    assert all(folder.is_dir() for folder in found.library.include_dirs)


def test_no_folder_and_a_file_are_said_as_such(tmp_path: Path) -> None:
    refused(tmp_path / "none", "no such folder", "tflite-micro checkout")
    (tmp_path / "file").write_text("")
    refused(tmp_path / "file", "is a file")


def test_a_folder_without_tflm_names_what_is_missing(tmp_path: Path) -> None:
    refused(tmp_path, "no TFLM there", "tensorflow/lite/micro/micro_interpreter.h")


def test_no_library_gives_the_command_that_makes_it(tree: Path) -> None:
    line = refused(tree, f"no {LIBRARY}", "make -f tensorflow/lite/micro/tools/make/Makefile")
    assert "TARGET_ARCH=cortex-m7+fp FPU=fpv5-sp-d16 OPTIMIZED_KERNEL_DIR=cmsis_nn" in line


@pytest.mark.parametrize(
    ("header", "word"),
    [
        ("micro_profiler_interface.h", "BeginEvent"),
        ("micro_interpreter.h", "arena_used_bytes"),
        ("micro_mutable_op_resolver.h", "TFLMRegistration"),
        ("debug_log.h", "va_list"),
        ("micro_allocator.h", "MicroMemoryPlanner* memory_planner"),
        ("memory_planner/micro_memory_planner.h", "preserves_all_tensors"),
    ],
)
def test_a_tree_of_another_age_is_told_by_its_headers(
    tree: Path, library: Callable[..., Path], header: str, word: str
) -> None:
    library()
    path = tree / "tensorflow/lite/micro" / header
    path.write_text(path.read_text().replace(word, "older"))
    refused(tree, "a TFLM of another version", header, "use a checkout of 2024 or later")


def test_a_tree_whose_resolver_lacks_an_op_names_it(
    tree: Path, library: Callable[..., Path]
) -> None:
    library()
    line = refused(tree, "knows no AddTomorrow", symbols=["AddConv2D", "AddTomorrow"])
    assert "AddConv2D" not in line


def test_headers_that_the_makefile_fetches_are_asked_for(
    tree: Path, library: Callable[..., Path]
) -> None:
    library()
    downloads = tree / "tensorflow/lite/micro/tools/make/downloads"
    (downloads / "flatbuffers/include/flatbuffers/flatbuffers.h").unlink()
    refused(tree, "flatbuffers/flatbuffers.h is missing", "third_party_downloads")


def test_a_library_for_another_core_is_refused(tree: Path, library: Callable[..., Path]) -> None:
    library(board=load_board("mps3-an547"))
    refused(tree, "built for v8.1-M.main", "cortex-m7", "make it anew")


def test_a_library_of_another_float_abi_is_refused(
    tree: Path, library: Callable[..., Path]
) -> None:
    library(board=replace(BOARD, core=replace(BOARD.core, fpu=None)))
    refused(tree, "built for -mfloat-abi=soft", "is built for hard")


def test_a_library_for_a_double_precision_fpu_is_refused(
    tree: Path, library: Callable[..., Path]
) -> None:
    library(double=True)
    refused(tree, "double-precision FPU", "STM32F746NG faults", "FPU=fpv5-sp-d16")


def test_a_library_for_a_newer_fpu_is_refused(tree: Path, library: Callable[..., Path]) -> None:
    library()
    with pytest.raises(TflmTreeError, match="built for an FPv5 FPU, and STM32L4R5ZI's is an FPv4"):
        find_tree(tree, load_board("nucleo-l4r5zi"))


def test_a_library_without_cmsis_nn_is_refused_unless_it_was_exported_for(
    tree: Path, library: Callable[..., Path]
) -> None:
    library((TFLM, LOG))
    refused(tree, "has no CMSIS-NN", "--kernels reference")
    found = find_tree(tree, BOARD, "reference")
    assert found.kernels == "reference"
    assert "CMSIS_NN" not in found.library.defines


def test_a_library_with_cmsis_nn_is_refused_where_it_was_exported_without(
    tree: Path, library: Callable[..., Path]
) -> None:
    library()
    line = refused(tree, "has CMSIS-NN", "--kernels cmsis-nn", kernels="reference")
    assert "OPTIMIZED_KERNEL_DIR" not in line


def test_a_library_without_its_strings_is_taken_as_one_that_tells_no_ops(
    tree: Path, library: Callable[..., Path]
) -> None:
    library((TFLM, CMSIS))
    found = find_tree(tree, BOARD)
    assert not found.by_op
    assert "TF_LITE_STRIP_ERROR_STRINGS" in found.library.defines


def test_something_else_of_that_name_is_refused(tree: Path, library: Callable[..., Path]) -> None:
    library(("printf",))
    refused(tree, "not TFLM for an Arm core")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "no static library"),
        (b"!<thin>\n", "a thin archive"),
        (b"!<arch>\nshort", "damaged at byte 8"),
    ],
)
def test_a_damaged_library_is_said_to_be_one(tree: Path, content: bytes, words: str) -> None:
    path = tree / library_folder(BOARD.core) / LIBRARY
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    refused(tree, words, "make it anew")


def test_of_several_libraries_the_one_that_fits_is_taken(
    tree: Path, library: Callable[..., Path]
) -> None:
    library((TFLM, LOG), where="gen/a_reference/lib")
    library(double=True, where="gen/b_double/lib")
    library((TFLM, CMSIS), where="gen/c_release/lib")
    right = library(where="gen/d_default/lib")
    assert find_tree(tree, BOARD).library.archive == right
    assert find_tree(tree / "gen/c_release", BOARD).library.archive.parts[-3] == "c_release"


def test_of_several_wrong_ones_the_nearest_is_told_of(
    tree: Path, library: Callable[..., Path]
) -> None:
    library(board=load_board("mps3-an547"), where="gen/a/lib")
    library(double=True, where="gen/b/lib")
    refused(tree, "gen/b/lib", "double-precision")


@pytest.mark.parametrize("name", ["esp32", "esp32-c3"])
def test_a_core_that_the_makefile_does_not_make_for_is_told_what_it_needs(
    name: str, tree: Path, library: Callable[..., Path]
) -> None:
    library()
    with pytest.raises(TflmTreeError, match=f"{name} needs TFLM as a PlatformIO library"):
        find_tree(tree, load_board(name), "reference")


def test_every_board_of_ours_has_a_command_and_a_kernel_set() -> None:
    for board in list_boards():
        if not board.core.name.startswith("cortex-"):
            continue
        command = make_command(board.core)
        assert command.endswith(" microlite")
        assert (f"FPU={board.core.fpu}" in command) == ("+fp" in command)
        assert kernel_set(board.core, "cmsis-nn") in KERNEL_SETS
    assert kernel_set(BOARD.core, "reference") in KERNEL_SETS


def test_the_attributes_of_an_object_are_read(tmp_path: Path) -> None:
    def of(board: Board, double: bool = False) -> tuple[str, bool, bool, bool]:
        found = read_attributes(Elf(object_for(tmp_path, board, double)))
        assert found is not None
        return found.architecture, found.fpu, found.single_only, found.hard_float

    assert of(BOARD) == ("v7E-M", True, True, True)
    assert of(BOARD, double=True) == ("v7E-M", True, False, True)
    assert of(replace(BOARD, core=replace(BOARD.core, fpu=None)))[0::3] == ("v7E-M", False)


def _damaged(content: bytes, cuts: Sequence[tuple[int, int]]) -> bytes:
    made = bytearray(content)
    for at, byte in cuts:
        made[at % len(made)] = byte
    return bytes(made)


@given(
    cuts=st.lists(st.tuples(st.integers(0, 4000), st.integers(0, 255)), max_size=6), data=st.data()
)
def test_a_damaged_archive_is_an_error_of_ours_or_an_archive(
    cuts: list[tuple[int, int]], data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.getbasetemp() / "damaged.a"
    if not path.is_file():
        content = object_for(tmp_path_factory.getbasetemp(), BOARD)
        archive(path, {"some.o": (content, USUAL), "a-name-of-many-letters.o": (b"", ())})
    content = path.read_bytes()
    content = _damaged(content, cuts)[: data.draw(st.integers(0, len(content)))]
    try:
        found = Archive(content, "damaged.a")
        assert isinstance(found.symbols, frozenset)
        for member in found.members:
            read_attributes(Elf(member.content, member.name))
    except ImageError:
        pass


def test_the_real_headers_have_every_method_and_registration_of_our_tables() -> None:
    symbols = [row.method for row in TFLM_OPS.values()]
    symbols += [f"Register_{op}_INT8" for op in INT8_OPS]
    find_tree(real_tree(), BOARD, symbols=symbols)
