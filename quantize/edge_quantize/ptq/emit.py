"""The plan as a graph: tensors with their scales, integer constants, conversions where forms
change."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from edge_quantize.errors import UnsupportedModelError
from edge_quantize.graph.model import DType, Graph, Operator, Quantization, Tensor
from edge_quantize.graph.options import NoOptions, Options
from edge_quantize.run import quantized

from .plan import Form, Layer, Plan
from .recipe import Precision
from .rules import RULES, Kind, version
from .weights import fit_bias, quantize_bias, quantize_weights, weight_quantization, weight_scales

_WEIGHT_DTYPE = {Precision.INT4: DType.INT4}
_QUANTIZE_VERSION = {DType.FLOAT32: 1, DType.INT8: 2, DType.INT16: 3}
_DEQUANTIZE_VERSION = {DType.INT8: 2, DType.INT16: 3, DType.FLOAT16: 3}
_HYBRID_VERSION = {"CONV_2D": 5, "DEPTHWISE_CONV_2D": 6, "FULLY_CONNECTED": 9}


@dataclass(frozen=True, eq=False)
class Emission:
    """`layers` has for each operator of `graph` the layer that it is, None for a conversion."""

    graph: Graph
    layers: tuple[Layer | None, ...]


def emit(graph: Graph, plan: Plan, biases: bool = False) -> Emission:
    """The graph that `plan` describes. `biases` gives integer layers without a bias one of zeros,
    for `refine` to fill. Results keep the names they have in the float model; the
    forms that conversions make have the element type behind theirs."""
    return _Emitter(graph, plan, biases).emission()


@dataclass(frozen=True, eq=False)
class _Constants:
    """Of a weighted layer: tensors without an index yet."""

    weights: Tensor
    bias: Tensor | None


class _Emitter:
    def __init__(self, graph: Graph, plan: Plan, biases: bool) -> None:
        self.source, self.plan, self.biases = graph, plan, biases
        self.tensors: list[Tensor] = []
        self.operators: list[Operator] = []
        self.layers: list[Layer | None] = []
        self.place: dict[Form, int] = {}
        self.kept: dict[int, int] = {}  # tensors that are no reals, by their old index
        self.halves: dict[int, int] = {}  # float16 constants made float, likewise
        self.names: set[str] = {t.name for t in graph.tensors if not t.is_constant}

    def emission(self) -> Emission:
        inputs = tuple(self.input(index) for index in self.source.inputs)
        for layer in self.plan.layers:
            self.layer(layer)
        outputs = tuple(
            self.keep(index) if form is None else self.read(form)
            for index, form in zip(self.source.outputs, self.plan.outputs, strict=True)
        )
        graph = replace(
            self.source,
            tensors=tuple(self.tensors),
            operators=tuple(self.operators),
            inputs=inputs,
            outputs=outputs,
            sha256="",
        )
        return Emission(graph, tuple(self.layers))

    def add(self, tensor: Tensor) -> int:
        index = len(self.tensors)
        if tensor.data is not None:
            tensor.data.setflags(write=False)
        self.tensors.append(replace(tensor, index=index))
        return index

    def operator(
        self,
        op: str,
        inputs: list[int],
        outputs: list[int],
        options: Options,
        version: int,
        layer: Layer | None = None,
    ) -> None:
        self.layers.append(layer)
        self.operators.append(
            Operator(
                len(self.operators),
                op,
                tuple(inputs),
                tuple(outputs),
                options,
                version,
            )
        )

    def input(self, index: int) -> int:
        form = self.plan.made.get(index)
        return self.keep(index) if form is None else self.form(form)

    def keep(self, index: int) -> int:
        """A tensor as it is: indices, shapes, float constants of float layers."""
        if index < 0:
            return index
        if index not in self.kept:
            self.kept[index] = self.add(self.source.tensors[index])
        return self.kept[index]

    def form(self, form: Form) -> int:
        """A new tensor for `form`; its producer is the caller's to write."""
        tensor = self.source.tensors[form.tensor]
        quantization = self.plan.quantization.get(form)
        name = tensor.name
        if self.plan.made.get(form.tensor) != form:
            name = self.unique(f"{name}_{form.dtype.value}")
        self.place[form] = self.add(
            replace(tensor, name=name, dtype=form.dtype, quantization=quantization)
        )
        return self.place[form]

    def unique(self, name: str) -> str:
        base, number = name, 2
        while name in self.names:
            name = f"{base}_{number}"
            number += 1
        self.names.add(name)
        return name

    def read(self, form: Form) -> int:
        """Where `form` is, with a conversion or a constant written if it is nowhere yet."""
        if form in self.place:
            return self.place[form]
        tensor = self.source.tensors[form.tensor]
        if tensor.data is not None:
            if form.dtype is DType.FLOAT32:
                return self.keep(form.tensor)
            made = replace(tensor, dtype=form.dtype, quantization=self.plan.quantization[form])
            self.place[form] = self.add(replace(made, data=quantized(tensor.data, made)))
            return self.place[form]
        source = self.place[self.plan.made[form.tensor]]
        dtype = self.tensors[source].dtype
        target = self.form(form)
        if form.dtype is DType.FLOAT32:
            op, number = "DEQUANTIZE", _DEQUANTIZE_VERSION[dtype]
        else:
            op, number = "QUANTIZE", max(_QUANTIZE_VERSION[dtype], _QUANTIZE_VERSION[form.dtype])
            number = 1 if dtype is DType.FLOAT32 and form.dtype is DType.INT8 else number
        self.operator(op, [source], [target], NoOptions(), number)
        return target

    def layer(self, layer: Layer) -> None:
        operator = layer.operator
        inputs = [
            self.keep(index) if form is None else self.read(form)
            for index, form in zip(operator.inputs, layer.reads, strict=True)
            if not (form is None and _weighted(operator.op))
        ]
        rule = RULES.get(operator.op)
        if _weighted(operator.op) and rule is not None:
            inputs = self.weighted(layer, rule.axis, inputs)
        outputs = [
            self.keep(index) if form is None else self.form(form)
            for index, form in zip(operator.outputs, layer.writes, strict=True)
        ]
        number = operator.version
        if layer.dtype is not DType.FLOAT32 and rule is not None:
            number = version(operator.op, layer.dtype)
        elif layer.scheme.precision is Precision.DYNAMIC:
            number = _HYBRID_VERSION.get(operator.op, number)
        self.operator(operator.op, inputs, outputs, operator.options, number, layer)

    def weighted(self, layer: Layer, axis: int, inputs: list[int]) -> list[int]:
        precision = layer.scheme.precision
        indices = layer.operator.inputs
        weights = self.source.tensors[indices[1]]
        bias = self.source.tensors[indices[2]] if len(indices) > 2 and indices[2] >= 0 else None
        if not precision.integer:
            return self.float_weights(layer, inputs)
        if bias is None and self.biases:
            zeros = np.zeros(weights.shape[axis], np.float32)
            name = self.unique(f"{layer.name}_bias")
            bias = Tensor(-1, name, zeros.shape, DType.FLOAT32, data=zeros)
        made = _integers(layer, axis, weights, bias, self.tensors[inputs[0]].quantization)
        inputs = [*inputs, self.add(made.weights)]
        if made.bias is not None:
            inputs.append(self.add(made.bias))
        return inputs

    def float_weights(self, layer: Layer, inputs: list[int]) -> list[int]:
        """Of a layer with float activations: constants as they are, as float16 behind DEQUANTIZE,
        or weights as int8 that the runtime takes together with float activations."""
        indices = layer.operator.inputs[1:]
        precision = layer.scheme.precision
        constant = self.source.tensors[indices[0]].is_constant
        if precision is Precision.FLOAT16:
            return [*inputs, *(self.half(i) for i in indices)]
        if precision is not Precision.DYNAMIC or not constant:
            return [*inputs, *(self.keep(i) for i in indices)]
        return [*inputs, self.dynamic(layer, indices[0]), *(self.keep(i) for i in indices[1:])]

    def half(self, index: int) -> int:
        tensor = self.source.tensors[index] if index >= 0 else None
        if tensor is None or tensor.data is None:
            return self.keep(index)
        if index not in self.halves:
            values = np.asarray(tensor.data, np.float32)
            if np.abs(values).max(initial=0.0) > float(np.finfo(np.float16).max):
                raise UnsupportedModelError(
                    f"tensor '{tensor.name}' has values that float16 cannot hold: leave its layer "
                    "float32"
                )
            stored = replace(
                tensor,
                name=self.unique(f"{tensor.name}_float16"),
                dtype=DType.FLOAT16,
                data=values.astype(np.float16),
            )
            source, target = self.add(stored), self.add(replace(tensor, data=None))
            number = _DEQUANTIZE_VERSION[DType.FLOAT16]
            self.operator("DEQUANTIZE", [source], [target], NoOptions(), number)
            self.halves[index] = target
        return self.halves[index]

    def dynamic(self, layer: Layer, index: int) -> int:
        tensor, scheme = self.source.tensors[index], layer.scheme
        axis = RULES[layer.operator.op].axis
        values = _array(tensor)
        scales = weight_scales(
            values, axis, DType.INT8, scheme.per_channel, scheme.weights, scheme.percentile
        )
        if layer.operator.op != "FULLY_CONNECTED":
            # LiteRT's convolutions with float activations read a scale for every channel, also
            # where the file has one.
            scales = np.broadcast_to(scales, tensor.shape[axis])
        return self.add(
            replace(
                tensor,
                dtype=DType.INT8,
                quantization=weight_quantization(scales, axis),
                data=quantize_weights(values, scales, axis, DType.INT8),
            )
        )


