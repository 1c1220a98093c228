"""Whether an output's values lie at the ends of their range, where a small error does not show."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from edge_quantize.graph.model import DType, Graph, Tensor

from .clamps import ends

_BOUNDED = {"SOFTMAX": (0.0, 1.0), "LOGISTIC": (0.0, 1.0), "TANH": (-1.0, 1.0)}
_SAME_VALUES = frozenset({"DEQUANTIZE", "QUANTIZE", "RESHAPE", "SQUEEZE", "EXPAND_DIMS"})
_NEAR = 1e-3  # of the range; of floats, which never quite reach its end
_INTEGERS = frozenset({DType.INT8, DType.UINT8, DType.INT16})


def margins(
    graph: Graph, index: int, values: npt.NDArray[np.generic]
) -> npt.NDArray[np.float64] | None:
    """How far each of `values`, in real numbers, is from the nearer end of what tensor `index` can
    hold, as a fraction of that range: 0 at an end, 0.5 in the middle. None where the range has no
    ends that are known: a float that no SOFTMAX, LOGISTIC, TANH or integer tensor makes."""
    found = _range(graph, index)
    if found is None:
        return None
    low, high, near = found
    flat = values.astype(np.float64)
    apart = np.minimum(flat - low, high - flat) / (high - low)
    return np.where(apart < near, 0.0, apart)


def saturated(graph: Graph, index: int, values: npt.NDArray[np.generic]) -> float:
    """The share of `values` of tensor `index`, in real numbers, that lie at an end of its range."""
    found = margins(graph, index, values)
    return 0.0 if found is None or not found.size else float(np.mean(found == 0))


def _range(graph: Graph, index: int) -> tuple[float, float, float] | None:
    """(low, high, how near counts as there, of the range) of a tensor."""
    makers = {i: operator for operator in graph.operators for i in operator.outputs}
    while True:
        tensor = graph.tensors[index]
        if _counts(tensor):
            low, high = ends(tensor)
            steps = (high - low) / tensor.quantization.scale if tensor.quantization else 1.0
            return low, high, 0.5 / steps
        maker = makers.get(index)
        if maker is None:
            return None
        if maker.op in _BOUNDED:
            return (*_BOUNDED[maker.op], _NEAR)
        if maker.op not in _SAME_VALUES:
            return None
        index = maker.inputs[0]


def _counts(tensor: Tensor) -> bool:
    quantization = tensor.quantization
    return tensor.dtype in _INTEGERS and quantization is not None and not quantization.per_channel
