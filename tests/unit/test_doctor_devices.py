"""`doctor` on what is plugged in and which programs flash it, each with what mends it."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest
from cli_tools import Answer, call
from desk import DISCO_DISK, FIRST, SECOND, Desk
from tflm_fakes import fake_headers

from edge_autoglm.device import probes
from edge_autoglm.doctor import checks
from edge_autoglm.flash.programmers import PROGRAMMERS
from edge_boards.doctor import Check
from edge_boards.loader import load_board


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    # The compilers are another test's, and take seconds.
    monkeypatch.setattr("edge_autoglm.doctor.machine_checks", lambda: ())
    return Desk(tmp_path, monkeypatch)


def found(board: str | None = None) -> dict[str, Check]:
    made = checks(load_board(board) if board is not None else None)
    assert all(bool(check.mend) != check.ok for check in made)
    return {check.name: check for check in made}


def test_every_programmer_is_told_with_its_tool_and_how_it_is_installed(desk: Desk) -> None:
    desk.installed("openocd")
    told = found()
    assert {name for name in told if name.startswith("programmer")} == {
        f"programmer {name}" for name in PROGRAMMERS
    }
    for name, row in PROGRAMMERS.items():
        check = told[f"programmer {name}"]
        assert f"tested: {row.tested}" in check.detail
        assert check.ok == (row.tool is None or name == "openocd")
        if not check.ok:
            assert row.tool is not None
            assert check.mend == row.tool.install_here
    assert "openocd 0.12.0" in told["programmer openocd"].detail


def test_a_tool_that_is_too_old_is_absent(desk: Desk) -> None:
    desk.installed("st-flash")
    desk.patch.setenv("STANDIN_VERSION", "v1.6.0")
    check = found()["programmer st-flash"]
    assert not check.ok
    assert "1.6.0" in check.detail
    assert "too old, 1.7 is needed" in check.detail


def test_of_a_board_only_its_own_programmers_and_whether_it_is_there(desk: Desk) -> None:
    desk.installed("openocd", "st-flash", "pyocd")
    told = found("stm32f746")
    assert "programmer pyocd" not in told
    assert "not now: no ST-LINK is attached" in told["programmer openocd"].detail
    assert not told["flashing stm32f746"].ok
    assert not told["console of stm32f746"].ok

    port = desk.st_link(FIRST)
    folder = desk.disk(DISCO_DISK, FIRST)
    told = found("stm32f746")
    assert f"now through disk {folder}" in told["programmer mass-storage"].detail
    assert f"now through ST-LINK 0483:374b, serial number {FIRST}" in (
        told["programmer openocd"].detail
    )
    assert told["flashing stm32f746"].ok
    assert told["console of stm32f746"] == Check("console of stm32f746", True, port, needed=False)


def test_two_boards_are_listed_with_their_serial_numbers(desk: Desk) -> None:
    desk.installed("openocd")
    desk.st_link(FIRST, "ttyACM0")
    desk.st_link(SECOND, "ttyACM1")
    detail = found("stm32f746")["flashing stm32f746"].detail
    assert FIRST in detail
    assert SECOND in detail
    assert "--probe SERIAL" in detail


def test_a_port_that_somebody_holds_names_him_and_what_ends_it(desk: Desk) -> None:
    port = desk.st_link()
    assert found()[f"port {port}"].detail.endswith("; free")
    with Path(port).open("rb") as file:
        holder = subprocess.Popen(["/bin/sleep", "60"], stdin=file)
    try:
        check = found()[f"port {port}"]
        assert f"held by sleep (pid {holder.pid})" in check.detail
        assert check.mend == (
            f"close the program that holds it; if it does not end: kill {holder.pid}"
        )
        assert not check.needed
    finally:
        holder.kill()
        holder.wait()


def test_a_holder_without_a_number_is_not_to_be_killed(desk: Desk) -> None:
    port = desk.st_link()
    desk.patch.setattr("edge_autoglm.doctor.holders_of", lambda _: ("a program",))
    assert found()[f"port {port}"].mend == "close the program that holds it"


def test_what_is_never_recognised_is_not_to_be_plugged_in(desk: Desk) -> None:
    assert desk.ports == []
    assert found("bluepill")["console of bluepill"].mend == "name its port with --port PATH"
    told = found("mps3-an547")
    for name in ("flashing mps3-an547", "console of mps3-an547"):
        assert told[name].mend == "use --port virtual"


def test_a_port_without_permission_is_a_fault_with_its_group(desk: Desk) -> None:
    """The superuser may open every port, so the system's refusal is played."""
    port = desk.adapter()
    access = os.access
    desk.patch.setattr(os, "access", lambda path, mode: path != port and access(path, mode))
    check = found()[f"port {port}"]
    assert check.needed
    assert "no permission" in check.detail
    assert check.mend.startswith(f"sudo usermod -aG {Path(port).group()} $USER")


