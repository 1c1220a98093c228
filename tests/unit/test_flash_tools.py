"""Each programmer that runs a tool: the exact arguments, what it flashes, and what is said when the
tool fails. Stand-ins behave like the tools (tests/tool_standins.py)."""

from __future__ import annotations

import os
import re
import signal
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from tool_standins import Installed, install

from edge_autoglm.errors import FlashError
from edge_autoglm.flash import runner
from edge_autoglm.flash.job import Job
from edge_autoglm.flash.programmers import PROGRAMMERS
from edge_autoglm.flash.runner import Limits, ToolError
from edge_autoglm.flash.tool import ToolMissingError, find_tool
from edge_boards.board import Board, PlatformIO, Programmer
from edge_boards.loader import load_board

IMAGE = bytes(range(256)) * 150
FILE = "<the image>"
TOOLS = {"openocd", "st-flash", "pyocd", "dfu-util", "esptool", "picotool", "pio"}

ENTRIES = {
    "openocd": Programmer("openocd", configs=("interface/stlink.cfg", "target/stm32f7x.cfg")),
    "st-flash": Programmer("st-flash"),
    "pyocd": Programmer("pyocd", target="stm32f746"),
    "dfu-util": Programmer("dfu-util", usb="0483:df11", alt=0),
    "esptool": Programmer("esptool", link="console", target="esp32"),
    "picotool": Programmer("picotool"),
    "platformio": Programmer("platformio"),
}
CHIP_CHECK = (
    "source [find mem_helper.tcl]; init; reset init; set id [expr {[mrw 0xe0042000] & 0xfff}]; "
    "if {$id != 0x449} { echo [format {edge-autoglm: chip 0x%03x} $id]; shutdown error }"
)
ARGUMENTS = {
    "openocd": [
        "-f", "interface/stlink.cfg", "-f", "target/stm32f7x.cfg", "-c", CHIP_CHECK,
        "-c", f"program {{{FILE}}} 0x08000000 verify reset exit",
    ],
    "st-flash": ["--reset", "write", FILE, "0x08000000"],
    "pyocd": [
        "load", "--no-wait", "--no-config", "--color", "never", "--target", "stm32f746",
        "--format", "bin", "--base-address", "0x08000000", FILE,
    ],
    "dfu-util": [
        "--device", ",0483:df11", "--alt", "0", "--dfuse-address", "0x08000000:leave",
        "--download", FILE,
    ],
    "esptool": [
        "--chip", "esp32", "--port", "PORT", "--before", "no-reset", "--after", "no-reset",
        "--no-stub", "write-flash", "0x8000000", FILE,
    ],
    "picotool": ["load", "-v", "-x", FILE, "-t", "bin", "-o", "0x08000000"],
    "platformio": [
        "run", "--project-dir", "<project>", "--environment", "stm32f746",
        "--target", "nobuild", "--target", "upload",
    ],
}  # fmt: skip
OF_A_PROBE = {
    "openocd": ["-c", "adapter serial {066B}"],
    "st-flash": ["--serial", "066B"],
    "pyocd": ["--uid", "066B"],
    "dfu-util": ["--serial", ",066B"],
    "picotool": ["--ser", "066B"],
}


