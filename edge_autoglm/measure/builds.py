"""What this tool built, remembered by build id, so that `profile` can say what a board cannot:
compiler, code size, and which file the model came from."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge_autoglm.files import write_whole
from edge_boards.toolchain import Image

SCHEMA = 1


@dataclass(frozen=True)
class Build:
    """One remembered build. Sizes in bytes."""

    build_id: str
    toolchain: str
    code: int
    weights: int
    static_ram: int
    rings: int
    elf: str
    model: str | None


def _folder() -> Path:
    named = os.environ.get("EDGE_AUTOGLM_STATE")
    if named:
        return Path(named) / "builds"
    base = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(base) / "edge-autoglm" / "builds"


def remember(image: Image, model: Path | None) -> Build:
    """Notes a build. A state folder that cannot be written costs only the memory of it."""
    sizes = image.sizes
    build = Build(
        build_id=image.build_id.hex(),
        toolchain=image.toolchain,
        code=sizes.code,
        weights=sizes.weights,
        static_ram=sizes.static_ram,
        rings=sizes.rings,
        elf=str(image.elf.resolve()),
        model=str(model.resolve()) if model else None,
    )
    known = recall(build.build_id)
    if known and model is None:
        build = Build(**{**build.__dict__, "model": known.model})
    content = json.dumps({"schema": SCHEMA, **build.__dict__}, indent=1) + "\n"
    try:
        _folder().mkdir(parents=True, exist_ok=True)
        write_whole(_folder() / f"{build.build_id}.json", content.encode())
    except OSError:
        return build
    return build


def recall(build_id: str) -> Build | None:
    """The build of that id, if this machine made it."""
    try:
        content = (_folder() / f"{build_id}.json").read_text(encoding="utf-8")
        document: dict[str, Any] = json.loads(content)
        if document.pop("schema") != SCHEMA:
            return None
        return Build(**document)
    except (OSError, ValueError, KeyError, TypeError):
        return None
