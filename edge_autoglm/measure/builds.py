"""What this tool built, remembered by build id, so that `profile` can say what a board cannot:
compiler, code size, and which file the model came from."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from edge_autoglm.files import write_whole
from edge_boards.toolchain import Image
from edge_boards.virtual.state import state_root

SCHEMA = 1


@dataclass(frozen=True)
class KeptFile:
    """A file of a build, where it was, and its SHA-256 then."""

    name: str
    path: str
    sha256: str

    def content(self) -> bytes | None:
        """Its bytes, if it is still there as the build left it."""
        try:
            content = Path(self.path).read_bytes()
        except OSError:
            return None
        return content if hashlib.sha256(content).hexdigest() == self.sha256 else None


@dataclass(frozen=True)
class Build:
    """One remembered build. Sizes in bytes; `model` is the .tflite, where one was given.

    `files` are the memory map and the plan, as a bundle names them.
    """

    build_id: str
    toolchain: str
    code: int
    weights: int
    static_ram: int
    rings: int | None
    files: tuple[KeptFile, ...]
    model: str | None


def remember(image: Image, model: Path | None, plan: Path | None = None) -> Build:
    """Notes a build. A state folder that cannot be written costs only the memory of it."""
    sizes = image.sizes
    kept = [("memory.map", image.map)] + ([("plan.json", plan)] if plan else [])
    build = Build(
        build_id=image.build_id.hex(),
        toolchain=image.toolchain,
        code=sizes.code,
        weights=sizes.weights,
        static_ram=sizes.static_ram,
        rings=sizes.rings,
        files=tuple(_kept(name, path) for name, path in kept),
        model=str(model.resolve()) if model else None,
    )
    known = recall(build.build_id)
    if known and model is None:
        build = replace(build, model=known.model)
    content = json.dumps({"schema": SCHEMA, **asdict(build)}, indent=1) + "\n"
    try:
        file = _file(build.build_id)
        file.parent.mkdir(parents=True, exist_ok=True)
        write_whole(file, content.encode())
    except OSError:
        return build
    return build


def recall(build_id: str) -> Build | None:
    """The build of that id, if this machine made it."""
    try:
        content = _file(build_id).read_text(encoding="utf-8")
        document: dict[str, Any] = dict(json.loads(content))
        if document.pop("schema") != SCHEMA:
            return None
        document["files"] = tuple(KeptFile(**kept) for kept in document["files"])
        return Build(**document)
    except (OSError, ValueError, KeyError, TypeError):
        return None  # damaged, or of another version: as good as unknown


def _file(build_id: str) -> Path:
    return state_root() / "builds" / f"{build_id}.json"


def _kept(name: str, path: Path) -> KeptFile:
    return KeptFile(name, str(path.resolve()), hashlib.sha256(path.read_bytes()).hexdigest())
