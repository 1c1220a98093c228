"""Building images: the same bytes everywhere, refusals in clear words, nothing half-written."""

from __future__ import annotations

import dataclasses
import os
import shutil
import struct
import subprocess
import sys
from pathlib import Path

import pytest
from mini_firmware import APP, MODEL, PORT, make_firmware, make_model
from tflm_fakes import archive

from edge_boards import ImageError, ImageTooBigError, ToolchainError, list_boards, load_board
from edge_boards.board import Board, Core
from edge_boards.elf import Elf
from edge_boards.toolchain import (
    BuildRequest,
    Image,
    ModelSources,
    Toolchain,
    build_image,
    check_fits,
    find_toolchain,
)
from edge_boards.toolchain.compiler import prune_cache
from edge_boards.toolchain.library import Library
from edge_boards.toolchain.linker import stack_bounds

BOARD = load_board("stm32f746")


@pytest.fixture(params=["gcc", "zig"])
def toolchain(request: pytest.FixtureRequest) -> Toolchain:
    try:
        return find_toolchain(BOARD, request.param)
    except ToolchainError as error:
        pytest.skip(str(error))


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An object cache of the test's own; zig keeps its cache, which is slow to fill."""
    folder = tmp_path / "cache"
    (folder / "zig").parent.mkdir()
    monkeypatch.setenv("EDGE_AUTOGLM_CACHE", str(folder))
    return folder


def make_request(folder: Path, *, model: str = MODEL, **firmware: str) -> BuildRequest:
    return BuildRequest(
        BOARD,
        "mini",
        (make_model(folder / "model", model),),
        folder / "out",
        firmware=make_firmware(folder / "firmware", **firmware),
    )


def contents(image: Image) -> list[bytes]:
    return [path.read_bytes() for path in (image.elf, image.binary, image.map)]


