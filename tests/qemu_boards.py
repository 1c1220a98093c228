"""Virtual boards that QEMU runs, for tests: what they need, and a conversation with one."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from edge_autoglm.device.session import Session
from edge_autoglm.device.transport import SerialTransport
from edge_boards import Board, list_boards, virtual
from edge_boards.toolchain import BuildRequest, Image, ModelSources, build_image, find_toolchain
from edge_boards.virtual import VirtualInfo

BOARDS = tuple(b.name for b in list_boards() if b.virtual and b.virtual.model == "qemu")


def need_qemu() -> None:
    """Skips where qemu-system-arm is not installed."""
    if shutil.which("qemu-system-arm") is None:
        pytest.skip("qemu-system-arm is not installed", allow_module_level=True)


def build(board: Board, sources: dict[str, str], folder: Path, compiler: str | None) -> Image:
    """The profile app with one model for each source; -O1."""
    folder.mkdir(parents=True, exist_ok=True)
    models = []
    for name, text in sources.items():
        file = folder / f"{name}.c"
        file.write_text(text, encoding="utf-8")
        models.append(ModelSources(name, (file,), (), 0, ((board.ram.name, 32),)))
    toolchain = find_toolchain(board, prefer=compiler)
    return build_image(
        BuildRequest(board, "profile", tuple(models), folder / "out", optimize="-O1"), toolchain
    )


@contextmanager
def running(board: Board, image: Path, state: Path) -> Iterator[VirtualInfo]:
    """A virtual board with that image in its flash, stopped in the end."""
    info = virtual.start(board, state_dir=state)
    try:
        virtual.load(info.board, image, state_dir=state)
        yield info
    finally:
        if virtual.attach(board, state_dir=state) is not None:
            virtual.stop(info.board, state_dir=state)


def talk(info: VirtualInfo) -> Session:
    """A session over its console."""
    return Session(SerialTransport(info.links["console"], name=f"virtual {info.board}"))
