"""Which element type and which scale every value has, before anything is written.

A *form* is one tensor of the float model in one element type. The operator that makes a tensor
makes one form of it; a reader that needs another gets QUANTIZE or DEQUANTIZE in between. Forms that
have to share a scale (Kind.SAME) are grouped, unless their scales are both given and differ: then
the reader gets a form of its own, with a QUANTIZE from scale to scale.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edge_quantize.errors import UnsupportedModelError
from edge_quantize.graph.model import DType, Graph, Operator, Quantization

from .calibrate import BINS, Calibration, Histogram, merged
from .observers import affine, clip, limits
from .recipe import Observer, Precision, Recipe, Scheme
from .rules import RULES, Kind, has_reals, weight_positions

# An operand of CONCATENATION that others read too keeps its own scale when the result's range is
# wider than its own by more than this.
_OWN_RANGE = 2.0


@dataclass(frozen=True)
class Form:
    """One tensor in one element type; `owner` is the operator that has it for itself, or -1."""

    tensor: int
    dtype: DType
    owner: int = -1


@dataclass(frozen=True)
class Layer:
    """One operator of the float model. `reads` and `writes` have a form for each operand and
    result that stands for real numbers, None for the others (weights too)."""

    operator: Operator
    name: str
    scheme: Scheme
    dtype: DType  # of its activations
    reads: tuple[Form | None, ...]
    writes: tuple[Form | None, ...]


@dataclass(frozen=True, eq=False)
class Plan:
    """`made` is the form in which a tensor is made, `quantization` of the integer forms."""

    layers: tuple[Layer, ...]
    made: Mapping[int, Form]
    outputs: tuple[Form | None, ...]
    quantization: Mapping[Form, Quantization]


def activation_dtype(precision: Precision) -> DType:
    if precision is Precision.INT16X8:
        return DType.INT16
    return DType.INT8 if precision.integer else DType.FLOAT32


def effective(graph: Graph, layer: Layer) -> Precision:
    """What a layer really is: weights' precisions mean nothing to layers without weights, and none
    to those that compute with shapes and indices."""
    precision = layer.scheme.precision
    if not has_reals(graph, layer.operator):
        return Precision.FLOAT32
    if weight_positions(layer.operator):
        return precision
    if precision is Precision.INT4:
        return Precision.INT8
    return precision if precision.integer else Precision.FLOAT32


def make_plan(graph: Graph, recipe: Recipe, calibration: Calibration | None) -> Plan:
    """`graph` is a float graph (`prepare.float_graph`); `calibration` may be None when no layer
    has integer activations.

    Raises UnsupportedModelError naming every layer that has no rule for its precision.
    """
    return _Planner(graph, recipe, calibration).plan()


def _problem(graph: Graph, operator: Operator, scheme: Scheme) -> str:
    """Why the operator cannot have its precision; empty when it can."""
    where = f"layer '{graph.layer_name(operator)}' ({operator.op})"
    rule = RULES.get(operator.op)
    leave = 'leave it float with a rule of the recipe (precision = "float32")'
    if not scheme.precision.integer:
        return ""
    if rule is None:
        return f"{where} has no integer form: {leave}"
    if scheme.precision is Precision.INT16X8 and rule.version.int16 is None:
        return f"{where} has no form with int16 activations: make it int8, or {leave}"
    if rule.kind is Kind.WEIGHTED:
        weights = graph.tensors[operator.inputs[rule.weights]]
        if not weights.is_constant:
            return f"{where} has weights that are computed while running: {leave}"
    return ""


class _Planner:
    def __init__(self, graph: Graph, recipe: Recipe, calibration: Calibration | None) -> None:
        self.graph, self.recipe, self.calibration = graph, recipe, calibration
        self.schemes = {o.index: recipe.scheme(graph, o) for o in graph.operators}
        softmaxes = [o.inputs[0] for o in graph.operators if o.op == "SOFTMAX"]
        self.ends = {*graph.inputs, *graph.outputs, *softmaxes}
        self.parent: dict[Form, Form] = {}
        self.fixed: dict[Form, tuple[float, int]] = {}  # by root
        self.scheme_of: dict[Form, Scheme] = {}  # of who makes the form, by form
        self.readers: dict[int, list[Operator]] = {}
        for operator in graph.operators:
            for index in operator.inputs:
                self.readers.setdefault(index, []).append(operator)

    def plan(self) -> Plan:
        graph = self.graph
        problems = [
            problem
            for operator in graph.operators
            if has_reals(graph, operator)
            and (problem := _problem(graph, operator, self.schemes[operator.index]))
        ]
        if problems:
            more = f"; and {len(problems) - 3} more" if len(problems) > 3 else ""
            raise UnsupportedModelError(
                f"{graph.name}: {'; '.join(problems[:3])}{more}", tuple(problems)
            )
        made = self.inputs()
        layers = tuple(self.layer(operator, made) for operator in graph.operators)
        outputs = tuple(self.output(made.get(index)) for index in graph.outputs)
        return Plan(layers, made, outputs, self.quantizations())

    def inputs(self) -> dict[int, Form]:
        made = {}
        for index in self.graph.inputs:
            if self.graph.tensors[index].dtype is not DType.FLOAT32:
                continue
            readers = self.readers.get(index, [])
            scheme = self.schemes[readers[0].index] if readers else self.recipe.default
            dtype = activation_dtype(scheme.precision)
            form = Form(index, DType.FLOAT32 if self.recipe.float_io else dtype)
            made[index] = self.add(form, scheme)
        return made

    def output(self, form: Form | None) -> Form | None:
        if form is None or not self.recipe.float_io:
            return form
        return Form(form.tensor, DType.FLOAT32)

    def layer(self, operator: Operator, made: dict[int, Form]) -> Layer:
        graph, scheme = self.graph, self.schemes[operator.index]
        rule = RULES.get(operator.op)
        dtype = activation_dtype(scheme.precision)
        weights = weight_positions(operator)
        reads: list[Form | None] = []
        for position, index in enumerate(operator.inputs):
            real = index >= 0 and graph.tensors[index].dtype is DType.FLOAT32
            if not real or position in weights:
                reads.append(None)
            else:
                owner = operator.index if graph.tensors[index].is_constant else -1
                reads.append(self.add(Form(index, dtype, owner), scheme))
        writes: list[Form | None] = []
        for index in operator.outputs:
            if graph.tensors[index].dtype is DType.FLOAT32:
                made[index] = self.add(Form(index, dtype), scheme)
                writes.append(made[index])
            else:
                writes.append(None)
        if dtype is not DType.FLOAT32 and rule is not None:
            if rule.kind is Kind.FIXED:
                for form in writes:
                    if form is not None:
                        self.fixed[self.root(form)] = rule.fixed[dtype]
            elif rule.kind is Kind.SAME:
                reads = [self.joined(form, writes, operator, scheme) for form in reads]
        return Layer(
            operator, graph.layer_name(operator), scheme, dtype, tuple(reads), tuple(writes)
        )

    def joined(
        self, form: Form | None, writes: list[Form | None], operator: Operator, scheme: Scheme
    ) -> Form | None:
        """`form`, or one of the operator's own, in one group with what the operator writes."""
        results = [written for written in writes if written is not None]
        if form is None or not results:
            return form
        source, result = self.root(form), self.root(results[0])
        given = [self.fixed.get(source), self.fixed.get(result)]
        clash = given[0] is not None and given[1] is not None and given[0] != given[1]
        apart = clash or not self.covered(form, results[0], given[0] or given[1])
        if apart or self.better_apart(form, results[0], operator):
            form = self.add(Form(form.tensor, form.dtype, operator.index), scheme)
            source = self.root(form)
        for written in results:
            self.union(form, written)
        return form

    def covered(self, form: Form, result: Form, given: tuple[float, int] | None) -> bool:
        """Whether both fit into the range of a scale that is given, but for its last step."""
        if given is None or self.calibration is None:
            return True
        scale, zero_point = given
        low, high = ((n - zero_point) * scale for n in limits(form.dtype))
        seen = [self.histogram(f.tensor) for f in (form, result)]
        return all(h.low >= low - scale and h.high <= high + scale for h in seen)

    def better_apart(self, form: Form, result: Form, operator: Operator) -> bool:
        if operator.op != "CONCATENATION" or self.calibration is None:
            return False
        if form.owner >= 0 or len(self.readers.get(form.tensor, [])) < 2:
            return False
        own, whole = (self.calibration.bounds(f.tensor) for f in (form, result))
        return whole.high - whole.low > _OWN_RANGE * (own.high - own.low)

    def add(self, form: Form, scheme: Scheme) -> Form:
        self.parent.setdefault(form, form)
        self.scheme_of.setdefault(form, scheme)
        return form

    def root(self, form: Form) -> Form:
        while self.parent[form] != form:
            form = self.parent[form]
        return form

    def union(self, first: Form, second: Form) -> None:
        first, second = self.root(first), self.root(second)
        if first == second:
            return
        given = self.fixed.get(first) or self.fixed.get(second)
        self.parent[second] = first
        if given is not None:
            self.fixed[first] = given

    def quantizations(self) -> dict[Form, Quantization]:
        groups: dict[Form, list[Form]] = {}
        for form in self.parent:
            if form.dtype is not DType.FLOAT32:
                groups.setdefault(self.root(form), []).append(form)
        found: dict[Form, Quantization] = {}
        for root, members in groups.items():
            given = self.fixed.get(root)
            if given is not None:
                quantization = Quantization((given[0],), (given[1],))
            else:
                quantization = self.range_of(members)
            found |= dict.fromkeys(members, quantization)
        return found

    def range_of(self, members: list[Form]) -> Quantization:
        tensors = dict.fromkeys(form.tensor for form in members)
        histogram = merged([self.histogram(index) for index in tensors])
        scheme = self.scheme_of[members[0]]
        dtype = members[0].dtype
        observer = scheme.activations
        if observer is Observer.MSE and self.ends & tensors.keys():
            # What goes in and comes out is judged by itself, not by what a next layer makes of it,
            # and new inputs go further than the samples: here clipping costs more than it saves.
            observer = Observer.MINMAX
        bounds = clip(histogram, observer, dtype, scheme.percentile)
        return affine(bounds, dtype)

    def histogram(self, index: int) -> Histogram:
        data = self.graph.tensors[index].data
        if data is not None:
            return _of_constant(data)
        assert self.calibration is not None
        return self.calibration.histograms[index]


def _of_constant(data: npt.NDArray[np.generic]) -> Histogram:
    values = np.asarray(data, np.float64)
    low, high = float(values.min()), float(values.max())
    if high <= low:
        counts = np.zeros(BINS)
        counts[0] = values.size
        return Histogram(low, high, counts)
    counts, _ = np.histogram(values, BINS, (low, high))
    return Histogram(low, high, counts.astype(np.float64))