def test_the_same_sources_give_the_same_bytes_in_any_folder(
    tmp_path: Path, toolchain: Toolchain, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = []
    # A name of the file in the code is the usual way for a folder to get into an image.
    app = APP.replace("return history[2];", "return history[2] + __FILE__[boots & 3];")
    for place in ("here", "there/much/deeper"):
        folder = tmp_path / place
        folder.mkdir(parents=True)
        monkeypatch.setenv("EDGE_AUTOGLM_CACHE", str(folder / "cache"))
        images.append(build_image(make_request(folder, app=app), toolchain))
    assert images[0].build_id == images[1].build_id
    assert contents(images[0]) == contents(images[1])
    assert all(str(tmp_path).encode() not in data for data in contents(images[0]))


def test_a_second_build_compiles_nothing(
    tmp_path: Path, toolchain: Toolchain, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = make_request(tmp_path)
    before = contents(build_image(request, toolchain))
    assert len(list((cache / "objects").glob("*.o"))) == 5

    def refuse(*_: object) -> None:
        pytest.fail("compiled again")

    monkeypatch.setattr("edge_boards.toolchain.compiler._compile", refuse)
    assert contents(build_image(request, toolchain)) == before


@pytest.mark.parametrize("changed", ["model/mini.c", "firmware/runtime/eag_model.h"])
def test_a_change_of_a_source_or_header_changes_the_build_id(
    tmp_path: Path, toolchain: Toolchain, changed: str
) -> None:
    request = make_request(tmp_path)
    before = build_image(request, toolchain).build_id
    with (tmp_path / changed).open("a") as file:
        file.write("\n/* changed */\n")
    assert build_image(request, toolchain).build_id != before


def test_progress_is_told_step_by_step(tmp_path: Path, toolchain: Toolchain) -> None:
    told: list[tuple[int, int]] = []
    build_image(make_request(tmp_path), toolchain, lambda *step: told.append(step))
    assert told == [(i, 5) for i in range(1, 6)]


def test_the_report_adds_up(tmp_path: Path, toolchain: Toolchain) -> None:
    image = build_image(make_request(tmp_path), toolchain)
    sizes = image.sizes
    use = {m.name: m.used for m in sizes.memories}
    assert sizes.flash == use["flash"] == image.binary.stat().st_size
    assert (sizes.weights, sizes.arena, sizes.rings) == (160, 3000, 512)
    assert sizes.stack == 4096 + 32
    ram = use["itcm"] + use["dtcm"] + use["sram"]
    parts = sizes.arena + sizes.stack + sizes.rings + sizes.static_ram
    assert parts <= ram + 32
    assert sizes.static_ram >= 60 + 80
    assert use["sram"] == 2060
    assert use["itcm"] > 0


def test_packing_counts_as_code_not_as_weights(tmp_path: Path, toolchain: Toolchain) -> None:
    request = make_request(tmp_path)
    whole = build_image(request, toolchain).sizes
    model = dataclasses.replace(request.models[0], weight_bytes=120)
    packed = build_image(dataclasses.replace(request, models=(model,)), toolchain).sizes
    assert packed.weights == 120
    assert packed.code == whole.code + 40


def test_a_double_multiplication_is_refused_naming_the_function(
    tmp_path: Path, toolchain: Toolchain
) -> None:
    app = APP.replace("return a * counter;", "return (int)(a * (double)counter);")
    with pytest.raises(ImageError, match=r"function fast .*__aeabi_dmul"):
        build_image(make_request(tmp_path, app=app), toolchain)
    assert not (tmp_path / "out").exists()


def test_an_f64_instruction_is_refused_naming_the_function(
    tmp_path: Path, toolchain: Toolchain
) -> None:
    app = APP.replace("  boots++;", '  boots++;\n  __asm__ volatile(".inst.w 0xee200b01");')
    with pytest.raises(ImageError, match=r"double-precision instruction in function main"):
        build_image(make_request(tmp_path, app=app), toolchain)
    # The same bits as data are no instruction.
    data = APP.replace(
        "int counter", "const unsigned data[2] = {0x0b01ee20, 0x0b01ee20};\nint counter"
    )
    data = data.replace("boots++", "boots += data[boots & 1]")
    other = tmp_path / "other"
    other.mkdir()
    assert build_image(make_request(other, app=data), toolchain).elf.is_file()


def test_a_compiler_error_is_told_in_one_line_and_an_excerpt(
    tmp_path: Path, toolchain: Toolchain
) -> None:
    app = APP.replace("boots++;", "boots += nowhere;")
    with pytest.raises(ToolchainError) as caught:
        build_image(make_request(tmp_path, app=app), toolchain)
    first, excerpt = str(caught.value).split("\n", 1)
    assert "apps/mini/main.c" in first
    assert "nowhere" in first
    assert "main.c:13" in excerpt
    assert len(excerpt.splitlines()) <= 6
    assert not (tmp_path / "out").exists()


def test_a_warning_is_an_error(tmp_path: Path, toolchain: Toolchain) -> None:
    app = APP.replace("boots++;", "boots++; int unused;")
    with pytest.raises(ToolchainError, match="unused"):
        build_image(make_request(tmp_path, app=app), toolchain)


def test_a_missing_function_is_told_with_who_calls_it(tmp_path: Path, toolchain: Toolchain) -> None:
    app = APP.replace("int main(void);", "int absent(void);\nint main(void);")
    app = app.replace("boots++;", "boots += (unsigned)absent();")
    with pytest.raises(ToolchainError, match=r"nothing defines absent \(used by main\)"):
        build_image(make_request(tmp_path, app=app), toolchain)


def test_a_header_of_a_c_library_is_refused(tmp_path: Path, toolchain: Toolchain) -> None:
    with pytest.raises(ToolchainError, match=r"string\.h"):
        build_image(make_request(tmp_path, app=f"#include <string.h>\n{APP}"), toolchain)


def test_a_region_that_the_board_lacks_is_told(tmp_path: Path, toolchain: Toolchain) -> None:
    app = APP.replace(".eag_code.itcm", ".eag_code.ccm")
    with pytest.raises(ImageError, match=r"section \.eag_code\.ccm has no place"):
        build_image(make_request(tmp_path, app=app), toolchain)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("{eag_stack_top}", "{(void *)0x20040000}", "initial stack pointer 0x20040000"),
        ("{eag_stack_top}, {(const void *)eag_reset}", "{eag_stack_top}, {0}", "reset vector 0x0"),
        ('(section(".eag_vectors"), used)', "(used)", "no vector table"),
    ],
)
def test_a_vector_table_that_cannot_start_is_refused(
    tmp_path: Path, toolchain: Toolchain, old: str, new: str, words: str
) -> None:
    assert old in PORT
    with pytest.raises(ImageError, match=words):
        build_image(make_request(tmp_path, port=PORT.replace(old, new)), toolchain)


def too_big_model(tmp_path: Path, **changes: object) -> ModelSources:
    return dataclasses.replace(make_model(tmp_path / "model"), **changes)  # type: ignore[arg-type]


