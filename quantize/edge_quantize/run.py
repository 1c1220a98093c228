"""A graph over samples, in real numbers: float inputs in, float outputs out, whatever the model
computes in."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import numpy as np
import numpy.typing as npt

from .check import check_supported
from .data.samples import Samples
from .graph.model import DType, Graph, Quantization, Tensor
from .inputs import quantize_array
from .reference import LiteRtReference, Reference, best_reference

Array = npt.NDArray[np.generic]
Floats = npt.NDArray[np.float32]
Progress = Callable[[int, int], None]


def quantized(values: Array, tensor: Tensor) -> Array:
    """Real values as the integers of `tensor`, as QUANTIZE makes them. Integers are taken to be
    quantized already."""
    if tensor.quantization is None or values.dtype.kind in "iub":
        return values.astype(tensor.dtype.numpy)
    return quantize_array(values.astype(np.float64), tensor)


def real(values: Array, quantization: Quantization | None) -> Floats:
    """What integers stand for; floats stay as they are."""
    if quantization is None:
        return values.astype(np.float32)
    scales = np.asarray(quantization.scales, np.float64)
    zero_points = np.asarray(quantization.zero_points, np.float64)
    if quantization.per_channel:
        shape = [1] * values.ndim
        shape[quantization.axis] = -1
        scales, zero_points = scales.reshape(shape), zero_points.reshape(shape)
    return ((values.astype(np.float64) - zero_points) * scales).astype(np.float32)


def runtime(graph: Graph, preserve: bool = False) -> Reference:
    """The runtime that a graph's figures come from: `tflite_micro` for what boards run (where its
    wheel is installed), LiteRT for float models and those that mix float and integers."""
    if check_supported(graph):
        floating = {DType.FLOAT32, DType.FLOAT16}
        results = [graph.tensors[i].dtype for o in graph.operators for i in o.outputs]
        # Integers are left to its plain kernels: the fast ones round differently.
        return LiteRtReference(graph, preserve, optimized=floating.issuperset(results))
    return best_reference(graph, preserve)


def outputs(graph: Graph, samples: Samples, progress: Progress | None = None) -> tuple[Floats, ...]:
    """Each output of the model over all samples, in real numbers: float32 `[n, ...]`."""
    loaded = runtime(graph)
    found: list[tuple[Array, ...]] = []
    for number, row in enumerate(samples.rows()):
        found.append(loaded.run(_fed(graph, row)))
        if progress is not None:
            progress(number + 1, len(samples))
    columns = zip(*found, strict=True)
    return tuple(
        real(
            np.concatenate([np.atleast_1d(array) for array in column]),
            graph.tensors[index].quantization,
        )
        for index, column in zip(graph.outputs, columns, strict=True)
    )


def activations(graph: Graph, samples: Samples) -> Iterator[Mapping[int, Floats]]:
    """Sample by sample the inputs and every operator's results, in real numbers by tensor index."""
    loaded = runtime(graph, preserve=True)
    for row in samples.rows():
        fed = _fed(graph, row)
        loaded.run(fed)
        values = {**dict(zip(graph.inputs, fed, strict=True)), **loaded.tensors()}
        yield {i: real(v, graph.tensors[i].quantization) for i, v in values.items()}


def _fed(graph: Graph, row: tuple[Array, ...]) -> tuple[Array, ...]:
    tensors = [graph.tensors[index] for index in graph.inputs]
    return tuple(
        quantized(array, tensor).reshape(tensor.shape)
        for array, tensor in zip(row, tensors, strict=True)
    )
