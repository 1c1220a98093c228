"""Inputs and outputs as Kotlin has them: names, array types, and how LiteRT's `TensorBuffer`
writes and reads each."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from edge_export.errors import MobileError
from edge_export.mobile.model import MobileModel, Port
from edge_export.mobile.naming import identifiers, port_text
from edge_quantize.graph import DType, Quantization

from .text import float_literal

_KEYWORDS = """
as break class continue do else false for fun if in interface is null object package return super
this throw true try typealias typeof val var when while
"""
HARD_KEYWORDS = frozenset(_KEYWORDS.split())
# What `run`, the phone's test and the examples name beside the inputs.
_IN_RUN = """
SIGNATURE best calling compiled context dequantize dequantizeUnsigned expected fallback inputBuffers
it model output outputBuffers quantize random read require runs worker
"""
VALUE_NAMES = HARD_KEYWORDS | frozenset(_IN_RUN.split())
# LiteRT 2.3's Kotlin TensorBuffer has these five element types: the words of its methods, and the
# arrays that they take. An unsigned byte goes through the signed one's methods, which copy bytes.
_METHODS = {
    DType.FLOAT32: ("Float", "FloatArray"),
    DType.INT32: ("Int", "IntArray"),
    DType.INT64: ("Long", "LongArray"),
    DType.INT8: ("Int8", "ByteArray"),
    DType.UINT8: ("Int8", "ByteArray"),
    DType.BOOL: ("Boolean", "BooleanArray"),
}
_RANGES = {DType.INT8: (-128, 127), DType.UINT8: (0, 255)}


@dataclass(frozen=True)
class KotlinPort:
    """An input or output of the generated class. `name` is its identifier there, `key` what the
    runtime knows it by, `array` the Kotlin type of its values."""

    name: str
    key: str
    shape: tuple[int, ...]
    dtype: DType
    quantization: Quantization | None

    @property
    def elements(self) -> int:
        return math.prod(self.shape)

    @property
    def method(self) -> str:
        """The end of LiteRT's `write...` and `read...`."""
        return _METHODS[self.dtype][0]

    @property
    def array(self) -> str:
        return "FloatArray" if self.quantization else _METHODS[self.dtype][1]

    @property
    def range(self) -> tuple[int, int]:
        """Least and greatest integer of a quantized tensor."""
        return _RANGES[self.dtype]

    @property
    def scale(self) -> float:
        return self.quantization.scale if self.quantization else 1.0

    @property
    def limits(self) -> tuple[float, float]:
        """Least and greatest real value of a quantized tensor."""
        assert self.quantization is not None
        least, most = self.range
        zero_point = self.quantization.zero_point
        return (least - zero_point) * self.scale, (most - zero_point) * self.scale

    @property
    def count(self) -> str:
        return "1 value" if self.elements == 1 else f"{self.elements} values"

    @property
    def description(self) -> str:
        """Shape, count and meaning, for the documentation."""
        shape = f"`[{', '.join(map(str, self.shape))}]`"
        text = f"{shape}, {self.count}" if self.shape else self.count
        if sum(size > 1 for size in self.shape) > 1:
            text += ", the last dimension fastest"
        if self.quantization:
            least, most = self.limits
            text += (
                f"; real numbers: the model's own {self.dtype.value} are in steps of "
                f"{float_literal(self.scale)[:-1]} from {least:.6g} to {most:.6g}"
            )
        elif self.dtype is DType.UINT8:
            text += "; bytes taken as unsigned, 0 to 255"
        return text


def kotlin_ports(model: MobileModel) -> tuple[tuple[KotlinPort, ...], tuple[KotlinPort, ...]]:
    """(inputs, outputs). Raises MobileError that lists everything LiteRT's Kotlin API has no way
    to write or read."""
    problems = _problems("input", model.inputs) + _problems("output", model.outputs)
    if problems:
        raise MobileError("android-gpu: " + "; ".join(problems), tuple(problems))
    return _ports("input", model.inputs), _ports("output", model.outputs)


def _ports(kind: str, ports: Sequence[Port]) -> tuple[KotlinPort, ...]:
    names = identifiers(
        [port_text(port.name) for port in ports],
        keywords=VALUE_NAMES,
        fallback=kind,
    )
    return tuple(
        KotlinPort(name, port.name, port.shape, port.dtype, port.quantization)
        for name, port in zip(names, ports, strict=True)
    )


def _problems(kind: str, ports: Sequence[Port]) -> list[str]:
    if not ports:
        return [f"the model has no {kind}s"]
    problems = []
    for port in ports:
        if port.dtype not in _METHODS:
            known = ", ".join(dtype.value for dtype in _METHODS)
            problems.append(
                f"{kind} '{port.name}' is {port.dtype.value}, and LiteRT 2.3's Kotlin API has "
                f"{known} only: convert the model with a float32 {kind}"
            )
        elif port.quantization and port.dtype not in _RANGES:
            problems.append(f"{kind} '{port.name}' is {port.dtype.value} with a scale")
        elif port.quantization and port.quantization.per_channel:
            problems.append(f"{kind} '{port.name}' has a scale for each channel")
        if any(size < 1 for size in port.shape):
            problems.append(f"{kind} '{port.name}' has no fixed shape: {list(port.shape)}")
        if not port.name:
            problems.append(f"an {kind} has no name, which the runtime finds it by")
    counts = Counter(port.name for port in ports)
    problems += [
        f"{count} {kind}s are called '{name}', and the runtime tells them apart by name"
        for name, count in counts.items()
        if name and count > 1
    ]
    return problems