def test_models_that_cannot_fit_are_refused_before_compiling(
    tmp_path: Path, toolchain: Toolchain, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = too_big_model(
        tmp_path, constants=(("conv1", "flash", 900_000), ("dense", "flash", 200_000))
    )
    monkeypatch.setattr("edge_boards.toolchain.build.compile_objects", None)
    request = dataclasses.replace(make_request(tmp_path), models=(model,))
    with pytest.raises(ImageTooBigError) as caught:
        build_image(request, toolchain)
    text = str(caught.value)
    assert text.startswith("flash of stm32f746 has 1,048,576 B, at least 1,100,000 B are needed")
    assert "largest: mini conv1 900,000 B, mini dense 200,000 B" in text
    assert not (tmp_path / "out").exists()


def test_every_memory_that_is_too_small_is_named(tmp_path: Path) -> None:
    model = too_big_model(tmp_path, arena=(("dtcm", 62_000), ("sram", 300_000)))
    with pytest.raises(ImageTooBigError, match=r"dtcm .* 62,000 B.*; sram .* 300,000 B"):
        check_fits(BOARD, (model,))
    copied = too_big_model(tmp_path, constants=(("w", "sram", 2**18), ("v", "flash", 900_000)))
    with pytest.raises(ImageTooBigError, match=r"^flash .*w \(copied to sram\) 262,144 B"):
        check_fits(BOARD, (dataclasses.replace(copied, arena=()),))
    with pytest.raises(ImageTooBigError, match="memory 'ccm', which board stm32f746 lacks"):
        check_fits(BOARD, (too_big_model(tmp_path, arena=(("ccm", 1),)),))


def test_an_overflow_that_only_the_linker_sees_names_what_fills_the_memory(
    tmp_path: Path, toolchain: Toolchain
) -> None:
    app = APP.replace("history[20]", "history[15000]").replace("history[2]", "history[boots]")
    with pytest.raises(ImageTooBigError, match=r"^dtcm of stm32f746 .*largest: main\.c 60,\d+ B"):
        build_image(make_request(tmp_path, app=app), toolchain)


BIG = """
const char big_table[1100000] = {1};
char big_scratch[2000];
int big(int i) { return big_table[i] + big_scratch[i % 2000]++; }
"""


def test_a_library_counts_among_what_fills_a_memory(tmp_path: Path) -> None:
    try:
        toolchain = find_toolchain(BOARD, "gcc")
    except ToolchainError as error:
        pytest.skip(str(error))
    (tmp_path / "big.c").write_text(BIG)
    done = toolchain.run([*toolchain.flags, "-Os", "-c", "big.c", "-o", "big.o"], tmp_path)
    assert done.returncode == 0, done.stderr
    made = archive(tmp_path / "libbig.a", {"big.o": ((tmp_path / "big.o").read_bytes(), ["big"])})
    app = APP.replace("int main(void) {", "int big(int);\nint main(void) { boots += big(boots);")
    assert app != APP
    request = make_request(tmp_path, app=app)
    (tmp_path / "firmware" / "adapter").mkdir()
    (tmp_path / "firmware" / "adapter" / "fit.cc").write_text("extern const char fit[9000] = {1};")
    library = Library("big", made, (), (), "adapter")
    words = r"^flash .*largest: libbig\.a 1,100,\d+ B, fit\.cc 9,000 B, \w+\.c "
    with pytest.raises(ImageTooBigError, match=words):
        build_image(dataclasses.replace(request, library=library), toolchain)


def test_two_models_share_a_kernel_and_refuse_two_versions_of_it(
    tmp_path: Path, toolchain: Toolchain
) -> None:
    request = make_request(tmp_path)
    kernel = "int eag_kernel(int a);\nint eag_kernel(int a) { return a + 1; }\n"
    paths = [tmp_path / name / "eag_kernel.c" for name in ("a", "b")]
    for path in paths:
        path.parent.mkdir()
        path.write_text(kernel)
    first, second = (
        dataclasses.replace(request.models[0], sources=(*extra, path))
        for path, extra in zip(paths, (request.models[0].sources, ()), strict=True)
    )
    second = dataclasses.replace(second, arena=(), constants=())
    both = dataclasses.replace(request, models=(first,))
    assert build_image(both, toolchain).elf.is_file()
    paths[1].write_text(kernel.replace("+ 1", "+ 2"))
    with pytest.raises(ToolchainError, match="kernels of one version"):
        build_image(dataclasses.replace(request, models=(first, second)), toolchain)


@pytest.mark.skipif(sys.platform == "win32", reason="RLIMIT_FSIZE is a limit of POSIX systems")
def test_a_full_disk_leaves_the_last_image_and_nothing_half_written(
    tmp_path: Path, toolchain: Toolchain
) -> None:
    request = make_request(tmp_path)
    before = contents(build_image(request, toolchain))
    (tmp_path / "model/mini.c").write_text(MODEL.replace("{1, 2, 3}", "{1, 2, 4}"))
    child = Path(__file__).with_name("build_on_full_disk.py")
    command = [sys.executable, str(child), str(tmp_path), toolchain.name]
    done = subprocess.run(
        command,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.startswith("refused:")
    out = tmp_path / "out"
    assert sorted(p.name for p in out.iterdir()) == ["mini.bin", "mini.elf", "mini.map"]
    assert [(out / f"mini.{s}").read_bytes() for s in ("elf", "bin", "map")] == before


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path, toolchain: Toolchain) -> None:
    request = make_request(tmp_path)
    (tmp_path / "file").write_text("")
    blocked = dataclasses.replace(request, out_dir=tmp_path / "file" / "out")
    with pytest.raises(ToolchainError, match="cannot write the image to"):
        build_image(blocked, toolchain)


def test_a_cache_that_cannot_be_written_costs_only_the_reuse(
    tmp_path: Path, toolchain: Toolchain, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("EDGE_AUTOGLM_CACHE", str(tmp_path / "file" / "cache"))
    assert build_image(make_request(tmp_path), toolchain).elf.is_file()


def test_the_cache_forgets_what_was_not_used_for_longest(tmp_path: Path) -> None:
    for index in range(5):
        path = tmp_path / f"{index}.o"
        path.write_bytes(bytes(100))
        os.utime(path, (index, index))
    prune_cache(tmp_path, most=250)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["3.o", "4.o"]


def test_the_toolchain_says_what_it_is(toolchain: Toolchain) -> None:
    assert toolchain.describe().startswith(f"{toolchain.name} {toolchain.version} (")
    assert toolchain.version[0].isdigit()


def test_gcc_is_found_among_platformios_packages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = shutil.which("arm-none-eabi-gcc")
    if program is None:
        pytest.skip("arm-none-eabi-gcc is not installed")
    folder = tmp_path / "packages" / "toolchain-gccarmnoneeabi" / "bin"
    folder.mkdir(parents=True)
    (folder / "arm-none-eabi-gcc").symlink_to(program)
    monkeypatch.setenv("PLATFORMIO_CORE_DIR", str(tmp_path))
    monkeypatch.setenv("PATH", "")
    assert "PlatformIO's package" in find_toolchain(BOARD).describe()


def test_without_gcc_zig_serves_and_a_wish_for_gcc_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.setenv("PLATFORMIO_CORE_DIR", str(tmp_path))
    assert find_toolchain(BOARD).name == "zig"
    with pytest.raises(ToolchainError, match="arm-none-eabi-gcc is neither on PATH nor"):
        find_toolchain(BOARD, "gcc")
    with pytest.raises(ToolchainError, match="no toolchain 'icc'; allowed: gcc, zig"):
        find_toolchain(BOARD, "icc")


@pytest.mark.parametrize(
    "core",
    [
        Core("cortex-m3", frozenset(), None, 8),
        Core("cortex-m4", frozenset({"dsp"}), "fpv4-sp-d16", 8),
        Core("cortex-m33", frozenset({"dsp"}), "fpv5-sp-d16", 8),
        Core("cortex-m33", frozenset(), None, 8),
        Core("cortex-m7", frozenset({"dsp"}), "fpv5-d16", 16),
    ],
    ids=lambda c: f"{c.name}-{c.fpu}-{'dsp' if c.features else 'plain'}",
)
def test_other_cores_build_too(tmp_path: Path, toolchain: Toolchain, core: Core) -> None:
    board = dataclasses.replace(BOARD, core=core)
    request = dataclasses.replace(make_request(tmp_path), board=board)
    image = build_image(request, find_toolchain(board, toolchain.name))
    assert image.elf.is_file()


def test_early_code_that_refers_to_what_half_an_image_lacks_is_refused(
    tmp_path: Path, toolchain: Toolchain
) -> None:
    early = '__attribute__((section(".eag_early"), used)) static int early(void)'
    app = APP.replace("int main(void) {", f"{early} {{ return fast(1); }}\nint main(void) {{", 1)
    with pytest.raises(ImageError, match=r"early runs before .* refers to fast; mark that"):
        build_image(make_request(tmp_path, app=app), toolchain)
    app = app.replace("fast(1)", "(int)boots")
    other = make_request(tmp_path / "other", app=app)
    assert build_image(other, toolchain).elf.is_file()


def shared_port(request: BuildRequest, text: str) -> Path:
    """The request's port with its sources in a folder beside it and that in its port.toml."""
    assert request.firmware is not None
    port = request.firmware / "ports" / "stm32f7"
    (port / "port.toml").write_text(text)
    common = port.parent / "common"
    common.mkdir()
    for source in port.glob("*.c"):
        source.rename(common / source.name)
    return port


def test_a_port_is_built_with_the_folders_it_names(tmp_path: Path, toolchain: Toolchain) -> None:
    request = make_request(tmp_path)
    shared_port(request, 'uses = ["common"]')
    assert build_image(request, toolchain).elf.is_file()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('uses = ["comon"]', r"ports/comon is missing: port 'stm32f7' cannot be built"),
        ("uses = 7", r"port.toml: uses should be a list of folders"),
        ("uses = [", r"port.toml cannot be read"),
    ],
)
def test_a_port_that_names_its_folders_wrongly_is_told(
    tmp_path: Path, toolchain: Toolchain, text: str, words: str
) -> None:
    request = make_request(tmp_path)
    shared_port(request, text)
    with pytest.raises(ToolchainError, match=words):
        build_image(request, toolchain)


