"""The Program: the steps that will run, in order, each with its kernel, constants and buffers.

Every kernel is called alike, so that the emitter needs no knowledge of any:

    kernel(&params, operand..., result, scratch)

`params` is a constant struct named by `Struct.ctype`; operands and results are `void` pointers
to buffers; `scratch` is a buffer or NULL. Constants (weights, folded biases, multipliers) are
reached through pointer members of `params`.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


class ConstantKind(enum.Enum):
    """What a constant is, for the size report."""

    WEIGHTS = "weights"  # bytes that stand in the .tflite as well
    TABLE = "table"  # multipliers, packing, lookup tables: what the compiler added; counts as code


class BufferKind(enum.Enum):
    INPUT = "input"
    OUTPUT = "output"
    ACTIVATION = "activation"
    SCRATCH = "scratch"


@dataclass(frozen=True, eq=False)
class Constant:
    """A constant array. `data` is one-dimensional, of integers or float32."""

    name: str  # unique in the program, a valid C identifier without prefix: "conv_3_weights"
    data: npt.NDArray[np.generic]
    kind: ConstantKind
    alignment: int = 4
    # Bytes of this array that stand in the .tflite too. What packing, padding and multipliers
    # add is `data.nbytes - source_bytes`, and counts as code.
    source_bytes: int = 0

    @property
    def nbytes(self) -> int:
        return int(self.data.nbytes)


@dataclass(frozen=True)
class ConstantRef:
    """A pointer member of a parameter struct; None is NULL."""

    constant: str | None


FieldValue = int | float | ConstantRef | tuple[int, ...]


@dataclass(frozen=True)
class Struct:
    """A constant C struct with designated initialisers, in this order."""

    ctype: str
    fields: tuple[tuple[str, FieldValue], ...]


@dataclass(frozen=True)
class Buffer:
    """A piece of RAM. `tensor` is the graph's tensor it holds, or None for scratch and for what
    lies between two steps of a layer."""

    name: str
    size: int
    kind: BufferKind
    alignment: int = 4
    tensor: int | None = None
    # The operand buffer that this one must share its address with (RESHAPE, an in-place ADD
    # that the lowering insists on); None leaves it to the planner.
    alias_of: str | None = None


@dataclass(frozen=True)
class Step:
    """One kernel call. A layer may be several steps."""

    index: int
    layer: int  # index of the graph's operator
    kernel: str  # row of the kernel table, and the C function's name
    params: Struct
    operands: tuple[str, ...]  # buffers read, in the kernel's order
    results: tuple[str, ...]  # buffers written
    scratch: str | None = None
    # Operand positions whose buffer may be overwritten by result 0: the kernel reads every
    # element before (or when) it writes the element at the same address.
    in_place: tuple[int, ...] = ()
    # (operand position, distance): result 0 may lie over that operand where it starts at least
    # `distance` bytes before it. So do kernels that walk both upwards and write only below what
    # they have still to read.
    overlap: tuple[tuple[int, int], ...] = ()
    macs: int = 0
    # A pad or a clamp that a layer was taken apart into: no plan file names its kernel.
    helper: bool = False
    # For the generated file and the report: why this kernel was chosen.
    reason: str = ""


@dataclass(frozen=True)
class Layer:
    """An operator of the graph as reports name it."""

    index: int
    name: str
    op: str
    macs: int


@dataclass(frozen=True, eq=False)
class Program:
    """All steps of one model, with their buffers and constants, before memory is planned."""

    name: str  # C prefix of every symbol
    model_sha256: str
    layers: tuple[Layer, ...]
    steps: tuple[Step, ...]
    buffers: tuple[Buffer, ...]
    constants: tuple[Constant, ...]
    inputs: tuple[str, ...]  # buffers, in the model's order
    outputs: tuple[str, ...]
    kernel_sources: tuple[str, ...]  # paths relative to firmware/, sorted; headers included

    def buffer(self, name: str) -> Buffer:
        return next(b for b in self.buffers if b.name == name)
