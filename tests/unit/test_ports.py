"""Which board is behind a serial port: by its own USB id, by its probe's, by the probe's disk."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest
from cli_tools import Program, call

if sys.platform == "win32":
    pytest.skip("no pseudo-terminals on Windows", allow_module_level=True)

import pty

import serial
from serial.tools.list_ports_common import ListPortInfo

from edge_autoglm.device import usb
from edge_autoglm.device.attached import Guess, attached_ports, guesses
from edge_autoglm.device.ports import find_port
from edge_autoglm.errors import TransportError
from edge_boards.loader import list_boards, load_board

BOARDS = list_boards()
ST_LINK = (0x0483, 0x374B)


def port(device: str, ids: tuple[int, int] | None, **facts: str) -> ListPortInfo:
    made = ListPortInfo(device, skip_link_detection=True)
    made.hwid = "USB" if ids else "PNP0501"
    if ids:
        made.vid, made.pid = ids
    for name, value in facts.items():
        setattr(made, name, value)
    return made


@pytest.fixture
def plug(monkeypatch: pytest.MonkeyPatch) -> list[ListPortInfo]:
    """The ports that the system tells of."""
    ports: list[ListPortInfo] = []
    monkeypatch.setattr("serial.tools.list_ports.comports", lambda **_: list(ports))
    return ports


class System:
    """The folders in which Linux tells of USB devices, their ports and their disks."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.devices, self.labels, self.blocks, self.dev = (
            root / name for name in ("devices", "by-label", "block", "dev")
        )
        for folder in (self.devices, self.labels, self.blocks, self.dev):
            folder.mkdir()
        real = usb.disk_label
        for module in ("ports", "attached"):
            monkeypatch.setattr(
                f"edge_autoglm.device.{module}.disk_label",
                lambda each: real(each, self.labels, self.blocks),
            )

    def device(self, socket: str, disk: str | None = None) -> str:
        """A USB device in that socket, with a disk of that label; gives its sysfs path."""
        device = self.devices / "usb1" / socket
        device.mkdir(parents=True)
        if disk is not None:
            name = f"sd{len(list(self.blocks.iterdir()))}"
            block = device / f"{socket}:1.1" / "host0" / "block" / name
            block.mkdir(parents=True)
            (self.blocks / name).symlink_to(block)
            (self.dev / name).touch()
            (self.labels / disk.replace(" ", "\\x20")).symlink_to(self.dev / name)
        return str(device)


@pytest.fixture
def system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> System:
    return System(tmp_path, monkeypatch)


def probe(system: System, device: str, socket: str, disk: str | None) -> ListPortInfo:
    return port(device, ST_LINK, usb_device_path=system.device(socket, disk), location=socket)


# Guesses


def test_a_boards_own_id_names_it_and_what_answers_there() -> None:
    assert guesses((0x2341, 0x805A), None, BOARDS) == (Guess("arduino-nano-33-ble", "console"),)
    assert guesses((0x2341, 0x005A), None, BOARDS) == (Guess("arduino-nano-33-ble", "bootloader"),)


def test_an_id_of_a_bridge_leaves_the_boards_that_have_one() -> None:
    assert {g.board for g in guesses((0x10C4, 0xEA60), None, BOARDS)} == {
        "esp32",
        "esp32-c3",
        "esp32-s3",
    }


def test_a_probe_leaves_every_board_with_such_a_probe_and_its_disk_leaves_one() -> None:
    names = {guess.board for guess in guesses(ST_LINK, None, BOARDS)}
    assert names >= {"stm32f746", "nucleo-f746zg", "nucleo-l4r5zi"}
    assert names == {b.name for b in BOARDS if b.link("console").through == "st-link"}
    assert guesses(ST_LINK, "NODE_F746ZG", BOARDS) == (Guess("nucleo-f746zg", "console"),)
    assert guesses(ST_LINK, "DIS_F746NG", BOARDS) == (Guess("stm32f746", "console"),)
    assert {g.board for g in guesses(ST_LINK, "NUCLEO", BOARDS)} == names  # an older firmware's


def test_what_no_file_knows_is_not_guessed() -> None:
    assert guesses((0x0403, 0x6001), None, BOARDS) == ()
    assert guesses(None, None, BOARDS) == ()


def test_a_disk_belongs_to_the_port_whose_usb_device_shows_it(
    system: System, plug: list[ListPortInfo]
) -> None:
    plug += [
        probe(system, "/dev/ttyACM0", "1-1", "DIS_F746NG"),
        probe(system, "/dev/ttyACM1", "1-10", "NODE_F746ZG"),  # 1-1 is no folder above it
        probe(system, "/dev/ttyACM2", "1-2", None),
        port("/dev/ttyACM3", ST_LINK),  # no sysfs: another system
    ]
    system.device("1-3", "some stick")
    assert [each.disk for each in attached_ports(BOARDS)] == [
        *("DIS_F746NG", "NODE_F746ZG"),
        *(None, None),
    ]


