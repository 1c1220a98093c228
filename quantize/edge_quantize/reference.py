"""The host's own runs of a model, to compare generated code with.

`tflite_micro` is the reference for bit-exactness: the int8 kernels here reproduce its arithmetic.
LiteRT's plain kernels differ from it by an LSB or two on some layers, so a comparison with LiteRT
may only ever say "within N LSB".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from .check import require_supported
from .errors import ReferenceRuntimeError, UnsupportedModelError
from .graph.model import DType, Graph, Operator
from .graph.writer import write_tflite
from .ingest.tflite import read_tflite

Arrays = tuple[npt.NDArray[np.generic], ...]

_INSTALL_TFLM = (
    "tflite_micro is not installed: pip install 'edge-autoglm[reference]' "
    "(there are wheels for Linux x86-64 only)"
)
_INSTALL_LITERT = "ai-edge-litert is not installed: pip install ai-edge-litert"
# Interpreter structures a tensor and an operator take; measured well below on the MLPerf Tiny
# models, and an arena that is too large costs nothing.
_ARENA_A_TENSOR = 512
_ARENA_AN_OPERATOR = 4096
_ARENA_BASE = 256 * 1024
# More than any microcontroller's model; a mistaken shape must not fill the host's memory.
_MOST_ACTIVATION_BYTES = 256 << 20


class Reference(Protocol):
    """A runtime on the host with one model loaded."""

    @property
    def name(self) -> str:
        """The runtime, as reports name it."""

    @property
    def bit_exact(self) -> bool:
        """Whether equality with it may be called bit-exactness."""

    def run(self, inputs: Sequence[npt.NDArray[np.generic]]) -> Arrays:
        """One inference: arrays of the inputs' shapes and dtypes in, copies of the outputs out.

        Raises ReferenceRuntimeError when an input does not fit or the runtime fails.
        """

    def tensors(self) -> Mapping[int, npt.NDArray[np.generic]]:
        """Every operator's results in the last run, by tensor index.

        Raises ReferenceRuntimeError when made without `preserve`, or before any run.
        """


def verdict(reference: Reference, max_abs_diff: int) -> str:
    """What a comparison with `reference` may say; the difference is in LSB of the outputs."""
    if max_abs_diff == 0 and reference.bit_exact:
        return f"bit-exact to {reference.name}"
    return f"within {max_abs_diff} LSB of {reference.name}"


def best_reference(
    model: Graph | bytes, preserve: bool = False, *, checked: bool = False
) -> Reference:
    """`tflite_micro` where its wheel is installed, else LiteRT. `checked`: see TflmReference."""
    if tflm_available():
        return TflmReference(model, preserve, checked=checked)
    return LiteRtReference(model, preserve)


def tflm_available() -> bool:
    try:
        _tflm_runtime()
    except ReferenceRuntimeError:
        return False
    return True


def _tflm_runtime() -> Any:
    try:
        # Takes a quarter of a second and exists on one platform only.
        from tflite_micro.python.tflite_micro import runtime
    except ImportError as error:
        raise ReferenceRuntimeError(_INSTALL_TFLM) from error
    return runtime


def _litert() -> Any:
    try:
        # Takes a quarter of a second; only comparisons need it.
        from ai_edge_litert import interpreter
    except ImportError as error:
        raise ReferenceRuntimeError(_INSTALL_LITERT) from error
    return interpreter


def _loaded(model: Graph | bytes) -> tuple[Graph, bytes]:
    """The graph, and the file that the runtime is given.

    That file is written anew from the graph: it then holds nothing that was not read and checked,
    while runtimes crash on damage in fields of the original that are never looked at here.
    """
    graph = model if isinstance(model, Graph) else read_tflite(model)
    try:
        return graph, write_tflite(graph)
    except UnsupportedModelError:
        # Custom operators, further subgraphs, sparse content: LiteRT may run it all the same.
        if isinstance(model, Graph):
            raise
        return graph, bytes(model)


def _line(error: Exception) -> str:
    """The runtimes' messages have several lines."""
    return "; ".join(line.strip() for line in str(error).splitlines() if line.strip())


