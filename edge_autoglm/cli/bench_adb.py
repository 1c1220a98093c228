"""`edge-autoglm bench --adb`: the part of `bench` that measures on a phone."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from .common import notes, output, write_json

if TYPE_CHECKING:
    from edge_autoglm.adb import Settings


def accelerators(text: str) -> tuple[str, ...]:
    """What --accelerators names: `cpu`, `gpu`, or both with a comma. Raises UsageError."""
    from edge_autoglm.adb.values import ACCELERATORS
    from edge_autoglm.errors import UsageError

    names = tuple(name.strip().lower() for name in text.split(",") if name.strip())
    wrong = [name for name in names if name not in ACCELERATORS]
    if wrong or not names or len(set(names)) < len(names):
        raise UsageError(f"--accelerators: {text!r}; cpu, gpu, or cpu,gpu, each once")
    return names


def bench_adb(model: Path, settings: Settings, json: Path | None = None) -> None:
    """Measures MODEL, a .tflite file, on a phone, and prints what it costs there.

    Raises PhoneError and ModelFileError; exits 1 where a run failed, or the GPU took nothing.
    """
    from edge_autoglm.adb import run_on_phone
    from edge_autoglm.report.phone import phone_json, phone_lines, phone_table
    from edge_autoglm.report.tables import wrapped
    from edge_quantize.ingest.tflite import read_tflite

    read_tflite(model)  # what is no model is refused before a phone is asked
    result = run_on_phone(model, settings, say=lambda text: notes().print(f"{text} ..."))
    console = output(json)
    console.print(phone_table(result))
    for line in phone_lines(result):
        console.print(wrapped(line, "  "), soft_wrap=True)
    write_json(json, phone_json(result))
    if not result.good:
        raise typer.Exit(1)
