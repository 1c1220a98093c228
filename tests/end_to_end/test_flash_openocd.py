"""The real OpenOCD flashes an emulated chip through an emulated ST-LINK (tests/st_link.py), and a
virtual board starts what it flashed."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from aot_models import board, classifier
from machine_transport import MachineTransport

from edge_autoglm import pipeline
from edge_autoglm.device.patience import Patience
from edge_autoglm.device.session import Session
from edge_autoglm.errors import SessionError
from edge_autoglm.flash.job import Job
from edge_autoglm.flash.openocd import program
from edge_autoglm.flash.programmers import PROGRAMMERS
from edge_autoglm.flash.runner import ToolError
from edge_autoglm.flash.tool import ToolMissingError, find_tool
from edge_boards.board import Programmer
from edge_boards.errors import ToolchainError
from edge_boards.toolchain import find_toolchain
from edge_quantize.graph.writer import write_tflite

pytest.importorskip("unicorn", reason="the virtual board needs unicorn (edge-autoglm[virtual])")

from st_link import SERIAL, StLink
from swd_stm32f7 import Chip

TOOL = PROGRAMMERS["openocd"].tool
assert TOOL is not None
try:
    FOUND = find_tool(TOOL)
except ToolMissingError as error:
    pytest.skip(str(error), allow_module_level=True)


@dataclass(frozen=True)
class Bench:
    """A built image, and a board file's configuration that reaches the emulated probe."""

    image: pipeline.Built
    folder: Path

    @property
    def content(self) -> bytes:
        return self.image.image.binary.read_bytes()

    def job(self, link: StLink, **changes: object) -> Job:
        configuration = self.folder / f"{link.port}.cfg"
        configuration.write_text(f"hla_stlink_backend tcp {link.port}\n")
        shipped = next(each for each in board().programmers if each.name == "openocd")
        entry = Programmer("openocd", configs=(*shipped.configs, str(configuration)))
        made = Job(board(), entry, self.content, board().flash.address, None, tool=FOUND)
        return replace(made, **changes)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    try:
        find_toolchain(board())
    except ToolchainError as error:
        pytest.skip(str(error))
    folder = tmp_path_factory.mktemp("openocd")
    model = folder / "tiny.tflite"
    model.write_bytes(write_tflite(classifier()))
    return Bench(pipeline.build(pipeline.export(model, board(), folder / "out"), board()), folder)


@pytest.fixture
def probe() -> Iterator[StLink]:
    with StLink(Chip()) as made:
        yield made


def started(flash: bytes) -> Session:
    """A session with a virtual board that starts from this flash."""
    return Session(MachineTransport(board(), flash), patience=Patience(silence=1.0))


def test_what_was_flashed_is_what_a_board_starts(bench: Bench, probe: StLink) -> None:
    told: list[tuple[int, int]] = []
    program(bench.job(probe, progress=lambda done, total: told.append((done, total))))
    chip, size = probe.chip, len(bench.content)
    assert chip.flash[:size] == bench.content
    assert set(chip.flash[size:]) == {0xFF}
    assert not chip.halted
    assert told[-1] == (size, size)
    with started(bytes(chip.flash)) as session:
        assert session.info.build_id == bench.image.image.build_id


def test_only_the_sectors_that_are_needed_are_erased(bench: Bench, probe: StLink) -> None:
    probe.chip.flash[-4:] = b"kept"
    program(bench.job(probe))
    assert sum(probe.chip.erased) == -(-len(bench.content) // (32 << 10))
    assert probe.chip.flash[-4:] == b"kept"


def test_another_chip_is_refused_before_anything_is_erased(bench: Bench) -> None:
    with StLink(Chip(device_id=0x413)) as probe:
        probe.chip.flash[:4] = b"kept"
        with pytest.raises(
            ToolError, match=r"another device id .* chip 0x413; nothing was written"
        ):
            program(bench.job(probe))
        assert probe.chip.flash[:4] == b"kept"
        assert sum(probe.chip.erased) == 0


def test_the_probe_is_chosen_by_its_serial_number(bench: Bench, probe: StLink) -> None:
    with pytest.raises(ToolError, match="no probe was found, or probe 1234 is another one"):
        program(bench.job(probe, probe="1234"))
    program(bench.job(probe, probe=SERIAL))
    assert probe.chip.flash[: len(bench.content)] == bench.content


def test_flash_that_reads_back_different_is_told(bench: Bench) -> None:
    class Worn(Chip):
        def _program(self, offset: int, data: bytes) -> None:
            super()._program(offset, data)
            self.flash[1000] &= 0x7F if bench.content[1000] & 0x80 else 0xFE
            self.flash[1001] = 0

    with StLink(Worn()) as probe, pytest.raises(ToolError, match="differs from the image"):
        program(bench.job(probe))


class Interrupted(Chip):
    """A chip that sees OpenOCD killed once so many bytes are programmed."""

    def __init__(self, left: int) -> None:
        super().__init__()
        self.left = left

    def _program(self, offset: int, data: bytes) -> None:
        super()._program(offset, data)
        self.left -= len(data)
        if -len(data) <= self.left < 0:
            for folder in Path("/proc").iterdir():
                if folder.name.isdigit() and is_ours(folder):
                    os.kill(int(folder.name), signal.SIGKILL)


def test_killed_half_way_nothing_whole_starts_and_it_can_be_flashed_again(bench: Bench) -> None:
    size = len(bench.content)
    with StLink(Interrupted(size // 2)) as probe:
        with pytest.raises(ToolError, match=r"killed in mid-work .*half an image now"):
            program(bench.job(probe))
        flash = bytes(probe.chip.flash)
        assert flash[:256] == bench.content[:256]
        assert flash[:size] != bench.content
        with pytest.raises(SessionError, match="half an image"), started(flash):
            pass
        program(bench.job(probe))
        with started(bytes(probe.chip.flash)) as session:
            assert session.info.build_id == bench.image.image.build_id


def is_ours(folder: Path) -> bool:
    """Whether a process is an OpenOCD that this one started."""
    try:
        fields = (folder / "stat").read_text().rsplit(")", 1)
    except OSError:
        return False
    return fields[0].endswith("(openocd") and int(fields[1].split()[1]) == os.getpid()
