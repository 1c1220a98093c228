"""An image's sizes as tables and as JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.table import Table

from .tables import percent, table

if TYPE_CHECKING:
    from edge_boards.toolchain import SizeReport


def size_tables(sizes: SizeReport) -> list[Table]:
    """By memory, and by kind."""
    return [
        table(
            "Memories",
            ["<memory", ">used", ">of", ">%"],
            [(m.name, m.used, m.size, percent(m.used, m.size)) for m in sizes.memories],
        ),
        table("Kinds", ["<kind", ">bytes"], sizes.kinds),
    ]


def size_json(sizes: SizeReport) -> dict[str, Any]:
    return {
        "memories": {m.name: {"used": m.used, "size": m.size} for m in sizes.memories},
        "kinds": {kind.replace(" ", "_"): count for kind, count in sizes.kinds},
        "flash": sizes.flash,
    }
