"""Where a virtual board's files lie: `<state>/virtual/<board>/`."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

ENVIRONMENT = "EDGE_AUTOGLM_STATE"

ALREADY_RUNNING = 3
"""Exit status of a board's process that finds another one in its folder."""


def state_root(state_dir: Path | None = None) -> Path:
    """The state folder: as given, else EDGE_AUTOGLM_STATE, else below XDG_STATE_HOME."""
    if state_dir is not None:
        return state_dir
    named = os.environ.get(ENVIRONMENT)
    if named:
        return Path(named)
    base = os.environ.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
    return Path(base) / "edge-autoglm"


@dataclass(frozen=True)
class BoardFiles:
    """The files of one virtual board."""

    folder: Path

    @property
    def control(self) -> Path:
        return self.folder / "control"

    @property
    def flash(self) -> Path:
        return self.folder / "flash.bin"

    @property
    def pid(self) -> Path:
        return self.folder / "pid"

    @property
    def log(self) -> Path:
        return self.folder / "log"

    @property
    def lock(self) -> Path:
        return self.folder / "lock"

    def link(self, name: str) -> Path:
        return self.folder / name


def board_files(name: str, state_dir: Path | None = None) -> BoardFiles:
    return BoardFiles(state_root(state_dir).absolute() / "virtual" / name)


def all_board_files(state_dir: Path | None = None) -> tuple[BoardFiles, ...]:
    """Every board that has a folder, running or not."""
    folder = state_root(state_dir).absolute() / "virtual"
    if not folder.is_dir():
        return ()
    return tuple(BoardFiles(entry) for entry in sorted(folder.iterdir()) if entry.is_dir())
