"""What the generated files say of a model's inputs and outputs."""

from __future__ import annotations

from dataclasses import dataclass

from edge_quantize.graph import Graph, Tensor

MODEL_ABI = 1  # EAG_MODEL_ABI of firmware/runtime/eag_model.h

_ELEMENT = {
    "int8": "int8_t",
    "uint8": "uint8_t",
    "int16": "int16_t",
    "int32": "int32_t",
    "int64": "int64_t",
    "float32": "float",
    "bool": "uint8_t",
}


@dataclass(frozen=True)
class Port:
    """One input or output as its user sees it."""

    role: str  # "input" or "output"
    position: int
    name: str
    shape: tuple[int, ...]
    dtype: str
    ctype: str
    size: int  # bytes
    scale: float | None
    zero_point: int | None
    buffer: str

    def meaning(self) -> str:
        """How elements relate to real values, in one line."""
        if self.scale is None or self.zero_point is None:
            return "plain values"
        if self.zero_point == 0:
            return f"real = {self.scale!r} * q"
        sign = "-" if self.zero_point > 0 else "+"
        return f"real = {self.scale!r} * (q {sign} {abs(self.zero_point)})"


def _port(role: str, position: int, tensor: Tensor, buffer: str) -> Port:
    quantization = tensor.quantization
    single = quantization is not None and not quantization.per_channel
    return Port(
        role=role,
        position=position,
        name=tensor.name,
        shape=tensor.shape,
        dtype=tensor.dtype.value,
        ctype=_ELEMENT.get(tensor.dtype.value, "uint8_t"),
        size=tensor.nbytes,
        scale=quantization.scale if single and quantization else None,
        zero_point=quantization.zero_point if single and quantization else None,
        buffer=buffer,
    )


def ports(
    graph: Graph, inputs: tuple[str, ...], outputs: tuple[str, ...]
) -> tuple[tuple[Port, ...], tuple[Port, ...]]:
    """The model's inputs and outputs, with the buffers that hold them."""
    made_in = tuple(
        _port("input", i, graph.tensor(t), buffer)
        for i, (t, buffer) in enumerate(zip(graph.inputs, inputs, strict=True))
    )
    made_out = tuple(
        _port("output", i, graph.tensor(t), buffer)
        for i, (t, buffer) in enumerate(zip(graph.outputs, outputs, strict=True))
    )
    return made_in, made_out
