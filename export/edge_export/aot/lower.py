"""Graph -> Program: every operator, or piece of one, bound to a kernel of the table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from edge_export.errors import LoweringError, PlanError
from edge_export.kernels.row import Binding, KernelRow
from edge_export.kernels.table import choose
from edge_quantize.graph import Graph, Operator

from .fusing import Piece, fused, taken_apart
from .names import layer_names, unique
from .program import (
    Buffer,
    BufferKind,
    Constant,
    ConstantRef,
    FieldValue,
    Layer,
    Program,
    Step,
    Struct,
)

Bound = tuple[Piece, KernelRow, Binding]


def lower(
    graph: Graph,
    name: str,
    features: frozenset[str],
    overrides: Mapping[int, str] | None = None,
    fuse_ops: bool = True,
) -> Program:
    """Chooses and binds a kernel for every layer; `name` prefixes every C symbol.

    `features` are the core's ("dsp", ...); `overrides` names the kernel of a layer by the
    operator's index; without `fuse_ops`, padding and clamps are steps of their own, and outputs
    the same. Raises LoweringError listing every layer that no kernel takes, PlanError when
    an override does not exist or refuses its layer.
    """
    overrides = overrides or {}
    layers = layer_names(graph)
    names = {o.index: layer for o, layer in zip(graph.operators, layers, strict=True)}
    _refuse_unknown_layers(graph, overrides)
    whole = fused(graph, features, overrides) if fuse_ops else taken_apart(graph, features)
    bound: list[Bound] = []
    problems: list[str] = []
    for piece in whole.pieces:
        layer = names[piece.view.operator.index]
        override = None if piece.helper else overrides.get(piece.view.operator.index)
        try:
            row, binding = choose(piece.view, features, override)
        except LoweringError as error:
            if override is not None:
                raise PlanError(f"layer {layer}: kernel {override} is refused: {error}") from error
            problems += [f"{layer}: {problem}" for problem in error.problems or (str(error),)]
            continue
        bound.append((piece, row, binding))
    problems += _output_problems(graph)
    if problems:
        count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
        raise LoweringError(
            f"{graph.name}: {count}: "
            + "; ".join(problems)
            + "; quantize to int8, or to int16 with int8 weights, or leave these operators out",
            tuple(problems),
        )
    return _Builder(graph, whole.graph, name, layers).build(bound)


def _refuse_unknown_layers(graph: Graph, overrides: Mapping[int, str]) -> None:
    known = {operator.index for operator in graph.operators}
    for index in overrides:
        if index not in known:
            raise PlanError(f"the model has no layer {index}; it has 0 to {len(known) - 1}")


def _output_problems(graph: Graph) -> list[str]:
    written = {t for operator in graph.operators for t in operator.outputs} | set(graph.inputs)
    return [
        f"output {graph.tensor(t).name} is computed by no operator"
        for t in graph.outputs
        if t not in written
    ]


class _Builder:
    """Collects buffers, constants and steps; one use."""

    def __init__(self, graph: Graph, whole: Graph, name: str, layers: tuple[str, ...]) -> None:
        self.graph = graph
        self.whole = whole  # with the tensors between a layer's pieces
        self.name = name
        several = len(graph.inputs) > 1
        inputs = [f"input_{i}" if several else "input" for i in range(len(graph.inputs))]
        names = unique([*inputs, *layers])
        self.layer_names = layers
        self.input_names = names[: len(inputs)]
        # By the operator's index, which its pieces have too.
        self.result_names = {
            o.index: result for o, result in zip(graph.operators, names[len(inputs) :], strict=True)
        }
        self.taken = set(names)
        self.buffers: list[Buffer] = []
        self.of_tensor: dict[int, str] = {}
        self.constants: dict[str, Constant] = {}
        self.steps: list[Step] = []

    def build(self, bound: list[Bound]) -> Program:
        graph = self.graph
        for name, tensor in zip(self.input_names, graph.inputs, strict=True):
            self._buffer(name, tensor, BufferKind.INPUT, None)
        macs = dict.fromkeys((operator.index for operator in graph.operators), 0)
        sources: set[str] = set()
        for piece, row, binding in bound:
            operator = piece.view.operator
            if row.is_alias:
                target = self.of_tensor[operator.inputs[binding.operands[0]]]
                self._results(operator, target)
            else:
                self._step(piece, row, binding)
                sources.update(row.sources)
            macs[operator.index] += binding.macs
        made = [
            Layer(o.index, layer, o.op, macs[o.index])
            for o, layer in zip(graph.operators, self.layer_names, strict=True)
        ]
        return Program(
            name=self.name,
            model_sha256=graph.sha256,
            layers=tuple(made),
            steps=tuple(self.steps),
            buffers=tuple(self.buffers),
            constants=tuple(self.constants.values()),
            inputs=self.input_names,
            outputs=tuple(self.of_tensor[t] for t in graph.outputs),
            kernel_sources=tuple(sorted(sources)),
        )

    def _buffer(self, name: str, tensor: int, kind: BufferKind, alias: str | None) -> str:
        # An empty tensor still has an address of its own.
        size = max(self.whole.tensor(tensor).nbytes, 1)
        known = tensor if tensor < len(self.graph.tensors) else None
        self.buffers.append(Buffer(name, size, kind, tensor=known, alias_of=alias))
        self.of_tensor[tensor] = name
        return name

    def _fresh(self, name: str) -> str:
        candidate, number = name, 2
        while candidate in self.taken:
            candidate = f"{name}_{number}"
            number += 1
        self.taken.add(candidate)
        return candidate

    def _results(self, operator: Operator, alias: str | None) -> tuple[str, ...]:
        names = []
        for place, tensor in enumerate(operator.outputs):
            base = self.result_names[operator.index]
            name = base if place == 0 else self._fresh(f"{base}_{place}")
            if tensor >= len(self.graph.tensors):
                name = self._fresh(f"{base}_{self.whole.tensor(tensor).name}")
            kind = BufferKind.OUTPUT if tensor in self.graph.outputs else BufferKind.ACTIVATION
            names.append(self._buffer(name, tensor, kind, alias))
        return tuple(names)

    def _step(self, piece: Piece, row: KernelRow, binding: Binding) -> None:
        operator = piece.view.operator
        operands = tuple(self.of_tensor[operator.inputs[p]] for p in binding.operands)
        scratch = None
        if binding.scratch_bytes:
            scratch = self._fresh(f"{self.result_names[operator.index]}_scratch")
            self.buffers.append(
                Buffer(
                    scratch, binding.scratch_bytes, BufferKind.SCRATCH, binding.scratch_alignment
                )
            )
        self.steps.append(
            Step(
                index=len(self.steps),
                layer=operator.index,
                kernel=row.name,
                params=self._constants(binding),
                operands=operands,
                results=self._results(operator, None),
                scratch=scratch,
                in_place=binding.in_place,
                overlap=binding.overlap,
                macs=binding.macs,
                helper=piece.helper,
                reason=row.note,
            )
        )

    def _constants(self, binding: Binding) -> Struct:
        """Takes over the binding's constants, under names that no other layer has."""
        renamed: dict[str, str] = {}
        for constant in binding.constants:
            name, number = constant.name, 2
            while name in self.constants:
                name = f"{constant.name}_{number}"
                number += 1
            renamed[constant.name] = name
            self.constants[name] = replace(constant, name=name)
        return replace(
            binding.params,
            fields=tuple((f, _renamed(v, renamed)) for f, v in binding.params.fields),
        )


def _renamed(value: FieldValue, names: Mapping[str, str]) -> FieldValue:
    if isinstance(value, ConstantRef) and value.constant is not None:
        return ConstantRef(names[value.constant])
    return value
