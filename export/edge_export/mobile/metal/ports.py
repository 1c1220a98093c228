"""Inputs and outputs in Swift: what the caller gives and gets, and what the tensor stores."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edge_export.errors import MobileError
from edge_export.mobile.model import Port
from edge_export.mobile.naming import identifiers, port_text
from edge_quantize.graph import DType

from .words import KEYWORDS

# element type: (the constant of TensorFlow Lite's C interface, what Swift stores it in)
_TYPES = {
    DType.FLOAT32: ("kTfLiteFloat32", "Float"),
    DType.FLOAT16: ("kTfLiteFloat16", "UInt16"),
    DType.FLOAT64: ("kTfLiteFloat64", "Double"),
    DType.INT8: ("kTfLiteInt8", "Int8"),
    DType.UINT8: ("kTfLiteUInt8", "UInt8"),
    DType.INT16: ("kTfLiteInt16", "Int16"),
    DType.INT32: ("kTfLiteInt32", "Int32"),
    DType.UINT32: ("kTfLiteUInt32", "UInt32"),
    DType.INT64: ("kTfLiteInt64", "Int64"),
    DType.UINT64: ("kTfLiteUInt64", "UInt64"),
    DType.BOOL: ("kTfLiteBool", "UInt8"),
}
_QUANTIZED = frozenset({DType.INT8, DType.UINT8, DType.INT16})


@dataclass(frozen=True)
class SwiftPort:
    """A port with what its Swift is made of. `stored` is the tensor's element, `type` the one of
    the caller's array."""

    port: Port
    index: int
    name: str
    constant: str
    stored: str

    @property
    def quantized(self) -> bool:
        return self.port.quantization is not None and self.port.dtype in _QUANTIZED

    @property
    def type(self) -> str:
        if self.quantized or self.port.dtype is DType.FLOAT16:
            return "Float"
        return "Bool" if self.port.dtype is DType.BOOL else self.stored

    @property
    def count(self) -> int:
        return math.prod(self.port.shape)

    @property
    def zero(self) -> str:
        return "false" if self.type == "Bool" else "0"

    @property
    def scale(self) -> str:
        assert self.port.quantization is not None
        return number(self.port.quantization.scale)

    @property
    def zero_point(self) -> int:
        assert self.port.quantization is not None
        return self.port.quantization.zero_point

    def document(self) -> str:
        """One line: shape, values, and how they are stored where that is not what is given."""
        shape = ", ".join(map(str, self.port.shape))
        values = "1 value" if self.count == 1 else f"{grouped(self.count)} values"
        order = " in row-major order" if self.count > 1 else ""
        text = f"Shape `[{shape}]`, {values}{order}"
        if self.quantized:
            text += (
                f"; real numbers, stored as {self.port.dtype.value} "
                f"(scale {self.scale}, zero point {self.zero_point})"
            )
        elif self.port.dtype is DType.FLOAT16:
            text += ", stored as float16"
        return text + "."


def swift_ports(ports: Sequence[Port], kind: str) -> tuple[SwiftPort, ...]:
    """Ports as Swift. `kind` ("input", "output") names those that have no name.

    Raises MobileError for an element type, a shape or a quantization that an array in Swift cannot
    stand for; all of them at once.
    """
    problems = [problem for port in ports for problem in _problems(port, kind)]
    if not ports:
        problems = [f"the model has no {kind}"]
    if problems:
        raise MobileError("ios-metal: " + "; ".join(problems), tuple(problems))
    names = identifiers([port_text(p.name) or kind for p in ports], KEYWORDS, fallback=kind)
    return tuple(
        SwiftPort(port, index, name, *_TYPES[port.dtype])
        for index, (port, name) in enumerate(zip(ports, names, strict=True))
    )


def _problems(port: Port, kind: str) -> list[str]:
    found = []
    if port.dtype not in _TYPES:
        known = ", ".join(dtype.value for dtype in _TYPES)
        found.append(
            f"{kind} '{port.name}' is {port.dtype.value}, which the package cannot hand over "
            f"(it can: {known})"
        )
    if any(size < 1 for size in port.shape):
        shape = "x".join(map(str, port.shape))
        found.append(f"{kind} '{port.name}' has the open shape {shape}; give the model a fixed one")
    quantization = port.quantization
    if port.dtype in _QUANTIZED and quantization is not None:
        if quantization.per_channel:
            found.append(f"{kind} '{port.name}' is quantized per channel")
        elif not (math.isfinite(quantization.scale) and quantization.scale > 0):
            found.append(f"{kind} '{port.name}' has the scale {quantization.scale}")
    return found


def grouped(count: int) -> str:
    return f"{count:,}"


def literal(count: int) -> str:
    """An integer as Swift writes it: 27_648."""
    return f"{count:_}"


def number(value: float) -> str:
    """A float32 as the shortest Swift literal that gives it back."""
    text = np.format_float_scientific(np.float32(value), unique=True, trim="-")
    plain = np.format_float_positional(np.float32(value), unique=True, trim="0")
    return plain if len(plain) <= 14 else text.replace("e+", "e")
