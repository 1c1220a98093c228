"""What the two backends of LiteRT share: its CompiledModel in a process of its own."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from typing import Any

from edge_autoglm.measure.figures import Figure, Kind
from edge_quantize.gpu import GpuSession
from edge_quantize.graph import Graph

from .base import Array, BackendRunError, Inference, Loaded, said_by
from .model import TFLITE, RunModel

INSTALL = "pip install ai-edge-litert"


def installed() -> bool:
    return find_spec("ai_edge_litert") is not None


def refusal(model: RunModel) -> str:
    """Why LiteRT cannot take a model; "" where nothing is known against it."""
    if model.format != TFLITE or model.graph is None:
        return f"LiteRT takes .tflite files; make one: edge-autoglm convert {model.path or 'MODEL'}"
    if not model.graph.operators:
        # It is called fully accelerated too.
        return "it has no operators, and LiteRT's answer is memory that nobody wrote"
    return ""


class LiteRtLoaded(Loaded):
    """A session of LiteRT's, which the caller made."""

    def __init__(self, name: str, model: RunModel, session: GpuSession) -> None:
        super().__init__(model.graph)
        self._name, self._session = name, session
        self._taken = _order(model.graph, session.inputs, inputs=True)
        self._given = _order(model.graph, session.outputs, inputs=False)
        self.load = Figure(session.load_seconds, Kind.MEASURED)

    def _infer(self, inputs: Sequence[Array], repeats: int) -> Inference:
        with said_by(self._name, BackendRunError):
            run = self._session.run([inputs[place] for place in self._taken], repeats)
        return Inference(tuple(run.outputs[place] for place in _inverse(self._given)), run.seconds)

    def memory(self) -> Figure | None:
        return Figure(self._session.peak_bytes, Kind.MEASURED)

    def close(self) -> None:
        self._session.close()


def _order(graph: Graph | None, ports: Sequence[dict[str, Any]], *, inputs: bool) -> list[int]:
    """For each port, in the signature's order, its place in the graph's."""
    assert graph is not None  # LiteRT takes no other models
    indices = graph.inputs if inputs else graph.outputs
    names = [graph.tensors[index].name for index in indices]
    given = [str(port["name"]) for port in ports]
    if sorted(names) != sorted(given) or len(set(names)) < len(names):
        return list(range(len(given)))  # one tensor as two outputs: both in the graph's order
    return [names.index(name) for name in given]


def _inverse(order: Sequence[int]) -> list[int]:
    return [order.index(place) for place in range(len(order))]
