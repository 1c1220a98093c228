"""What the backend itself said of one-operator models, as `python tools/gpu_rules` recorded it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

RECORD = Path(__file__).with_name("litert_gpu.json")
_DETAILS = (
    (re.compile(r'"[^"]*"'), '"_"'),
    (re.compile(r"\[[^]]*\]"), "[_]"),
    (re.compile(r"(?<=not supported\. )\S.*"), "_"),
    (re.compile(r"(?<=less than 5\. )\S.*"), "_"),
    (re.compile(r"\d+"), "#"),
)


@dataclass(frozen=True)
class Findings:
    """`places`: the model's name -> where it went and the backend's words; `words`: a code of
    `REASONS` -> all that the backend says for it, without names and numbers."""

    runtime: str
    adapter: str
    places: Mapping[str, tuple[str, str]] = field(repr=False)
    words: Mapping[str, tuple[str, ...]] = field(repr=False)

    def same(self, code: str, words: str) -> bool:
        """Whether the backend's `words` are what it says where our rules say `code`."""
        if code == "custom-op":
            return True  # it says the operator's name, and no more
        return plain(words) in self.words.get(code, ())


def plain(words: str) -> str:
    """The backend's words without the names and numbers of one model."""
    for pattern, instead in _DETAILS:
        words = pattern.sub(instead, words)
    return words.strip()


@cache
def findings() -> Findings:
    record = json.loads(RECORD.read_text("utf-8"))
    return Findings(
        record["runtime"],
        record["adapter"],
        {
            name: (place, words)
            for place, said in record["places"].items()
            for words, names in said.items()
            for name in names
        },
        {code: tuple(said) for code, said in record["words"].items()},
    )