class _Loaded:
    """What both runtimes share: the graph, and checks of what goes in."""

    def __init__(self, graph: Graph, preserve: bool) -> None:
        activations = sum(t.nbytes for t in graph.tensors if not t.is_constant)
        if activations > _MOST_ACTIVATION_BYTES:
            raise ReferenceRuntimeError(
                f"{graph.name}: its activations take {activations} bytes, more than "
                f"{_MOST_ACTIVATION_BYTES}, which no board here has"
            )
        self.graph = graph
        self._preserve = preserve
        self._ran = False

    def _checked(self, inputs: Sequence[npt.NDArray[np.generic]]) -> Arrays:
        wanted = [self.graph.tensors[index] for index in self.graph.inputs]
        if len(inputs) != len(wanted):
            raise ReferenceRuntimeError(
                f"{self.graph.name}: inputs: {len(inputs)} given, the model has {len(wanted)}"
            )
        for tensor, array in zip(wanted, inputs, strict=True):
            if array.shape != tensor.shape or array.dtype != tensor.dtype.numpy:
                raise ReferenceRuntimeError(
                    f"input '{tensor.name}': {array.dtype}{list(array.shape)} given, the model "
                    f"takes {tensor.dtype.value}{list(tensor.shape)}"
                )
        return tuple(np.ascontiguousarray(array) for array in inputs)

    def _results(self) -> list[int]:
        """Tensors that operators write; raises when they were not kept."""
        if not self._preserve:
            raise ReferenceRuntimeError("intermediate tensors were not asked for (preserve=True)")
        if not self._ran:
            raise ReferenceRuntimeError("no inference has run yet")
        return [index for operator in self.graph.operators for index in operator.outputs]


class TflmReference(_Loaded):
    """The `tflite_micro` interpreter.

    It aborts the process on some unsupported models, so a model is checked first: raises
    UnsupportedModelError with every problem. `checked` says that somebody else has made sure; then
    it may also be a model that only TFLM runs. Raises ReferenceRuntimeError when the wheel is
    missing or the interpreter refuses the model.

    It has no FULLY_CONNECTED with int4 weights and a scale for every row: it is given those weights
    as int8, which are the same numbers, and `name` says so.
    """

    name = "tflite_micro"
    bit_exact = True

    def __init__(
        self, model: Graph | bytes, preserve: bool = False, *, checked: bool = False
    ) -> None:
        runtime = _tflm_runtime()
        graph, content = _loaded(model)
        if not checked:
            require_supported(graph)
        super().__init__(graph, preserve)
        widened = _with_int4_rows_as_int8(graph)
        if widened is not graph:
            content = write_tflite(widened)
            self.name = f"{self.name} (int4 weights of FULLY_CONNECTED as int8)"
        config = runtime.InterpreterConfig
        try:
            self._interpreter = runtime.Interpreter.from_bytes(
                content,
                arena_size=_arena_bytes(graph),
                intrepreter_config=(  # spelt so in its interface
                    config.kPreserveAllTensors if preserve else config.kAllocationRecording
                ),
            )
        except RuntimeError as error:
            raise ReferenceRuntimeError(
                f"{graph.name}: tflite_micro refuses it: {_line(error)}"
            ) from error

    def run(self, inputs: Sequence[npt.NDArray[np.generic]]) -> Arrays:
        arrays = self._checked(inputs)
        try:
            for position, array in enumerate(arrays):
                self._interpreter.set_input(array, position)
            self._interpreter.invoke()
        except (RuntimeError, ValueError) as error:
            raise ReferenceRuntimeError(
                f"{self.graph.name}: tflite_micro: {_line(error)}"
            ) from error
        self._ran = True
        return tuple(
            np.array(self._interpreter.get_output(position)).reshape(
                self.graph.tensors[index].shape
            )
            for position, index in enumerate(self.graph.outputs)
        )

    def tensors(self) -> Mapping[int, npt.NDArray[np.generic]]:
        return {
            index: np.array(self._interpreter.GetTensor(index, 0)["tensor_data"]).reshape(
                self.graph.tensors[index].shape
            )
            for index in self._results()
        }


