"""`module:function` on the command line: the user's own code that builds a model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from edge_quantize.errors import InputDataError
from edge_quantize.user_code import Place, running


@dataclass(frozen=True)
class Named:
    model: Any
    example_input: Any = None


def call_named(place: Place) -> Named:
    """Calls the function, which returns a model, or (model, example input).

    Raises InputDataError, in one line that says where: no such module or function, or its own
    error.
    """
    with running(place) as function:
        if not callable(function):
            raise InputDataError(f"{place.text}: is a {type(function).__name__}, no function")
        result = function()
    if isinstance(result, tuple):
        if len(result) != 2:
            raise InputDataError(
                f"{place.text}: returned {len(result)} values; a model, or (model, example input) "
                "is needed"
            )
        return Named(*result)
    return Named(result)
