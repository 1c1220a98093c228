"""docs/boards.md: its example loads, and it explains every key that the schema knows."""

from __future__ import annotations

import re
from pathlib import Path

from edge_boards.board import Board
from edge_boards.loader import read_board
from edge_boards.schema import CORES, MEMORY_KINDS, PROGRAMMERS, TABLES
from edge_boards.toolchain.linker import linker_script

DOCUMENT = (Path(__file__).parents[2] / "docs" / "boards.md").read_text()


def example(folder: Path) -> Board:
    found = re.findall(r"^```toml\n(.*?)^```", DOCUMENT, re.MULTILINE | re.DOTALL)
    assert len(found) == 1
    (folder / "bench.toml").write_text(found[0])
    return read_board(folder / "bench.toml")


def test_the_example_loads(tmp_path: Path) -> None:
    board = example(tmp_path)
    assert board.clock.oscillator == "internal"
    assert board.virtual is None
    assert board.power[0].kind == "measured"
    assert "ORIGIN = 0x08000000" in linker_script(board)


def test_every_key_is_explained_and_marked_optional_as_it_is() -> None:
    told = dict(re.findall(r"^\| `([\w.*\[\]]+)` \| (.*) \|$", DOCUMENT, re.MULTILINE))
    known = {
        (f"{table}.{key}" if table else key): rule
        for table, keys in TABLES.items()
        for key, rule in keys.items()
    }
    assert set(told) == set(known)
    for name, rule in known.items():
        assert told[name].startswith("*optional*") != rule.required, name
    for word in (*CORES, *MEMORY_KINDS, *PROGRAMMERS):
        assert f"`{word}`" in DOCUMENT