@dataclass(frozen=True)
class Bench:
    """Stand-ins on PATH, and a line for tools that want a port."""

    folder: Path
    port: str
    patch: pytest.MonkeyPatch

    def tool(self, name: str) -> Installed:
        return Installed(self.folder, "pio" if name == "platformio" else name)

    def plays(self, what: str) -> None:
        self.patch.setenv("STANDIN_PLAYS", what)

    def job(self, name: str, **changes: object) -> Job:
        row = PROGRAMMERS[name]
        assert row.tool is not None
        job = Job(
            board=load_board("stm32f746"), programmer=ENTRIES[name], image=IMAGE,
            address=0x0800_0000, port=self.port if name == "esptool" else None,
            tool=find_tool(row.tool), usb=(0x0483, 0x374B),
        )  # fmt: skip
        return replace(job, **changes)  # type: ignore[arg-type]

    def program(self, name: str, **changes: object) -> None:
        PROGRAMMERS[name].program(self.job(name, **changes))

    def fails(self, name: str, plays: str) -> str:
        """The message of a failure, which is one line and has the tool's words beside it."""
        self.plays(plays)
        with pytest.raises(FlashError) as caught:
            self.program(name)
        assert "\n" not in str(caught.value)
        return str(caught.value)


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in (*TOOLS, "st-info"):
        install(folder, name)
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setenv("STANDIN_HOME", str(folder))
    monkeypatch.setenv("PLATFORMIO_CORE_DIR", str(tmp_path / "no platformio"))
    monkeypatch.setattr("edge_autoglm.device.probes.SYSFS", tmp_path / "no usb")
    # Real ones may be installed for this interpreter.
    monkeypatch.setattr("edge_autoglm.flash.tool._scripts", lambda: str(tmp_path / "none"))
    line = os.openpty()
    yield Bench(folder, os.ttyname(line[1]), monkeypatch)
    for end in line:
        os.close(end)


def plain(run: list[str], port: str) -> list[str]:
    """The arguments with the names of temporary files replaced."""
    words = [re.sub(r"[^ {]*edge-autoglm-[^ }]*\.bin", FILE, word) for word in run]
    words = [re.sub(r".*edge-autoglm-\w+$", "<project>", word) for word in words]
    return ["PORT" if word == port else word for word in words]


@pytest.mark.parametrize("name", ENTRIES)
def test_the_arguments_come_from_the_board_file(name: str, bench: Bench) -> None:
    bench.program(name)
    tool = bench.tool(name)
    assert plain(tool.runs[-1], bench.port) == ARGUMENTS[name]
    assert IMAGE in tool.flash.values()


@pytest.mark.parametrize("name", OF_A_PROBE)
def test_of_two_probes_the_one_that_was_named_is_used(name: str, bench: Bench) -> None:
    bench.program(name, probe="066B")
    run = bench.tool(name).runs[-1]
    added = OF_A_PROBE[name]
    assert any(run[at : at + len(added)] == added for at in range(len(run)))


@pytest.mark.parametrize("name", ENTRIES)
def test_its_progress_is_shown_and_never_goes_back(name: str, bench: Bench) -> None:
    told: list[tuple[int, int]] = []
    bench.program(name, progress=lambda done, total: told.append((done, total)))
    done = [each[0] for each in told]
    assert done == sorted(done)
    assert len(done) >= 2
    assert told[-1] == (len(IMAGE), len(IMAGE))


@pytest.mark.parametrize("name", ENTRIES)
def test_no_temporary_file_is_left(
    name: str, bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = tmp_path / "temporary"
    own.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(own))
    bench.program(name)
    bench.plays("garbage")
    with pytest.raises(ToolError):
        bench.program(name)
    assert list(own.iterdir()) == []


