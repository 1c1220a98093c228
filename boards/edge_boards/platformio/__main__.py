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
    boards = tuple(read_board(path) for path in sorted(data_path("catalog").glob("*.toml")))
    check = "--check" in arguments
    stale = update_firmware(boards, data_path("firmware"), check=check)
    if check and stale:
        print(f"{', '.join(stale)}: out of date; run python -m edge_boards.platformio")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
