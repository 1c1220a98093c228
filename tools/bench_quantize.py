"""The figures of quantizing, pruning and searching, each with its target.

    make bench-quantize                        # python tools/bench_quantize.py
    python tools/bench_quantize.py --check     # exit 1 when a figure misses its target
    python tools/bench_quantize.py --only ad,logits --json figures.json

Models and recordings are found in EDGE_AUTOGLM_DATA, or in ../shared/data. Calibration and
measurement never share a sample (tools/quantize_data.py). Accuracies and errors are measured,
counts are exact, times are this machine's.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import json
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path

from quantize_figures.row import Row
from rich.console import Console

from edge_autoglm.report.tables import table

ROOT = Path(__file__).resolve().parents[1]
Section = Callable[[Path], Iterator[Row]]


# (module, function) in the order they are shown. The last ones train models, or search: minutes.
SECTIONS: dict[str, tuple[str, str]] = {
    "channels": ("channels", "rows"),
    "ad": ("accuracy", "ad"),
    "logits": ("accuracy", "logits_rows"),
    "int16x8": ("accuracy", "int16x8"),
    "mixed": ("accuracy", "mixed"),
    "effort": ("effort", "rows"),
    "budgets": ("budgets", "mlperf"),
    "digits": ("digits", "rows"),
    "search": ("budgets", "search"),
}
NEEDS_TENSORFLOW = {"digits"}


def section(name: str) -> Section:
    """What a section runs with is imported when it runs."""
    module, function = SECTIONS[name]
    found: Section = getattr(importlib.import_module(f"quantize_figures.{module}"), function)
    return found


def data_folder() -> Path | None:
    """Where the models lie, or None."""
    named = os.environ.get("EDGE_AUTOGLM_DATA")
    folder = Path(named) if named else ROOT.parent / "shared" / "data"
    return folder if (folder / "mlperf_tiny").is_dir() else None


def show(console: Console, name: str, rows: list[Row]) -> None:
    columns = ["<figure", ">value", "<target", "<", "<kind"]
    console.print(
        table(name, columns, [(r.figure, r.shown, r.wanted, r.verdict, r.kind) for r in rows])
    )
    console.print()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", help=f"sections, with commas: {', '.join(SECTIONS)}")
    parser.add_argument("--check", action="store_true", help="exit 1 when a target is missed")
    parser.add_argument("--require", action="store_true", help="exit 1 when a section cannot run")
    parser.add_argument("--json", type=Path, help="write the figures there")
    arguments = parser.parse_args()
    console = Console()
    folder = data_folder()
    names = arguments.only.split(",") if arguments.only else list(SECTIONS)
    unknown = [name for name in names if name not in SECTIONS]
    if unknown:
        parser.error(f"no section is called {', '.join(unknown)}; there are {', '.join(SECTIONS)}")
    if folder is None:
        console.print("no models: set EDGE_AUTOGLM_DATA to the folder that holds mlperf_tiny/")
        return 1 if arguments.require else 0
    found: dict[str, list[Row]] = {}
    left_out = []
    for name in names:
        if name in NEEDS_TENSORFLOW and importlib.util.find_spec("tensorflow") is None:
            left_out.append(f"{name}: TensorFlow is not installed (pip install -e '.[train]')")
            continue
        console.print(f"{name} ...")
        found[name] = list(section(name)(folder))
        show(console, name, found[name])
    for words in left_out:
        console.print(f"left out: {words}")
    missed = [row for rows in found.values() for row in rows if row.missed]
    for row in missed:
        console.print(f"missed: {row.figure}: {row.shown}, target {row.wanted}")
    if arguments.json:
        content = {name: [asdict(row) for row in rows] for name, rows in found.items()}
        arguments.json.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    if arguments.require and left_out:
        return 1
    return 1 if arguments.check and missed else 0


if __name__ == "__main__":
    sys.exit(main())
