"""LiteRT on this machine's CPU, with its fast kernels (XNNPACK), one thread."""

from __future__ import annotations

from importlib.metadata import version

from edge_quantize.gpu import GpuSession

from .base import Availability, Backend, BackendRefusedError, Judge, Loaded, on_windows, said_by
from .litert import INSTALL, LiteRtLoaded, installed, refusal
from .model import RunModel


class LiteRtCpu(Backend):
    """LiteRT's CompiledModel with XNNPACK on one thread: the reference of the others, and the last
    resort."""

    name = "litert-cpu"
    title = "LiteRT on the CPU"
    judge = Judge.LITERT
    last_resort = True
    automatic = True

    def available(self) -> Availability:
        if (elsewhere := on_windows()) is not None:
            return elsewhere
        if not installed():
            return Availability(False, "ai-edge-litert is not installed", INSTALL)
        return Availability(True, f"ai-edge-litert {version('ai-edge-litert')}")

    def refuses(self, model: RunModel) -> str:
        return refusal(model)

    def load(self, model: RunModel) -> Loaded:
        with said_by(self.name, BackendRefusedError):
            loaded = LiteRtLoaded(self.name, model, GpuSession(model.content, ("cpu",)))
        loaded.facts = ("one thread",)
        return loaded
