"""docs/flashing.md says of each programmer what the table says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from edge_autoglm.cli import app
from edge_autoglm.cli.flash import PROGRAMMERS as OFFERED
from edge_autoglm.device.probes import udev_rule
from edge_autoglm.flash.programmers import PROGRAMMERS, TESTED
from edge_autoglm.flash.tool import dotted
from edge_boards import schema

TEXT = (Path(__file__).resolve().parents[2] / "docs" / "flashing.md").read_text(encoding="utf-8")
ROWS = {
    cells[0].strip("`"): cells[1:]
    for line in TEXT.splitlines()
    if line.startswith("| `") and len(cells := [c.strip() for c in line.strip("|").split("|")]) == 5
}
SECTIONS = dict(re.findall(r"^### `([\w-]+)`\n(.*?)(?=^##)", TEXT, re.MULTILINE | re.DOTALL))


def test_the_table_the_schema_the_command_and_the_page_name_the_same_programmers() -> None:
    assert set(PROGRAMMERS) == set(schema.PROGRAMMERS) == set(OFFERED)
    assert list(ROWS) == list(SECTIONS)
    assert set(ROWS) == set(PROGRAMMERS)


def test_the_command_offers_them_in_its_help() -> None:
    shown = CliRunner().invoke(app, ["flash", "--help"]).output
    for name in PROGRAMMERS:
        assert name in shown


@pytest.mark.parametrize("name", PROGRAMMERS)
def test_a_row_says_what_the_table_says(name: str) -> None:
    row = PROGRAMMERS[name]
    through, tool, tested, cut = ROWS[name]
    assert through == row.reach.value
    assert tool == (f"{row.tool.name} {dotted(row.tool.minimal)}" if row.tool else "-")
    assert tested == row.tested
    assert tested in TESTED
    assert cut in ("no image", "half an image")


@pytest.mark.parametrize("name", PROGRAMMERS)
def test_a_section_says_how_to_install_it_and_what_a_cut_leaves(name: str) -> None:
    tool, section = PROGRAMMERS[name].tool, SECTIONS[name]
    if tool is None:
        assert "install" not in section or "Nothing to install" in section
    else:
        assert f"`{tool.install['Linux']}`" in section
    assert re.search(rf"[Aa] cut leaves {ROWS[name][3]}|at worst {ROWS[name][3]}", section)


def test_the_udev_rule_is_the_one_that_is_printed() -> None:
    assert f"    {udev_rule((0x0483, 0x374B))}\n" in TEXT
