"""Identifiers of a generated class from the names that a model gives: whole words, in the
language's own style, never a keyword, never twice."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Sequence
from enum import Enum

_LONGEST = 60
# What TensorFlow puts around a name: the index of an operator's result, the prefix of a serving
# function's arguments.
_FRAMEWORK = re.compile(r"^serving_default_(?=.)|(?<=.):\d+$")
# Names of functions rather than of values: they say nothing of what comes in or out.
_GENERIC = re.compile(r"(?:StatefulPartitionedCall|PartitionedCall|Identity)(?:[_:]\d+)*")


class Style(Enum):
    """How words are put together."""

    UPPER_CAMEL = "UpperCamel"
    LOWER_CAMEL = "lowerCamel"
    SNAKE = "snake_case"


def port_text(name: str) -> str:
    """What an input's or output's name says once the framework's own words are taken away:
    "serving_default_input_1:0" -> "input_1"; empty where nothing is left."""
    return "" if _GENERIC.fullmatch(name) else _FRAMEWORK.sub("", name)


def identifier(
    text: str,
    keywords: Collection[str] = (),
    style: Style = Style.LOWER_CAMEL,
    fallback: str = "value",
) -> str:
    """`text` as an ASCII identifier: "1-weird name" -> "value1WeirdName".

    Accents are taken off, all else that is no ASCII letter or digit separates words. `fallback`
    (one lowercase word) goes before a text that begins with a digit or that would be one of
    `keywords`, and stands for one that has no letter or digit.
    """
    name = _joined(_words(text), style)
    if not name or name[0].isdigit() or name in keywords:
        name = _joined([fallback, *_words(text)], style)
    return name


def identifiers(
    texts: Sequence[str],
    keywords: Collection[str] = (),
    style: Style = Style.LOWER_CAMEL,
    fallback: str = "value",
) -> tuple[str, ...]:
    """One identifier for each text, no two the same: those that are get a number, in order."""
    plain = [identifier(text, keywords, style, fallback) for text in texts]
    barred = {*plain, *keywords}
    result: list[str] = []
    for name in plain:
        separator = "_" if style is Style.SNAKE or name[-1].isdigit() else ""
        candidate, number = name, 2
        while candidate in result or (candidate != name and candidate in barred):
            candidate = f"{name}{separator}{number}"
            number += 1
        result.append(candidate)
    return tuple(result)


def _words(text: str) -> list[str]:
    # "ß" is two letters, "é" an "e"; what else is no ASCII separates words as any sign does.
    folded = "".join(each if each.isascii() else each.casefold() for each in text)
    letters = (c for c in unicodedata.normalize("NFKD", folded) if not unicodedata.combining(c))
    plain = "".join(each if each.isascii() else " " for each in letters)
    words: list[str] = []
    left = _LONGEST
    for run in re.findall(r"[0-9A-Za-z]+", plain):
        # "inputImage" and "HTTPServer" hold two words each.
        for word in re.findall(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z0-9]+|[A-Z0-9]+", run):
            words += [word[:left]] if left else []
            left -= len(word[:left])
    return words


def _joined(words: Sequence[str], style: Style) -> str:
    if style is Style.SNAKE:
        return "_".join(word.lower() for word in words)
    name = ""
    for word in words:
        first = word[0].lower() if style is Style.LOWER_CAMEL and not name else word[0].upper()
        # Two numbers side by side would read as one.
        joint = "_" if name and name[-1].isdigit() and word[0].isdigit() else ""
        name += joint + first + word[1:].lower()
    return name
