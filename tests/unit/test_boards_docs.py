"""docs/boards.md: its example loads, and it explains every key that the schema knows."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from cli_tools import call

from edge_boards import data_path
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


def test_the_table_of_shipped_boards_is_the_catalogue() -> None:
    """What it must be is what the failure shows."""
    table = re.search(r"^\| name \| board .*\n\| --- .*\n((?:\| .*\n)+)", DOCUMENT, re.MULTILINE)
    assert table is not None
    assert table[1].splitlines() == [
        row(read_board(path)) for path in sorted(data_path("catalog").glob("*.toml"))
    ]


def row(board: Board) -> str:
    console = board.link("console")
    where = "USB" if console.peripheral == "USB" else f"{console.peripheral}, {console.through}"
    hz = f"{board.clock.hz / 1e6:g}"
    return f"| {board.name} | {board.title} | {board.core.name} | {hz} | {where} | {board.tested} |"


def test_the_check_of_the_example_says_what_the_document_shows(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    example(tmp_path)
    said = call(capsys, "boards", "check", tmp_path / "bench.toml").out.splitlines()
    shown = re.findall(r"^    ((?:ok|missing|absent)  .*|  +-> .*)$", DOCUMENT, re.MULTILINE)
    assert len(shown) > 5
    assert [line for line in said if line in shown] == shown
