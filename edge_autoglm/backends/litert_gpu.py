"""LiteRT's GPU accelerator: WebGPU over Vulkan, and Metal on a Mac.

The model is compiled for the GPU alone, so that nothing of it can run on the CPU without a word.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.metadata import version

from edge_export.mobile.compare import Tolerance
from edge_export.mobile.rounding import only_rounding
from edge_quantize.errors import GpuError
from edge_quantize.gpu import GpuSession, choose_driver
from edge_quantize.gpu.driver import SETUP

from .base import (
    Array,
    Availability,
    Backend,
    BackendRefusedError,
    Judge,
    Loaded,
    on_windows,
    said_by,
)
from .litert import INSTALL, LiteRtLoaded, installed, refusal
from .model import RunModel


class LiteRtGpu(Backend):
    """LiteRT's CompiledModel on the GPU alone. A GPU in software is for checking: "auto" leaves it
    out."""

    name = "litert-gpu"
    title = "LiteRT on the GPU"
    judge = Judge.LITERT
    automatic = True

    def available(self) -> Availability:
        """A driver that is no SwiftShader has run a tiny model before it is said to be here."""
        if (elsewhere := on_windows()) is not None:
            return elsewhere
        if not installed():
            return Availability(False, "ai-edge-litert is not installed", INSTALL)
        runtime = f"ai-edge-litert {version('ai-edge-litert')}"
        try:
            driver = choose_driver().driver
        except GpuError as error:
            why, command, _ = str(error).partition("; run `")
            return Availability(False, why, SETUP if command else "")
        if driver.software:
            why = f"{driver.name}, a GPU in software, for checking only; {runtime}"
            return Availability(True, why, checks_only=True)
        # Metal is the wheel's own accelerator there, which nobody has tried with this program.
        untried = "; untried on a Mac" if sys.platform == "darwin" else ""
        return Availability(True, f"{driver.name}, {runtime}{untried}")

    def refuses(self, model: RunModel) -> str:
        return refusal(model)

    def only_rounds(
        self,
        model: RunModel,
        inputs: Sequence[Sequence[Array]],
        outputs: Sequence[Sequence[Array]],
    ) -> bool:
        def opened(content: bytes) -> GpuSession:
            return GpuSession(content, ("gpu",))

        rows = [tuple(each) for each in outputs]
        assert model.graph is not None  # `refuses` takes no other
        return only_rounding(model.graph, inputs, rows, opened, Tolerance())

    def load(self, model: RunModel) -> Loaded:
        with said_by(self.name, BackendRefusedError):
            session = GpuSession(model.content, ("gpu",))
        try:
            if session.doubts:
                raise BackendRefusedError(f"{self.name}: {session.doubts[0]}")
            loaded = LiteRtLoaded(self.name, model, session)
        except BaseException:
            session.close()
            raise
        log = session.log
        adapter = str(log.adapter) + (" (software)" if log.software else "")
        loaded.facts = (adapter, f"computes in {session.arithmetic}")
        loaded.checks_only = log.software
        loaded.warnings = tuple(dict.fromkeys(log.mismatches))
        return loaded
