"""Makes `firmware/platformio.ini` and `firmware/platformio/` from the board files.

python -m edge_boards.platformio            write them
python -m edge_boards.platformio --check    exit 1 when one is out of date
"""

from __future__ import annotations

import sys

from edge_boards.data import data_path
from edge_boards.loader import read_board
from edge_boards.platformio.project import update_firmware


def main(arguments: list[str]) -> int:
    # Without boards of the user's own, which list_boards() knows as well.
    boards = [read_board(path) for path in data_path("catalog").glob("*.toml")]
    boards.sort(key=lambda board: board.name)
    check = "--check" in arguments
    stale = update_firmware(tuple(boards), data_path("firmware"), check=check)
    if check and stale:
        print(f"{', '.join(stale)}: out of date; run python -m edge_boards.platformio")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
