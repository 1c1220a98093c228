"""Builds the mini firmware where no file may grow past 600 bytes, as on a disk that is full.

Run as a process of its own, since the limit cannot be lifted again: FOLDER TOOLCHAIN.
"""

from __future__ import annotations

import resource
import signal
import sys
from pathlib import Path

from edge_boards import ToolchainError, load_board
from edge_boards.toolchain import BuildRequest, ModelSources, build_image, find_toolchain


def main() -> None:
    folder, name = Path(sys.argv[1]), sys.argv[2]
    board = load_board("stm32f746")
    toolchain = find_toolchain(board, name)
    model = ModelSources("mini", (folder / "model/mini.c",), (), weight_bytes=160)
    request = BuildRequest(board, "mini", (model,), folder / "out", firmware=folder / "firmware")
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (600, 600))
    try:
        build_image(request, toolchain)
    except ToolchainError as error:
        print(f"refused: {error}")


if __name__ == "__main__":
    main()
