"""Quantities as people write them on a command line: shares and counts."""

from __future__ import annotations

import math
import re

from edge_autoglm.errors import UsageError

# Separators of thousands stand before three digits: "0,5" is no 5.
_NUMBER = re.compile(r"\s*(\d{1,3}(?:[,_]\d{3})+|\d*)(\.\d+)?\s*([A-Za-zµ%]*)\s*", re.ASCII)
_COUNTS = {"": 1, "k": 1_000, "m": 1_000_000, "g": 1_000_000_000}


def parse_share(text: str, what: str, most: float = 1.0) -> float:
    """A share from "0.5%" or "0.005", 0 to `most`. Raises UsageError naming the option `what`."""
    number, unit = number_and_unit(text)
    value = number / 100 if unit == "%" else number
    if unit not in ("", "%") or not 0 <= value <= most:
        limit = f" up to {100 * most:g}%" if math.isfinite(most) else ""
        raise UsageError(f"{what}: {text!r} is no share{limit}; write 0.5% or 0.005")
    if unit == "" and value == most == 1:
        raise UsageError(f"{what}: {text!r} is all of it; one percent is 1%, all is 100%")
    return value


def parse_part(text: str, what: str) -> float:
    """A share that leaves something and takes something: between 0 and 1, as "25%" or "0.25".

    Raises UsageError naming the option `what`.
    """
    number, unit = number_and_unit(text)
    value = number / 100 if unit == "%" else number
    if unit not in ("", "%") or not 0 < value < 1:
        raise UsageError(f"{what}: {text!r} is not between 0 and 1; write 0.25 or 25%")
    return value


def parse_count(text: str, what: str) -> int:
    """How many, from "9M", "7.5M", "400k" (thousands, as MACs are counted) or "7,489,664".

    Raises UsageError naming the option `what`.
    """
    number, unit = number_and_unit(text)
    value = number * _COUNTS.get(unit.lower(), math.nan)
    if not value >= 1:
        raise UsageError(f"{what}: {text!r} is no number of them; write 9M, 400k or 7489664")
    return math.floor(value)


def number_and_unit(text: str) -> tuple[float, str]:
    """(number, unit); NaN where it is no number."""
    match = _NUMBER.fullmatch(text)
    if match is None or not (match[1] or match[2]):
        return math.nan, ""
    return float(re.sub("[,_]", "", match[1]) + (match[2] or "")), match[3]