def with_console(board: Board, **changes: object) -> Board:
    links = [dataclasses.replace(s, **changes) if s.name == "console" else s for s in board.serial]
    return dataclasses.replace(board, serial=tuple(links))


UARTS = {
    "stm32f746": "USART1 USART2 USART3 UART4 UART5 USART6 UART7 UART8",
    "nucleo-l4r5zi": "LPUART1 USART1 USART2 USART3 UART4 UART5",
}


@pytest.mark.parametrize(("board", "uarts"), UARTS.items(), ids=UARTS)
def test_any_uart_of_the_chip_can_be_the_console(
    tmp_path: Path, toolchain: Toolchain, board: str, uarts: str
) -> None:
    for uart in uarts.split():
        made = with_console(load_board(board), peripheral=uart)
        request = BuildRequest(made, "profile", (), tmp_path / uart)
        assert build_image(request, toolchain).elf.is_file()


@pytest.mark.parametrize(("board", "uarts"), UARTS.items(), ids=UARTS)
def test_a_console_that_the_port_does_not_know_is_told_with_those_it_does(
    tmp_path: Path, toolchain: Toolchain, board: str, uarts: str
) -> None:
    made = with_console(load_board(board), peripheral="USART9")
    words = rf"\[serial.console\] peripheral: port stm32.. knows {uarts.split()[0]}, "
    with pytest.raises(ToolchainError, match=words):
        build_image(BuildRequest(made, "profile", (), tmp_path / "out"), toolchain)
    made = with_console(load_board(board), alternate=None)
    with pytest.raises(ToolchainError, match=r"\[serial.console\] alternate: missing"):
        build_image(BuildRequest(made, "profile", (), tmp_path / "out"), toolchain)


BARE = [board for board in list_boards() if board.stack is not None]
"""Boards that the firmware is built for without a framework."""


@pytest.mark.parametrize("board", BARE, ids=lambda board: board.name)
def test_the_shipped_firmware_builds_and_says_what_it_is(
    tmp_path: Path, toolchain: Toolchain, board: Board
) -> None:
    request = BuildRequest(board, "profile", (), tmp_path / "out")
    image = build_image(request, find_toolchain(board, toolchain.name))
    binary = image.binary.read_bytes()
    at = binary.index(b"EAG1", 0, 1024)
    version, size = struct.unpack_from("<HH", binary, at + 4)
    assert (version, size) == (1, 72)
    assert binary[at + 8 : at + 16] == image.build_id
    length, call, back, limit, top = struct.unpack_from("<5I", binary, at + 16)
    assert length == len(binary) == image.sizes.code
    elf = Elf.load(image.elf)
    assert call & ~1 == elf.symbol("eag_step_call").address
    assert elf.function_at(back) == "eag_step_call"
    assert (limit, top) == stack_bounds(board)
    assert binary[at + 36 : at + 52].rstrip(b"\0").decode() == board.name
