"""The same inputs on the host reference, on the generated C, and on the board.

Each stage is compared with the one before it, so that a difference has an address: the reference
against the C on this machine finds a wrong kernel, the C against the board finds a wrong compiler,
linker script or CPU. Where the board differs, the first layer that does is found by running it
step by step and reading each layer's output from the arena.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from edge_autoglm.device.messages import ModelInfo
from edge_autoglm.device.session import Session
from edge_autoglm.errors import SessionError
from edge_export import HostModel, HostVerdict, verify_host
from edge_export.aot.names import layer_names
from edge_export.host import LayerOutput
from edge_export.verify import Difference
from edge_quantize.graph import Graph
from edge_quantize.inputs import lcg_inputs
from edge_quantize.reference import Reference

from .distance import Distance
from .profile import Verdict, tolerance

Array = npt.NDArray[np.generic]
Inputs = Sequence[tuple[Array, ...]]
SEARCHING = "finding the first layer that differs"


class Progress(Protocol):
    """Told how much is done of how much, and what is being done where that is no comparison."""

    def __call__(self, done: int, total: int, doing: str | None = None) -> None: ...


@dataclass(frozen=True)
class BoardVerdict:
    """The board against the generated C on the host, where there is any, and against the reference.

    `first_difference` is of the board from the host's C, else from the reference; `layers` is False
    where the firmware runs the model in one piece, so that no layer can be told.
    """

    against_host: Verdict | None
    against_reference: Verdict
    first_difference: Difference | None
    layers: bool = True

    @property
    def good(self) -> bool:
        """The board computes what the C computes on the host, or else what the reference does."""
        if self.against_host is not None:
            return self.against_host.bit_exact
        return self.against_reference.good


@dataclass(frozen=True)
class Verification:
    """All stages. `host` is None for a model that has no C, `board` when no board took part."""

    host: HostVerdict | None
    board: BoardVerdict | None
    tolerance: float  # see Verdict

    @property
    def good(self) -> bool:
        host = self.host is None or self.host.max_abs_diff <= self.tolerance
        return host and (self.board is None or self.board.good)


def same_model(session: Session, graph: Graph) -> ModelInfo:
    """The board's model with the graph's hash.

    Raises SessionError naming what the board carries instead.
    """
    wanted = bytes.fromhex(graph.sha256)
    for model in session.models:
        if model.sha256 == wanted:
            return model
    virtual = session.transport.board_seconds() is not None
    port = " --port virtual" if virtual else ""
    there = ", ".join(f"{m.name} ({m.sha256.hex()[:12]})" for m in session.models) or "no model"
    raise SessionError(
        f"{session.info.board}: carries {there}, not {graph.name} ({graph.sha256[:12]}); "
        f"flash it first: edge-autoglm flash MODEL --board {session.info.board}{port}"
    )


def infer(session: Session, model: ModelInfo, arrays: Sequence[Array]) -> tuple[bytes, ...]:
    """One inference on the board: inputs over the wire, outputs back, as raw bytes."""
    for index, array in enumerate(arrays):
        session.write_input(model, index, np.ascontiguousarray(array).tobytes())
    session.invoke(model)
    return tuple(session.read_output(model, index) for index in range(len(model.outputs)))


def infer_generated(
    session: Session, model: ModelInfo, graph: Graph, state: int
) -> tuple[tuple[Array, ...], tuple[bytes, ...], int]:
    """One inference on generated inputs: inputs, raw outputs, and the generator's state after.

    The board makes integers itself; floating-point inputs go over the wire, since any bytes would
    not make numbers.
    """
    arrays, after = lcg_inputs(graph, state)
    if any(array.dtype.kind == "f" for array in arrays):
        return arrays, infer(session, model, arrays), after
    session.invoke(model, state)
    outputs = tuple(session.read_output(model, index) for index in range(len(model.outputs)))
    return arrays, outputs, after


def verify(
    graph: Graph,
    host: HostModel | None,
    reference: Reference,
    inputs: Inputs,
    session: Session | None = None,
    progress: Progress | None = None,
    *,
    relative: bool = False,
) -> Verification:
    """Compares all stages on `inputs`. `reference` must keep its tensors; `host` is None for a
    model that only an interpreter runs, `relative` says that it computes in floating point."""
    allowed = tolerance(reference, relative)
    total = len(inputs) * ((host is not None) + (session is not None))
    on_host = None
    if host is not None:
        on_host = verify_host(
            graph, host, reference, inputs, (lambda n: progress(n, total)) if progress else None
        )
    if session is None:
        return Verification(on_host, None, allowed)
    model = same_model(session, graph)
    first: Difference | None = None
    from_host, from_reference = Distance(), Distance(relative)
    before = total - len(inputs)
    for number, arrays in enumerate(inputs):
        raw = infer(session, model, arrays)
        same = from_reference.add(reference.run(arrays), raw)
        if host is not None:
            same = from_host.add(host.run(arrays), raw)
        far = not same if host is not None else from_reference.largest > allowed
        if far and first is None and (host is not None or reference.bit_exact):
            expected = expected_layers(graph, host, reference, arrays)
            first = first_on_board(graph, expected, session, model, arrays, number, progress)
        if progress:
            progress(before + number + 1, total)
    count = len(inputs)
    against_host = None
    if host is not None:
        against_host = Verdict(
            "the generated C on the host", from_host.none, from_host.largest, count
        )
    against_reference = Verdict(
        reference.name,
        from_reference.none and reference.bit_exact,
        from_reference.largest,
        count,
        allowed,
        relative,
    )
    layers = bool(session.describe(model).results)
    return Verification(
        on_host, BoardVerdict(against_host, against_reference, first, layers), allowed
    )


def expected_layers(
    graph: Graph, host: HostModel | None, reference: Reference, arrays: Sequence[Array]
) -> dict[int, LayerOutput]:
    """Every layer's first output, by layer: of the C on the host, else of the reference."""
    if host is not None:
        return {output.layer: output for output in host.run_steps(arrays)}
    reference.run(arrays)
    tensors = reference.tensors()
    names = layer_names(graph)
    return {
        operator.index: LayerOutput(
            operator.index,
            names[operator.index],
            operator.op,
            np.ascontiguousarray(tensors[operator.outputs[0]]).tobytes(),
        )
        for operator in graph.operators
    }


