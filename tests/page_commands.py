"""The commands that the documents show."""

from __future__ import annotations

import re
from pathlib import Path

from cli_tools import ROOT

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def lines_of(page: Path) -> list[str]:
    """The page's lines of code that call the program, comments cut off and long ones joined."""
    found = []
    for line in re.sub(r" \\\n\s+", " ", page.read_text(encoding="utf-8")).splitlines():
        # Four spaces, or seven inside of a numbered list; others are parts of what is printed.
        if re.match(r"( {4}| {7})(\w+=\S+ )?edge-autoglm ", line):
            found.append(line.split(" #")[0].strip())
    return found


COMMANDS = [(page.name, line) for page in PAGES for line in lines_of(page)]
