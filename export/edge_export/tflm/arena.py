"""How large an arena TensorFlow Lite Micro needs for a graph, before anything is built.

The model replays what `MicroInterpreter` does with its arena, allocation by allocation, for the
TFLM that `structs` names on a 32-bit Arm: from the arena's end downwards what stays (persistent),
from its start upwards the planned activations and scratch (head), and above the head what is needed
only inside AllocateTensors. See `docs/tflm-arena.md`.

Covered are one subgraph, every operator of `kernel_memory`, float, int8, int16 x int8 and int4
weights, variable tensors, and offsets fixed by the file's metadata. The arena starts at a multiple
of 16 bytes and is a multiple of 16 bytes long.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edge_export.errors import ExportError
from edge_quantize.graph.model import Graph, Tensor

from .cmsis_nn import Simd
from .kernel_memory import KernelMemory, kernel_memory
from .kernel_sets import KERNEL_SETS
from .planner import NO_OFFSET, Buffer, height, plan
from .structs import ALIGNMENT, CORE, MOST_SCRATCH_OF_AN_OP, OFFLINE_PLAN, PLANNED_BUFFER, POINTER

__all__ = ["KERNEL_SETS", "Arena", "ArenaError", "Placed", "arena_of"]


class ArenaError(ExportError):
    """The arena of this graph cannot be stated."""


@dataclass(frozen=True)
class Placed:
    """One buffer of the head. Bytes; scopes count operators from 1, 0 is before the first."""

    what: str  # the tensor's name, or "scratch of OP 'layer'"
    tensor: int  # its index, -1 for scratch
    operator: int  # whose scratch it is, -1 for a tensor
    size: int
    first: int
    last: int
    offset: int


@dataclass(frozen=True)
class Arena:
    """Bytes of RAM that a graph needs under TFLM; all are modelled, none measured.

    `bytes` is what to set aside for a program that brings `buffers` as its memory plan, as the
    generated one does; a plain `MicroInterpreter(model, resolver, arena, size)`, which plans on the
    board, needs `standard_bytes`. The two differ for small models only.
    """

    kernels: str
    bytes: int
    standard_bytes: int
    used: int  # what arena_used_bytes() of a plain MicroInterpreter reports
    persistent: int  # of `used`
    head: int  # of `used`: activations and scratch
    preparing: int  # at most in use while the operators are made ready
    planning: int  # at most in use while a plain MicroInterpreter plans
    buffers: tuple[Placed, ...]

    @property
    def scratch(self) -> tuple[Placed, ...]:
        """Of `buffers`, what operators want for themselves."""
        return tuple(buffer for buffer in self.buffers if buffer.operator >= 0)


def arena_of(graph: Graph, kernels: str = "cmsis-nn") -> Arena:
    """The arena of `graph` with a kernel set of KERNEL_SETS.

    Raises ArenaError when an operator is not modelled, when it lacks an operand, or when the file's
    own memory plan is not this graph's; ValueError for a set that does not exist.
    """
    if kernels not in KERNEL_SETS:
        raise ValueError(f"no kernel set '{kernels}': {', '.join(KERNEL_SETS)}")
    if graph.other_subgraphs:
        raise ArenaError(
            f"{graph.name}: has another subgraph, '{graph.other_subgraphs[0]}'; the arena of one "
            "subgraph can be stated"
        )
    operators = _operators(graph, KERNEL_SETS[kernels])
    offsets = _fixed_offsets(graph)
    buffers = _buffers(graph, operators, offsets)
    placed = plan([buffer for _, buffer in buffers])
    head = height([buffer for _, buffer in buffers], placed)
    standard = _Replay(planner_inside=True)
    standard.run(graph, operators, offsets, len(buffers), head)
    planned = _Replay(planner_inside=False)
    planned.run(graph, operators, offsets, 0, head)
    used = standard.tail + head
    return Arena(
        kernels=kernels,
        # Never less than a plain interpreter reports, though ours keeps its planner elsewhere.
        bytes=_up(max(planned.most, used)),
        standard_bytes=_up(max(standard.most, used)),
        used=used,
        persistent=standard.tail,
        head=head,
        preparing=standard.preparing,
        planning=standard.planning,
        buffers=tuple(
            Placed(what.name, what.tensor, what.operator, b.size, b.first, b.last, offset)
            for (what, b), offset in zip(buffers, placed, strict=True)
        ),
    )


def _up(size: int, to: int = ALIGNMENT) -> int:
    return -(-size // to) * to


def _operators(graph: Graph, simd: Simd | None) -> list[KernelMemory]:
    memories = []
    for operator in graph.operators:
        where = f"{graph.name}: operator {operator.index} {operator.op}"
        where += f" '{graph.layer_name(operator)}'"
        try:
            memory = kernel_memory(graph, operator, simd)
        except (ValueError, IndexError, AssertionError) as error:
            raise ArenaError(f"{where}: its operands or options do not fit: {error}") from error
        if memory is None:
            raise ArenaError(
                f"{where}: what TFLM's kernel needs of the arena is not modelled; give it by "
                "hand: --arena BYTES"
            )
        memories.append(memory)
    return memories


def _fixed_offsets(graph: Graph) -> tuple[int, ...]:
    """Offsets that the file's metadata gives the tensors, NO_OFFSET where it leaves them open."""
    content = graph.metadata.get(OFFLINE_PLAN)
    if content is None:
        return (NO_OFFSET,) * len(graph.tensors)
    words = np.frombuffer(content[: len(content) // 4 * 4], "<i4")
    # Version, subgraph, count, and then an offset for every tensor.
    if len(words) < 3 or words[2] != len(graph.tensors) or len(words) < 3 + words[2]:
        raise ArenaError(
            f"{graph.name}: its metadata '{OFFLINE_PLAN}' is not of {len(graph.tensors)} tensors; "
            "convert the model without it"
        )
    return tuple(int(word) for word in words[3 : 3 + len(graph.tensors)])


@dataclass(frozen=True)
class _What:
    name: str
    tensor: int = -1
    operator: int = -1


def _planned(tensor: Tensor, offset: int) -> bool:
    """Whether the head holds it: activations, and variables that were given an offset."""
    if tensor.is_constant or tensor.nbytes == 0:
        return False
    return not tensor.is_variable or offset != NO_OFFSET


def _buffers(
    graph: Graph, operators: list[KernelMemory], offsets: tuple[int, ...]
) -> list[tuple[_What, Buffer]]:
    """AllocationInfoBuilder::MarkAllocationLifetimes, then what CreatePlan adds."""
    first = [-1] * len(graph.tensors)
    last = [-1] * len(graph.tensors)

    def use(index: int, scope: int) -> None:
        last[index] = scope
        if first[index] < 0:
            first[index] = scope

    for index in graph.inputs:
        use(index, 0)
    for scope, operator in enumerate(graph.operators, start=1):
        for index in operator.outputs:
            use(index, scope)
        for index in operator.inputs:
            if index >= 0:
                last[index] = scope
    for index in graph.outputs:
        use(index, len(graph.operators))
    buffers = [
        (
            _What(tensor.name, tensor=tensor.index),
            Buffer(_up(tensor.nbytes), first[tensor.index], last[tensor.index], offset),
        )
        for tensor, offset in zip(graph.tensors, offsets, strict=True)
        if _planned(tensor, offset)
    ]
    for scope, (operator, memory) in enumerate(
        zip(graph.operators, operators, strict=True), start=1
    ):
        name = f"scratch of {operator.op} '{graph.layer_name(operator)}'"
        buffers += [
            (_What(name, operator=operator.index), Buffer(_up(size), scope, scope))
            for size in memory.scratch
        ]
    return buffers


class _Replay:
    """SingleArenaBufferAllocator under one MicroInterpreter; all sizes in bytes.

    `tail` is what is taken from the arena's end, `most` the largest sum of it and of what lay at
    its start at the same time.
    """

    def __init__(self, planner_inside: bool) -> None:
        self.planner_inside = planner_inside
        self.tail = 0
        self.most = 0
        self.preparing = 0
        self.planning = 0

    def keep(self, size: int, align: int) -> None:
        self.tail = _up(self.tail + size, align)

    def keep_struct(self, name: str, count: int = 1) -> None:
        struct = CORE[name]
        self.keep(struct.size * count, struct.align)

    def need(self, head: int) -> int:
        """`head` bytes are in use at the arena's start, beside the tail."""
        self.most = max(self.most, self.tail + head)
        return self.tail + head

    def run(
        self,
        graph: Graph,
        operators: list[KernelMemory],
        offsets: tuple[int, ...],
        planned_on_board: int,
        head: int,
    ) -> None:
        """AllocateTensors. `planned_on_board` counts the buffers that TFLM's planner takes notes
        of; `head` is the height of the plan."""
        self.keep_struct("tflite::SingleArenaBufferAllocator")
        if self.planner_inside:
            self.keep_struct("tflite::GreedyMemoryPlanner")
        self.keep_struct("tflite::MicroAllocator")
        self.keep_struct("MicroBuiltinDataAllocator")
        self.keep_struct("tflite::SubgraphAllocations")
        self.keep_struct("TfLiteEvalTensor", len(graph.tensors))
        self.keep_struct("tflite::NodeAndRegistration", len(graph.operators))
        requests = self._prepare(operators)
        if requests:
            self.keep_struct("tflite::ScratchBufferHandle", requests)
        self._plan(graph, offsets, requests, planned_on_board)
        for indices in (graph.inputs, graph.outputs):
            self.keep(POINTER * len(indices), ALIGNMENT)
            for index in indices:
                self._keep_tensor(graph.tensor(index))
        self.need(head)

    def _prepare(self, operators: list[KernelMemory]) -> int:
        """Options, Init and Prepare of every operator; gives the number of scratch buffers."""
        request = CORE["tflite::internal::ScratchBufferRequest"].size
        requests = 0
        for memory in operators:
            if memory.options is not None:
                self.keep(*memory.options)
        for memory in operators:
            if memory.data:
                self.keep(memory.data, ALIGNMENT)
        self.preparing = self.need(request * MOST_SCRATCH_OF_AN_OP)
        for memory in operators:
            for size in memory.kept:
                self.keep(size, ALIGNMENT)
            head = request * (requests + MOST_SCRATCH_OF_AN_OP)
            head += sum(_temporary_bytes(tensor) for tensor in memory.temporaries)
            self.preparing = max(self.preparing, self.need(head))
            requests += len(memory.scratch)
            self.preparing = max(
                self.preparing, self.need(request * (requests + MOST_SCRATCH_OF_AN_OP))
            )
        return requests

    def _plan(
        self, graph: Graph, offsets: tuple[int, ...], requests: int, planned_on_board: int
    ) -> None:
        """CommitStaticMemoryPlan: what it needs besides the plan's own height."""
        head = CORE["tflite::internal::ScratchBufferRequest"].size
        head *= requests + MOST_SCRATCH_OF_AN_OP
        head += POINTER  # the one subgraph's place in the list that follows
        head += CORE["tflite::AllocationInfo"].size * (len(graph.tensors) + requests)
        self.need(head)
        for tensor, offset in zip(graph.tensors, offsets, strict=True):
            if tensor.is_variable and offset == NO_OFFSET:
                self.keep(tensor.nbytes, ALIGNMENT)
        # The planner gets what lies between the two ends, both rounded inwards.
        notes = _up(head) + PLANNED_BUFFER * planned_on_board
        self.planning = _up(self.tail) + notes
        self.most = max(self.most, self.planning)

    def _keep_tensor(self, tensor: Tensor) -> None:
        """AllocatePersistentTfLiteTensor."""
        self.keep_struct("TfLiteTensor")
        if tensor.quantization is not None:
            self.keep_struct("TfLiteAffineQuantization")
            self.keep(_zero_points(tensor), POINTER)


def _zero_points(tensor: Tensor) -> int:
    scales = len(tensor.quantization.scales) if tensor.quantization else 0
    return 4 + 4 * scales


def _temporary_bytes(tensor: Tensor) -> int:
    """AllocateTempTfLiteTensor."""
    size = CORE["TfLiteTensor"].size
    if tensor.quantization is not None:
        size += CORE["TfLiteAffineQuantization"].size + _zero_points(tensor)
    return size
