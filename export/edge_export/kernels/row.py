"""What a row of the kernel table is.

A row says which layers a C function of `firmware/kernels` takes, on which cores, and turns a
layer into the function's arguments: packed constants, parameters, scratch. A new kernel is one
C file and one row.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from edge_export.aot.program import Constant, Struct
from edge_quantize.graph import DType, Graph, Operator, Tensor

# Name of the rows that need no code: the layer's result is its operand's bytes under another
# shape. The lowering emits no step for such a layer; its output buffer is an alias of operand 0's
# (`Buffer.alias_of`). Such a row has no sources, and its binding's `params` is `NO_PARAMS`.
ALIAS = "alias"
NO_PARAMS = Struct(ctype="", fields=())


@dataclass(frozen=True)
class Border:
    """Rows and columns of zeros (of the zero point) around an image."""

    top: int = 0
    left: int = 0
    bottom: int = 0
    right: int = 0


NO_BORDER = Border()


@dataclass(frozen=True, eq=False)
class LayerView:
    """An operator with its tensors, as rows look at it.

    `border` lies around input 0 of a convolution, beyond what its own padding adds: that of a PAD
    before it which has no step of its own. It is narrower than the window on every side.
    """

    graph: Graph
    operator: Operator
    border: Border = NO_BORDER

    @property
    def inputs(self) -> tuple[Tensor | None, ...]:
        return self.graph.operands(self.operator)

    @property
    def outputs(self) -> tuple[Tensor, ...]:
        return self.graph.results(self.operator)

    def input(self, position: int) -> Tensor:
        """The tensor at `position`; raises ValueError when it was left out."""
        operands = self.inputs
        tensor = operands[position] if position < len(operands) else None
        if tensor is None:
            raise ValueError(f"operator {self.operator.index} has no input {position}")
        return tensor

    @property
    def output(self) -> Tensor:
        (output,) = self.outputs
        return output


@dataclass(frozen=True, eq=False)
class Binding:
    """A layer bound to one kernel: the arguments of its call."""

    params: Struct
    constants: tuple[Constant, ...]
    operands: tuple[int, ...]  # positions in `Operator.inputs` of the activations passed
    scratch_bytes: int = 0  # computed by the twin of the C file's `*_scratch_bytes` function
    scratch_alignment: int = 4
    in_place: tuple[int, ...] = ()  # indices into `operands`, see `Step.in_place`
    overlap: tuple[tuple[int, int], ...] = ()  # (index into `operands`, bytes), see `Step.overlap`
    macs: int = 0


@dataclass(frozen=True)
class KernelRow:
    """One kernel.

    `refuses` returns why the kernel cannot take a layer, or None when it can; it must look at
    shapes, dtypes, quantization and options, and never raises. `bind` may assume it returned
    None. Rows are tried in order of `rank` (low first): the fastest first.
    """

    name: str  # the C function
    op: str  # operator of the schema it serves
    sources: tuple[str, ...]  # relative to firmware/, with the headers it needs
    refuses: Callable[[LayerView], str | None]
    bind: Callable[[LayerView], Binding]
    dtypes: tuple[DType, ...] = (DType.INT8,)  # of operand 0: what is asked of `refuses` at all
    needs: frozenset[str] = frozenset()  # core features: "dsp", "mve"
    rank: int = 100
    note: str = ""  # one line for the report: "SMLAD, 2 channels x 2 pixels"

    @property
    def is_alias(self) -> bool:
        """Whether the layer costs nothing at run time: no step, the output aliases operand 0."""
        return self.name == ALIAS
