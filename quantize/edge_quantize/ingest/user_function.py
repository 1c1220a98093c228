"""`module:function` on the command line: the user's own code that builds a model."""

from __future__ import annotations

import difflib
import importlib
import sys
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge_quantize.errors import InputDataError


@dataclass(frozen=True)
class Named:
    model: Any
    example_input: Any = None


def call_named(name: str) -> Named:
    """Calls `module:function`, which is looked for in the working folder too.

    Raises InputDataError, in one line that says where: no such module or function, or its own
    error.
    """
    module_name, _, function_name = name.partition(":")
    here = str(Path.cwd())
    added = here not in sys.path
    if added:
        sys.path.insert(0, here)
    try:
        function = _function(name, module_name, function_name)
        try:
            result = function()
        except Exception as error:
            raise InputDataError(f"{name}: it raised {_told(error)}") from error
    finally:
        if added:
            sys.path.remove(here)
    if isinstance(result, tuple):
        if len(result) != 2:
            raise InputDataError(
                f"{name}: returned {len(result)} values; a model, or (model, example input) is "
                "needed"
            )
        return Named(*result)
    return Named(result)


def _function(name: str, module_name: str, function_name: str) -> Any:
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is not None and module_name.split(".")[0] == error.name.split(".")[0]:
            raise InputDataError(
                f"{name}: there is no module {error.name} (looked in {Path.cwd()} and in Python's "
                "path)"
            ) from error
        raise InputDataError(f"{name}: importing it: {_told(error)}") from error
    except Exception as error:  # the module's own code
        raise InputDataError(f"{name}: importing it raised {_told(error)}") from error
    function = getattr(module, function_name, None)
    if not callable(function):
        names = [n for n, value in vars(module).items() if callable(value) and n[0] != "_"]
        near = difflib.get_close_matches(function_name, names, 1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise InputDataError(f"{name}: {module_name} has no function {function_name}{hint}")
    return function


def _told(error: Exception) -> str:
    """The error and the line of the user's code that it comes from."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [f for f in frames if "importlib" not in f.filename and f.filename != __file__]
    lines = str(error).strip().splitlines()
    words = f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
    return words + (f" ({Path(own[-1].filename).name}, line {own[-1].lineno})" if own else "")