def first_on_board(
    graph: Graph,
    expected: Mapping[int, LayerOutput],
    session: Session,
    model: ModelInfo,
    arrays: Sequence[Array],
    number: int = 0,
    progress: Progress | None = None,
) -> Difference | None:
    """The first layer whose output on the board is not the expected one, run step by step.

    Each layer's output comes over the wire, so that a large model takes a minute or two.
    """
    description = session.describe(model)
    for index, array in enumerate(arrays):
        session.write_input(model, index, np.ascontiguousarray(array).tobytes())
    ran = 0
    # A layer that was folded into the one behind it has no output.
    order = sorted((r.step, layer) for layer, r in enumerate(description.results) if r.size)
    for looked_at, (step, layer) in enumerate(order):
        if progress:
            progress(looked_at + 1, len(order), SEARCHING)
        while ran <= step:
            session.step(model, ran)
            ran += 1
        result = description.results[layer]
        content = session.peek(model, result.block, result.offset, result.size)
        if content != expected[layer].content:
            return _difference(graph, number, expected[layer], content)
    return None


def _difference(graph: Graph, number: int, expected: LayerOutput, content: bytes) -> Difference:
    """The first differing element of one layer's output."""
    output = graph.results(graph.operators[expected.layer])[0]
    dtype = output.dtype.numpy
    wanted = np.frombuffer(expected.content, dtype)
    found = np.frombuffer(content, dtype)
    differing = np.flatnonzero(wanted.view(np.uint8) != found.view(np.uint8))
    place = int(differing[0]) // dtype.itemsize
    return Difference(
        number,
        expected.layer,
        expected.name,
        expected.op,
        tuple(int(i) for i in np.unravel_index(place, output.shape or (1,))),
        float(wanted[place].item()),
        float(found[place].item()),
    )
