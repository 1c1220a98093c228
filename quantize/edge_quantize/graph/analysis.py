"""What a model costs before anything is compiled: MACs, parameters, memory.

The memory bound is the most bytes of activations that are alive at one operator, each tensor from
the operator that writes it to the last that reads it: no plan that keeps whole tensors and
overwrites none in place needs less.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from .model import Graph, Operator, Quantization, Tensor


@dataclass(frozen=True)
class OperatorCost:
    """One operator. Bytes are of RAM for activations, of the file for parameters."""

    index: int
    name: str
    op: str
    macs: int
    input_shapes: tuple[tuple[int, ...], ...]  # activations only
    output_shapes: tuple[tuple[int, ...], ...]
    parameter_bytes: int
    live_bytes: int  # activations alive while it runs, its own operands and results included


@dataclass(frozen=True)
class Lifetime:
    """An activation's life; operator -1 is before the first, `len(operators)` after the last."""

    tensor: int
    name: str
    nbytes: int
    first: int  # operator that writes it
    last: int  # last operator that reads it


@dataclass(frozen=True)
class Interface:
    """An input or output of the model."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    nbytes: int
    quantization: Quantization | None


@dataclass(frozen=True)
class Analysis:
    """What `inspect` shows of a graph."""

    name: str
    sha256: str
    operators: tuple[OperatorCost, ...]
    lifetimes: tuple[Lifetime, ...]
    inputs: tuple[Interface, ...]
    outputs: tuple[Interface, ...]
    tensor_count: int
    parameter_bytes: int
    memory_bound: int  # bytes
    memory_bound_at: int  # index of the operator where it occurs; -1 without operators

    @property
    def macs(self) -> int:
        return sum(operator.macs for operator in self.operators)

    @property
    def op_counts(self) -> tuple[tuple[str, int], ...]:
        """(operator, how many), the most frequent first."""
        counts: dict[str, int] = {}
        for operator in self.operators:
            counts[operator.op] = counts.get(operator.op, 0) + 1
        return tuple(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def analyse(graph: Graph) -> Analysis:
    """Costs of a sound graph, supported or not."""
    lives = lifetimes(graph)
    live = live_bytes(graph, lives)
    operators = tuple(_cost(graph, operator, live[operator.index]) for operator in graph.operators)
    peak = max(live, default=0)
    return Analysis(
        name=graph.name,
        sha256=graph.sha256,
        operators=operators,
        lifetimes=lives,
        inputs=tuple(_interface(graph.tensors[i]) for i in graph.inputs),
        outputs=tuple(_interface(graph.tensors[i]) for i in graph.outputs),
        tensor_count=len(graph.tensors),
        parameter_bytes=graph.constant_bytes,
        memory_bound=peak,
        memory_bound_at=live.index(peak) if live else -1,
    )


def unpacked(graph: Graph) -> dict[int, Tensor]:
    """The constants behind DEQUANTIZE, by the tensor that it makes of each: weights that are
    stored as float16 or int8. They are the parameters of the layers that read them; what runtimes
    unpack them into is counted neither as parameters nor as activations."""
    return {
        o.outputs[0]: graph.tensors[o.inputs[0]]
        for o in graph.operators
        if o.op == "DEQUANTIZE" and graph.tensors[o.inputs[0]].is_constant
    }


def parameters(graph: Graph, operator: Operator) -> tuple[Tensor, ...]:
    """The constants that an operator reads, as they are stored."""
    packed = unpacked(graph)
    if operator.outputs and operator.outputs[0] in packed:
        return ()
    operands = [packed.get(i, graph.tensors[i]) for i in operator.inputs if i >= 0]
    return tuple(t for t in operands if t.is_constant)


def operator_macs(graph: Graph, operator: Operator) -> int:
    """Multiply-accumulates of convolutions and matrix products; 0 for everything else.

    Padding counts as if it were computed, as published MAC counts do.
    """
    operands = graph.operands(operator)
    weights = operands[1] if len(operands) > 1 else None
    if weights is None or not operator.outputs:
        return 0
    (output, *_) = graph.results(operator)
    if operator.op == "CONV_2D":
        return output.elements * math.prod(weights.shape[1:])
    if operator.op == "DEPTHWISE_CONV_2D":
        return output.elements * math.prod(weights.shape[1:3])
    if operator.op == "FULLY_CONNECTED":
        return output.elements * math.prod(weights.shape[1:])
    return 0


def lifetimes(graph: Graph) -> tuple[Lifetime, ...]:
    """Every activation's, by tensor index, `unpacked` weights aside. Outputs of the model live past
    the last operator."""
    first = dict.fromkeys(graph.inputs, -1)
    last: dict[int, int] = {}
    for operator in graph.operators:
        for index in operator.outputs:
            first[index] = last[index] = operator.index
        for index in operator.inputs:
            if index >= 0:
                last[index] = operator.index
    for index in graph.outputs:
        last[index] = len(graph.operators)
    packed = unpacked(graph)
    return tuple(
        Lifetime(
            index,
            graph.tensors[index].name,
            graph.tensors[index].nbytes,
            first[index],
            last.get(index, -1),
        )
        for index in sorted(first)
        if not graph.tensors[index].is_constant and index not in packed
    )


def live_bytes(graph: Graph, lives: tuple[Lifetime, ...]) -> list[int]:
    """Bytes of activations alive at each operator."""
    count = len(graph.operators)
    # Difference array: lives are many and long, operators are many too.
    change = [0] * (count + 1)
    for life in lives:
        if count:
            change[max(life.first, 0)] += life.nbytes
            change[min(life.last, count - 1) + 1] -= life.nbytes
    live, alive = [], 0
    for delta in change[:count]:
        alive += delta
        live.append(alive)
    return live


def _cost(graph: Graph, operator: Operator, live: int) -> OperatorCost:
    packed = unpacked(graph)
    operands = [graph.tensors[i] for i in operator.inputs if i >= 0 and i not in packed]
    return OperatorCost(
        index=operator.index,
        name=graph.layer_name(operator),
        op=operator.op,
        macs=operator_macs(graph, operator),
        input_shapes=tuple(t.shape for t in operands if not t.is_constant),
        output_shapes=tuple(t.shape for t in graph.results(operator)),
        parameter_bytes=sum(t.nbytes for t in parameters(graph, operator)),
        live_bytes=live,
    )


def _interface(tensor: Tensor) -> Interface:
    return Interface(
        tensor.name, tensor.shape, tensor.dtype.value, tensor.nbytes, tensor.quantization
    )
