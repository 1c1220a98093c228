"""A virtual board with a life of its own: `python -m edge_boards.virtual.process`.

What runs the firmware is chosen by the board file's `virtual.model`.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from pathlib import Path
from types import FrameType

from edge_boards.board import Board
from edge_boards.errors import BoardsError
from edge_boards.loader import load_board
from edge_boards.virtual.board_process import AlreadyRunning, BoardProcess
from edge_boards.virtual.state import ALREADY_RUNNING, BoardFiles

_READY = b"ready"


def _detach() -> int:
    """Goes on in a child of nobody; the parent leaves when the child is ready, or has failed.

    Returns the handle on which the child says that it is ready.
    """
    read_end, write_end = os.pipe()
    child = os.fork()
    if child:
        os.close(write_end)
        ready = os.read(read_end, len(_READY)) == _READY
        status = 0 if ready else os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        os._exit(status if status >= 0 else 1)
    os.close(read_end)
    os.setsid()
    return write_end


def _open(board: Board, files: BoardFiles, boot0: bool) -> BoardProcess:
    """The process for a board's model. Each brings an engine that only it needs."""
    if board.virtual is not None and board.virtual.model == "qemu":
        from edge_boards.virtual.qemu.process import QemuProcess

        return QemuProcess(board, files, boot0)
    from edge_boards.virtual.machine_process import MachineProcess

    return MachineProcess(board, files, boot0)


def main(arguments: list[str] | None = None) -> int:
    """Runs one board until SIGTERM, SIGINT or the control op `stop`."""
    parser = argparse.ArgumentParser(prog="python -m edge_boards.virtual.process")
    parser.add_argument("--board", required=True, help="name or file of the board")
    parser.add_argument("--folder", required=True, type=Path, help="where its files lie")
    parser.add_argument("--boot0", action="store_true", help="start in the ROM bootloader")
    parser.add_argument("--detach", action="store_true", help="come back when the board is ready")
    options = parser.parse_args(arguments)
    tell = _detach() if options.detach else None
    files = BoardFiles(options.folder.absolute())
    try:
        files.folder.mkdir(parents=True, exist_ok=True)
        process = _open(load_board(options.board), files, options.boot0)
    except AlreadyRunning as error:
        print(f"error: {error}", file=sys.stderr)
        return ALREADY_RUNNING
    except (BoardsError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1

    def on_signal(_number: int, _frame: FrameType | None) -> None:
        process.stopping = True

    signal.signal(signal.SIGTERM, on_signal)
    signal.signal(signal.SIGINT, on_signal)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    process.log(f"ready, pid {process.pid}")
    try:
        if tell is not None:
            os.write(tell, _READY)
            os.close(tell)
        process.serve()
    except BrokenPipeError:  # who started it has given up waiting
        process.log("nobody waits for this board any more")
        return 1
    finally:
        process.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
