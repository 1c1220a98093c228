"""Starts, finds and talks to virtual boards, which are processes of their own.

Needs neither Unicorn nor a compiler nor QEMU: those belong to the board's process.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edge_boards.board import Board
from edge_boards.errors import VirtualBoardError
from edge_boards.virtual import stale
from edge_boards.virtual.qemu.program import VARIABLE as QEMU_VARIABLE
from edge_boards.virtual.qemu.program import find_qemu
from edge_boards.virtual.state import ALREADY_RUNNING, BoardFiles, all_board_files, board_files

NEEDED = ("unicorn", "capstone")
"""What the board's process imports and `pip install edge-autoglm` does not bring."""

_STOP = "edge-autoglm virtual stop"
_POLL_S = 0.02
_CONTROL_TIMEOUT_S = 30.0
_STATUS_TIMEOUT_S = 10.0
"""A board looks at its control socket every few milliseconds, whatever its firmware does."""


@dataclass(frozen=True)
class VirtualInfo:
    """A running virtual board: its ptys by link name, its control socket, its files."""

    board: str
    pid: int
    links: dict[str, Path]
    control: Path
    flash: Path
    log: Path
    state: str = field(default="running", compare=False)
    """When it was asked: running, bootloader, or stopped."""

    stopped: str | None = field(default=None, compare=False)
    """Why, in the board's own words."""

    software: str | None = field(default=None, compare=False)
    """Digest of the code and the board file that it was started from (`stale.software`)."""


class _Silent(Exception):  # noqa: N818 - never leaves this module
    """A process listens at the control socket and says nothing."""


def check_needs(board: Board) -> None:
    """Raises `VirtualBoardError` where `board` has no virtual counterpart, or with the install line
    where what runs it is not here."""
    if board.virtual is None:
        raise VirtualBoardError(
            f"board {board.name} has no virtual counterpart; `edge-autoglm boards` says which have"
        )
    if board.virtual.model == "qemu":
        find_qemu()
        return
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise VirtualBoardError(
            f"the virtual board needs {' and '.join(missing)}: pip install 'edge-autoglm[virtual]'"
        )


def start(
    board: Board,
    *,
    boot0: bool = False,
    state_dir: Path | None = None,
    name: str | None = None,
    wait: float = 30.0,
) -> VirtualInfo:
    """Starts the board's process, or finds it running; waits until its links are there.

    `name` tells several virtual boards of one kind apart; the board's own name by default.
    Raises `VirtualBoardError` with the log's last line when it does not come up in `wait` seconds,
    with the install line when what it needs is not installed, and as `attach` does.
    """
    if boot0 and all(link.name != "bootloader" for link in board.serial):
        raise VirtualBoardError(
            f"virtual {board.name} has no ROM bootloader; start it without --boot0"
        )
    running = attach(board, state_dir=state_dir, name=name)
    if running is not None:
        if boot0:
            control(running, {"op": "reset", "boot0": True})
            running = _describe(board_files(name or board.name, state_dir)) or running
        return running
    check_needs(board)
    files = board_files(name or board.name, state_dir)
    deadline = time.monotonic() + wait
    try:
        files.folder.mkdir(parents=True, exist_ok=True)
        log = files.log.open("ab")
    except OSError as error:
        raise VirtualBoardError(f"cannot write the virtual board's files: {error}") from None
    command = [sys.executable, "-m", "edge_boards.virtual.process", "--detach"]
    command += ["--board", str(board.path.absolute()), "--folder", str(files.folder)]
    if boot0:
        command.append("--boot0")
    environment = dict(os.environ)
    package_root = str(Path(__file__).resolve().parents[2])
    paths = [package_root, *filter(None, environment.get("PYTHONPATH", "").split(os.pathsep))]
    environment["PYTHONPATH"] = os.pathsep.join(paths)
    qemu = environment.get(QEMU_VARIABLE)
    if qemu is not None and os.sep in qemu:
        environment[QEMU_VARIABLE] = str(Path(qemu).absolute())  # the board's folder is another
    try:
        with log:
            done = subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
                env=environment,
                timeout=wait,
                check=False,
            )
    except subprocess.TimeoutExpired:
        raise VirtualBoardError(
            f"the virtual board {files.folder.name} was not ready within {wait:g} s "
            f"(log: {files.log})"
        ) from None
    info = _describe(files)
    # Of two starts at once, one finds the other's board in its folder and leaves to it.
    while info is None and done.returncode == ALREADY_RUNNING and time.monotonic() < deadline:
        time.sleep(_POLL_S)
        info = _describe(files)
    if info is None and done.returncode == ALREADY_RUNNING:
        raise VirtualBoardError(_unanswered(files))
    if info is None:
        raise VirtualBoardError(
            f"the virtual board {files.folder.name} did not start: {_last_line(files.log)} "
            f"(log: {files.log})"
        )
    return info


def attach(
    board: Board | str, *, state_dir: Path | None = None, name: str | None = None
) -> VirtualInfo | None:
    """The running virtual board, None where there is none.

    Raises `VirtualBoardError` when its process does not answer; with a `Board` also when it was
    started by another version of this software, or of the board file.
    """
    own = board if isinstance(board, str) else board.name
    info = _describe(board_files(name or own, state_dir))
    if info is None or isinstance(board, str) or info.software == stale.software(board.path):
        return info
    raise VirtualBoardError(
        f"virtual {info.board} (process {info.pid}) was started by another version of this "
        f"software or of its board file; end it, its flash stays: {_STOP} {info.board}"
    )