MEANINGS = [
    ("openocd", "no probe", ["no probe was found", "plug the board's debug USB in"]),
    ("openocd", "no config", ["lacks that configuration file", "`configs`"]),
    ("openocd", "no permission", ["no permission", 'ATTR{idVendor}=="0483"', '"374b"', "udevadm"]),
    ("openocd", "no target", ["the chip does not answer"]),
    ("openocd", "another chip", ["another device id than a STM32F746G-DISCO", "--board"]),
    ("openocd", "no power", ["no power"]),
    ("openocd", "differs", ["differs from the image"]),
    ("st-flash", "no probe", ["no ST-LINK was found"]),
    ("st-flash", "no permission", ["no permission", 'ATTR{idProduct}=="374b"']),
    ("st-flash", "busy", ["another program holds it"]),
    ("st-flash", "no target", ["the chip does not answer"]),
    ("st-flash", "another chip", ["has id 0x413, a STM32F746G-DISCO has 0x449"]),
    ("st-flash", "differs", ["differs from the image"]),
    ("pyocd", "no probe", ["no probe was found"]),
    ("pyocd", "no target", ["`pyocd pack install stm32f746`"]),
    ("pyocd", "another chip", ["--board"]),
    ("dfu-util", "no probe", ["no bootloader is attached", "BOOT0 high"]),
    ("dfu-util", "no permission", ["no permission", "udevadm"]),
    ("dfu-util", "two", ["--probe SERIAL"]),
    ("dfu-util", "another chip", ["--board"]),
    ("esptool", "no probe", ["hold BOOT"]),
    ("esptool", "another chip", ["another chip is at", "--board"]),
    ("esptool", "no permission", ["is busy or gone"]),
    ("esptool", "differs", ["lost bytes"]),
    ("picotool", "no probe", ["hold BOOTSEL"]),
    ("picotool", "no permission", ["no permission", "udevadm"]),
    ("picotool", "differs", ["differs from the image"]),
    ("platformio", "no platform", ["pio pkg install --global --platform ststm32"]),
    ("platformio", "no probe", ["no probe was found"]),
]


@pytest.mark.parametrize(("name", "plays", "words"), MEANINGS)
def test_a_failure_says_what_it_means_and_what_to_try(
    name: str, plays: str, words: list[str], bench: Bench
) -> None:
    message = bench.fails(name, plays)
    for word in words:
        assert word in message


@pytest.mark.parametrize("name", ENTRIES)
def test_what_nobody_knows_is_shown_as_the_tool_said_it(name: str, bench: Bench) -> None:
    bench.plays("garbage")
    with pytest.raises(ToolError, match=r"failed \(exit code 3\); it said: .*no") as caught:
        bench.program(name)
    assert "nothing was written" in str(caught.value)
    assert any("no" in line for line in caught.value.problems)


@pytest.mark.parametrize("name", ENTRIES)
def test_a_tool_that_is_killed_half_way_says_what_the_board_holds(name: str, bench: Bench) -> None:
    message = bench.fails(name, "is killed")
    assert "killed in mid-work (SIGKILL)" in message
    assert "half an image now" in message
    assert "flash it again" in message


def test_of_a_framework_nothing_is_promised_after_a_cut(bench: Bench) -> None:
    """Its image is linked without our check of the whole."""
    board = load_board("stm32f746")
    arduino = replace(board, soc=replace(board.soc, port="arduino"))
    bench.plays("is killed")
    with pytest.raises(ToolError, match="half an image now, which may start and fail"):
        bench.program("openocd", board=arduino)


@pytest.mark.parametrize(
    ("how", "total", "words"),
    [
        ("hangs", 600, "has said nothing for 3 s and was ended"),
        ("is stubborn", 600, "has said nothing for 3 s and was ended"),
        # The start of an interpreter on a busy machine takes its time.
        ("chatters", 5, "does not come to an end and was ended"),
    ],
)
def test_a_tool_that_does_not_end_is_ended_with_all_that_it_started(
    how: str, total: float, words: str, bench: Bench
) -> None:
    bench.patch.setattr(runner, "LIMITS", Limits(silence=3.0, total=total, speed=1e6))
    message = bench.fails("openocd", how)
    assert words in message
    assert "half an image now" in message
    assert still_running(bench.folder) == []


def test_a_large_image_may_take_longer_without_a_word() -> None:
    """OpenOCD says nothing between the start and the end of programming."""
    small, large = Limits().of(2048), Limits().of(1 << 20)
    assert small.silence == Limits().silence + 1
    assert large.silence == Limits().silence + 512
    assert large.total - small.total == 511


