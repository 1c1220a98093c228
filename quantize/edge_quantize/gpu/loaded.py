"""A model that LiteRT's CompiledModel has loaded in a process of its own, on a given driver."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self, TypedDict

import numpy as np
import numpy.typing as npt

from edge_quantize.errors import (
    GpuCompileError,
    GpuError,
    GpuRunError,
    GpuUnavailableError,
    InputDataError,
)

from .driver import Driver
from .log import BackendLog, read_log
from .process import LiteRtProcess

Array = npt.NDArray[np.generic]
LOAD_SECONDS = 120.0
RUN_SECONDS = 60.0
_UPGRADE = "pip install --upgrade ai-edge-litert"
# "ERROR: [file.cc:12]" and the tree of messages say where in LiteRT, not what.
_NOISE = re.compile(r"(?:ERROR: )?\[[^\]\s]*\.(?:cc|h):\d+\]|└|, message=\s*$")
# LiteRT's Python interface is not the one that the worker is written for: an older or newer one.
_OTHER_INTERFACE = frozenset({"ImportError", "ModuleNotFoundError", "AttributeError", "TypeError"})
# The wrapper passes bytes; these have no numpy type, or are packed.
_TYPES = {
    *("float16", "float32", "float64", "int8", "int16", "int32", "int64"),
    *("uint8", "uint16", "uint32", "uint64", "bool"),
}


class LoadOptions(TypedDict, total=False):
    """What a model is loaded with.

    enforce_float32: forbid the GPU to compute in float16.
    threads: of the CPU.
    signature: a key of the model's signatures; by default the first of the main subgraph.
    resize: shapes for inputs with dynamic dimensions, by the input's place in the signature.
    load_limit, run_limit: the most seconds that loading may take, and one inference.
    """

    enforce_float32: bool
    threads: int
    signature: str | None
    resize: Mapping[int, Sequence[int]] | None
    load_limit: float
    run_limit: float


@dataclass(frozen=True)
class GpuRun:
    """Inferences on one input: the last outputs, and the seconds each took (writing the inputs,
    computing, and reading the outputs back)."""

    outputs: tuple[Array, ...]
    seconds: tuple[float, ...]


class LoadedModel:
    """A context manager. `accelerators` is ("gpu",), so that what the GPU does not take is an
    error, or ("gpu", "cpu"), or ("cpu",).

    Attributes:
        inputs, outputs: of each its "key" in the signature, and of its tensor "name", "dtype",
            "shape" and "index"; in the order of `run`, which is the graph's.
        signature, signatures: the key in use ("<placeholder signature>" where the model has none),
            and all.
        fully_accelerated: LiteRT's own word, which is not to be trusted: see `ran_on_gpu`.
        load_seconds: of compiling the model and making its buffers, not of starting the process.
        runtime: LiteRT's name and version.
        peak_bytes: the process's peak memory so far.

    Raises GpuUnavailableError where LiteRT has no GPU accelerator or finds no GPU, GpuCompileError
    (with the log) when it refuses the model, GpuRunError when its process crashes or hangs.
    """

    def __init__(
        self,
        model: bytes,
        accelerators: Sequence[str],
        driver: Driver | None,
        options: LoadOptions,
    ) -> None:
        self.accelerators = tuple(accelerators)
        self.driver = driver
        self._float32 = options.get("enforce_float32", False)
        self._run_limit = options.get("run_limit", RUN_SECONDS)
        self.peak_bytes = 0
        self._process = LiteRtProcess(model, driver if "gpu" in self.accelerators else None)
        try:
            self._load(options)
        except BaseException:
            self.close()
            raise

    def _load(self, options: LoadOptions) -> None:
        resize = options.get("resize") or {}
        request = {
            "do": "load",
            "accelerators": list(self.accelerators),
            "enforce_float32": self._float32,
            "threads": options.get("threads", 1),
            "signature": options.get("signature"),
            "resize": [[index, [int(n) for n in dims]] for index, dims in resize.items()],
        }
        limit = options.get("load_limit", LOAD_SECONDS)
        answer, _ = self._process.ask(request, (), limit, "load the model")
        self.peak_bytes = int(answer["peak_bytes"])
        log = self.log
        if "gpu" in self.accelerators and "kind" not in answer and log.accelerator is None:
            raise self._without_accelerator()
        if "error" in answer:
            raise self._refusal(answer, log)
        self.load_seconds = float(answer["load_seconds"])
        self.fully_accelerated = bool(answer["fully_accelerated"])
        self.signature: str = answer["signature"]
        self.signatures: tuple[str, ...] = tuple(answer["signatures"])
        self.runtime: str = answer["runtime"]
        self.inputs: list[dict[str, Any]] = answer["inputs"]
        self.outputs: list[dict[str, Any]] = answer["outputs"]
        self._seen = len(log.failures)
        for kind, ports in (("input", self.inputs), ("output", self.outputs)):
            for port in ports:
                if port["dtype"] not in _TYPES:
                    raise GpuCompileError(
                        f"{kind} '{port['name']}' is {port['dtype']}, which LiteRT's Python "
                        "interface cannot pass", self.text,
                    )  # fmt: skip

    def _without_accelerator(self) -> GpuUnavailableError:
        return GpuUnavailableError(
            "this LiteRT has no GPU accelerator (its wheel for this system lacks the library); "
            f"run `{_UPGRADE}`",
            self.text,
        )

    def _refusal(self, answer: dict[str, Any], log: BackendLog) -> GpuError:
        """Why the model was not loaded, from the exception and from the log."""
        words = " ".join(_NOISE.sub(" ", answer["error"]).split())
        if answer["kind"] in _OTHER_INTERFACE:
            return GpuUnavailableError(
                f"this LiteRT lacks what runs a model here ({words}); run `{_UPGRADE}`", self.text
            )
        if "gpu" in self.accelerators:
            if log.accelerator is None:
                return self._without_accelerator()
            if log.no_gpu is not None:
                return GpuUnavailableError(
                    f"no GPU found with {self._driver_name()}: {log.no_gpu}", self.text
                )
            if log.dynamic:
                words = "a tensor inside the model has no fixed size, which the GPU does not take"
            elif log.refused:
                kinds = "; ".join(f"{each.op}: {each.reason}" for each in log.refused)
                words = f"the GPU does not take {kinds}"
            elif log.failures:
                words = f"{words}: {log.failures[0]}"
        return GpuCompileError(words or "LiteRT gives no reason", self.text)

    def _driver_name(self) -> str:
        return self.driver.name if self.driver is not None else "the system's driver"

    @property
    def pid(self) -> int:
        """The process's number."""
        return self._process.pid

    @property
    def text(self) -> str:
        """The log so far."""
        return self._process.log

    @property
    def log(self) -> BackendLog:
        return read_log(self.text)

    @property
    def doubts(self) -> tuple[str, ...]:
        """Why it cannot be said that the GPU alone computes the model; empty where it can."""
        log = self.log
        found = []
        if not self.fully_accelerated:
            found.append("LiteRT does not call the model fully accelerated")
        if log.adapter is None:
            found.append("the backend named no GPU adapter")
        if not log.graphs_built:
            found.append("the backend built no GPU program")
        if log.refused or log.on_cpu:
            kinds = ", ".join(dict.fromkeys(each.op for each in log.refused)) or "not named"
            found.append(f"{log.on_cpu or 'some'} operators are left to the CPU ({kinds})")
        if log.dynamic:
            found.append("a tensor inside has no fixed size, which keeps the GPU away")
        if log.failures:
            found.append(f"the backend logged an error: {log.failures[0]}")
        return tuple(found)

    @property
    def ran_on_gpu(self) -> bool:
        """Whether the GPU alone computes the model, by LiteRT's word and by the backend's log."""
        return not self.doubts

    @property
    def arithmetic(self) -> str:
        """What floats are computed in: "float32", or that the driver chooses."""
        # SwiftShader has no float16; other drivers that compute on the CPU may have it.
        swiftshader = (self.log.adapter or "").startswith("SwiftShader")
        if self._float32 or swiftshader or "gpu" not in self.accelerators:
            return "float32"
        return "float16 or float32, as the driver chooses"

    def run(self, inputs: Sequence[Array], repeats: int = 1) -> GpuRun:
        """Inferences on one input, in the model's own element types and the signature's order.

        Raises InputDataError when they do not fit, GpuRunError when LiteRT fails.
        """
        self._check(inputs)
        request = {"do": "run", "repeats": repeats}
        answer, arrays = self._process.ask(request, inputs, self._run_limit, "run the model")
        self.peak_bytes = int(answer["peak_bytes"])
        failures = self.log.failures[self._seen :]
        if failures and "gpu" in self.accelerators:
            # Memory that ran out on the GPU is such a case: LiteRT itself may call the run good.
            raise GpuRunError(f"the GPU failed while it ran: {failures[0]}", self.text)
        if "error" in answer:
            words = " ".join(_NOISE.sub(" ", answer["error"]).split())
            raise GpuRunError(words or "LiteRT failed and gives no reason", self.text)
        return GpuRun(arrays, tuple(answer["seconds"]))

    def _check(self, inputs: Sequence[Array]) -> None:
        if len(inputs) != len(self.inputs):
            raise InputDataError(
                f"{len(inputs)} inputs are given, the model has {len(self.inputs)}"
            )
        for port, array in zip(self.inputs, inputs, strict=True):
            wanted = (port["dtype"], tuple(port["shape"]))
            if (str(array.dtype), array.shape) != wanted:
                raise InputDataError(
                    f"input '{port['name']}' is {wanted[0]} {list(wanted[1])}; given are "
                    f"{array.dtype} {list(array.shape)}"
                )

    def close(self) -> None:
        """Ends the process; may be called twice."""
        self._process.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
