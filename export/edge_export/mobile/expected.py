"""What the CPU computes of a model: the side that a GPU's result is compared with."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from edge_quantize.errors import GpuError, ReferenceRuntimeError, UnsupportedModelError
from edge_quantize.gpu import GpuSession
from edge_quantize.graph import DType, Graph, Operator
from edge_quantize.graph.writer import write_tflite
from edge_quantize.ptq.prepare import float_graph

Array = npt.NDArray[np.generic]
Outputs = tuple[Array, ...]

_FLOATS = frozenset({DType.FLOAT32, DType.FLOAT16})
_INTEGERS = frozenset({DType.INT4, DType.INT8, DType.UINT8, DType.INT16})
# These read integers and give floats by definition, and quantize nothing.
_EXACT = frozenset({"DEQUANTIZE", "GATHER", "EMBEDDING_LOOKUP", "CAST"})


def hybrid(graph: Graph) -> tuple[Operator, ...]:
    """The layers of "dynamic range": float activations, integer weights, no DEQUANTIZE between.

    LiteRT's CPU kernels quantize the activations of such a layer to int8 while they run; GPU
    backends turn its weights into floats. Each is a legitimate reading of the file, and they differ
    by per cents.
    """
    return tuple(
        operator
        for operator in graph.operators
        if operator.op not in _EXACT
        and graph.tensors[operator.outputs[0]].dtype in _FLOATS
        and any(
            t is not None and t.is_constant and t.dtype in _INTEGERS and t.quantization is not None
            for t in graph.operands(operator)
        )
    )


def spelt_out(graph: Graph) -> Graph:
    """`graph` with the weights of its hybrid layers as the floats that they stand for, which is
    what a GPU is to compute. The graph itself where there is none, or they cannot be read."""
    if not hybrid(graph):
        return graph
    try:
        return float_graph(graph)
    except UnsupportedModelError:
        return graph


class Cpu:
    """LiteRT on the CPU as an app gets it: the same API, XNNPACK, and LiteRT's own kernels for what
    that lacks. In a process of its own, which keeps its log and its crashes to itself.

    LiteRT's plain integer kernels round twice where XNNPACK and GPUs round once, an LSB a layer;
    with those a right GPU result of a deep int8 model would be many LSB off.

    A context manager. `content` is the graph's file, for what a Graph cannot be written from;
    `as_file` runs hybrid layers as LiteRT does. Raises ReferenceRuntimeError when LiteRT refuses
    the model, or dies of it.
    """

    def __init__(
        self, graph: Graph, content: bytes | None = None, *, as_file: bool = False
    ) -> None:
        self.graph = graph if as_file else spelt_out(graph)
        same = content is not None and self.graph is graph
        try:
            self._session = GpuSession(
                content if same and content else write_tflite(self.graph), ("cpu",)
            )
        except GpuError as error:
            raise self._refused(error) from error

    def run(self, row: Sequence[Array]) -> Outputs:
        """One inference, inputs and outputs in the model's order."""
        try:
            return run_in_order(self._session, self.graph, row)
        except GpuError as error:
            raise self._refused(error) from error

    def _refused(self, error: GpuError) -> ReferenceRuntimeError:
        return ReferenceRuntimeError(f"{self.graph.name}: LiteRT's CPU refuses it: {error}")

    def __enter__(self) -> Cpu:
        return self

    def __exit__(self, *_: object) -> None:
        self._session.close()


def run_in_order(session: GpuSession, graph: Graph, row: Sequence[Array]) -> Outputs:
    """One inference, inputs and outputs in the order of `graph` (a signature may have another)."""
    by_tensor = dict(zip(graph.inputs, row, strict=True))
    outputs = session.run([by_tensor[each["index"]] for each in session.inputs]).outputs
    places = {each["index"]: array for each, array in zip(session.outputs, outputs, strict=True)}
    return tuple(places[index].reshape(graph.tensors[index].shape) for index in graph.outputs)