def test_a_probe_without_permission_is_a_fault_with_its_udev_rule(desk: Desk) -> None:
    desk.st_link()
    desk.plug(0x0483, 0xDF11, "205B", "STM32  BOOTLOADER")
    assert found()["probe 0483:374b"].ok
    desk.patch.setattr(probes.UsbDevice, "usable", False)
    check = found()["probe 0483:374b"]
    assert check.needed
    assert 'ATTR{idProduct}=="374b"' in check.mend
    assert "udevadm" in check.mend


def test_a_pico_in_its_bootloader_is_told(desk: Desk) -> None:
    desk.plug(0x2E8A, 0x0003, "E660A", "RP2 Boot")
    assert "serial number E660A" in found()["bootloader 2e8a:0003"].detail


class TestPlatform:
    name = "PlatformIO's platform for raspberry-pi-pico"

    def test_one_that_is_not_installed_has_the_command_that_brings_it(self, desk: Desk) -> None:
        desk.installed("pio")
        assert found("raspberry-pi-pico")[self.name].ok
        desk.patch.setenv("STANDIN_PLAYS", "no platform")
        check = found("raspberry-pi-pico")[self.name]
        assert "platform-raspberrypi.git is not installed" in check.detail
        assert check.mend == (
            f"{desk.tools / 'pio'} pkg install --global --platform "
            "https://github.com/maxgerhardt/platform-raspberrypi.git"
        )

    def test_without_platformio_that_comes_first(self, desk: Desk) -> None:
        assert desk.ports == []
        check = found("raspberry-pi-pico")[self.name]
        assert "PlatformIO is not installed" in check.detail
        assert check.mend == "pip install platformio"


class TestTflm:
    def test_without_a_name_it_says_what_it_is_for(self, desk: Desk) -> None:
        desk.patch.delenv("EDGE_AUTOGLM_TFLM", raising=False)
        check = found()["TFLM tree"]
        assert (check.ok, check.needed) == (False, False)
        assert "needed for --runtime tflm only" in check.detail
        assert "EDGE_AUTOGLM_TFLM" in check.mend

    def test_a_folder_that_is_no_tree_is_told(self, desk: Desk) -> None:
        desk.patch.setenv("EDGE_AUTOGLM_TFLM", str(desk.root))
        check = found()["TFLM tree"]
        assert "no TFLM there" in check.detail
        assert check.mend == "name the root of a tflite-micro checkout"

    def test_a_good_one_is_named(self, desk: Desk) -> None:
        tree = fake_headers(desk.root / "tflm")
        desk.patch.setenv("EDGE_AUTOGLM_TFLM", str(tree))
        check = found()["TFLM tree"]
        assert check.ok, check
        assert str(tree) in check.detail


class TestCommand:
    def lines(self, answer: Answer) -> list[str]:
        """Those that are there to be read; those that are there to be copied may be longer."""
        return [line for line in answer.out.splitlines() if not line.lstrip().startswith("-> ")]

    def test_it_fits_into_80_columns(self, desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
        desk.st_link(FIRST, "ttyACM0")
        desk.st_link(SECOND, "ttyACM1")
        desk.installed("openocd")
        for arguments in ([], ["--board", "stm32f746"]):
            answer = call(capsys, "doctor", *arguments)
            assert answer.code == 0
            # The temporary folder's name is the test's, and cannot be broken.
            long = [each for each in self.lines(answer) if len(each) > 80 and "/" not in each]
            assert not long

    def test_what_is_needed_and_missing_fails(
        self, desk: Desk, capsys: pytest.CaptureFixture[str]
    ) -> None:
        desk.st_link()
        desk.patch.setattr(probes.UsbDevice, "usable", False)
        answer = call(capsys, "doctor", "--json", "-")
        assert answer.code == 1
        assert "needed and missing: probe 0483:374b" in answer.err
        told = json.loads(answer.out)
        assert told["schema"] == 1
        assert {"name", "ok", "detail", "mend", "needed"} == set(told["checks"][0])

    def test_an_unknown_board_is_named(
        self, desk: Desk, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert desk.ports == []
        call(capsys, "doctor", "--board", "nope").refused("nope")
