"""Where the data that travels with the code lies: C sources and the board catalogue.

A checkout keeps them beside the packages (`firmware/`, `boards/catalog/`); a wheel carries them
inside this package (`edge_boards/_data/`). Nobody but this module needs to know which it is.
"""

from __future__ import annotations

from pathlib import Path

from edge_boards.errors import BoardsError

_PACKAGE = Path(__file__).resolve().parent


def _roots() -> dict[str, tuple[Path, ...]]:
    packed = _PACKAGE / "_data"
    return {
        "firmware": (packed / "firmware", _PACKAGE.parent.parent / "firmware"),
        "catalog": (packed / "catalog", _PACKAGE.parent / "catalog"),
    }


def data_path(*parts: str) -> Path:
    """The path of shipped data; `parts[0]` is `firmware` or `catalog`.

    Raises `BoardsError` where the installation lacks it.
    """
    roots = _roots()
    if not parts or parts[0] not in roots:
        raise BoardsError(f"no shipped data named {'/'.join(parts)!r}; there is {sorted(roots)}")
    for root in roots[parts[0]]:
        if root.is_dir():
            path = root.joinpath(*parts[1:])
            if path.exists():
                return path
    raise BoardsError(
        f"{'/'.join(parts)} is missing from this installation of edge-autoglm; install it again"
    )
