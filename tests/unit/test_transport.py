"""Opening ports: what is said when one is absent, busy, forbidden, or not named."""

from __future__ import annotations

import errno
import os
import pty
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from serial.tools.list_ports_common import ListPortInfo

from edge_autoglm.device import ports, transport
from edge_autoglm.device.ports import find_port
from edge_autoglm.device.transport import SerialTransport, open_error
from edge_autoglm.errors import TransportError
from edge_boards.board import Board
from edge_boards.errors import BoardsError
from edge_boards.loader import load_board

HOLDER = """
import serial, sys, time
port = serial.Serial(sys.argv[1], exclusive=True)
print("open", flush=True)
time.sleep(60)
"""


@pytest.fixture
def terminal() -> Iterator[tuple[int, str]]:
    """A pty: our end, and the path of the other."""
    ours, theirs = pty.openpty()
    yield ours, os.ttyname(theirs)
    for handle in (ours, theirs):
        os.close(handle)


@pytest.fixture(scope="module")
def board() -> Board:
    return load_board("stm32f746")


def attach(monkeypatch: pytest.MonkeyPatch, *found: tuple[str, int | None, int | None]) -> None:
    """The operating system lists these USB serial ports: path, vendor, product."""
    listed = [
        SimpleNamespace(
            device=path, vid=vendor, pid=product, hwid="USB", serial_number=None, location=None
        )
        for path, vendor, product in found
    ]
    monkeypatch.setattr(ports.list_ports, "comports", lambda **_: listed)
    monkeypatch.setattr(transport.list_ports, "comports", lambda **_: listed)


class TestTwoBoardsOfOneKind:
    @staticmethod
    def plug_in(monkeypatch: pytest.MonkeyPatch, *twins: tuple[str, str | None, str]) -> None:
        listed = []
        for path, serial_number, location in twins:
            port = ListPortInfo(path)
            port.vid, port.pid = 0x0483, 0x374B
            port.serial_number, port.location = serial_number, location
            listed.append(port)
        monkeypatch.setattr(ports.list_ports, "comports", lambda **_: listed)

    def test_are_told_apart_by_the_serial_numbers_of_their_probes(
        self, monkeypatch: pytest.MonkeyPatch, board: Board
    ) -> None:
        self.plug_in(
            monkeypatch, ("/dev/ttyACM1", "066BFF55", "1-2"), ("/dev/ttyACM0", "0670FF49", "1-1")
        )
        with pytest.raises(
            TransportError,
            match=r"/dev/ttyACM0: serial number 0670FF49, /dev/ttyACM1: serial number 066BFF55"
            r".*--port PATH",
        ):
            find_port(board)

    def test_without_serial_numbers_by_where_they_are_plugged_in(
        self, monkeypatch: pytest.MonkeyPatch, board: Board
    ) -> None:
        self.plug_in(monkeypatch, ("/dev/ttyACM0", None, "1-1"), ("/dev/ttyACM1", None, "1-2"))
        with pytest.raises(
            TransportError, match=r"/dev/ttyACM0: at USB 1-1, /dev/ttyACM1: at USB 1-2"
        ):
            find_port(board)


class TestOpening:
    def test_bytes_pass_both_ways(self, terminal: tuple[int, str]) -> None:
        ours, path = terminal
        with SerialTransport(path) as port:
            port.write(b"ping\0\n")
            assert os.read(ours, 10) == b"ping\0\n"
            os.write(ours, b"pong\r\n")
            assert port.read(1.0) == b"pong\r\n"
            assert port.read(0.01) == b""

    def test_an_absent_port_lists_those_that_exist(self, monkeypatch: pytest.MonkeyPatch) -> None:
        attach(monkeypatch, ("/dev/ttyACM7", 0x0483, 0x374B))
        with pytest.raises(TransportError, match=r"no such port; ports here: /dev/ttyACM7\."):
            SerialTransport("/dev/ttyACM99")

    def test_a_busy_port_names_who_holds_it(self, terminal: tuple[int, str]) -> None:
        _, path = terminal
        holder = subprocess.Popen(
            [
                sys.executable,
                "-c",
                HOLDER,
                path,
            ],
            stdout=subprocess.PIPE,
        )
        try:
            assert holder.stdout is not None
            assert holder.stdout.readline() == b"open\n"
            with pytest.raises(TransportError, match=rf"busy, held by .*\(pid {holder.pid}\)"):
                SerialTransport(path)
        finally:
            holder.kill()
            holder.wait()
            assert holder.stdout is not None
            holder.stdout.close()

    def test_a_forbidden_port_says_how_to_get_permission(self, terminal: tuple[int, str]) -> None:
        _, path = terminal
        message = str(open_error(path, PermissionError(errno.EACCES, "Permission denied")))
        assert "dialout" in message
        assert "udev" in message

    def test_a_file_is_no_port(self, tmp_path: Path) -> None:
        file = tmp_path / "file"
        file.write_bytes(b"")
        with pytest.raises(TransportError, match="is no serial port"):
            SerialTransport(file)

    def test_a_port_whose_far_end_goes_away(self) -> None:
        ours, theirs = pty.openpty()
        with SerialTransport(os.ttyname(theirs)) as port:
            os.close(ours)
            with pytest.raises(TransportError, match="connection was lost"):
                port.read(1.0)
        os.close(theirs)


class TestFinding:
    def test_the_boards_probe_is_found(self, board: Board, monkeypatch: pytest.MonkeyPatch) -> None:
        attach(
            monkeypatch, ("/dev/ttyUSB3", 0x0403, 0x6001), ("/dev/ttyACM1", 0x0483, 0x374B),
            ("/dev/ttyS0", None, None),
        )  # fmt: skip
        port = find_port(board)
        assert (port.path, port.usb, port.baud) == ("/dev/ttyACM1", (0x0483, 0x374B), 115_200)
        assert not port.is_virtual

    def test_no_board_names_the_virtual_one(
        self, board: Board, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        attach(monkeypatch, ("/dev/ttyUSB3", 0x0403, 0x6001))
        with pytest.raises(TransportError, match=r"no board is attached .* use --port virtual"):
            find_port(board)

    def test_two_boards_ask_for_a_choice(
        self, board: Board, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        attach(monkeypatch, ("/dev/ttyACM0", 0x0483, 0x374B), ("/dev/ttyACM1", 0x0483, 0x374E))
        with pytest.raises(TransportError, match=r"ttyACM0, /dev/ttyACM1\); choose one"):
            find_port(board)

    def test_an_adapter_cannot_be_recognised(
        self, board: Board, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        attach(monkeypatch, ("/dev/ttyUSB3", 0x0403, 0x6001))
        with pytest.raises(TransportError, match=r"--port PATH \(ports here: /dev/ttyUSB3\)"):
            find_port(board, "auto", "bootloader")

    def test_a_link_that_the_board_does_not_have(self, board: Board) -> None:
        with pytest.raises(BoardsError, match="no serial link 'radio'"):
            find_port(board, "auto", "radio")

    def test_a_path_is_taken_as_it_is(self, board: Board) -> None:
        assert find_port(board, "/dev/ttyXYZ").path == "/dev/ttyXYZ"
