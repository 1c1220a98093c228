"""What the two backends of LiteRT share: its CompiledModel in a process of its own."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec

from edge_autoglm.measure.figures import Figure, Kind
from edge_quantize.gpu import GpuSession

from .base import Array, BackendRunError, Inference, Loaded, said_by
from .model import TFLITE, RunModel

INSTALL = "pip install ai-edge-litert"


def installed() -> bool:
    return find_spec("ai_edge_litert") is not None


def only_tflite(model: RunModel) -> str:
    if model.format == TFLITE:
        return ""
    return f"LiteRT takes .tflite files; make one: edge-autoglm convert {model.path or 'MODEL'}"


class LiteRtLoaded(Loaded):
    """A session of LiteRT's, which the caller made."""

    def __init__(self, name: str, model: RunModel, session: GpuSession) -> None:
        super().__init__(model.graph)
        self._name, self._session = name, session
        self.load = Figure(session.load_seconds, Kind.MEASURED)

    def _infer(self, inputs: Sequence[Array], repeats: int) -> Inference:
        with said_by(self._name, BackendRunError):
            run = self._session.run(inputs, repeats)
        return Inference(run.outputs, run.seconds)

    def memory(self) -> Figure | None:
        return Figure(self._session.peak_bytes, Kind.MEASURED)

    def close(self) -> None:
        self._session.close()
