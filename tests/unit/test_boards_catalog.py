"""Every shipped board file loads, says what its documents say, claims no more than was tried."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections import defaultdict

import pytest
import qemu_boards
import test_arduino_port
import test_toolchain_build
import wired_board

from edge_boards import data_path, load_board
from edge_boards.board import STACK_GUARD_BYTES, Board
from edge_boards.loader import list_boards, read_board
from edge_boards.schema import FRAMEWORK_PORTS, OTHER_CORES

SHIPPED = sorted(data_path("catalog").glob("*.toml"))
BOARDS = [read_board(path) for path in SHIPPED]

# USB ids that several boards have, and why that is so.
SHARED_IDS = {
    "10c4:ea60": "the maker's id of the bridge CP2102, which sits on many boards",
    "239a:8029": "PlatformIO's board files give the nRF52840-DK the Feather's id",
    "303a:1001": "the serial port and JTAG within every ESP32-S3",
}
# The Cortex-M targets that pyocd 0.46 knows without a pack from the network.
PYOCD_TARGETS = {"nrf52840", "rp2040", "rp2350", "stm32f767zi", "stm32h743xx"}
ESPTOOL_CHIPS = {"xtensa-lx6": {"esp32"}, "xtensa-lx7": {"esp32s3"}, "riscv32imc": {"esp32c3"}}
# UF2 families, as https://github.com/microsoft/uf2 registers them.
UF2_FAMILIES = {"nRF52840": "0xada52840", "RP2040": "0xe48bff56", "RP2350": "0xe48bff59"}
# Cores with the instructions that the feature dsp stands for (Arm's technical reference manuals;
# for the Cortex-M33 an option that all of these chips have). The Cortex-M55 has them too, and
# kernels for it are the portable ones.
DSP_CORES = {"cortex-m4", "cortex-m7", "cortex-m33"}

by_name = pytest.mark.parametrize("board", BOARDS, ids=lambda board: board.name)


def test_the_catalogue_has_the_boards_that_people_own() -> None:
    names = {board.name for board in BOARDS}
    assert len(names) >= 24
    assert names >= {
        *("arduino-nano-33-ble", "raspberry-pi-pico", "raspberry-pi-pico2"),
        *("esp32", "esp32-s3", "esp32-c3", "nrf52840-dk", "teensy41", "bluepill", "blackpill"),
        *("nucleo-f401re", "nucleo-f446re", "nucleo-h743zi", "nucleo-u575zi-q", "nucleo-wb55rg"),
    }


@by_name
def test_a_shipped_board_loads_and_what_it_keeps_for_the_runtime_fits(board: Board) -> None:
    assert board.name == board.path.stem
    assert board.flash.contains(board.flash.address, board.flash.size)
    assert 0 < board.ram.reserved < board.ram.size
    if board.stack is not None:
        assert board.stack.size + STACK_GUARD_BYTES <= board.ram.reserved
    assert all(p.source for p in board.power)


@by_name
def test_a_shipped_board_names_the_documents_of_its_facts(board: Board) -> None:
    assert len(board.sources) >= 2
    assert all(re.search(r"\w{3}", source) for source in board.sources)
    assert len(set(board.sources)) == len(board.sources)


@by_name
def test_a_board_of_a_framework_says_how_platformio_builds_it(board: Board) -> None:
    if board.soc.port in FRAMEWORK_PORTS:
        assert board.platformio is not None
        assert board.platformio.framework == board.soc.port
        assert "platformio" in {each.name for each in board.programmers}
        # Static data lie in one memory there: what is not given to them is not listed.
        assert len([m for m in board.memories if m.writable]) == 1


def test_names_and_aliases_of_shipped_boards_are_unique() -> None:
    names = [name for b in list_boards() for name in (b.name, *b.aliases)]
    assert len(names) == len(set(names))


def test_a_usb_id_is_one_boards_or_it_is_said_why_not() -> None:
    boards = defaultdict(set)
    for board in BOARDS:
        for each in board.usb:
            boards[each.id].add(board.name)
    assert {id for id, names in boards.items() if len(names) > 1} == set(SHARED_IDS)


@by_name
def test_a_console_over_usb_is_known_by_its_id(board: Board) -> None:
    if board.soc.port in FRAMEWORK_PORTS and board.link("console").through == "usb":
        assert "console" in {each.role for each in board.usb}


@by_name
def test_core_features_are_those_of_the_core(board: Board) -> None:
    assert ("dsp" in board.core.features) == (board.core.name in DSP_CORES)
    if board.core.name in ("cortex-m0plus", "cortex-m3", *OTHER_CORES):
        assert board.core.fpu is None
    if board.core.name in OTHER_CORES:
        assert board.core.mpu_regions == 0


@by_name
def test_the_facts_that_programmers_get_are_ones_their_tools_know(board: Board) -> None:
    for each in board.programmers:
        if each.name == "pyocd":
            assert each.target in PYOCD_TARGETS
        if each.name == "esptool":
            assert each.target in ESPTOOL_CHIPS[board.core.name]
        if each.name == "uf2":
            assert each.target == UF2_FAMILIES[board.soc.name]
        if each.name in ("st-flash", "stm32-uart", "stm32flash"):
            assert board.soc.chip_id is not None  # so that a wrong chip is refused


CONFIGS = sorted({p.configs for b in BOARDS for p in b.programmers if p.name == "openocd"})


@pytest.mark.parametrize("configs", CONFIGS, ids=" ".join)
def test_openocds_configuration_files_are_some_of_its_own(configs: tuple[str, ...]) -> None:
    assert all(re.fullmatch(r"(board|interface|target)/[\w-]+\.cfg", each) for each in configs)


@pytest.mark.parametrize("configs", CONFIGS, ids=" ".join)
def test_openocd_takes_the_configuration_files(configs: tuple[str, ...]) -> None:
    """Without a probe: it reads them all and ends before it looks for one."""
    if shutil.which("openocd") is None:
        pytest.skip("openocd is not installed")
    files = [word for each in configs for word in ("-f", each)]
    done = subprocess.run(
        ["openocd", *files, "-c", "shutdown"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "Error" not in done.stderr


# Boards whose firmware the tests run on an emulated chip (test_firmware_ports.py and
# test_firmware_mps.py take these very lists).
EMULATED = {target.name for target in wired_board.TARGETS} | set(qemu_boards.BOARDS)
# Boards whose firmware a test builds, and those whose sketch a test compiles for the board's own
# core. What stands in for a core that no compiler here knows shows nothing of the board.
BUILT = {board.name for board in test_toolchain_build.BARE}
SKETCHES = {
    board.name
    for board in test_arduino_port.BOARDS
    if "x86-linux-musl" not in test_arduino_port.TARGETS.get(board.core.name, ())
}


@by_name
def test_a_board_claims_what_the_tests_show_and_no_more(board: Board) -> None:
    """`hardware` nothing can show here."""
    assert board.tested != "hardware"
    if board.tested == "emulator":
        assert board.virtual is not None
        assert board.name in EMULATED
    if board.tested == "compiled":
        assert board.name in SKETCHES | BUILT
    if board.name in SKETCHES:
        assert board.tested == "compiled"


def test_the_discovery_board_has_the_facts_of_its_manuals() -> None:
    board = load_board("stm32f746")
    assert board.core.fpu == "fpv5-sp-d16"
    assert board.has("dsp")
    assert not board.has("mve")
    assert (board.memory("dtcm").address, board.memory("dtcm").size) == (0x2000_0000, 65_536)
    assert board.memory("sram").end == 0x2005_0000
    assert board.flash.sectors[:5] == (32_768,) * 4 + (131_072,)
    assert (board.link("console").tx, board.link("console").rx) == ("PA9", "PB7")
    assert board.link("bootloader").rx == "PA10"
    assert board.code_address == 0x0800_0000
    assert board.clock.hz == 216_000_000


def test_the_nucleo_f746zg_is_the_discovery_boards_chip_with_other_wiring() -> None:
    board, other = load_board("nucleo-f746zg"), load_board("stm32f746")
    assert board.soc.chip_id == other.soc.chip_id == 0x449
    assert (board.memories, board.core) == (other.memories, other.core)
    assert (board.clock.oscillator, board.clock.oscillator_hz) == ("hse-bypass", 8_000_000)
    console = board.link("console")
    assert (console.peripheral, console.tx, console.rx, console.alternate) == (
        *("USART3", "PD8", "PD9"),
        7,
    )


def test_the_nucleo_l4r5zi_has_the_facts_of_its_manuals() -> None:
    board = load_board("nucleo-l4r5zi")
    assert (board.core.name, board.core.fpu, board.has("dsp")) == ("cortex-m4", "fpv4-sp-d16", True)
    assert board.clock.hz == 120_000_000
    assert sum(m.size for m in board.memories if m.writable) == 640 * 1024
    assert board.memory("sram2").end == 0x1001_0000
    assert board.memory("sram3").address == 0x2004_0000
    assert board.flash.sectors == (4_096,) * 512
    console = board.link("console")
    assert (console.peripheral, console.tx, console.rx, console.alternate) == (
        *("LPUART1", "PG7", "PG8"),
        8,
    )


def test_a_sketch_gets_what_bootloader_and_radio_leave() -> None:
    """Linker scripts of ArduinoCore-mbed, Adafruit's and Espressif's cores, PlatformIO's boards."""
    nano, feather = load_board("arduino-nano-33-ble"), load_board("adafruit-feather-nrf52840")
    assert (nano.flash.address, nano.flash.end) == (0x1_0000, 0x10_0000)
    assert nano.ram.end == feather.ram.end == 0x2004_0000
    assert (feather.flash.address, feather.flash.end) == (0x2_6000, 0xED000)
    esp32 = load_board("esp32")
    assert (esp32.ram.end, esp32.flash.address) == (0x3FFD_C200, 0x1_0000)
    assert load_board("nucleo-wb55rg").flash.size == 512 * 1024


def test_a_clock_is_what_the_core_sets_not_what_the_chip_could() -> None:
    """The cores' SystemClock_Config and its likes; PlatformIO's f_cpu says otherwise of some."""
    found = {name: load_board(name).clock.hz for name in
             ("nucleo-wb55rg", "blackpill", "arduino-portenta-h7", "b-l4s5i-iot01a")}  # fmt: skip
    assert found == {
        "nucleo-wb55rg": 32_000_000,
        "blackpill": 96_000_000,
        "arduino-portenta-h7": 400_000_000,
        "b-l4s5i-iot01a": 120_000_000,
    }
