"""Which programmer serves: by what is attached (a tree as /sys has it, ports, disks), what is
installed, and what was asked."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from cli_tools import call
from desk import DISCO_DISK, FIRST, SECOND, Desk

from edge_autoglm.device import probes
from edge_autoglm.errors import FlashError, TransportError
from edge_autoglm.flash.choice import AmbiguousError, NoProgrammerError, choose_programmer
from edge_autoglm.flash.flashing import flash_image
from edge_boards.board import Board, Programmer, Serial, UsbId
from edge_boards.loader import load_board


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    return Desk(tmp_path, monkeypatch)


@pytest.fixture
def board() -> Board:
    return load_board("stm32f746")


def names(error: pytest.ExceptionInfo[NoProgrammerError]) -> dict[str, str]:
    """Why each programmer was passed over."""
    return dict(line.split(": ", 1) for line in error.value.problems)


def arduino(*programmers: Programmer, soc: str = "RP2040") -> Board:
    """A board whose console is the chip's own USB."""
    base = load_board("stm32f746")
    return replace(
        base, title="Pico", soc=replace(base.soc, name=soc, chip_id=None), virtual=None,
        serial=(Serial("console", "USB", 115_200, "usb"),), programmers=programmers,
        usb=(UsbId("2e8a:000a", "console"),),
    )  # fmt: skip


