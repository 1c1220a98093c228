"""A look at an ONNX file before its environment is made: 2.6 GB are much for a damaged file.

ONNX files are protobuf messages: fields, each a key (its number, and how it is stored) and a value.
Field numbers are those of `ModelProto` and `GraphProto` in onnx.proto; the encoding is that of
"Protocol Buffers: Encoding".
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import BinaryIO

from edge_quantize.errors import UnsupportedModelError

from .source import other_format

_VARINT, _FIXED64, _LENGTH, _FIXED32 = 0, 1, 2, 5
_LONGEST_VARINT = 10  # bytes of 64 bits, seven in each
# How the fields that are looked at are stored, by number.
_MODEL = {1: _VARINT, 2: _LENGTH, 3: _LENGTH, 7: _LENGTH, 8: _LENGTH}
_GRAPH = {1: _LENGTH, 2: _LENGTH, 5: _LENGTH, 11: _LENGTH, 12: _LENGTH}
_MODELS_GRAPH, _GRAPHS_OUTPUT = 7, 12


class _BrokenError(Exception):
    """Why it is no whole message."""


def check_onnx_file(path: Path) -> None:
    """Reads keys and lengths only, not the weights; what is inside is left to the onnx package.

    Raises UnsupportedModelError for what cannot be an ONNX model, OSError.
    """
    with path.open("rb") as file:
        head = file.read(64)
        size = file.seek(0, os.SEEK_END)
        try:
            if not size:
                raise _BrokenError("the file is empty")
            graph = _walk(file, 0, size, _MODEL).get(_MODELS_GRAPH)
            if graph is None:
                raise _BrokenError("it has no graph")
            if _GRAPHS_OUTPUT not in _walk(file, *graph, _GRAPH):
                raise _BrokenError("its graph has no output")
        except _BrokenError as error:
            seems = other_format(head)
            why = f"{error}; it seems to be {seems}" if seems else str(error)
            raise UnsupportedModelError(f"{path}: not a whole ONNX model: {why}") from None


def _walk(
    file: BinaryIO, start: int, end: int, known: dict[int, int]
) -> dict[int, tuple[int, int]]:
    """(start, end) of the last value of each field of the message in `start..end`."""
    found = {}
    at = start
    while at < end:
        key, begin = _varint(file, at, end)
        number, kind = key >> 3, key & 7
        if not number or known.get(number, kind) != kind:
            raise _BrokenError(f"byte {at} starts no field of it")
        if kind == _VARINT:
            _, stop = _varint(file, begin, end)
        elif kind == _LENGTH:
            length, begin = _varint(file, begin, end)
            stop = begin + length
        elif kind in (_FIXED32, _FIXED64):
            stop = begin + (4 if kind == _FIXED32 else 8)
        else:
            raise _BrokenError(f"byte {at} starts no field of it")
        if stop > end:
            raise _BrokenError(f"it is cut off: the field at byte {at} ends at byte {stop}")
        found[number] = (begin, stop)
        at = stop
    return found


def _varint(file: BinaryIO, at: int, end: int) -> tuple[int, int]:
    """(value, where it ends): seven bits a byte, the lowest first."""
    file.seek(at)
    content = file.read(min(_LONGEST_VARINT, end - at))
    value = 0
    for number, byte in enumerate(content):
        value |= (byte & 0x7F) << (7 * number)
        if byte < 0x80:
            return value, at + number + 1
    raise _BrokenError("it is cut off" if at + len(content) == end else f"byte {at} is no number")