def list_running(state_dir: Path | None = None) -> tuple[VirtualInfo, ...]:
    """All virtual boards that answer."""
    return survey(state_dir)[0]


def survey(
    state_dir: Path | None = None,
) -> tuple[tuple[VirtualInfo, ...], tuple[tuple[str, int], ...]]:
    """All virtual boards that answer; name and process of those that are there and do not."""
    answer: list[VirtualInfo] = []
    silent: list[tuple[str, int]] = []
    for files in all_board_files(state_dir):
        info = None
        with contextlib.suppress(VirtualBoardError):
            info = _describe(files)
        if info is not None:
            answer.append(info)
        elif (pid := stale.holder(files)) is not None:
            silent.append((files.folder.name, pid))
    return tuple(answer), tuple(silent)


def stop(name: str, *, state_dir: Path | None = None, wait: float = 10.0) -> None:
    """Ends a virtual board, with a signal where it does not answer. Its flash stays.

    Raises `VirtualBoardError` where none is running, or it does not end.
    """
    files = board_files(name, state_dir)
    try:
        info = _describe(files)
    except VirtualBoardError:
        info = None
    if info is None:
        pid = stale.holder(files)
        if pid is None:
            raise VirtualBoardError(f"no virtual board {name} is running")
        if not stale.end(files, pid, wait):
            raise VirtualBoardError(f"the virtual board {name} (pid {pid}) does not end")
        return
    control(info, {"op": "stop"})
    deadline = time.monotonic() + wait
    while time.monotonic() < deadline:
        if not files.control.exists():
            return
        time.sleep(_POLL_S)
    raise VirtualBoardError(f"the virtual board {name} (pid {info.pid}) does not stop")


def load(name: str, image: Path, *, state_dir: Path | None = None) -> VirtualInfo:
    """Puts an image file into the flash of a board that QEMU runs, and starts it."""
    info = _running(name, state_dir)
    control(info, {"op": "load", "image": str(image.absolute())})
    return info


def reset(name: str, boot0: bool = False, *, state_dir: Path | None = None) -> VirtualInfo:
    """Presses the reset button, with BOOT0 as given."""
    info = _running(name, state_dir)
    control(info, {"op": "reset", "boot0": boot0})
    return info


def _running(name: str, state_dir: Path | None) -> VirtualInfo:
    info = _describe(board_files(name, state_dir))
    if info is None:
        raise VirtualBoardError(
            f"no virtual board {name} is running; start it with: edge-autoglm virtual start {name}"
        )
    return info


def control(info: VirtualInfo, request: dict[str, Any]) -> dict[str, Any]:
    """One request to the board's process and its answer.

    ops: status, reset {boot0}, stop, time, memory {address, size}; of boards that are emulated here
    count {on}, counts, symbols {elf}, speed {skip_idle}; of those in QEMU load {image}.
    Raises `VirtualBoardError` with the board's own words.
    """
    try:
        answer = _ask(info.control, request, _CONTROL_TIMEOUT_S)
    except _Silent:
        answer = None
    if answer is None:
        raise VirtualBoardError(
            f"the virtual board {info.board} (pid {info.pid}) does not answer on {info.control}"
        )
    if "error" in answer:
        raise VirtualBoardError(str(answer["error"]))
    return answer


def _ask(path: Path, request: dict[str, Any], timeout: float) -> dict[str, Any] | None:
    """The answer; None where nobody listens or the answer is none. Raises `_Silent`."""
    line = json.dumps(request).encode() + b"\n"
    received = b""
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(timeout)
            connect(connection, path)
            connection.sendall(line)
            while not received.endswith(b"\n"):
                piece = connection.recv(65536)
                if not piece:
                    break
                received += piece
    except TimeoutError:
        raise _Silent from None
    except OSError:
        return None
    try:
        answer = json.loads(received)
    except ValueError:
        return None
    return answer if isinstance(answer, dict) else None


def connect(connection: socket.socket, path: Path) -> None:
    """Connects to a socket file whose path may be longer than the 107 bytes an address holds."""
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        connection.connect(f"/proc/self/fd/{folder}/{path.name}")
    finally:
        os.close(folder)


def _describe(files: BoardFiles) -> VirtualInfo | None:
    """What the board says of itself, whichever version of this software it is; None where there is
    none. Raises `VirtualBoardError` when it does not answer."""
    if not files.control.exists():
        return None
    try:
        answer = _ask(files.control, {"op": "status"}, _STATUS_TIMEOUT_S)
    except _Silent:
        raise VirtualBoardError(_unanswered(files)) from None
    if answer is None or "pid" not in answer:
        return None
    return VirtualInfo(
        board=str(answer.get("board", files.folder.name)),
        pid=int(answer["pid"]),
        links={str(name): files.link(str(name)) for name in answer.get("links", ())},
        control=files.control,
        flash=files.flash,
        log=files.log,
        state=str(answer.get("state", "running")),
        stopped=str(answer["stopped"]) if answer.get("stopped") else None,
        software=answer.get("software"),
    )


def _unanswered(files: BoardFiles) -> str:
    pid = stale.holder(files)
    process = f"process {pid}" if pid is not None else "its process"
    name = files.folder.name
    return f"virtual {name} ({process}) does not answer; end it, its flash stays: {_STOP} {name}"


def _last_line(log: Path) -> str:
    try:
        lines = log.read_text(errors="replace").strip().splitlines()
    except OSError:
        lines = []
    return lines[-1] if lines else "it said nothing"