class TestAuto:
    def test_the_disk_comes_first(self, desk: Desk, board: Board) -> None:
        desk.installed("openocd", "st-flash")
        desk.st_link()
        folder = desk.disk(DISCO_DISK, FIRST)
        choice = choose_programmer(board)
        assert choice.entry.name == "mass-storage"
        assert choice.describe() == f"mass-storage, through disk {folder}"

    def test_without_a_disk_it_is_what_is_installed(self, desk: Desk, board: Board) -> None:
        desk.st_link()
        desk.installed("st-flash")
        choice = choose_programmer(board)
        assert choice.entry.name == "st-flash"
        assert choice.tool is not None
        assert choice.tool.version == (1, 7, 0)
        assert f"through ST-LINK 0483:374b, serial number {FIRST}" in choice.describe()

    def test_with_one_probe_none_need_be_told(self, desk: Desk, board: Board) -> None:
        desk.st_link()
        desk.installed("openocd")
        choice = choose_programmer(board)
        assert (choice.entry.name, choice.probe, choice.usb) == ("openocd", None, (0x0483, 0x374B))

    def test_with_nothing_each_one_says_why(self, desk: Desk, board: Board) -> None:
        assert desk.ports == []
        with pytest.raises(
            NoProgrammerError, match=r"no board is attached.*--port virtual"
        ) as error:
            choose_programmer(board)
        why = names(error)
        assert list(why) == [each.name for each in board.programmers]
        assert DISCO_DISK in why["mass-storage"]
        assert why["openocd"] == "no ST-LINK is attached"
        assert "PA10" in why["stm32-uart"]
        assert "--port" in why["stm32flash"]

    def test_what_is_not_installed_is_named_with_how_to_install_it(
        self, desk: Desk, board: Board
    ) -> None:
        desk.st_link()
        with pytest.raises(NoProgrammerError) as error:
            choose_programmer(board)
        assert names(error)["st-flash"].startswith("st-flash is not installed; ")

    def test_a_probe_without_permission_says_the_udev_rule(
        self, desk: Desk, board: Board, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The superuser may use every device, so the system's refusal is played."""
        desk.st_link()
        desk.installed("openocd", "st-flash")
        monkeypatch.setattr(probes.UsbDevice, "usable", False)
        with pytest.raises(NoProgrammerError) as error:
            choose_programmer(board)
        rule = 'SUBSYSTEM=="usb", ATTR{idVendor}=="0483", ATTR{idProduct}=="374b", MODE="0666"'
        assert rule in names(error)["openocd"]

    def test_a_bootloader_is_seen_by_its_id(self, desk: Desk, board: Board) -> None:
        dfu = replace(
            board, programmers=(*board.programmers, Programmer("dfu-util", usb="0483:df11", alt=0))
        )
        desk.plug(0x0483, 0xDF11, "205B3571", "STM32  BOOTLOADER")
        desk.installed("dfu-util")
        choice = choose_programmer(dfu)
        assert choice.entry.name == "dfu-util"
        assert choice.usb == (0x0483, 0xDF11)

    def test_a_pico_in_bootsel_without_its_disk_is_picotools(self, desk: Desk) -> None:
        pico = arduino(
            Programmer("uf2", volume="RPI-RP2", target="0xe48bff56"), Programmer("picotool")
        )
        desk.plug(0x2E8A, 0x0003, "E660A", "RP2 Boot")
        desk.installed("picotool")
        assert choose_programmer(pico).entry.name == "picotool"
        desk.disk("RPI-RP2", "E660A")
        assert choose_programmer(pico).entry.name == "uf2"

    def test_an_arduino_that_runs_is_reached_through_its_own_port(self, desk: Desk) -> None:
        pico = arduino(Programmer("uf2", volume="RPI-RP2", target="0xe48bff56"))
        port = desk.plug(0x2E8A, 0x000A, "E660A", "Pico", "ttyACM0")
        assert choose_programmer(pico, port).port == port

    @pytest.mark.parametrize(
        "entry",
        [Programmer("uf2", volume="RPI-RP2", target="0xe48bff56"), Programmer("picotool")],
        ids=lambda entry: entry.name,
    )
    def test_a_named_port_is_no_other_board_that_waits_in_its_bootloader(
        self, entry: Programmer, desk: Desk
    ) -> None:
        pico = arduino(entry)
        desk.installed("picotool")
        port = desk.plug(0x2E8A, 0x000A, "E660A", "Pico", "ttyACM0")
        desk.plug(0x2E8A, 0x0003, "E0C9", "RP2 Boot")
        desk.disk("RPI-RP2", "E0C9")
        choice = choose_programmer(pico, port)
        assert (choice.port, choice.through, choice.probe) == (port, port, None)

    def test_a_bootloader_that_has_a_port_of_its_own_is_named_by_it(self, desk: Desk) -> None:
        board = arduino(Programmer("uf2", volume="FTHR840BOOT", target="0xada52840"))
        port = desk.plug(0x239A, 0x0029, "A1", "Feather", "ttyACM0")
        folder = desk.disk("FTHR840BOOT", "A1")
        choice = choose_programmer(board, port)
        assert (choice.port, choice.through) == (None, f"disk {folder}")

    def test_another_kind_of_probe_is_not_taken(self, desk: Desk, board: Board) -> None:
        desk.plug(0x1366, 0x0105, "000683", "J-Link")
        desk.installed("openocd", "st-flash")
        with pytest.raises(NoProgrammerError) as error:
            choose_programmer(board)
        assert names(error)["openocd"] == "no ST-LINK is attached"

    def test_a_cmsis_dap_probe_is_known_by_its_name(self, desk: Desk, board: Board) -> None:
        entry = Programmer("openocd", configs=("interface/cmsis-dap.cfg", "target/rp2040.cfg"))
        desk.plug(0x2E8A, 0x000C, "E661", "Debug Probe (CMSIS-DAP)")
        desk.installed("openocd")
        choice = choose_programmer(replace(board, programmers=(entry,)))
        assert choice.through == "CMSIS-DAP probe 2e8a:000c, serial number E661"


class TestPort:
    def test_an_adapter_is_the_roms(self, desk: Desk, board: Board) -> None:
        port = desk.adapter()
        choice = choose_programmer(board, port)
        assert (choice.entry.name, choice.port) == ("stm32-uart", port)

    def test_a_probes_console_stands_for_that_probe(self, desk: Desk, board: Board) -> None:
        desk.st_link(FIRST, "ttyACM0")
        second = desk.st_link(SECOND, "ttyACM1")
        desk.installed("openocd")
        choice = choose_programmer(board, second)
        assert (choice.entry.name, choice.probe, choice.port) == ("openocd", SECOND, None)

    def test_a_probes_console_is_no_line_to_the_rom(self, desk: Desk, board: Board) -> None:
        port = desk.st_link()
        with pytest.raises(NoProgrammerError) as error:
            choose_programmer(board, port)
        assert "listens at PA10" in names(error)["stm32-uart"]

    def test_an_absent_one_is_named(self, desk: Desk, board: Board) -> None:
        with pytest.raises(TransportError, match="no such port"):
            choose_programmer(board, str(desk.root / "ttyUSB9"))

    def test_an_adapter_is_no_probe(self, desk: Desk, board: Board) -> None:
        desk.installed("openocd")
        port = desk.adapter()
        with pytest.raises(FlashError, match=f"openocd: {port} is not the port of a debug probe"):
            choose_programmer(board, port, "openocd")


class TestByName:
    def test_the_named_one_is_taken_though_another_comes_first(
        self, desk: Desk, board: Board
    ) -> None:
        desk.st_link()
        desk.disk(DISCO_DISK, FIRST)
        desk.installed("openocd", "st-flash")
        assert choose_programmer(board, name="st-flash").entry.name == "st-flash"

    def test_one_that_does_not_serve_says_why(self, desk: Desk, board: Board) -> None:
        desk.installed("openocd")
        with pytest.raises(FlashError, match="STM32F746G-DISCO: openocd: no ST-LINK is attached"):
            choose_programmer(board, name="openocd")

    def test_one_that_is_not_installed_says_that_before_what_is_not_attached(
        self, desk: Desk
    ) -> None:
        assert desk.ports == []
        with pytest.raises(FlashError, match=r"pyocd is not installed; .*pip install") as error:
            choose_programmer(load_board("raspberry-pi-pico"), name="pyocd")
        assert "attached" not in str(error.value)

    def test_one_of_another_board_lists_the_boards_own(self, desk: Desk, board: Board) -> None:
        assert desk.ports == []
        with pytest.raises(FlashError, match=r"no programmer esptool; .* mass-storage, openocd,"):
            choose_programmer(board, name="esptool")


class TestTwoBoards:
    def test_two_probes_are_listed_with_their_serial_numbers(
        self, desk: Desk, board: Board
    ) -> None:
        desk.st_link(FIRST, "ttyACM0")
        desk.st_link(SECOND, "ttyACM1")
        desk.installed("openocd")
        with pytest.raises(AmbiguousError, match=rf"several probes .*{FIRST}.*{SECOND}.*--probe"):
            choose_programmer(board)
        choice = choose_programmer(board, probe=SECOND)
        assert (choice.entry.name, choice.probe) == ("openocd", SECOND)

    def test_two_disks_are_listed_with_their_serial_numbers(self, desk: Desk, board: Board) -> None:
        desk.st_link(FIRST, "ttyACM0")
        second = desk.st_link(SECOND, "ttyACM1")
        desk.disk(DISCO_DISK, FIRST)
        folder = desk.disk(f"{DISCO_DISK}1", SECOND)
        with pytest.raises(AmbiguousError, match=rf"several disks .*{FIRST}.*{SECOND}.*--probe"):
            choose_programmer(board)
        for choice in (choose_programmer(board, probe=SECOND), choose_programmer(board, second)):
            assert choice.entry.name == "mass-storage"
            assert choice.probe == SECOND
            assert str(folder) in choice.through

    def test_two_bootloaders_are_listed_with_their_serial_numbers(self, desk: Desk) -> None:
        pico = arduino(Programmer("picotool"))
        desk.plug(0x2E8A, 0x0003, "E660A", "RP2 Boot")
        desk.plug(0x2E8A, 0x0003, "E660B", "RP2 Boot")
        desk.installed("picotool")
        with pytest.raises(AmbiguousError, match=r"several bootloaders .*E660A.*E660B"):
            choose_programmer(pico)
        assert choose_programmer(pico, probe="E660B").probe == "E660B"

    def test_a_serial_number_that_nobody_has_lists_those_that_are_there(
        self, desk: Desk, board: Board
    ) -> None:
        desk.st_link(FIRST)
        desk.installed("openocd")
        with pytest.raises(FlashError, match=rf"no ST-LINK with serial number 0042 .*{FIRST}"):
            choose_programmer(board, name="openocd", probe="0042")

    def test_what_cannot_be_told_which_probe_refuses_both(self, desk: Desk, board: Board) -> None:
        desk.st_link(FIRST, "ttyACM0")
        desk.st_link(SECOND, "ttyACM1")
        desk.installed("pio")
        with pytest.raises(FlashError, match=rf"cannot be told which probe.*{FIRST}.*{SECOND}"):
            choose_programmer(board, name="platformio", probe=SECOND)
        with pytest.raises(FlashError, match="--probe chooses no serial port"):
            choose_programmer(board, name="stm32-uart", probe=SECOND)

    def test_the_console_of_the_chosen_probe_is_read_back(
        self, desk: Desk, board: Board, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        desk.st_link(FIRST, "ttyACM0")
        second = desk.st_link(SECOND, "ttyACM1")
        desk.installed("openocd")
        asked: list[str] = []

        def read_back(_board: Board, console: str, *_: object) -> None:
            asked.append(console)
            raise FlashError("enough")

        monkeypatch.setattr("edge_autoglm.flash.flashing.read_back", read_back)
        image = tmp_path / "image.bin"
        image.write_bytes(bytes(1000))
        built = SimpleNamespace(binary=image, elf=image, build_id=b"", project=None)
        with pytest.raises(FlashError, match="enough"):
            flash_image(board, built, probe=SECOND)
        assert asked == [second]


class TestSerialNumbers:
    """They end up in a tool's arguments, and anybody can write a device's."""

    @pytest.mark.parametrize("serial", ["x; exec touch F", "-f", "", "a b", "[exit]", "a\n"])
    def test_one_that_is_none_is_refused(self, serial: str, desk: Desk, board: Board) -> None:
        desk.st_link(FIRST)
        desk.installed("openocd", "st-flash")
        for name in (None, "openocd", "st-flash"):
            with pytest.raises(FlashError, match="is no serial number"):
                choose_programmer(board, name=name, probe=serial)

    def test_a_devices_own_is_refused_as_well(self, desk: Desk, board: Board) -> None:
        desk.st_link(FIRST, "ttyACM0")
        second = desk.st_link("x; exec touch F", "ttyACM1")
        desk.installed("openocd")
        with pytest.raises(FlashError, match="is no serial number"):
            choose_programmer(board, second, "openocd")


class TestCommand:
    @pytest.fixture
    def folder(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        monkeypatch.chdir(tmp_path)
        return tmp_path

    def test_the_choice_is_said_before_any_work(
        self, desk: Desk, folder: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        desk.st_link()
        desk.installed("openocd")
        answer = call(capsys, "flash", folder / "absent.tflite", "--board", "stm32f746")
        first, last = answer.err.strip().splitlines()
        assert first.startswith("programmer: openocd 0.12.0 (")
        assert f"through ST-LINK 0483:374b, serial number {FIRST}" in first
        assert "absent.tflite" in last

    def test_a_programmer_that_nobody_has_is_wrong_usage(
        self, capsys: pytest.CaptureFixture[str]
    ) -> None:
        answer = call(capsys, "flash", "m.tflite", "--board", "stm32f746", "--programmer", "jtag")
        answer.refused("--programmer", "'jtag'", "stm32flash", code=2)

    def test_a_probe_is_not_for_a_virtual_board(self, capsys: pytest.CaptureFixture[str]) -> None:
        arguments = ("--port", "virtual", "--probe", FIRST)
        answer = call(capsys, "flash", "m.tflite", "--board", "stm32f746", *arguments)
        answer.refused("--probe: not with --port virtual", code=2)


def test_a_device_without_a_serial_number_is_described(desk: Desk) -> None:
    desk.plug(0x0483, 0x3748, name="STM32 STLink")
    (device,) = probes.probes()
    assert device.describe() == "ST-LINK 0483:3748, no serial number"
    assert device.node == Path("/dev/bus/usb/001/001")


def test_an_unprintable_serial_number_is_hexadecimal(desk: Desk) -> None:
    """As old ST-LINKs have it, and as the tools take it."""
    desk.plug(0x0483, 0x3748, "x", "STM32 STLink")
    (desk.usb / "1-1" / "serial").write_bytes(bytes([0x48, 0xFF, 0x06, 0x7B]) + b"\n")
    (device,) = probes.probes()
    assert device.serial == "48ff067b"
