"""The ports of the firmware: folders of `firmware/ports`, what each is built with and needs.

A folder is a port where it has eag_port_inline.h; the others are shared. Both may have a
`port.toml`: `uses` names the shared folders that a port is built with, `needs` the keys that a
board's file must then have though the schema lets them be left out.
"""

from __future__ import annotations

import tomllib
from pathlib import Path

from edge_boards.errors import ToolchainError

_INLINE = "eag_port_inline.h"


def known_ports(ports: Path) -> tuple[str, ...]:
    """The ports' names, those of shared folders left out."""
    return tuple(sorted(path.parent.name for path in ports.glob(f"*/{_INLINE}")))


def port_folders(ports: Path, port: str) -> tuple[Path, ...]:
    """A port's folder, and the shared ones beside it that its `port.toml` names, in that order.

    Raises `ToolchainError` where one is missing or the file is not as it should be.
    """
    folder = ports / port
    shared = _names(folder / "port.toml", "uses", 'folders, such as ["cortex_m"]')
    folders = (folder, *(ports / name for name in shared))
    for each in folders:
        if not each.is_dir():
            raise ToolchainError(
                f"{each} is missing: port {port!r} cannot be built; "
                f"there are {', '.join(known_ports(ports)) or 'none'}"
            )
    return folders


def port_needs(ports: Path, port: str) -> tuple[str, ...]:
    """Keys of a board's file ("serial.console.alternate") that the port cannot be built without.

    Raises `ToolchainError` as `port_folders` does.
    """
    words = 'keys of a board\'s file, such as ["serial.console.alternate"]'
    files = [folder / "port.toml" for folder in port_folders(ports, port)]
    return tuple(dict.fromkeys(key for path in files for key in _names(path, "needs", words)))


def _names(path: Path, key: str, words: str) -> list[str]:
    """A list of texts in a `port.toml`; empty where file or key is missing."""
    if not path.is_file():
        return []
    try:
        names = tomllib.loads(path.read_text(encoding="utf-8")).get(key, [])
    except (OSError, ValueError) as error:
        raise ToolchainError(f"{path} cannot be read: {error}") from error
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ToolchainError(f"{path}: {key} should be a list of {words}")
    return names
