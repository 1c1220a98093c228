"""float16 arithmetic on a model, layer by layer, beside float32.

GPUs of phones hold activations and weights as float16. Two models of what they do in between:
"single", where sums are kept in float32 and results rounded (OpenCL's F32_F16, Metal with float32
accumulators), and "half", where each step of a sum is rounded (F16; see `layers` for the order).
Neither is a phone: which of the two a GPU is like, and how it splits its sums, is its driver's.
Subnormal halves are kept; some GPUs take them for 0.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Literal

import numpy as np

from edge_quantize.data.samples import Samples
from edge_quantize.errors import InputDataError, QuantizeError, UnsupportedModelError
from edge_quantize.graph.model import DType, Graph, Operator, Tensor
from edge_quantize.graph.names import layer_names
from edge_quantize.graph.writer import write_tflite
from edge_quantize.ingest.tflite import read_tflite
from edge_quantize.ptq.single import Array, last_readers, run_operator
from edge_quantize.run import quantized, real

from .arithmetic import halved
from .differences import Difference, agreement, relative
from .layers import activated, half_layer
from .report import SUMS, HalfLayer, HalfOutput, HalfReport
from .saturation import saturated
from .weights import float16_fault
from .widened import float_variant

Accumulate = Literal["half", "single"]
Progress = Callable[[int, int], None]

# They add up inside, in a way that no model here has; "half" leaves their sums in float32.
_ADDING = frozenset(
    (
        *("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "TRANSPOSE_CONV", "CONV_3D", "SUM"),
        *("CONV_3D_TRANSPOSE", "AVERAGE_POOL_2D", "L2_POOL_2D", "MEAN", "SOFTMAX", "LOG_SOFTMAX"),
        *("L2_NORMALIZATION", "LOCAL_RESPONSE_NORMALIZATION", "BATCH_MATMUL", "CUMSUM", "LSTM"),
        *("RESIZE_BILINEAR", "UNIDIRECTIONAL_SEQUENCE_LSTM", "BIDIRECTIONAL_SEQUENCE_LSTM", "RNN"),
        *("UNIDIRECTIONAL_SEQUENCE_RNN", "SVDF", "REDUCE_PROD", "SEGMENT_SUM"),
    )
)

# GPUs have functions of their own for these, less exact than a rounding of the exact result.
_FUNCTIONS = frozenset(
    (
        *("LOGISTIC", "TANH", "EXP", "LOG", "SQRT", "RSQRT", "SIN", "COS", "POW", "DIV", "ELU"),
        *("GELU", "HARD_SWISH", "SOFTMAX", "LOG_SOFTMAX", "ATAN2", "L2_NORMALIZATION"),
    )
)


def simulate_half(
    model: bytes | Graph,
    samples: Samples,
    accumulate: Accumulate = "single",
    *,
    progress: Progress | None = None,
) -> HalfReport:
    """The model over all samples in float16 and in float32, compared at each layer.

    Constants are taken as float16, whatever the file holds. An integer model is taken as GPU
    delegates run it: in float, each result rounded to the grid of its integers (that grid is part
    of the float32 run it is compared with, too). `samples` are those of the model: real numbers, or
    its integers.

    Raises ModelFileError, UnsupportedModelError (with every reason) for custom operators, state,
    further subgraphs and whatever LiteRT cannot run layer by layer, InputDataError for samples that
    do not fit.
    """
    source = read_tflite(model) if isinstance(model, bytes) else model
    graph, grids, notes = _floating(source)
    problems = tuple(_problems(graph))
    if problems:
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        raise UnsupportedModelError(
            f"{graph.name}: float16 cannot be simulated: {problems[0]}{more}", problems
        )
    run = _Run(graph, source, grids, accumulate)
    run.feed(samples)
    layers = []
    for operator in graph.operators:
        layers.append(run.layer(operator))
        if progress is not None:
            progress(operator.index + 1, len(graph.operators))
    return HalfReport(
        accumulate,
        len(samples),
        tuple(layers),
        tuple(run.output(index) for index in graph.outputs),
        tuple(run.constants),
        tuple(run.not_simulated),
        (*notes, *_functions(graph)),
    )


def _floating(graph: Graph) -> tuple[Graph, dict[int, Tensor], tuple[str, ...]]:
    """The graph in float32, and the grids that its activations are rounded to."""
    grids = {
        t.index: t
        for t in graph.tensors
        if t.quantization is not None and t.data is None and t.dtype.numpy.kind in "iu"
    }
    packed = any(t.quantization is not None and t.is_constant for t in graph.tensors)
    if not grids and not packed:
        return _widened(graph), {}, ()
    made = float_variant(write_tflite(graph), clamp=False)
    note = "integer weights are taken as the reals they stand for"
    if grids:
        note = "an integer model runs in float on a GPU: each result is rounded to its integers"
    return _widened(read_tflite(made.content)), grids, (note,)


def _widened(graph: Graph) -> Graph:
    """DEQUANTIZE of a float16 constant is a float32 constant."""
    tensors = list(graph.tensors)
    kept: list[Operator] = []
    for operator in graph.operators:
        source = tensors[operator.inputs[0]] if operator.inputs else None
        if operator.op == "DEQUANTIZE" and source is not None and source.data is not None:
            data = source.data.astype(np.float32)
            tensors[operator.outputs[0]] = replace(tensors[operator.outputs[0]], data=data)
        else:
            kept.append(replace(operator, index=len(kept)))
    return replace(graph, tensors=tuple(tensors), operators=tuple(kept))


def _problems(graph: Graph) -> list[str]:
    names = layer_names(graph)
    found = [f"the file has another subgraph, '{name}'" for name in graph.other_subgraphs]
    found += [
        f"layer '{names[o.index]}' is a custom operator ({o.op.partition(':')[2]})"
        for o in graph.operators
        if o.op.startswith("CUSTOM")
    ]
    found += [f"tensor '{t.name}' keeps state between runs" for t in graph.tensors if t.is_variable]
    if not graph.operators:
        found.append("the model has no operator")
    return found


def _functions(graph: Graph) -> tuple[str, ...]:
    found = sorted({o.op for o in graph.operators} & _FUNCTIONS)
    if not found:
        return ()
    return (f"{', '.join(found)}: functions taken as exact, then rounded; a GPU's own are less so",)


class _Run:
    """Three runs side by side: float32, float16, and float16 from float32 inputs at each layer."""

    def __init__(
        self, graph: Graph, source: Graph, grids: dict[int, Tensor], accumulate: Accumulate
    ) -> None:
        self.graph = graph
        self.source = source
        self.accumulate = accumulate
        # Operators go on the way to float; those that stay write the tensors they wrote.
        names = layer_names(source)
        self._origin = {i: (o.index, names[o.index]) for o in source.operators for i in o.outputs}
        self.not_simulated: list[tuple[str, str]] = []
        self.constants: list[tuple[str, str]] = []
        self._grids = grids
        self._exact: dict[int, Array] = {}
        self._half: dict[int, Array] = {}
        # Where the last layer's sums passed 65504, before its activation.
        self._over: Array | None = None
        self._last = last_readers(graph)
        # The graph whose constants are halves.
        self._halved = replace(graph, tensors=tuple(self._constant(t) for t in graph.tensors))

    def origin(self, operator: Operator) -> tuple[int, str]:
        """The operator's index and name in the model as it was given."""
        return self._origin[operator.outputs[0]]

    def feed(self, samples: Samples) -> None:
        source = self.source
        if len(samples.inputs) != len(source.inputs):
            raise InputDataError(
                f"{len(samples.inputs)} arrays for a model with {len(source.inputs)} inputs"
            )
        for index, array in zip(source.inputs, samples.inputs, strict=True):
            tensor = source.tensors[index]
            if array.size != len(samples) * tensor.elements:
                raise InputDataError(
                    f"input '{tensor.name}': {list(array.shape[1:])} given, the model takes "
                    f"{list(tensor.shape)}"
                )
            values = array.reshape(len(samples), *tensor.shape)
            if tensor.quantization is not None:
                values = real(quantized(values, tensor), tensor.quantization)
            else:
                values = values.astype(tensor.dtype.numpy)
            self._exact[index] = values
            self._half[index] = _stored(values)

    def layer(self, operator: Operator) -> HalfLayer:
        graph = self.graph
        fed = [i for i in dict.fromkeys(operator.inputs) if i >= 0]
        fed = [i for i in fed if not graph.tensors[i].is_constant]
        exact = self._ran(graph, operator, {i: self._exact[i] for i in fed})
        # Both float16 runs at once, one behind the other.
        count = max((len(self._half[i]) for i in fed), default=1)
        stacked = {i: self._stacked(i, count) for i in fed}
        half, sums = self._in_half(operator, stacked)
        for index in operator.outputs:
            self._exact[index] = self._on_grid(index, exact[index])
            half[index] = _stored(self._on_grid(index, half[index]))
        found = self._compared(operator, half, sums)
        for index in operator.outputs:
            self._half[index] = half[index][: max(1, len(half[index]) // 2)]
        for index in fed:
            if self._last[index] == operator.index and index not in graph.outputs:
                del self._exact[index], self._half[index]
        return found

    def _stacked(self, index: int, count: int) -> Array:
        parts = [self._half[index], _stored(self._exact[index])]
        return np.concatenate([_repeated(part, count) for part in parts])

    def _in_half(
        self, operator: Operator, values: dict[int, Array]
    ) -> tuple[dict[int, Array], str]:
        """The results, and what sums were kept in."""
        adds = operator.op in _ADDING
        self._over = None
        if self.accumulate == "half" and adds:
            constants = {
                i: np.asarray(t.data, np.float32)[None]
                for i in operator.inputs
                if i >= 0 and (t := self._halved.tensors[i]).data is not None
            }
            operands: dict[int, Any] = {**constants, **values}
            made = half_layer(self._halved, operator, operands)
            if made is not None:
                self._over = ~np.isfinite(made)
                with np.errstate(invalid="ignore"):
                    return {operator.outputs[0]: activated(operator, made)}, SUMS["half"]
            self.not_simulated.append(
                (self.origin(operator)[1], f"({operator.op}) kept its sums in float32")
            )
        results = self._ran(self._halved, operator, values)
        return results, SUMS["single"] if adds else ""

    def _ran(self, graph: Graph, operator: Operator, values: dict[int, Array]) -> dict[int, Array]:
        try:
            with np.errstate(all="ignore"):
                return run_operator(graph, operator, values)
        except (QuantizeError, ValueError) as error:
            name = self.origin(operator)[1]
            raise UnsupportedModelError(
                f"{graph.name}: float16 cannot be simulated: layer '{name}' ({operator.op}) does "
                f"not run by itself: {error}"
            ) from error

    def _constant(self, tensor: Tensor) -> Tensor:
        if tensor.data is None or tensor.dtype is not DType.FLOAT32:
            return tensor
        if tensor.index in self._last and (why := float16_fault(np.asarray(tensor.data))):
            self.constants.append((tensor.name, why))
        return replace(tensor, data=halved(tensor.data))

    def _on_grid(self, index: int, values: Array) -> Array:
        tensor = self._grids.get(index)
        if tensor is None:
            return values
        known = np.nan_to_num(values, nan=0.0)
        return np.where(
            np.isnan(values), values, real(quantized(known, tensor), tensor.quantization)
        )

    def _compared(self, operator: Operator, half: dict[int, Array], sums: str) -> HalfLayer:
        found = [Difference(self._exact[i], half[i], self._over) for i in operator.outputs]
        number, name = self.origin(operator)
        largest = max(each.largest for each in found)
        rows = np.logical_or.reduce([each.chained_over for each in found])
        chained, own = (max(getattr(d, n) for d in found) for n in ("chained", "own"))
        return HalfLayer(
            index=number,
            name=name,
            op=operator.op,
            sums=sums,
            largest=largest,
            overflowed=sum(each.overflowed for each in found),
            overflowed_samples=int(np.count_nonzero(rows)),
            own_overflowed=sum(each.own_overflowed for each in found),
            subnormal=sum(each.subnormal for each in found),
            vanished=sum(each.vanished for each in found),
            max_abs=chained,
            relative=relative(chained, largest),
            own_max_abs=own,
            own_relative=relative(own, largest),
        )

    def output(self, index: int) -> HalfOutput:
        if index not in self._exact:
            # A constant given out.
            self._exact[index] = np.asarray(self.graph.tensors[index].data)[None]
            self._half[index] = np.asarray(self._halved.tensors[index].data)[None]
        exact, half = self._exact[index], self._half[index]
        found = Difference(exact, np.concatenate([half, half]), None)
        return HalfOutput(
            self.graph.tensors[index].name,
            found.chained,
            relative(found.chained, found.largest),
            agreement(exact, half),
            found.overflowed == 0,
            saturated(self.source, self.source.outputs[self.graph.outputs.index(index)], exact),
        )


def _stored(values: Array) -> Array:
    """As a GPU's buffers hold them: reals as float16, integers as they are."""
    return halved(values) if values.dtype == np.float32 else values


def _repeated(values: Array, count: int) -> Array:
    return np.repeat(values, count, axis=0) if len(values) < count else values
