"""The reference's inference, as files that the phone's test reads: inputs as `run` takes them,
outputs as float64."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edge_export.mobile.model import Golden

from .ports import KotlinPort

# Array type -> element and the expression that reads one out of a ByteBuffer.
_READERS = {
    "FloatArray": "{at}.getFloat()",
    "IntArray": "{at}.getInt()",
    "LongArray": "{at}.getLong()",
    "ByteArray": "{at}.get()",
    "BooleanArray": "{at}.get() != 0.toByte()",
}


def golden_files(
    golden: Golden, inputs: Sequence[KotlinPort], outputs: Sequence[KotlinPort]
) -> dict[str, bytes]:
    """File name -> content, little-endian."""
    files = {}
    for index, (port, content) in enumerate(zip(inputs, golden.inputs, strict=True)):
        files[f"input_{index}.bin"] = _real(port, content, "<f4") if port.quantization else content
    for index, (port, content) in enumerate(zip(outputs, golden.outputs, strict=True)):
        files[f"output_{index}.bin"] = _real(port, content, "<f8")
    return files


def golden_field(port: KotlinPort, index: int) -> str:
    """The line that reads an input."""
    reader = _READERS[port.array].format(at="it")
    return (
        f'val {port.name} = read("input_{index}.bin").let {{ '
        f"{port.array}({port.elements}) {{ _ -> {reader} }} }}"
    )


def golden_expected(port: KotlinPort, index: int) -> str:
    """The line that reads an output."""
    doubles = f"DoubleArray({port.elements}) {{ _ -> it.getDouble() }}"
    return f'read("output_{index}.bin").let {{ {doubles} }},'


def _real(port: KotlinPort, content: bytes, kind: str) -> bytes:
    """The tensor's content in real numbers."""
    stored = np.frombuffer(content, port.dtype.numpy.newbyteorder("<"))
    if port.quantization is None:
        # The generated test takes bytes as Kotlin does, signed.
        signed = stored.view(np.int8) if port.dtype.value == "uint8" else stored
        return signed.astype(kind).tobytes()
    steps = stored.astype(np.float32) - np.float32(port.quantization.zero_point)
    return (np.float32(port.scale) * steps).astype(kind).tobytes()
