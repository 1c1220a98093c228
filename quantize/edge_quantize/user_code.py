"""`MODULE:FUNCTION` and `FILE.py:FUNCTION`: the user's own code, imported and run as asked for.

It is looked for in the working folder (a file's own folder) first. What it prints goes to stderr,
since stdout may be a report's.
"""

from __future__ import annotations

import contextlib
import difflib
import importlib
import importlib.util
import re
import sys
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from .errors import InputDataError

_NAME = re.compile(r"(?P<module>[\w.]+|.+\.py):(?P<attribute>\w+(\.\w+)*)")


@dataclass(frozen=True)
class Place:
    """Where code is: a module's dotted name or a file's path, and what is in it."""

    module: str
    attribute: str

    @property
    def is_file(self) -> bool:
        return self.module.endswith(".py")

    @property
    def text(self) -> str:
        return f"{self.module}:{self.attribute}"


def place_of(source: str) -> Place | None:
    """What `source` names, None where it is the path of a file that is there, or no such name."""
    match = None if Path(source).exists() else _NAME.fullmatch(source)
    return Place(match["module"], match["attribute"]) if match is not None else None


@contextlib.contextmanager
def running(place: Place) -> Iterator[Any]:
    """Yields what `place` names; the user's code runs inside of this.

    Raises InputDataError for whatever that code raises, with the line of its file, and where there
    is no such module, file or name.
    """
    folder = Path(place.module).resolve().parent if place.is_file else Path.cwd()
    with (
        contextlib.redirect_stdout(sys.stderr),
        _one_line(place),
        _first_on_path(folder),
    ):
        found: Any = _module(place)
        for part in place.attribute.split("."):
            if not hasattr(found, part):
                names = [name for name in dir(found) if not name.startswith("_")]
                near = difflib.get_close_matches(part, names, 1)
                hint = f"; did you mean {near[0]}?" if near else ""
                raise InputDataError(f"{place.text}: {place.module} has no {part!r}{hint}")
            found = getattr(found, part)
        yield found


@contextlib.contextmanager
def _one_line(place: Place) -> Iterator[None]:
    """Whatever the user's code raises, as one line that says where."""
    try:
        yield
    except InputDataError:
        raise
    except (Exception, SystemExit) as error:
        said = next((line for line in str(error).splitlines() if line.strip()), "").strip()
        kind = type(error).__name__
        tail = Path(place.module).name if place.is_file else f"{place.module.rpartition('.')[2]}.py"
        frames = traceback.extract_tb(error.__traceback__)
        mine = [frame for frame in frames if Path(frame.filename).name == tail]
        where = f" ({tail}, line {mine[-1].lineno})" if mine else ""
        words = f"{kind}: {said}" if said else kind
        raise InputDataError(f"{place.text}: {words}{where}") from error


def _module(place: Place) -> ModuleType:
    if place.is_file:
        path = Path(place.module)
        if not path.is_file():
            raise InputDataError(f"{path}: no such file")
        spec = importlib.util.spec_from_file_location(f"_user_code_{path.stem}", path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[spec.name] = module  # where dataclasses look up their annotations
        spec.loader.exec_module(module)
        return module
    try:
        return importlib.import_module(place.module)
    except ModuleNotFoundError as error:
        if error.name is not None and f"{place.module}.".startswith(f"{error.name}."):
            raise InputDataError(
                f"{place.text}: no file or folder, and no module '{error.name}' in {Path.cwd()} or "
                "in Python's path"
            ) from error
        raise


@contextlib.contextmanager
def _first_on_path(folder: Path) -> Iterator[None]:
    before = list(sys.path)
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        sys.path[:] = before
