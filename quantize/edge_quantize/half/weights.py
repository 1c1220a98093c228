"""float16 weights: the same file, its float32 constants stored in half their bytes.

Each becomes a float16 constant and a DEQUANTIZE that gives the float32 tensor there was, so that
its readers, its name and its index stay. It is the form that TensorFlow's converter writes too;
GPU delegates drop the DEQUANTIZE and keep the halves, CPUs widen them once when they load.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from ai_edge_litert import schema_py_generated as schema

from . import tables

# Rounding of normal float16 numbers, relative to the number: half a unit of 11 bits.
HALF_ROUNDING = 2.0**-11
# Below this many elements a DEQUANTIZE, with its tensor, takes more bytes than it saves.
LEAST_ELEMENTS = 64
_DEQUANTIZE_VERSION = 3  # the first that takes float16. Source: TensorFlow Lite's op_version.cc


@dataclass(frozen=True)
class Float16Result:
    """`content` is the `.tflite` file; `converted` names the tensors whose values are float16 now,
    `left` has (name, why) of those that a user would expect among them and are not. `notes` are
    remarks for the user, a line each; `bytes_before` and `bytes_after` are sizes of the files."""

    content: bytes
    converted: tuple[str, ...]
    left: tuple[tuple[str, str], ...]
    notes: tuple[str, ...]
    bytes_before: int
    bytes_after: int


def float16_weights(content: bytes) -> Float16Result:
    """The file with its float32 constants as float16 behind DEQUANTIZE.

    Every float32 constant that built-in operators read is converted, except where it has fewer
    than 64 elements (the DEQUANTIZE costs more than it saves, and a GPU rounds it by itself), where
    a value would become infinite, and where rounding would lose more of the tensor than that of
    normal float16 numbers does (its values lie below 6.1e-5). Signatures, metadata, further
    subgraphs, custom options and integer weights stay as they are.

    Raises ModelFileError for what is not a sound `.tflite` file.
    """
    model = tables.unpacked(content)
    work = _Work(model)
    for number, subgraph in enumerate(model.subgraphs):
        work.subgraph(subgraph, number)
    if not work.converted:
        return Float16Result(
            content, (), tuple(work.left), work.notes(), len(content), len(content)
        )
    tables.drop_unused_buffers(model)
    made = tables.packed(model)
    return Float16Result(
        made, tuple(work.converted), tuple(work.left), work.notes(), len(content), len(made)
    )


def float16_fault(values: npt.NDArray[np.generic]) -> str:
    """What float16 would do to a constant's float32 values, beyond rounding them; empty if nothing.

    Rounding of normal numbers loses at most 2^-11 of the whole (in the 2-norm); more is lost only
    where the values lie below 2^-14, where float16 has fewer bits.
    """
    exact = values[np.isfinite(values)].astype(np.float64)
    with np.errstate(over="ignore"):
        rounded = exact.astype(np.float32).astype(np.float16).astype(np.float64)
    infinite = np.isinf(rounded)
    if infinite.any():
        largest = float(np.abs(exact[infinite]).max())
        count = int(infinite.sum())
        which = "1 value passes" if count == 1 else f"{count} values pass"
        return f"{which} 65504, up to {largest:g}: float16 would make them infinite"
    norm, lost = float(np.linalg.norm(exact)), float(np.linalg.norm(exact - rounded))
    if lost > HALF_ROUNDING * norm:
        largest = float(np.abs(exact).max())
        return (
            f"its values are too small for float16, which has fewer bits below 6.1e-5 (largest "
            f"{largest:.2g}): {lost / norm:.1%} of them would be lost"
        )
    return ""


class _Work:
    def __init__(self, model: Any) -> None:
        self.model = model
        self.converted: list[str] = []
        self.left: list[tuple[str, str]] = []
        self.small = 0
        self.vanished: list[str] = []
        self.vanished_values = 0
        self.buffers: dict[int, int] = {}  # float32 buffer -> float16 buffer

    def subgraph(self, subgraph: Any, number: int) -> None:
        readers = tables.readers(subgraph)
        written = {i for o in subgraph.operators or [] for i in tables.indices(o.outputs)}
        ends = {*tables.indices(subgraph.inputs), *tables.indices(subgraph.outputs)}
        added: list[Any] = []
        for index in range(len(subgraph.tensors or [])):
            tensor = subgraph.tensors[index]
            if tensor.type != tables.FLOAT32 or index not in readers or index in written:
                continue
            name = tables.text(tensor.name) or f"tensor {index} of subgraph {number}"
            values = self.values(tensor)
            if values is None:
                if tensor.sparsity is not None:
                    self.left.append((name, "is stored sparsely, which float16 has no form for"))
                continue
            why = self.kept_for(subgraph, values, readers[index], index in ends)
            if why:
                self.left.append((name, why))
            elif values.size < LEAST_ELEMENTS:
                self.small += 1
            else:
                added.append(self.halved(subgraph, index, values))
                self.converted.append(name)
        if added:
            subgraph.operators = [*added, *subgraph.operators]

    def values(self, tensor: Any) -> npt.NDArray[np.float32] | None:
        raw = tables.constant(self.model, tensor)
        if raw is None or raw.size != 4 * tables.elements(tensor):
            return None
        return np.frombuffer(raw.tobytes(), "<f4")

    def kept_for(
        self, subgraph: Any, values: npt.NDArray[np.float32], readers: list[Any], end: bool
    ) -> str:
        """Why a constant stays float32; empty when nothing speaks against float16."""
        ops = [tables.operator_name(self.model, operator) for operator in readers]
        if end:
            return "is an output of the model itself"
        if "CUSTOM" in ops:
            return "is read by a custom operator, which may need a float32 constant"
        passed = [op for op in ops if op in tables.CONTROL_FLOW]
        if passed:
            return f"is handed to another subgraph by {passed[0]}"
        # XNNPACK refuses a layer whose weights are integers and whose bias is no constant.
        if values.size >= LEAST_ELEMENTS and any(self.packed(subgraph, o) for o in readers):
            return "is read beside integer weights, where runtimes need a float32 constant"
        return float16_fault(values)

    def packed(self, subgraph: Any, operator: Any) -> bool:
        """Whether the operator reads integer weights (dynamic range, weight only)."""
        return any(
            tensor.type in tables.QUANTIZED and tables.constant(self.model, tensor) is not None
            for tensor in (subgraph.tensors[i] for i in tables.indices(operator.inputs) if i >= 0)
            if tensor.quantization is not None and tensor.quantization.scale is not None
        )

    def halved(self, subgraph: Any, index: int, values: npt.NDArray[np.float32]) -> Any:
        """The tensor's DEQUANTIZE; the tensor is its result from now on."""
        tensor = subgraph.tensors[index]
        half = values.astype("<f2")
        vanished = int(np.count_nonzero((half == 0) & (values != 0)))
        if vanished:
            self.vanished.append(tables.text(tensor.name))
            self.vanished_values += vanished
        if tensor.buffer not in self.buffers:
            self.buffers[tensor.buffer] = tables.new_buffer(self.model, half)
        source = copy.copy(tensor)
        source.type = tables.FLOAT16
        source.buffer = self.buffers[tensor.buffer]
        source.name = _suffixed(tensor.name)
        tensor.buffer = 0
        subgraph.tensors.append(source)
        operator = schema.OperatorT()
        operator.opcodeIndex = tables.operator_code(self.model, "DEQUANTIZE", _DEQUANTIZE_VERSION)
        operator.inputs = [len(subgraph.tensors) - 1]
        operator.outputs = [index]
        operator.builtinOptionsType = schema.BuiltinOptions.DequantizeOptions
        operator.builtinOptions = schema.DequantizeOptionsT()
        return operator

    def notes(self) -> tuple[str, ...]:
        found = []
        if self.small:
            found.append(
                f"{self.small} constant{'s' if self.small > 1 else ''} of fewer than "
                f"{LEAST_ELEMENTS} elements stay{'' if self.small > 1 else 's'} float32"
            )
        if self.vanished:
            found.append(
                f"{self.vanished_values} values below 3e-8 become 0 in {len(self.vanished)} "
                f"tensors, the first is '{self.vanished[0]}'"
            )
        return tuple(found)


def _suffixed(name: bytes | str | None) -> bytes:
    raw = name.encode() if isinstance(name, str) else name or b""
    return raw + b"_float16"
