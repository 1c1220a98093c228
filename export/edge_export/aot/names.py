"""Names: a C prefix from a file name. Layers' short names are made in `edge_quantize`, whose
recipes know layers by them too."""

from __future__ import annotations

import re
from pathlib import PurePath

from edge_export.errors import ExportError
from edge_quantize.graph.names import layer_name as layer_name
from edge_quantize.graph.names import layer_names as layer_names
from edge_quantize.graph.names import short_names as short_names
from edge_quantize.graph.names import unique as unique

# C keywords; C's own headers: NAME.h must not hide <string.h> from a user's project; names that
# CMake keeps for targets of its own.
_RESERVED = re.compile(
    r"auto|break|case|char|const|continue|default|do|double|else|enum|extern|float|for|goto|if|"
    r"inline|int|long|main|register|restrict|return|short|signed|sizeof|static|struct|switch|"
    r"typedef|union|unsigned|void|volatile|while|assert|complex|ctype|errno|fenv|inttypes|iso646|"
    r"all|clean|help|install|package|test|edit_cache|rebuild_cache|"
    r"limits|locale|math|setjmp|signal|std[a-z]+|string|tgmath|threads|time|uchar|wchar|wctype"
)


def identifier(file_name: str) -> str:
    """A C identifier for a model file: "kws-int8.v2.tflite" -> "kws_int8_v2"."""
    stem = PurePath(file_name).name
    for suffix in (".tflite", ".lite"):
        stem = stem.removesuffix(suffix)
    name = re.sub(r"[^0-9A-Za-z]+", "_", stem).strip("_")
    if not name or name[0].isdigit() or _RESERVED.fullmatch(name) or name.startswith("eag"):
        name = f"model_{name}".rstrip("_")
    return name


def prefix(model: str, asked: str | None) -> str:
    """What every symbol of a model begins with: `asked`, or made of the model's name.

    Raises ExportError for an `asked` that C does not take.
    """
    if asked is None:
        return identifier(model)
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", asked) or identifier(asked) != asked:
        raise ExportError(f"{asked!r} cannot prefix C symbols; try {identifier(asked)!r}")
    return asked
