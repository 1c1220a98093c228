"""Ports that are absent, busy, forbidden, silent, foreign or torn out: one clear line each."""

from __future__ import annotations

import errno
import os
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from cli_tools import call

if sys.platform == "win32":
    pytest.skip("no pseudo-terminals on Windows", allow_module_level=True)

import pty
import tty

import serial

from edge_autoglm.device.transport import open_error

BOARD = ["--board", "stm32f746"]
VERBS = ["profile", "monitor"]


class Line:
    """A pty whose far end may talk by itself."""

    def __init__(self, words: bytes = b"") -> None:
        self.ours, self._theirs = pty.openpty()
        tty.setraw(self._theirs)
        self.path = os.ttyname(self._theirs)
        self._words = words
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._talk, daemon=True)
        self._thread.start()

    def _talk(self) -> None:
        while self._words and not self._done.wait(0.05):
            os.write(self.ours, self._words)

    def tear_out(self) -> None:
        self._done.set()
        self._thread.join(5)
        for handle in (self.ours, self._theirs):
            if handle >= 0:
                os.close(handle)
        self.ours = self._theirs = -1


@pytest.fixture
def silent() -> Iterator[Line]:
    line = Line()
    yield line
    line.tear_out()


@pytest.mark.parametrize("verb", VERBS)
def test_without_a_board_the_virtual_one_is_named(
    verb: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("serial.tools.list_ports.comports", lambda **_: [])
    answer = call(capsys, verb, *BOARD)
    answer.refused("no board is attached", "--port virtual")


def test_flashing_without_a_board_says_so_before_any_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("serial.tools.list_ports.comports", lambda **_: [])
    monkeypatch.setattr("edge_autoglm.flash.disks.MOUNTS", tmp_path / "no mounts")
    monkeypatch.setattr("edge_autoglm.device.probes.SYSFS", tmp_path / "no usb")
    answer = call(capsys, "flash", "m.tflite", *BOARD)
    assert answer.code == 1
    first, *others = answer.err.splitlines()
    assert first.startswith("edge-autoglm: STM32F746G-DISCO: no board is attached")
    assert first.endswith("use --port virtual")
    # Each of its programmers, with why it does not serve.
    assert [line.split(":")[0] for line in others] == [
        "  - mass-storage", "  - openocd", "  - st-flash", "  - stm32-uart", "  - stm32flash",
        "  - platformio",
    ]  # fmt: skip
    call(capsys, "flash", "m.tflite", *BOARD, "--port", "/dev/ttyNONE").refused(
        "/dev/ttyNONE: no such port", "--port virtual"
    )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("verb", VERBS)
def test_a_port_that_is_absent_is_named(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    answer = call(capsys, verb, *BOARD, "--port", "/dev/ttyNONE")
    assert answer.code == 1
    assert "edge-autoglm: /dev/ttyNONE: no such port" in answer.err
    assert "Traceback" not in answer.err


def test_a_file_is_no_port(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"")
    call(capsys, "monitor", *BOARD, "--port", file).refused(str(file), "serial port")


@pytest.mark.skipif(sys.platform != "linux", reason="device numbers of Linux")
def test_a_device_that_is_no_port_is_refused_before_anything_is_compiled(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "m.tflite").write_bytes(b"")  # would be refused, were it read first
    for command in (("monitor",), ("flash", "m.tflite")):
        answer = call(capsys, *command, *BOARD, "--port", "/dev/null")
        assert "ioctl" not in answer.refused("/dev/null: is no serial port", "ports here")
    assert [path.name for path in tmp_path.iterdir()] == ["m.tflite"]


def test_what_is_not_there_to_be_flashed_or_built_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("unicorn", reason="unicorn is not installed (extra: virtual)")
    monkeypatch.setenv("EDGE_AUTOGLM_STATE", str(tmp_path / "state"))
    call(capsys, "build", tmp_path / "nowhere").refused("nowhere: no such folder")
    flashed = call(capsys, "flash", tmp_path / "nowhere", *BOARD, "--port", "virtual")
    flashed.refused("nowhere: no such file or folder")


def test_a_busy_port_names_who_holds_it(silent: Line, capsys: pytest.CaptureFixture[str]) -> None:
    with serial.Serial(silent.path, exclusive=True):
        call(capsys, "monitor", *BOARD, "--port", silent.path).refused(silent.path, "busy", "close")


def test_a_forbidden_port_says_how_to_be_allowed(
    silent: Line, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The superuser may open every port, so the system's refusal is played."""

    def refuse(*_: object, **__: object) -> None:
        error = PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        raise serial.SerialException(errno.EACCES, f"could not open port {silent.path}: {error!r}")

    monkeypatch.setattr("serial.Serial", refuse)
    answer = call(capsys, "monitor", *BOARD, "--port", silent.path)
    answer.refused(silent.path, "permission", "dialout")


def test_the_permission_line_comes_from_the_errors_number_or_words(tmp_path: Path) -> None:
    port = tmp_path / "tty"
    port.touch()
    for error in (PermissionError(errno.EACCES, "x"), OSError("[Errno 13] Permission denied")):
        assert "dialout" in str(open_error(str(port), error))


def test_a_silent_line_says_what_to_look_at(
    silent: Line, capsys: pytest.CaptureFixture[str]
) -> None:
    begun = time.monotonic()
    answer = call(capsys, "monitor", *BOARD, "--port", silent.path)
    line = answer.refused(silent.path, "does not answer", "flash")
    assert "cable" in line
    assert time.monotonic() - begun < 60


def test_other_firmware_is_told_from_silence(capsys: pytest.CaptureFixture[str]) -> None:
    line = Line(b"Hello from Arduino! 23.4 C\r\n")
    try:
        answer = call(capsys, "monitor", *BOARD, "--port", line.path)
    finally:
        line.tear_out()
    answer.refused(line.path, "other firmware", "edge-autoglm flash")


def test_a_cable_that_is_pulled_is_a_lost_connection(capsys: pytest.CaptureFixture[str]) -> None:
    line = Line()
    timer = threading.Timer(0.5, line.tear_out)
    timer.start()
    answer = call(capsys, "monitor", *BOARD, "--port", line.path)
    timer.join()
    answer.refused(line.path, "lost", "again")


def test_a_line_without_a_bootloader_is_told_how_to_wire_one(
    silent: Line, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    from aot_models import classifier

    from edge_quantize.graph.writer import write_tflite

    monkeypatch.chdir(tmp_path)
    (tmp_path / "tiny.tflite").write_bytes(write_tflite(classifier()))
    answer = call(capsys, "flash", "tiny.tflite", *BOARD, "--port", silent.path)
    last = answer.err.strip().splitlines()[-1]
    assert answer.code == 1
    assert "bootloader does not answer" in last
    assert "BOOT0" in last
