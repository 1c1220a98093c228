"""What the backends of ONNX Runtime share: one execution provider in a process of its own.

ONNX Runtime goes on with its CPU provider when the one that was asked for does not come up, and
gives single operators to it where the other lacks them, in both cases with no more than a log
line. Here the session is told not to, and is asked afterwards what it uses.
"""

from __future__ import annotations

import re
from functools import lru_cache
from importlib.util import find_spec

from edge_autoglm.errors import UsageError
from edge_quantize.graph import DType, Graph, Tensor

from .base import (
    Availability,
    Backend,
    BackendError,
    BackendRefusedError,
    BackendUnavailableError,
    Judge,
    Loaded,
    on_windows,
)
from .child import Child, ChildLoaded
from .model import ONNX, RunModel
from .onnx_probe import probe_model

CPU = "CPUExecutionProvider"
INSTALL = "pip install onnxruntime"
# What a provider that was built in needs besides.
DRIVERS = {"CUDAExecutionProvider": "pip install 'onnxruntime-gpu[cuda,cudnn]'"}
# In the words of ONNX Runtime's log.
_REFUSES_CPU = "fallback to CPU EP has been explicitly disabled"
_DOWN = re.compile(r"Failed to create|is not in available provider|not available")
_MISSING = re.compile(r"\S+: cannot open shared object file[^\n]*|CUDA failure \d+: [^;]+")
_COLOUR, _PREFIX = re.compile(r"\x1b\[[0-9;]*m"), re.compile(r"^\S+ \S+ \[\w:[^\]]*\]\s*")
# ONNX Runtime's names of element types.
_TYPES = {
    "tensor(float)": DType.FLOAT32,
    "tensor(float16)": DType.FLOAT16,
    "tensor(double)": DType.FLOAT64,
    "tensor(int8)": DType.INT8,
    "tensor(uint8)": DType.UINT8,
    "tensor(int16)": DType.INT16,
    "tensor(uint16)": DType.UINT16,
    "tensor(int32)": DType.INT32,
    "tensor(uint32)": DType.UINT32,
    "tensor(int64)": DType.INT64,
    "tensor(uint64)": DType.UINT64,
    "tensor(bool)": DType.BOOL,
}


@lru_cache(maxsize=1)
def runtime() -> tuple[str, tuple[str, ...]]:
    """ONNX Runtime's version and the providers that it was built with. Raises BackendError."""
    child = Child("onnxruntime", "onnx")
    try:
        version, providers = child.ask(BackendError, "providers")
    finally:
        child.close()
    return version, tuple(providers)


class OnnxRuntime(Backend):
    """One kind of hardware through ONNX Runtime. `providers` are its names, the first that is
    there is taken; `install` brings a build that has one of them."""

    judge = Judge.ONNX
    automatic = True
    providers: tuple[str, ...] = ()
    install = INSTALL

    def available(self) -> Availability:
        """A provider that was built in is tried: it may lack its libraries, or a GPU."""
        if (elsewhere := on_windows()) is not None:
            return elsewhere
        if find_spec("onnxruntime") is None:
            return Availability(False, "onnxruntime is not installed", self.install)
        try:
            version, there = runtime()
        except BackendError as error:
            return Availability(False, str(error), self.install)
        provider = next((name for name in self.providers if name in there), None)
        if provider is None:
            wanted = " or ".join(self.providers)
            return Availability(False, f"onnxruntime {version} has no {wanted}", self.install)
        try:
            with self.load_with(provider, RunModel("probe", ONNX, probe_model(), None)):
                return Availability(True, f"onnxruntime {version}, {provider}")
        except BackendError as error:
            why = str(error).removeprefix(f"{self.name}: ")
            return Availability(False, f"onnxruntime {version}: {why}", DRIVERS.get(provider, ""))

    def refuses(self, model: RunModel) -> str:
        if model.format == ONNX:
            return ""
        return "takes .onnx files only; export the model as ONNX from where it was trained"

    def load(self, model: RunModel) -> Loaded:
        if find_spec("onnxruntime") is None:
            raise BackendUnavailableError(
                f"{self.name}: onnxruntime is not installed; {self.install}"
            )
        there = runtime()[1]
        provider = next((name for name in self.providers if name in there), self.providers[0])
        return self.load_with(provider, model)

    def load_with(self, provider: str, model: RunModel) -> ChildLoaded:
        """A session that computes with `provider` and nothing else.

        Raises BackendRefusedError where ONNX Runtime would take another one, for all of the model
        or for some operators."""
        child = Child(self.name, "onnx")
        try:
            loaded = ChildLoaded(
                child, None, content=model.content, provider=provider, alone=provider != CPU
            )
        except BackendRefusedError as error:
            failed = self._why_down(provider, child.log)
            if failed:
                raise BackendRefusedError(failed) from error
            if _REFUSES_CPU in str(error):
                raise BackendRefusedError(
                    f"{self.name}: {provider} does not take every operator of it, and ONNX Runtime "
                    "would compute the rest on the CPU"
                ) from error
            raise
        used = loaded.answer["providers"]
        if used[:1] != [provider]:
            loaded.close()
            raise BackendRefusedError(
                self._why_down(provider, child.log)
                or f"{self.name}: ONNX Runtime took {', '.join(used)} instead of {provider}"
            )
        loaded.facts = (f"onnxruntime {loaded.answer['version']}", provider)
        if provider == CPU:
            loaded.facts += ("one thread",)
        return loaded

    def _why_down(self, provider: str, log: str) -> str:
        """What the log says of a provider that did not come up; "" where it says nothing."""
        lines = [_PREFIX.sub("", _COLOUR.sub("", line)).strip() for line in log.splitlines()]
        named = [line for line in lines if provider in line and _DOWN.search(line)]
        if not named:
            return ""
        # The line before it, where there is one, has the library that is missing.
        missing = [found[0] for line in lines if (found := _MISSING.search(line))]
        detail = missing[0] if missing else named[0][:200]
        return f"{self.name}: {provider} did not come up: {detail}"


def onnx_ports(model: RunModel) -> Graph:
    """A graph with the inputs and outputs of an ONNX model and nothing between them. A dimension
    that the model leaves open is 1.

    Raises BackendError where ONNX Runtime is missing or refuses the model, UsageError for elements
    that numpy has none of.
    """
    from .onnx_cpu import OnnxCpu  # a backend of this base

    with OnnxCpu().load(model) as loaded:
        assert isinstance(loaded, ChildLoaded)
        ports = [*loaded.answer["inputs"], *loaded.answer["outputs"]]
        count = len(loaded.answer["inputs"])
    tensors = []
    for index, (name, kind, shape) in enumerate(ports):
        if kind not in _TYPES:
            raise UsageError(f"{model.name}: '{name}' is a {kind}, which has no element of numpy's")
        fixed = tuple(each if isinstance(each, int) and each > 0 else 1 for each in shape)
        tensors.append(Tensor(index, name, fixed, _TYPES[kind]))
    indices = range(len(tensors))
    return Graph(model.name, tuple(tensors), (), tuple(indices[:count]), tuple(indices[count:]))
