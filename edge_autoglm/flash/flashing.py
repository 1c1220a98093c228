"""Image to board, by whichever programmer serves, and the proof that it is there."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from edge_autoglm.device.messages import BoardInfo
from edge_autoglm.device.ports import Port, find_port, open_port
from edge_autoglm.device.session import Session
from edge_autoglm.errors import FlashError, ModelUnreadyError, SessionError, TransportError
from edge_autoglm.flash.choice import Choice, choose_programmer, serial_port_of
from edge_autoglm.flash.job import Job, Progress, no_progress
from edge_autoglm.flash.programmers import PROGRAMMERS
from edge_boards.board import Board, Programmer
from edge_boards.elf import Elf

_BOOT_SECONDS = 15.0

QEMU_LOADER = "qemu-loader"
"""What a report calls the way into a virtual board in QEMU; no programmer of any board file."""


class FlashableImage(Protocol):
    """What flashing needs of a built image (`edge_boards.toolchain.Image`)."""

    @property
    def elf(self) -> Path: ...
    @property
    def binary(self) -> Path: ...
    @property
    def build_id(self) -> bytes: ...
    @property
    def project(self) -> Path | None: ...


@dataclass(frozen=True)
class FlashReport:
    """What was done.

    Attributes:
        board: the board's own name for itself.
        programmer: its name.
        through: what the programmer went through: a port, a disk, a probe.
        port: the console that the read-back came through.
        size: bytes of the image.
        seconds: from the first byte to the read-back's end.
        info: what the board said of itself afterwards.
    """

    board: str
    programmer: str
    through: str
    port: Port
    size: int
    seconds: float
    info: BoardInfo


def flash_image(
    board: Board,
    image: FlashableImage,
    port: str = "auto",
    *,
    console: str | None = None,
    programmer: str | None = None,
    probe: str | None = None,
    models: Mapping[str, bytes] | None = None,
    progress: Progress = no_progress,
) -> FlashReport:
    """Flashes an image and reads its build id and model hashes back over the wire.

    Args:
        port: `auto` (what is attached), `virtual`, a probe's console port (that probe), or
            another port (what flashes through it).
        console: the console's port for the read-back, where `port` does not tell.
        programmer: a name of the board file; by default the first that can serve.
        probe: the serial number of the debug probe, or of a board in its bootloader, where
            several are attached.
        models: the SHA-256 that each model must have, by name.
        progress: told about bytes written and read back.

    Raises:
        FlashError: programming failed, or what was read back differs.
        TransportError: a port is absent, busy, without permission, or went away.
        SessionError: the flashed firmware does not answer.
    """
    begun = time.monotonic()
    flash = board.flash
    content = flat_bytes(board, image)
    if len(content) > flash.size:
        raise FlashError(
            f"{image.binary}: {len(content)} bytes; {board.title} has {flash.size} bytes of flash"
        )
    if port == "virtual":
        entry, used = _flash_virtual(board, image.binary, content, progress)
        console = "virtual"
    else:
        choice = choose_programmer(board, port, programmer, probe)
        entry, used = choice.entry, choice.through
        job = Job(
            board=board,
            programmer=entry,
            image=content,
            address=flash.address,
            port=choice.port,
            progress=progress,
            tool=choice.tool,
            probe=choice.probe,
            usb=choice.usb,
            elf=image.elf,
            project=image.project,
        )
        choice.row.program(job)
        console = console or _console_of(board, choice, port)
    found, info = read_back(board, console, image.build_id, models or {})
    return FlashReport(
        board=info.board,
        programmer=entry.name,
        through=used,
        port=found,
        size=len(content),
        seconds=time.monotonic() - begun,
        info=info,
    )


def flat_bytes(board: Board, image: FlashableImage) -> bytes:
    """What belongs into the flash from its first address on.

    A framework may leave its image as UF2 or Intel HEX; the same bytes are in the ELF.
    """
    if image.binary.suffix == ".bin":
        return image.binary.read_bytes()
    return Elf.load(image.elf).flat(board.flash.address, board.flash.size)


def read_back(
    board: Board, console: str, build_id: bytes, models: Mapping[str, bytes]
) -> tuple[Port, BoardInfo]:
    """Waits for the flashed firmware and compares what it says of itself.

    Raises:
        FlashError: another build id, or a model that is missing or has another hash.
        ModelUnreadyError: an interpreter that cannot run its model.
        SessionError, TransportError: it does not answer.
    """
    deadline = time.monotonic() + _BOOT_SECONDS
    while True:
        try:
            port = find_port(board, console)
            with Session(open_port(port)) as session:
                info = session.info
                for model in session.models:
                    session.check_ready(model)
            break
        except ModelUnreadyError:
            raise  # it will not get better
        except (SessionError, TransportError):
            # The probe's disk and console come back one after the other.
            if console == "virtual" or time.monotonic() > deadline:
                raise
            time.sleep(0.5)
    if info.build_id != build_id:
        raise FlashError(
            f"{board.title}: the board runs build {info.build_id.hex()}, flashed was "
            f"{build_id.hex()}; reset it (BOOT0 low) and flash again"
        )
    there = {model.name: model.sha256 for model in info.models}
    for name, digest in models.items():
        # The board gives 32 characters of a name.
        digest_there = there.get(name[:32])
        if digest_there != digest:
            found = "no such model" if digest_there is None else digest_there.hex()[:16] + "..."
            raise FlashError(
                f"{board.title}: model {name} should have SHA-256 {digest.hex()[:16]}..., the "
                f"board has {found}; build and flash again"
            )
    return port, info


def _console_of(board: Board, choice: Choice, port: str) -> str:
    """The console's port after a programmer was given `port`."""
    if port == "auto":
        # Of two boards, the one whose probe was chosen.
        return (serial_port_of(choice.probe) if choice.probe else None) or port
    if choice.port is None or choice.entry.link is None:
        return port
    same = board.link(choice.entry.link).same_wires(board.link("console"))
    return port if same else "auto"


def _flash_virtual(
    board: Board, binary: Path, content: bytes, progress: Progress
) -> tuple[Programmer, str]:
    """Flashes a virtual board through its ROM bootloader: a real transfer. One in QEMU has none:
    the image is loaded."""
    # What a virtual board needs is loaded only for one.
    from edge_boards import virtual

    if board.virtual is not None and board.virtual.model == "qemu":
        running = virtual.start(board)
        virtual.load(running.board, binary)
        return Programmer(QEMU_LOADER), f"virtual {board.name}"
    entry = next((each for each in board.programmers if each.name == "stm32-uart"), None)
    if entry is None:
        raise FlashError(
            f"{board.title}: its board file has no programmer stm32-uart, which a virtual board "
            "is flashed by"
        )
    info = virtual.start(board, boot0=True)
    path = str(info.links[entry.link or "bootloader"])
    job = Job(board, entry, content, board.flash.address, path, "N", progress)
    try:
        PROGRAMMERS[entry.name].program(job)
    except (FlashError, TransportError) as error:
        if virtual.attach(info.board) is not None:
            raise
        raise FlashError(
            f"virtual {board.name}: its process ended while it was flashed, and the flash may hold "
            "half an image: flash again"
        ) from error
    finally:
        # However it ended, the next start is from flash.
        if virtual.attach(info.board) is not None:
            virtual.reset(info.board, boot0=False)
    return entry, f"virtual {board.name}"