@pytest.mark.parametrize("plays", ["leaves at once", "leaves at once, older"])
def test_a_bootloader_that_leaves_before_it_answers_has_done_its_work(
    plays: str, bench: Bench
) -> None:
    bench.plays(plays)
    bench.program("dfu-util")
    assert bench.tool("dfu-util").flash == {0x0800_0000: IMAGE}


def test_the_same_words_without_the_proof_are_a_failure(bench: Bench) -> None:
    assert "half an image now" in bench.fails("dfu-util", "cut")


def test_a_tool_that_ended_is_not_waited_for_though_its_child_holds_the_pipe(
    bench: Bench,
) -> None:
    bench.plays("leaves a child")
    begun = time.monotonic()
    bench.program("openocd")
    assert time.monotonic() - begun < 30


@pytest.mark.parametrize("name", ENTRIES)
def test_ctrl_c_ends_the_tool_and_says_what_the_board_holds(name: str, bench: Bench) -> None:
    bench.plays("hangs")
    started = threading.Event()

    def interrupt() -> None:
        started.wait(60)
        time.sleep(0.5)  # on from there it comes to where it writes, and hangs
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(KeyboardInterrupt, match="half an image now"):
        bench.program(name, progress=lambda *_: started.set())
    thread.join()
    assert still_running(bench.folder) == []


def still_running(folder: Path) -> list[str]:
    """Processes that were started from `folder` and are no zombies."""
    found = []
    for process in Path("/proc").iterdir():
        if process.name.isdigit():
            try:
                home = f"STANDIN_HOME={folder}".encode()
                if home not in (process / "environ").read_bytes().split(b"\0"):
                    continue
                line = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            except OSError:
                continue
            if "tool_standins" in line:
                found.append(line)
    return found


