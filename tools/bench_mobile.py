"""The figures of packages for phones' GPUs: the eight MLPerf Tiny files, each with its target.

    python tools/bench_mobile.py --check                 # exit 1 when a figure misses its target
    python tools/bench_mobile.py --targets ios-metal --models ad_float,ic_int8 --json figures.json

Each row is one run of the command that stands above it, in a process of its own: the largest
difference of the GPU's result to the CPU's (measured), and the seconds it took (this machine's).
The models are found in EDGE_AUTOGLM_DATA, or in ../shared/data.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from quantize_figures.row import Row
from rich.console import Console

from edge_autoglm.report.tables import table
from edge_quantize.errors import GpuUnavailableError
from edge_quantize.gpu import find_driver

ROOT = Path(__file__).resolve().parents[1]
TARGETS = ("android-gpu", "ios-metal")
# File -> whether its package is to be right as it is by default.
MODELS = {
    "ad_float": True,
    "ic_float": True,
    "vww_float": True,
    "kws_float": True,
    "ad_int8": True,
    "kws_int8": True,
    "vww_int8": True,
    "ic_int8": False,  # int8 1x1 convolutions with a stride of 2
}
MOST_RELATIVE = 1e-3
MOST_LSB = 1
MOST_SECONDS = 30


@dataclass(frozen=True)
class Run:
    """One export: what was typed, how it ended, and what it says."""

    command: str
    code: int
    seconds: float
    said: dict[str, Any]
    written: bool


def data_folder() -> Path | None:
    """Where the models lie, or None."""
    named = os.environ.get("EDGE_AUTOGLM_DATA")
    folder = Path(named) if named else ROOT.parent / "shared" / "data"
    return folder / "mlperf_tiny" if (folder / "mlperf_tiny").is_dir() else None


def export(model: Path, target: str, *options: str) -> Run:
    with tempfile.TemporaryDirectory(prefix="edge-bench-") as temporary:
        out, said = Path(temporary, "package"), Path(temporary, "said.json")
        arguments = ["export", str(model), "--target", target, *options]
        start = time.perf_counter()
        done = subprocess.run(
            [sys.executable, "-m", "edge_autoglm", *arguments, "-o", out, "--json", said],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        seconds = time.perf_counter() - start
        if not said.is_file():
            raise SystemExit(done.stderr.strip() or f"{model}: no result")
        shown = " ".join(["edge-autoglm", "export", model.name, "--target", target, *options])
        content: dict[str, Any] = json.loads(said.read_text(encoding="utf-8"))
        return Run(shown, done.returncode, seconds, content, (out / "verdict.json").is_file())


def rows(model: Path, target: str, right: bool) -> Iterator[tuple[str, list[Row]]]:
    """Figures of one file, by the command that prints them."""
    run = export(model, target)
    name = f"{model.stem} ({run.said['model']['variant']})"
    if right:
        yield run.command, [*_right(name, run), _seconds(name, run)]
        return
    refused = run.code == 1 and not run.written and run.said["first_wrong"] is not None
    yield (
        run.command,
        [
            Row(f"{name}: refused, the layer named", float(refused), least=1, kind="exact"),
            Row(f"{name}: a variant that works", float(bool(run.said["works"])), least=1,
                kind="exact"),
            _seconds(name, run),
        ],
    )  # fmt: skip
    if run.said["works"]:
        offered = export(model, target, "--precision", run.said["works"])
        name = f"{model.stem} ({offered.said['model']['variant']})"
        yield offered.command, [*_right(name, offered), _seconds(name, offered)]


def _right(name: str, run: Run) -> Iterator[Row]:
    yield Row(f"{name}: package written", float(run.code == 0 and run.written), least=1,
              kind="exact")  # fmt: skip
    for output in run.said["outputs"]:
        if output["relative"] is None:
            lsb = output["max_abs"] if output["max_abs"] is not None else float("inf")
            yield Row(f"{name}: GPU to CPU", lsb, "LSB", most=MOST_LSB)
        else:
            yield Row(f"{name}: GPU to CPU", output["relative"], "relative", most=MOST_RELATIVE)


def _seconds(name: str, run: Run) -> Row:
    return Row(f"{name}: the command", run.seconds, "s", most=MOST_SECONDS)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--targets", default=",".join(TARGETS), help="with commas")
    parser.add_argument("--models", default=",".join(MODELS), help="with commas")
    parser.add_argument("--check", action="store_true", help="exit 1 when a target is missed")
    parser.add_argument("--require", action="store_true", help="exit 1 when it cannot run")
    parser.add_argument("--json", type=Path, help="write the figures there")
    arguments = parser.parse_args()
    targets, names = arguments.targets.split(","), arguments.models.split(",")
    unknown = [each for each in targets if each not in TARGETS]
    unknown += [each for each in names if each not in MODELS]
    if unknown:
        parser.error(f"nothing is called {', '.join(unknown)}")
    console = Console(highlight=False)
    folder = data_folder()
    if folder is None:
        console.print("no models: set EDGE_AUTOGLM_DATA to the folder that holds mlperf_tiny/")
        return 1 if arguments.require else 0
    try:
        driver = find_driver()
    except GpuUnavailableError as error:
        console.print(f"nothing was measured: {error}", soft_wrap=True)
        return 1 if arguments.require else 0
    found: dict[str, list[Row]] = {}
    for target in targets:
        for name in names:
            for command, figures in rows(folder / f"{name}.tflite", target, MODELS[name]):
                found[command] = figures
                console.print(table(
                    command, ["<figure", ">value", "<target", "<", "<kind"],
                    [(r.figure, r.shown, r.wanted, r.verdict, r.kind) for r in figures],
                ))  # fmt: skip
    console.print(f"on {driver.name}")
    missed = [row for each in found.values() for row in each if row.missed]
    for row in missed:
        console.print(f"missed: {row.figure}: {row.shown}, target {row.wanted}")
    if arguments.json:
        content = {command: [asdict(row) for row in each] for command, each in found.items()}
        arguments.json.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    return 1 if arguments.check and missed else 0


if __name__ == "__main__":
    sys.exit(main())
