"""Which operators share a step, and into which steps they come apart.

A fused program has the fewest steps: a clamp, and the border that SAME padding adds, belong to the
kernel that computes, and a PAD of rows and columns is folded into the convolutions behind it, whose
windows then reach over the image's edge. A program taken apart (`fuse_ops=False`) computes the same
bytes with a step for each, so that what fusing gains can be counted.

Three things are never steps of their own: a bias is what an accumulator starts from, so that apart
from it the accumulators would have to be stored, four times as large as the result, by other
kernels; AVERAGE_POOL_2D with SAME padding divides by the elements inside the image, which padding
would hide; and an ADD is a layer already.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from edge_export.errors import LoweringError
from edge_export.kernels.row import Border, LayerView
from edge_export.kernels.table import choose
from edge_quantize.graph import DType, Graph, Operator, Tensor
from edge_quantize.graph.options import (
    Activation,
    Conv2DOptions,
    DepthwiseConv2DOptions,
    NoOptions,
    Padding,
    Pool2DOptions,
)
from edge_quantize.graph.shapes import ShapeError, window

_CONVOLUTIONS = ("CONV_2D", "DEPTHWISE_CONV_2D")
# A fused activation as an operator of its own; the schema's names.
_CLAMPS = {
    Activation.RELU: "RELU",
    Activation.RELU6: "RELU6",
    Activation.RELU_N1_TO_1: "RELU_N1_TO_1",
}

Overrides = Mapping[int, str]
_Windowed = Conv2DOptions | DepthwiseConv2DOptions | Pool2DOptions


@dataclass(frozen=True, eq=False)
class Piece:
    """What becomes one step, or none. `view.operator.index` is the layer's it belongs to.

    A helper is a pad or a clamp that a layer was taken apart into; no plan names its kernel.
    """

    view: LayerView
    helper: bool = False


@dataclass(frozen=True, eq=False)
class Pieces:
    """The pieces in order. `graph` is the model with the tensors that lie between a layer's pieces
    behind its own; they are named as what they are."""

    graph: Graph
    pieces: tuple[Piece, ...]


def fused(graph: Graph, features: frozenset[str], overrides: Overrides) -> Pieces:
    """Every operator one piece, but for each PAD that its readers take over."""
    readers: dict[int, list[Operator]] = {}
    for operator in graph.operators:
        for tensor in operator.inputs:
            readers.setdefault(tensor, []).append(operator)
    views = {o.index: LayerView(graph, o) for o in graph.operators}
    for operator in graph.operators:
        # A plan that names its kernel wants it to be a step.
        border = None if operator.index in overrides else _border(views[operator.index], features)
        if border is None or operator.outputs[0] in graph.outputs:
            continue
        folded = {}
        for reader in readers.get(operator.outputs[0], []):
            inputs = (operator.inputs[0], *reader.inputs[1:])
            view = LayerView(graph, replace(reader, inputs=inputs), border)
            if not _takes_over(views[reader.index], view, features, overrides.get(reader.index)):
                break
            folded[reader.index] = view
        else:
            if folded:
                views.update(folded)
                del views[operator.index]
    return Pieces(graph, tuple(Piece(view) for view in views.values()))


def _border(pad: LayerView, features: frozenset[str]) -> Border | None:
    """Rows and columns that a PAD adds around an image; None where it does something else."""
    if pad.operator.op != "PAD" or _rank(pad, features) is None:
        return None
    amounts = pad.input(1).data
    if amounts is None or amounts.shape != (4, 2) or amounts[0].any() or amounts[3].any():
        return None
    (top, bottom), (left, right) = amounts[1].tolist(), amounts[2].tolist()
    return Border(top, left, bottom, right)


def _takes_over(
    plain: LayerView, folded: LayerView, features: frozenset[str], override: str | None
) -> bool:
    """Whether a convolution may read what was padded and add the border itself, with a kernel that
    is as good."""
    options, source = plain.operator.options, plain.operator.inputs[0]
    if not isinstance(options, Conv2DOptions | DepthwiseConv2DOptions):
        return False
    if source in plain.operator.inputs[1:] or len(plain.input(1).shape) != 4:
        return False
    height, width = plain.input(1).shape[1:3]
    border = folded.border
    # A window that touches nothing of the image is left to the PAD.
    high = (height - 1) * options.dilation_h
    wide = (width - 1) * options.dilation_w
    if max(border.top, border.bottom) > high or max(border.left, border.right) > wide:
        return False
    before, after = _rank(plain, features, override), _rank(folded, features, override)
    return before is not None and after is not None and after <= before


def _rank(view: LayerView, features: frozenset[str], override: str | None = None) -> int | None:
    try:
        return choose(view, features, override)[0].rank
    except LoweringError:
        return None


def taken_apart(graph: Graph, features: frozenset[str]) -> Pieces:
    """Every operator with its padding and its clamp as pieces of their own, where the table has
    kernels for them."""
    apart = _Apart(graph, features)
    for operator in graph.operators:
        apart.add(operator)
    whole = replace(graph, tensors=tuple(apart.tensors))
    pieces = tuple(replace(p, view=replace(p.view, graph=whole)) for p in apart.pieces)
    return Pieces(whole, pieces)


class _Apart:
    """Collects pieces, and the tensors between them; one use."""

    def __init__(self, graph: Graph, features: frozenset[str]) -> None:
        self.graph = graph
        self.features = features
        self.tensors = list(graph.tensors)
        self.pieces: list[Piece] = []

    def add(self, operator: Operator) -> None:
        before, operator = self._without_padding(operator)
        operator, after = self._without_clamp(operator)
        self.pieces += [*before, Piece(LayerView(self.graph, operator)), *after]

    def _tensor(self, like: Tensor, name: str, **changes: object) -> int:
        index = len(self.tensors)
        self.tensors.append(replace(like, index=index, name=name, **changes))  # type: ignore[arg-type]
        return index

    def _constant(self, name: str, like: Tensor, data: npt.NDArray[np.generic]) -> int:
        dtype = DType(data.dtype.name)
        quantization = like.quantization if dtype is like.dtype else None
        return self._tensor(
            like, name, shape=data.shape, dtype=dtype, quantization=quantization, data=data
        )

    def _helper(self, operator: Operator) -> Piece | None:
        """The piece, or None where no kernel takes it."""
        view = LayerView(replace(self.graph, tensors=tuple(self.tensors)), operator)
        return None if _rank(view, self.features) is None else Piece(view, helper=True)

    def _without_padding(self, operator: Operator) -> tuple[list[Piece], Operator]:
        sizes = self._padding(operator)
        if sizes is None:
            return [], operator
        known = len(self.tensors)
        source = self.tensors[operator.inputs[0]]
        amounts = np.array([(0, 0), *sizes, (0, 0)], np.int32)
        grown = amounts.sum(axis=1).tolist()
        shape = tuple(n + more for n, more in zip(source.shape, grown, strict=True))
        inputs = [source.index, self._constant("amounts", source, amounts)]
        op = "PAD"
        if operator.op == "MAX_POOL_2D":
            op = "PADV2"
            # Not larger than any element, for the largest to stay what it is.
            least = np.iinfo(source.dtype.numpy.name).min
            inputs.append(self._constant("value", source, np.array([least], source.dtype.numpy)))
        padded = self._tensor(source, "padded", shape=shape)
        helper = self._helper(Operator(operator.index, op, tuple(inputs), (padded,), NoOptions()))
        if helper is None:
            del self.tensors[known:]
            return [], operator
        assert isinstance(operator.options, _Windowed)
        options = replace(operator.options, padding=Padding.VALID)
        return [helper], replace(operator, inputs=(padded, *operator.inputs[1:]), options=options)

    def _padding(self, operator: Operator) -> tuple[tuple[int, int], tuple[int, int]] | None:
        """(before, after) of rows and of columns that SAME padding adds; None for nothing."""
        options = operator.options
        if operator.op not in (*_CONVOLUTIONS, "MAX_POOL_2D"):
            return None
        if not isinstance(options, _Windowed) or options.padding is not Padding.SAME:
            return None
        source = self.tensors[operator.inputs[0]]
        if len(source.shape) != 4:
            return None
        if isinstance(options, Pool2DOptions):
            taps, dilation = (options.filter_h, options.filter_w), (1, 1)
        else:
            weights = self.tensors[operator.inputs[1]]
            if len(weights.shape) != 4:
                return None
            taps = weights.shape[1], weights.shape[2]
            dilation = (options.dilation_h, options.dilation_w)
        stride = (options.stride_h, options.stride_w)
        try:
            rows, columns = (
                window(source.shape[1 + i], taps[i], stride[i], dilation[i], Padding.SAME)
                for i in (0, 1)
            )
        except ShapeError:
            return None  # the row says what is wrong with it
        sizes = (rows.before, rows.after), (columns.before, columns.after)
        return sizes if any(map(any, sizes)) else None

    def _without_clamp(self, operator: Operator) -> tuple[Operator, list[Piece]]:
        options = operator.options
        op = _CLAMPS.get(getattr(options, "activation", Activation.NONE))
        if op is None or len(operator.outputs) != 1:
            return operator, []
        result = operator.outputs[0]
        between = self._tensor(self.tensors[result], "unclamped")
        helper = self._helper(Operator(operator.index, op, (between,), (result,), NoOptions()))
        if helper is None:
            del self.tensors[between:]
            return operator, []
        bare = replace(options, activation=Activation.NONE)  # type: ignore[arg-type]
        return replace(operator, outputs=(between,), options=bare), [helper]
