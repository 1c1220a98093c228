"""A small line-writer for C, and C's spellings of numbers and arrays."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import numpy.typing as npt

from edge_export.errors import ExportError

_C_TYPES = {
    "int8": "int8_t",
    "uint8": "uint8_t",
    "int16": "int16_t",
    "uint16": "uint16_t",
    "int32": "int32_t",
    "int64": "int64_t",
    "uint32": "uint32_t",
    "float32": "float",
}
_ROW = 24


class Emitter:
    """Collects lines at an indentation; `text()` is the file."""

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._indent = ""

    def line(self, text: str = "") -> None:
        self._lines.append(f"{self._indent}{text}" if text else "")

    def lines(self, texts: Sequence[str]) -> None:
        for text in texts:
            self.line(text)

    def comment(self, *texts: str) -> None:
        """A block comment. Tensors' names may hold anything: they can neither close it early nor
        open another."""
        safe = [
            text.replace("*/", "* /").replace("/*", "/ *").encode("ascii", "replace").decode()
            for text in texts
        ]
        if len(safe) == 1:
            self.line(f"/* {safe[0]} */")
            return
        self.line(f"/* {safe[0]}".rstrip())
        for text in safe[1:]:
            self.line(f" * {text}".rstrip())
        self.line(" */")

    @contextmanager
    def block(self, head: str, tail: str = "}") -> Iterator[None]:
        """`head {`, the lines inside indented by two, `tail`."""
        self.line(f"{head} {{")
        before, self._indent = self._indent, self._indent + "  "
        yield
        self._indent = before
        self.line(tail)

    def text(self) -> str:
        return "\n".join(self._lines) + "\n"


def c_type(data: npt.NDArray[np.generic]) -> str:
    """The C element type of a constant. Raises ExportError for a dtype kernels do not know."""
    try:
        return _C_TYPES[data.dtype.name]
    except KeyError:
        raise ExportError(f"a constant of dtype {data.dtype.name} has no C type here") from None


def c_float(value: float) -> str:
    """The shortest decimal that reads back as the same float32."""
    single = np.float32(value)
    if not np.isfinite(single):
        raise ExportError(f"{value!r} cannot be written as a C float")
    return f"{np.format_float_scientific(single, trim='0')}f"


def array_lines(data: npt.NDArray[np.generic]) -> list[str]:
    """Comma-separated element rows, the same for the same array."""
    flat = data.reshape(-1)
    if flat.dtype.name == "float32":
        words = [c_float(float(v)) for v in flat.tolist()]
    elif flat.dtype.name == "uint32":
        words = [f"{v}U" for v in flat.tolist()]
    else:
        words = list(map(str, flat.tolist()))
    return [",".join(words[i : i + _ROW]) + "," for i in range(0, len(words), _ROW)]


def bytes_lines(data: bytes) -> list[str]:
    return array_lines(np.frombuffer(data, np.uint8))