class TestTools:
    def test_the_version_is_told(self, bench: Bench) -> None:
        for name in ENTRIES:
            tool = PROGRAMMERS[name].tool
            assert tool is not None
            found = find_tool(tool)
            assert found.version >= tool.minimal
            assert found.command == (str(bench.tool(name).program),)

    @pytest.mark.parametrize(
        ("name", "version", "words"),
        [
            ("openocd", "Open On-Chip Debugger 0.10.0", "0.10.0"),
            ("st-flash", "v1.6.1", "1.6.1"),
            ("esptool", "esptool.py v3.3.1", "3.3.1"),
        ],
    )
    def test_one_that_is_too_old_is_refused_with_what_to_do(
        self, name: str, version: str, words: str, bench: Bench
    ) -> None:
        bench.patch.setenv("STANDIN_VERSION", version)
        tool = PROGRAMMERS[name].tool
        assert tool is not None
        with pytest.raises(
            ToolMissingError, match=rf"{re.escape(words)} .* is too old, .* install"
        ):
            find_tool(replace(tool, module=None))

    def test_one_that_is_not_there_is_named_with_what_to_install(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("PATH", str(tmp_path))
        monkeypatch.setenv("PLATFORMIO_CORE_DIR", str(tmp_path))
        tool = PROGRAMMERS["openocd"].tool
        assert tool is not None
        with pytest.raises(ToolMissingError, match=r"openocd is not installed; .*openocd"):
            find_tool(tool)

    def test_one_that_does_not_start_is_not_there(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        broken = tmp_path / "dfu-util"
        broken.write_text("#!/bin/sh\necho cannot load libusb >&2\nexit 127\n")
        broken.chmod(0o755)
        monkeypatch.setenv("PATH", str(tmp_path))
        monkeypatch.setenv("PLATFORMIO_CORE_DIR", str(tmp_path))
        tool = PROGRAMMERS["dfu-util"].tool
        assert tool is not None
        with pytest.raises(ToolMissingError, match=r"does not start \(cannot load libusb\)"):
            find_tool(tool)

    def test_platformios_packages_serve_where_path_has_none(
        self, bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        home = tmp_path / "pio home"
        inside = home / "packages" / "tool-openocd" / "bin"
        inside.mkdir(parents=True)
        install(inside, "openocd")
        monkeypatch.setenv("PLATFORMIO_CORE_DIR", str(home))
        monkeypatch.setenv("PATH", "/nowhere")
        tool = PROGRAMMERS["openocd"].tool
        assert tool is not None
        found = find_tool(tool)
        assert found.command == (str(inside / "openocd"),)
        assert found.describe() == "openocd 0.12.0 (PlatformIO's package tool-openocd)"
        assert bench.folder.is_dir()


def test_an_older_openocd_cannot_be_told_which_probe(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STANDIN_VERSION", "Open On-Chip Debugger 0.11.0")
    bench.program("openocd")
    with pytest.raises(FlashError, match=r"0\.11\.0 .* cannot be told which probe"):
        bench.program("openocd", probe="066B")


def test_openocd_runs_nothing_that_a_serial_number_says(bench: Bench) -> None:
    bench.program("openocd", probe="x; exec touch F")
    assert "adapter serial {x; exec touch F}" in bench.tool("openocd").runs[-1]
    with pytest.raises(FlashError, match="cannot be given"):
        bench.program("openocd", probe="x}; exec touch F; set a {")


@pytest.mark.parametrize("name", ["a}; exec touch F; {", "[exec touch F]", "back\\slash"])
def test_openocd_runs_nothing_that_a_folder_is_called(
    name: str, bench: Bench, tmp_path: Path
) -> None:
    folder = tmp_path / name
    folder.mkdir()
    bench.patch.setattr("tempfile.tempdir", str(folder))
    with pytest.raises(FlashError, match="TMPDIR"):
        bench.program("openocd")
    assert bench.tool("openocd").runs == []


def test_an_older_esptool_is_called_as_it_wants(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STANDIN_VERSION", "esptool.py v4.4")
    bench.program("esptool")
    run = bench.tool("esptool").runs[-1]
    assert "write_flash" in run
    assert "no_reset" in run


@pytest.mark.parametrize(
    ("soc", "address"),
    [("STM32L4R5ZI", "e0042000"), ("STM32H743ZI", "5c001000"), ("STM32U575ZI", "e0044000")],
)
def test_openocd_reads_the_device_id_where_the_family_has_it(
    soc: str, address: str, bench: Bench
) -> None:
    board = load_board("stm32f746")
    other = replace(board, soc=replace(board.soc, name=soc))
    bench.program("openocd", board=other)
    assert f"[mrw 0x{address}]" in " ".join(bench.tool("openocd").runs[-1])


def test_platformio_uploads_what_it_built_from_where_it_built_it(
    bench: Bench, tmp_path: Path
) -> None:
    project = tmp_path / "project"
    built = project / ".pio" / "build" / "stm32f746"
    built.mkdir(parents=True)
    (project / "platformio.ini").write_text("[env:stm32f746]\n")
    (built / "firmware.bin").write_bytes(b"built there")
    bench.program("platformio", project=project, port="/dev/ttyACM7")
    run = bench.tool("platformio").runs[-1]
    assert run[:3] == ["run", "--project-dir", str(project)]
    assert run[-2:] == ["--upload-port", "/dev/ttyACM7"]
    assert bench.tool("platformio").flash[0] == b"built there"


def test_platformio_gets_an_image_of_ours_as_if_it_had_linked_it(
    bench: Bench, tmp_path: Path
) -> None:
    elf = tmp_path / "profile.elf"
    elf.write_bytes(b"\x7fELF")
    bench.program("platformio", elf=elf)
    assert bench.tool("platformio").flash == {0: IMAGE, 1: b"\x7fELF"}


def test_an_image_of_ours_is_not_for_a_board_whose_framework_links(bench: Bench) -> None:
    board = load_board("stm32f746")
    arduino: Board = replace(board, platformio=PlatformIO("nano33ble", "nordicnrf52", "arduino"))
    with pytest.raises(FlashError, match="build --with platformio"):
        bench.program("platformio", board=arduino)
