"""One operator of a graph, run by itself over many samples.

Layer-by-layer methods need each layer's input as the layers before it, already changed, give it.
Running operators one by one costs as much as one run of the whole model.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from edge_quantize.graph.model import DType, Graph, Operator
from edge_quantize.reference import LiteRtReference

Array = npt.NDArray[np.generic]


def operator_graph(graph: Graph, operator: Operator) -> tuple[Graph, tuple[int, ...]]:
    """A graph of `operator` alone, and the tensors of `graph` that its inputs are, in order."""
    used = dict.fromkeys(i for i in (*operator.inputs, *operator.outputs) if i >= 0)
    place = {old: new for new, old in enumerate(used)}
    tensors = tuple(replace(graph.tensors[old], index=new) for old, new in place.items())
    fed = tuple(
        dict.fromkeys(i for i in operator.inputs if i >= 0 and not graph.tensors[i].is_constant)
    )
    alone = replace(
        operator,
        index=0,
        inputs=tuple(place.get(i, -1) for i in operator.inputs),
        outputs=tuple(place[i] for i in operator.outputs),
    )
    single = Graph(
        name=graph.layer_name(operator),
        tensors=tensors,
        operators=(alone,),
        inputs=tuple(place[i] for i in fed),
        outputs=alone.outputs,
    )
    return single, fed


def run_operator(graph: Graph, operator: Operator, values: Mapping[int, Array]) -> dict[int, Array]:
    """The operator's results, stacked `[samples, ...]` by tensor index, from `values` stacked
    alike. An operator of constants alone gives one sample, which serves for all to its readers."""
    single, fed = operator_graph(graph, operator)
    # The fast kernels round integers differently.
    floating = all(tensor.dtype is DType.FLOAT32 for tensor in single.tensors)
    loaded = LiteRtReference(single, optimized=floating)
    count = max((len(values[i]) for i in fed), default=1)
    results: list[list[Array]] = [[] for _ in operator.outputs]
    for number in range(count):
        row = [
            values[i][number if len(values[i]) > 1 else 0].reshape(graph.tensors[i].shape)
            for i in fed
        ]
        for kept, array in zip(results, loaded.run(row), strict=True):
            kept.append(array)
    return {index: np.stack(kept) for index, kept in zip(operator.outputs, results, strict=True)}


def last_readers(graph: Graph) -> dict[int, int]:
    """The last operator that reads each tensor."""
    return {i: o.index for o in graph.operators for i in o.inputs if i >= 0}
