"""What the backends of ONNX Runtime share: one execution provider in a process of its own.

ONNX Runtime goes on with its CPU provider when the one that was asked for does not come up, and
gives single operators to it where the other lacks them, in both cases with no more than a log
line. Here the session is told not to, and is asked afterwards what it uses.
"""

from __future__ import annotations

from functools import lru_cache
from importlib.util import find_spec

from edge_autoglm.errors import UsageError
from edge_quantize.graph import DType, Graph, Tensor

from .base import Availability, Backend, BackendError, BackendRefusedError, Judge, Loaded
from .child import Child, ChildLoaded
from .model import ONNX, RunModel

CPU = "CPUExecutionProvider"
INSTALL = "pip install onnxruntime"
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
    """ONNX Runtime's version and the providers that it has. Raises BackendError."""
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
        if find_spec("onnxruntime") is None:
            return Availability(False, "onnxruntime is not installed", self.install)
        try:
            version, there = runtime()
        except BackendError as error:
            return Availability(False, str(error), self.install)
        provider = self._provider(there)
        if provider is None:
            wanted = " or ".join(self.providers)
            return Availability(False, f"onnxruntime {version} has no {wanted}", self.install)
        return Availability(True, f"onnxruntime {version}, {provider}")

    def refuses(self, model: RunModel) -> str:
        if model.format == ONNX:
            return ""
        return "takes .onnx files only; export the model as ONNX from where it was trained"

    def load(self, model: RunModel) -> Loaded:
        found = self.available()
        there = runtime()[1] if found.ok else ()
        return self.load_with(self._provider(there) or self.providers[0], model)

    def load_with(self, provider: str, model: RunModel) -> ChildLoaded:
        """A session that computes with `provider` and nothing else.

        Raises BackendRefusedError where ONNX Runtime took another one."""
        child = Child(self.name, "onnx")
        loaded = ChildLoaded(child, content=model.content, provider=provider, alone=provider != CPU)
        used = loaded.answer["providers"]
        if used[:1] != [provider]:
            words = [line for line in child.log.splitlines() if provider in line]
            loaded.close()
            said = f": {words[-1].strip()[:300]}" if words else ""
            raise BackendRefusedError(
                f"{self.name}: {provider} did not come up and ONNX Runtime fell back to "
                f"{', '.join(used)}{said}"
            )
        loaded.facts = (f"onnxruntime {loaded.answer['version']}, {provider}, one thread",)
        return loaded

    def _provider(self, there: tuple[str, ...]) -> str | None:
        return next((name for name in self.providers if name in there), None)


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
