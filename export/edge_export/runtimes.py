"""What can run a model on a board: the table that everything chooses from, by name.

aot    C of our own, compiled ahead of time
tflm   TensorFlow Lite Micro's interpreter, with the library that the user has
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .aot import package as aot
from .errors import ExportError
from .sealed import EXPORT_FILE, read_sealed
from .tflm import package as tflm

Exported = aot.ExportResult | tflm.TflmExport


@dataclass(frozen=True)
class Runtime:
    """One row: how reports name it, and how its folders are read back."""

    name: str
    title: str
    read: Callable[[Path, Mapping[str, Any]], Exported]


RUNTIMES: Mapping[str, Runtime] = {
    row.name: row
    for row in (
        Runtime(aot.RUNTIME, "ahead-of-time C", aot.read_result),
        Runtime(tflm.RUNTIME, "TFLM", tflm.read_result),
    )
}


def load_export(directory: Path) -> Exported:
    """Reads a folder that any runtime's export wrote. Raises ExportError when it is not one, lacks
    files, or was changed since it was written."""
    document = read_sealed(directory)
    name = document.get("runtime", aot.RUNTIME)
    if name not in RUNTIMES:
        raise ExportError(
            f"{directory / EXPORT_FILE}: made for runtime {name!r}, this version knows "
            f"{', '.join(RUNTIMES)}; use the version that made it"
        )
    return RUNTIMES[name].read(directory, document)
