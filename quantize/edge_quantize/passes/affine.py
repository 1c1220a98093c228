"""Operators that are x * scale + shift for each channel, and chains of them.

Normalization that a model does by itself arrives as SUB, MUL, MUL, ADD. Composed in double
precision, a chain is one MUL and one ADD at most.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from edge_quantize.graph.edit import Rewrite, fused_activation, readers, with_activation, writers
from edge_quantize.graph.model import DType, Graph, Operator, Tensor
from edge_quantize.graph.options import Activation, ElementwiseOptions

from .result import NOTHING, Change, Edit, Settings

Reals = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Affine:
    """`source` * `scale` + `shift`, both float64[channels]; the fused activation aside."""

    operator: Operator
    source: int
    scale: Reals
    shift: Reals

    @property
    def steps(self) -> int:
        """Operators it takes."""
        return int((self.scale != 1.0).any()) + int(self.shift.any())


def affine(graph: Graph, operator: Operator) -> Affine | None:
    """A float32 MUL, ADD or SUB by a constant that is the same at every place of a channel."""
    options = operator.options
    if operator.op not in ("MUL", "ADD", "SUB") or not isinstance(options, ElementwiseOptions):
        return None
    constants = [p for p, i in enumerate(operator.inputs) if graph.tensors[i].is_constant]
    if len(operator.inputs) != 2 or len(constants) != 1:
        return None
    source = operator.inputs[1 - constants[0]]
    constant, output = graph.tensors[operator.inputs[constants[0]]], graph.results(operator)[0]
    x = graph.tensors[source]
    kinds = {x.dtype, constant.dtype, output.dtype}
    if kinds != {DType.FLOAT32} or x.shape != output.shape or not x.shape:
        return None
    values = _per_channel(constant, x.shape[-1])
    if values is None:
        return None
    one, zero = np.ones_like(values), np.zeros_like(values)
    if operator.op == "MUL":
        return Affine(operator, source, values, zero)
    if operator.op == "ADD":
        return Affine(operator, source, one, values)
    scale, shift = (one, -values) if constants[0] == 1 else (-one, values)
    return Affine(operator, source, scale, shift)


def _per_channel(constant: Tensor, channels: int) -> Reals | None:
    """The constant's values [channels], where it is the same at every other place."""
    if constant.data is None or not np.isfinite(constant.data).all():
        return None
    last = constant.shape[-1] if constant.shape else 1
    if constant.elements not in (1, last) or last not in (1, channels):
        return None
    return np.broadcast_to(constant.data.reshape(-1).astype(np.float64), (channels,))


def compose_affine(graph: Graph, _: Settings) -> Edit:
    """Make the longest chain that is longer than it has to be a MUL and an ADD."""
    read, written = readers(graph), writers(graph)
    for operator in reversed(graph.operators):
        chain = [found] if (found := affine(graph, operator)) else []
        while chain:
            before = written.get(chain[0].source)
            link = affine(graph, before) if before is not None else None
            if (
                link is None
                or len(read[chain[0].source]) != 1
                or chain[0].source in graph.outputs
                or fused_activation(link.operator) is not Activation.NONE
            ):
                break
            chain.insert(0, link)
        if len(chain) < 2:
            continue
        scale, shift = chain[0].scale, chain[0].shift
        for link in chain[1:]:
            scale, shift = scale * link.scale, shift * link.scale + link.shift
        whole = Affine(operator, chain[0].source, scale, shift)
        if 0 < whole.steps < len(chain):
            what = f"{' '.join(link.operator.op for link in chain)} made {whole.steps} of them"
            change = Change(
                "affine-chains", graph.layer_name(operator), what, "the same map, to rounding"
            )
            return _written(graph, chain, whole), (change,)
    return graph, NOTHING


def _written(graph: Graph, chain: list[Affine], whole: Affine) -> Graph:
    """The last operators of the chain do what all of it did; the others go."""
    rewrite = Rewrite(graph)
    steps = []
    if (whole.scale != 1.0).any():
        steps.append(("MUL", whole.scale))
    if whole.shift.any():
        steps.append(("ADD", whole.shift))
    for link in chain[: len(chain) - len(steps)]:
        rewrite.drop(link.operator.index)
    source = whole.source
    for link, (op, values) in zip(chain[len(chain) - len(steps) :], steps, strict=True):
        name = f"{graph.layer_name(link.operator)}/constant"
        constant = rewrite.constant(name, values.astype(np.float32), DType.FLOAT32)
        made = replace(link.operator, op=op, inputs=(source, constant))
        rewrite.replace(with_activation(made, fused_activation(link.operator) or Activation.NONE))
        source = link.operator.outputs[0]
    return rewrite.graph()
