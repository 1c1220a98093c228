"""The same inputs on the host reference, on the generated C, and on the board.

Each stage is compared with the one before it, so that a difference has an address: the reference
against the C on this machine finds a wrong kernel, the C against the board finds a wrong compiler,
linker script or CPU. Where the board differs, the first layer that does is found by running it
step by step and reading each layer's output from the arena.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from edge_autoglm.device.messages import ModelInfo
from edge_autoglm.device.session import Session
from edge_autoglm.errors import SessionError
from edge_export import HostModel, HostVerdict, verify_host
from edge_export.host import LayerOutput
from edge_export.verify import Difference, max_abs_diff
from edge_quantize.graph import Graph
from edge_quantize.reference import Reference

from .profile import Verdict, tolerance

Array = npt.NDArray[np.generic]
Inputs = Sequence[tuple[Array, ...]]
SEARCHING = "finding the first layer that differs"


class Progress(Protocol):
    """Told how much is done of how much, and what is being done where that is no comparison."""

    def __call__(self, done: int, total: int, doing: str | None = None) -> None: ...


@dataclass(frozen=True)
class BoardVerdict:
    """The board against the generated C on the host, and against the reference."""

    against_host: Verdict
    against_reference: Verdict
    first_difference: Difference | None  # of the board from the host's C

    @property
    def good(self) -> bool:
        """The board computes what the C computes on the host."""
        return self.against_host.bit_exact


@dataclass(frozen=True)
class Verification:
    """All stages. `board` is None when no board took part."""

    host: HostVerdict
    board: BoardVerdict | None
    tolerance: float  # see Verdict

    @property
    def good(self) -> bool:
        return self.host.max_abs_diff <= self.tolerance and (self.board is None or self.board.good)


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


def verify(
    graph: Graph,
    host: HostModel,
    reference: Reference,
    inputs: Inputs,
    session: Session | None = None,
    progress: Progress | None = None,
) -> Verification:
    """Compares all stages on `inputs`. `reference` must keep its tensors."""
    allowed = tolerance(reference)
    total = len(inputs) * (1 if session is None else 2)
    on_host = verify_host(
        graph, host, reference, inputs, (lambda n: progress(n, total)) if progress else None
    )
    if session is None:
        return Verification(on_host, None, allowed)
    model = same_model(session, graph)
    first: Difference | None = None
    from_host = from_reference = 0.0
    as_host = as_reference = True
    for number, arrays in enumerate(inputs):
        expected = host.run(arrays)
        raw = infer(session, model, arrays)
        found = tuple(
            np.frombuffer(content, array.dtype).reshape(array.shape)
            for content, array in zip(raw, expected, strict=True)
        )
        wanted = reference.run(arrays)
        pairs = list(zip(expected, found, wanted, strict=True))
        from_host = max(from_host, *(max_abs_diff(e, f) for e, f, _ in pairs))
        from_reference = max(from_reference, *(max_abs_diff(w, f) for _, f, w in pairs))
        # Bytes, not values: 0.0 equals -0.0, and no NaN equals itself.
        same = all(e.tobytes() == content for e, content in zip(expected, raw, strict=True))
        as_host &= same
        as_reference &= all(
            np.ascontiguousarray(w).tobytes() == content
            for w, content in zip(wanted, raw, strict=True)
        )
        if not same and first is None:
            first = first_on_board(graph, host, session, model, arrays, number, progress)
        if progress:
            progress(len(inputs) + number + 1, total)
    count = len(inputs)
    return Verification(
        on_host,
        BoardVerdict(
            Verdict("the generated C on the host", as_host, from_host, count),
            Verdict(
                reference.name,
                as_reference and reference.bit_exact,
                from_reference,
                count,
                allowed,
            ),
            first,
        ),
        allowed,
    )


def first_on_board(
    graph: Graph,
    host: HostModel,
    session: Session,
    model: ModelInfo,
    arrays: Sequence[Array],
    number: int = 0,
    progress: Progress | None = None,
) -> Difference | None:
    """The first layer whose output on the board is not the host's, run step by step.

    Each layer's output comes over the wire, so that a large model takes a minute or two.
    """
    description = session.describe(model)
    expected = {output.layer: output for output in host.run_steps(arrays)}
    for index, array in enumerate(arrays):
        session.write_input(model, index, np.ascontiguousarray(array).tobytes())
    ran = 0
    order = sorted((r.step, layer) for layer, r in enumerate(description.results))
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