def _weighted(op: str) -> bool:
    rule = RULES.get(op)
    return rule is not None and rule.kind is Kind.WEIGHTED


def _integers(
    layer: Layer, axis: int, weights: Tensor, bias: Tensor | None, source: Quantization | None
) -> _Constants:
    assert source is not None
    scheme = layer.scheme
    dtype = _WEIGHT_DTYPE.get(scheme.precision, DType.INT8)
    values = _array(weights)
    scales = weight_scales(
        values, axis, dtype, scheme.per_channel, scheme.weights, scheme.percentile
    )
    if bias is not None and layer.dtype is DType.INT8:
        scales = fit_bias(scales, _array(bias), source.scale)
    integers = quantize_weights(values, scales, axis, dtype)
    made = replace(
        weights, dtype=dtype, quantization=weight_quantization(scales, axis), data=integers
    )
    if bias is None:
        return _Constants(made, None)
    kind = DType.INT64 if layer.dtype is DType.INT16 else DType.INT32
    steps, quantization = quantize_bias(_array(bias), source.scale, scales, kind)
    return _Constants(made, replace(bias, dtype=kind, quantization=quantization, data=steps))


def _array(tensor: Tensor) -> npt.NDArray[np.float64]:
    return np.asarray(tensor.data, np.float64)