def _with_int4_rows_as_int8(graph: Graph) -> Graph:
    """The graph with those int4 weights as int8 that TFLM takes as int8 only; itself if none."""
    rows: set[int] = set()
    for operator in graph.operators:
        if operator.op != "FULLY_CONNECTED":
            continue
        for tensor in graph.operands(operator)[1:2]:
            if tensor is not None and tensor.dtype is DType.INT4 and tensor.quantization:
                rows |= {tensor.index} if tensor.quantization.per_channel else set()
    if not rows:
        return graph
    tensors = (replace(t, dtype=DType.INT8) if t.index in rows else t for t in graph.tensors)
    return replace(graph, tensors=tuple(tensors))


def _arena_bytes(graph: Graph) -> int:
    """Room for every activation at once, plus the interpreter's structures and scratch."""
    activations = sum(t.nbytes + 64 for t in graph.tensors if not t.is_constant)
    # Per-channel multipliers and shifts are kept for each weighted operator.
    channels = sum(len(t.quantization.scales) for t in graph.tensors if t.quantization)
    return (
        _ARENA_BASE
        + 2 * activations
        + 16 * channels
        + _ARENA_A_TENSOR * len(graph.tensors)
        + _ARENA_AN_OPERATOR * len(graph.operators)
    )


def _lacks_bias(operator: Operator) -> bool:
    biased = len(operator.inputs) > 2 and operator.inputs[2] >= 0
    return operator.op == "DEPTHWISE_CONV_2D" and not biased


def lacks_kernel(error: Exception) -> bool:
    """Whether LiteRT has no kernel for an operator. Its set of reference kernels has none for
    ROUND, CEIL, ELU and a few more, which the ordinary set has."""
    return "Didn't find op for builtin opcode" in str(error)


def _ready(litert: Any, content: bytes, kind: Any, preserve: bool) -> Any:
    interpreter = litert.Interpreter(
        model_content=content,
        experimental_op_resolver_type=kind,
        experimental_preserve_all_tensors=preserve,
    )
    interpreter.allocate_tensors()
    return interpreter


class LiteRtReference(_Loaded):
    """LiteRT's interpreter with its reference kernels, with its ordinary ones where it lacks one of
    those. Takes float models too.

    `optimized` takes its faster kernels (ten times on convolutions), which round float sums in
    another order and integers differently; not for models on which they crash, whatever was asked.
    Raises ReferenceRuntimeError when the wheel is missing or LiteRT refuses the model.
    """

    name = "LiteRT"
    bit_exact = False

    def __init__(
        self, model: Graph | bytes, preserve: bool = False, *, optimized: bool = False
    ) -> None:
        litert = _litert()
        graph, content = _loaded(model)
        super().__init__(graph, preserve)
        kinds = litert.OpResolverType
        # Delegates keep intermediate tensors to themselves.
        faster = kinds.BUILTIN_WITHOUT_DEFAULT_DELEGATES
        # Its faster depthwise kernel reads a bias that is not there, and the process dies.
        can_be_faster = not any(_lacks_bias(o) for o in graph.operators)
        try:
            try:
                kind = faster if optimized and can_be_faster else kinds.BUILTIN_REF
                self._interpreter = _ready(litert, content, kind, preserve)
            except (RuntimeError, ValueError) as error:
                if not (can_be_faster and lacks_kernel(error)):
                    raise
                self._interpreter = _ready(litert, content, faster, preserve)
        except (RuntimeError, ValueError) as error:
            raise ReferenceRuntimeError(
                f"{graph.name}: LiteRT refuses it: {_line(error)}"
            ) from error

    def run(self, inputs: Sequence[npt.NDArray[np.generic]]) -> Arrays:
        arrays = self._checked(inputs)
        try:
            for index, array in zip(self.graph.inputs, arrays, strict=True):
                self._interpreter.set_tensor(index, array)
            self._interpreter.invoke()
        except (RuntimeError, ValueError) as error:
            raise ReferenceRuntimeError(f"{self.graph.name}: LiteRT: {_line(error)}") from error
        self._ran = True
        return tuple(np.array(self._interpreter.get_tensor(i)) for i in self.graph.outputs)

    def tensors(self) -> Mapping[int, npt.NDArray[np.generic]]:
        return {index: np.array(self._interpreter.get_tensor(index)) for index in self._results()}
