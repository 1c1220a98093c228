"""What a programmer is given."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from edge_autoglm.errors import FlashError
from edge_autoglm.flash.tool import FoundTool
from edge_boards.board import Board, Programmer

Progress = Callable[[int, int], None]
"""Called with bytes done and bytes in all; what is read back counts as well as what is written."""


class SerialError(FlashError):
    """A serial number that no tool can be given."""


def check_serial(serial: str) -> None:
    """Raises SerialError where a serial number could be anything but one in a tool's arguments.

    It may come from a device's own descriptor, which anybody can write, and OpenOCD's are Tcl.
    """
    if not re.fullmatch(r"[\w.:][\w.:-]*", serial, re.ASCII):
        raise SerialError(
            f"{serial!r} is no serial number that a flashing tool can be given (letters, digits "
            "and . : _ - only); unplug the other boards, and name none"
        )


def no_progress(done: int, total: int) -> None:
    """Shows nothing."""


@dataclass(frozen=True)
class Job:
    """One programming of one board.

    Attributes:
        board: the board.
        programmer: the board file's entry, with its volume or link.
        image: the flash's bytes.
        address: of the first one.
        port: a serial port or pty for programmers that need one, else None.
        parity: of that port; None lets the programmer choose.
        progress: told about bytes written and read back.
        tool: the external program, where the programmer runs one.
        probe: the serial number of the debug probe, or of the bootloader, that is meant; None
            where only one is attached.
        usb: vendor and product of it, where it was seen.
        elf: the image as ELF, where there is one.
        project: the PlatformIO project that built the image, where one did; it has an environment
            named after the board.
    """

    board: Board
    programmer: Programmer
    image: bytes
    address: int
    port: str | None
    parity: str | None = None
    progress: Progress = no_progress
    tool: FoundTool | None = None
    probe: str | None = None
    usb: tuple[int, int] | None = None
    elf: Path | None = None
    project: Path | None = None

    @property
    def needed_tool(self) -> FoundTool:
        """The external program. Raises FlashError where the job was given none."""
        if self.tool is None:
            raise FlashError(f"{self.programmer.name}: no program was found that does this")
        return self.tool

    @property
    def needed_port(self) -> str:
        """The serial port. Raises FlashError where the job was given none."""
        if self.port is None:
            raise FlashError(
                f"{self.board.title}: {self.programmer.name} needs a serial port; name it with "
                "--port PATH"
            )
        return self.port

    @contextmanager
    def image_file(
        self, content: bytes | None = None, name: str = "firmware.bin"
    ) -> Iterator[Path]:
        """The image (or `content`) as a file, for as long as a tool reads it."""
        with tempfile.TemporaryDirectory(prefix="edge-autoglm-") as folder:
            path = Path(folder) / name
            path.write_bytes(self.image if content is None else content)
            yield path
