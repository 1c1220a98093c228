"""LiteRT's GPU accelerator: WebGPU over Vulkan, and Metal on a Mac.

The model is compiled for the GPU alone, so that nothing of it can run on the CPU without a word.
"""

from __future__ import annotations

import sys
from importlib.metadata import version

from edge_quantize.errors import GpuUnavailableError
from edge_quantize.gpu import Driver, GpuSession, find_driver

from .base import Availability, Backend, BackendRefusedError, Judge, Loaded, said_by
from .litert import INSTALL, LiteRtLoaded, installed, only_tflite
from .model import RunModel

# The accelerator of the Mac's wheel talks to Metal itself: no Vulkan driver, nothing to point at.
METAL = Driver("Metal", software=False, icd=None, loader=None)


class LiteRtGpu(Backend):
    name = "litert-gpu"
    title = "LiteRT on the GPU"
    judge = Judge.LITERT
    automatic = True

    def available(self) -> Availability:
        if not installed():
            return Availability(False, "ai-edge-litert is not installed", INSTALL)
        runtime = f"ai-edge-litert {version('ai-edge-litert')}"
        try:
            driver = self._driver()
        except GpuUnavailableError as error:
            why, _, mend = str(error).partition("`")
            return Availability(False, why.rstrip(" ;,run"), mend.partition("`")[0])
        if driver is METAL:
            return Availability(True, f"Metal, {runtime}; never tried on a Mac by its authors")
        if driver.software:
            return Availability(
                True, f"{driver.name}, a GPU in software, for checking only; {runtime}",
                checks_only=True,
            )  # fmt: skip
        return Availability(True, f"{driver.name}, {runtime}")

    def refuses(self, model: RunModel) -> str:
        if model.graph is not None and not model.graph.operators:
            # LiteRT calls it fully accelerated, and gives memory that nobody wrote.
            return "it has no operators, so a GPU has nothing to compute"
        return only_tflite(model)

    def load(self, model: RunModel) -> Loaded:
        with said_by(self.name, BackendRefusedError):
            session = GpuSession(model.content, ("gpu",), driver=self._driver())
        try:
            log = session.log
            # Metal's log has not been seen: only WebGPU's words are looked for.
            if not log.graphs_built and session.driver is not METAL:
                raise BackendRefusedError(f"{self.name}: LiteRT built no GPU program of the model")
            loaded = LiteRtLoaded(self.name, model, session)
        except BaseException:
            session.close()
            raise
        if log.adapter is not None:
            loaded.facts = (log.adapter + (" (software)" if log.software else ""),)
        loaded.checks_only = log.software
        loaded.warnings = tuple(dict.fromkeys(log.mismatches))
        return loaded

    def _driver(self) -> Driver:
        return METAL if sys.platform == "darwin" else find_driver()