# --port auto


def test_a_board_with_usb_of_its_own_is_found_by_its_id(plug: list[ListPortInfo]) -> None:
    plug += [port("/dev/ttyACM0", ST_LINK), port("/dev/ttyACM1", (0x2E8A, 0x000A))]
    assert find_port(load_board("raspberry-pi-pico")).path == "/dev/ttyACM1"
    assert find_port(load_board("stm32f746")).path == "/dev/ttyACM0"
    with pytest.raises(TransportError, match=r"no USB port 2341:805a; ports here: .*plug it in"):
        find_port(load_board("arduino-nano-33-ble"))


@pytest.mark.usefixtures("plug")
def test_a_virtual_board_is_offered_only_where_there_is_one() -> None:
    for name, offered in (("stm32f746", True), ("teensy41", False), ("bluepill", False)):
        with pytest.raises(TransportError) as caught:
            find_port(load_board(name))
        assert ("--port virtual" in str(caught.value)) == offered


def test_a_bootloaders_id_is_no_console(plug: list[ListPortInfo]) -> None:
    plug.append(port("/dev/ttyACM0", (0x2341, 0x005A)))
    with pytest.raises(TransportError, match="no board is attached"):
        find_port(load_board("arduino-nano-33-ble"))


def test_of_two_probes_the_one_whose_disk_is_the_boards_is_taken(
    system: System, plug: list[ListPortInfo]
) -> None:
    plug += [
        probe(system, "/dev/ttyACM0", "1-1", "NODE_F746ZG"),
        probe(system, "/dev/ttyACM1", "1-2", "DIS_F746NG"),
    ]
    assert find_port(load_board("stm32f746")).path == "/dev/ttyACM1"
    assert find_port(load_board("nucleo-f746zg")).path == "/dev/ttyACM0"


def test_another_boards_probe_is_not_taken_for_this_ones(
    system: System, plug: list[ListPortInfo]
) -> None:
    plug.append(probe(system, "/dev/ttyACM0", "1-1", "NODE_F746ZG"))
    with pytest.raises(TransportError, match=r"another board is attached .*NODE_F746ZG.*--port"):
        find_port(load_board("stm32f746"))
    assert find_port(load_board("stm32f746"), "/dev/ttyACM0").path == "/dev/ttyACM0"


def test_a_label_that_no_board_file_has_rules_nothing_out(
    system: System, plug: list[ListPortInfo]
) -> None:
    plug.append(probe(system, "/dev/ttyACM0", "1-1", "NUCLEO"))
    assert find_port(load_board("nucleo-f401re")).path == "/dev/ttyACM0"


def test_of_two_of_one_kind_none_is_picked_though_only_one_has_its_label(
    system: System, plug: list[ListPortInfo]
) -> None:
    """udev keeps one link a label, and a probe's disk goes away for a while after flashing."""
    plug += [
        probe(system, "/dev/ttyACM0", "1-1", "DIS_F746NG"),
        probe(system, "/dev/ttyACM1", "1-2", None),
    ]
    with pytest.raises(TransportError, match="several ports could be it"):
        find_port(load_board("stm32f746"))


def test_a_broken_file_of_another_board_does_not_hide_this_one(
    system: System, plug: list[ListPortInfo], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "broken.toml").write_text("name = \n")
    monkeypatch.setenv("EDGE_AUTOGLM_BOARDS", str(mine))
    plug.append(probe(system, "/dev/ttyACM0", "1-1", "NOD_OTHER"))
    assert find_port(load_board("stm32f746")).path == "/dev/ttyACM0"


@pytest.mark.usefixtures("plug")
def test_a_board_file_without_an_id_says_so(tmp_path: Path) -> None:
    text = load_board("teensy41").path.read_text().split("[[usb]]")[0]
    (tmp_path / "teensy41.toml").write_text(text)
    with pytest.raises(TransportError, match=r"names no id \(\[\[usb\]\]\); name its port"):
        find_port(load_board(tmp_path / "teensy41.toml"))


# The command


def test_no_port_is_one_line_that_says_so(
    plug: list[ListPortInfo], tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.setenv("EDGE_AUTOGLM_STATE", str(tmp_path))
    plug.append(port("/dev/ttyS0", None))
    plug[0].hwid = "n/a"  # as every PC has 32 of
    answer = call(capsys, "ports")
    assert answer.code == 0
    assert answer.out.startswith("No serial port is here")
    assert len(answer.out.splitlines()) == 1
    assert json.loads(call(capsys, "ports", "--json", "-").out) == {
        "schema": 1,
        "ports": [],
        "virtual": [],
    }


def test_a_port_is_told_with_its_board_and_who_holds_it(
    plug: list[ListPortInfo], tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    """A child process holds a real pty, as a terminal program does."""
    monkeypatch.setenv("EDGE_AUTOGLM_STATE", str(tmp_path))
    ours, theirs = pty.openpty()
    path = os.ttyname(theirs)
    plug += [
        port(path, (0x16C0, 0x0483), serial_number="1234560", product="USB Serial"),
        port("/dev/ttyUSB9", (0x0403, 0x6001), product="FT232R", location="1-4.2"),
        port("/dev/ttyS7", None),
    ]
    child = os.fork()
    if child == 0:
        import signal

        signal.pause()
        os._exit(0)
    try:
        answer = call(capsys, "ports")
        found = json.loads(call(capsys, "ports", "--json", "-").out)["ports"]
    finally:
        os.kill(child, 9)
        os.waitpid(child, 0)
        os.close(ours)
        os.close(theirs)
    assert answer.code == 0
    blocks = answer.out.split("/dev/")
    teensy = next(block for block in blocks if "16c0:0483" in block)
    assert "teensy41" in teensy
    assert "serial number 1234560" in teensy
    if Path("/proc").is_dir():
        assert f"(pid {child})" in teensy
    adapter = next(block for block in blocks if "0403:6001" in block)
    assert "no board file has this id" in adapter
    assert "socket 1-4.2" in adapter
    assert "no USB port" in next(block for block in blocks if block.startswith("ttyS7"))
    assert max(map(len, answer.out.splitlines())) <= 80
    assert [each["usb"] for each in found] == ["16c0:0483", "0403:6001", None] or [
        each["usb"] for each in found
    ] == ["0403:6001", "16c0:0483", None]
    assert next(e for e in found if e["usb"] == "16c0:0483")["guesses"] == [
        {"board": "teensy41", "role": "console"}
    ]


def test_a_users_own_board_is_guessed_too(
    plug: list[ListPortInfo], tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.setenv("EDGE_AUTOGLM_STATE", str(tmp_path / "state"))
    text = load_board("teensy41").path.read_text().replace('"16c0:0483"', '"1209:0001"')
    text = text.replace('name = "teensy41"', 'name = "mine"', 1)
    (tmp_path / "mine.toml").write_text(text)
    plug.append(port("/dev/ttyACM0", (0x1209, 0x0001)))
    assert "no board file" in call(capsys, "ports").out
    assert "    mine\n" in call(capsys, "ports", "--boards", tmp_path).out


def test_a_virtual_boards_ports_are_listed_as_such_with_who_holds_them(tmp_path: Path) -> None:
    pytest.importorskip("unicorn", reason="unicorn is not installed (extra: virtual)")
    program = Program(tmp_path)
    try:
        program.done("virtual", "start", "stm32f746", "--boot0")
        links = json.loads(program.done("ports", "--json", "-").stdout)["virtual"][0]["links"]
        with serial.Serial(links["console"]["path"]):
            text = program.done("ports").stdout
            held = json.loads(program.done("ports", "--json", "-").stdout)["virtual"][0]["links"]
    finally:
        program.stop_boards()
    assert "virtual stm32f746" in text
    assert links["console"]["path"] in text
    assert links["console"]["holders"] == []
    if Path("/proc").is_dir():
        assert held["console"]["holders"] == [f"{_own_name()} (pid {os.getpid()})"]
        assert held["bootloader"]["holders"] == []


def test_a_virtual_board_is_known_by_the_path_of_its_pty(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("unicorn", reason="unicorn is not installed (extra: virtual)")
    from edge_boards import virtual

    monkeypatch.setenv("EDGE_AUTOGLM_STATE", str(tmp_path / "state"))
    board = load_board("stm32f746")
    info = virtual.start(board, boot0=True)
    ours, another = pty.openpty()
    try:
        link = info.links["console"]
        for path in (str(link), os.path.realpath(link), str(info.links["bootloader"])):
            found = find_port(board, path)
            assert (found.path, found.virtual) == (path, "stm32f746")
            assert found.name == "virtual stm32f746"
        assert not find_port(board, os.ttyname(another)).is_virtual
    finally:
        virtual.stop("stm32f746")
        os.close(ours)
        os.close(another)


def test_no_virtual_board_is_asked_about_a_real_port(monkeypatch: pytest.MonkeyPatch) -> None:
    def asked() -> None:
        pytest.fail("a virtual board was asked")

    monkeypatch.setattr("edge_boards.virtual.list_running", asked)
    assert not find_port(load_board("stm32f746"), "/dev/ttyACM0").is_virtual


def _own_name() -> str:
    return Path("/proc/self/comm").read_text(encoding="utf-8").strip()
