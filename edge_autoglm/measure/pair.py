"""Two models, or two profiles, against each other: figures, outputs, layers, a verdict."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from edge_export.aot.names import short_names
from edge_quantize.data import Samples
from edge_quantize.graph import Graph, Operator
from edge_quantize.graph.analysis import operator_macs
from edge_quantize.layer_quality import LayerQuality, layer_sqnr, layers_of, scaled_apart
from edge_quantize.output_metrics import OutputMetrics, output_metrics
from edge_quantize.quality import Quality, classifies, compare_outputs, logits
from edge_quantize.run import outputs, real

from .figures import Figure
from .sides import CompareError, Side

Progress = Callable[[int, int, str], None]


@dataclass(frozen=True)
class Limits:
    """What the second may be worse by; None is not asked. `drop` of accuracy, 0..1 (labels are
    needed); `sqnr_db` at least; `slower` 0..1, of cycles, instructions or time."""

    drop: float | None = None
    sqnr_db: float | None = None
    slower: float | None = None


@dataclass(frozen=True)
class LayerPair:
    """A layer of either or both; figures of each side by key ("macs", "weight_bytes", and what a
    profile tells)."""

    name: str
    op: str
    first: Mapping[str, Figure | int] | None
    second: Mapping[str, Figure | int] | None
    quality: LayerQuality | None = None


@dataclass(frozen=True)
class Pair:
    """The outcome. `failures` are the limits that do not hold, a sentence each."""

    first: Side
    second: Side
    layers: tuple[LayerPair, ...]
    quality: Quality | None
    metrics: tuple[OutputMetrics, ...]
    failures: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def qualities(self) -> tuple[LayerQuality, ...]:
        return tuple(pair.quality for pair in self.layers if pair.quality is not None)


def check_comparable(first: Side, second: Side) -> None:
    """Raises CompareError where inputs or outputs differ in number or shape."""
    if first.graph is None or second.graph is None:
        return
    for what in ("inputs", "outputs"):
        shapes = [
            [list(side.graph.tensors[i].shape) for i in getattr(side.graph, what)]
            for side in (first, second)
            if side.graph is not None
        ]
        if shapes[0] != shapes[1]:
            raise CompareError(
                f"{first.name} and {second.name} are two different models: {what} {shapes[0]} and "
                f"{shapes[1]}"
            )


def sample_graph(first: Side, second: Side) -> Graph | None:
    """Whose inputs data is given for: the first with real numbers, or the first."""
    graphs = [side.graph for side in (first, second) if side.graph is not None]
    floats = [g for g in graphs if all(g.tensors[i].quantization is None for i in g.inputs)]
    return next(iter(floats or graphs), None)


def compare(
    first: Side,
    second: Side,
    samples: Samples | None,
    limits: Limits | None = None,
    progress: Progress | None = None,
) -> Pair:
    """`second` against `first`. `samples` are for the inputs of `sample_graph`.

    Raises CompareError for two different models, and for a limit that nothing here can judge.
    """
    limits = limits or Limits()
    check_comparable(first, second)
    _check_limits(limits, samples)
    slower = _slower(first, second, limits.slower)
    quality: Quality | None = None
    metrics: tuple[OutputMetrics, ...] = ()
    qualities: tuple[LayerQuality, ...] = ()
    notes = first.notes + second.notes
    if samples is not None:
        if first.graph is None or second.graph is None:
            missing = first if first.graph is None else second
            raise CompareError(f"{missing.notes[0]}")
        samples = _real(samples, sample_graph(first, second))
        quality, metrics = _outputs(first.graph, second.graph, samples, progress)
        qualities = layer_sqnr(
            first.graph, second.graph, samples, _said(progress, len(samples), 2, "comparing layers")
        )
        notes += _scaled(first.graph, second.graph)
    return Pair(
        first,
        second,
        _layers(first, second, qualities),
        quality,
        metrics,
        (*_failures(quality, limits), *slower),
        notes,
    )


def _scaled(first: Graph, second: Graph) -> tuple[str, ...]:
    """A remark where equalization leaves layers out."""
    names = scaled_apart(first, second)
    if not names:
        return ()
    short = short_names(first)
    said = (
        f"Equalization scaled the channels of {len(names)} layers, from {short[names[0]]} on: "
        "they have no SQNR, since the layers behind them take the factors back."
    )
    return (said,)


def _said(
    progress: Progress | None, count: int, turn: int, what: str
) -> Callable[[int, int], None]:
    def say(done: int, _total: int) -> None:
        if progress is not None:
            progress(turn * count + done, 3 * count, what)

    return say


def _real(samples: Samples, graph: Graph | None) -> Samples:
    """Numbers that are quantized already, as what they stand for: the other model's scale may be
    another."""
    assert graph is not None
    inputs = tuple(
        real(array, graph.tensors[index].quantization)
        if array.dtype.kind in "iu" and graph.tensors[index].quantization is not None
        else array
        for index, array in zip(graph.inputs, samples.inputs, strict=True)
    )
    return replace(samples, inputs=inputs)


def _outputs(
    first: Graph, second: Graph, samples: Samples, progress: Progress | None
) -> tuple[Quality, tuple[OutputMetrics, ...]]:
    count = len(samples)
    # Both are cut, or none: a model may end in SOFTMAX and its twin not.
    both = all(logits(graph) is not graph for graph in (first, second))
    one, two = (logits(first), logits(second)) if both else (first, second)
    expected = outputs(one, samples, _said(progress, count, 0, "running the first"))
    actual = outputs(two, samples, _said(progress, count, 1, "running the second"))
    classes = classifies(first) or classifies(second) or None
    quality = compare_outputs(expected, actual, samples.labels, classes=classes)
    metrics = tuple(
        output_metrics(
            one.tensors[index].name, a, b, classes=quality.agreement is not None and not number
        )
        for number, (index, a, b) in enumerate(zip(one.outputs, expected, actual, strict=True))
    )
    return quality, metrics


def _layers(
    first: Side, second: Side, qualities: tuple[LayerQuality, ...]
) -> tuple[LayerPair, ...]:
    """In the first's order; those of the second alone last."""
    sides = [_by_name(first), _by_name(second)]
    if first.graph is not None:
        short = short_names(first.graph)
        by_name = {short[quality.name]: quality for quality in qualities}
    else:
        by_name = {}
    names = dict.fromkeys([*sides[0], *sides[1]])
    return tuple(
        LayerPair(
            name,
            (sides[0].get(name) or sides[1][name])[0],
            sides[0][name][1] if name in sides[0] else None,
            sides[1][name][1] if name in sides[1] else None,
            by_name.get(name),
        )
        for name in names
    )


def _by_name(side: Side) -> dict[str, tuple[str, dict[str, Figure | int]]]:
    """(operator, figures) by short name, from the graph and from the profile."""
    found: dict[str, tuple[str, dict[str, Figure | int]]] = {}
    if side.graph is not None:
        short = short_names(side.graph)
        for operator in layers_of(side.graph):
            found[short[side.graph.layer_name(operator)]] = (
                operator.op,
                {
                    "macs": operator_macs(side.graph, operator),
                    "weight_bytes": _weight_bytes(side.graph, operator),
                },
            )
    for name, figures in side.layers:
        op, known = found.get(name, ("", {}))
        found[name] = (op, {**known, **figures})
    return found


def _weight_bytes(graph: Graph, operator: Operator) -> int:
    """As they are stored: float16 weights stand before a DEQUANTIZE."""
    widened = {o.outputs[0]: o.inputs[0] for o in graph.operators if o.op == "DEQUANTIZE"}
    tensors = [graph.tensors[widened.get(i, i)] for i in operator.inputs if i >= 0]
    return sum(tensor.nbytes for tensor in tensors if tensor.is_constant)


def _check_limits(limits: Limits, samples: Samples | None) -> None:
    """Before anything is run."""
    if limits.drop is not None and (
        samples is None or samples.labels is None or samples.labels.ndim != 1
    ):
        raise CompareError("a drop of accuracy is judged on data with class labels")
    if limits.sqnr_db is not None and samples is None:
        raise CompareError("an SQNR is judged on data: name some")


def _failures(quality: Quality | None, limits: Limits) -> list[str]:
    found = []
    if limits.drop is not None and quality is not None and quality.paired_drop is not None:
        drop = quality.paired_drop
        if drop.value > limits.drop:
            found.append(
                f"accuracy drops by {100 * drop.value:.2f} points (95 % interval "
                f"{100 * drop.low:.2f} to {100 * drop.high:.2f}), more than {100 * limits.drop:g}"
            )
    if limits.sqnr_db is not None and quality is not None and quality.sqnr_db < limits.sqnr_db:
        found.append(f"SQNR is {quality.sqnr_db:.2f} dB, less than {limits.sqnr_db:g}")
    return found


def _slower(first: Side, second: Side, limit: float | None) -> list[str]:
    """Of the figure that both have, the most certain: instructions, then cycles, then time."""
    if limit is None:
        return []
    for key in ("instructions", "cycles", "latency_ms"):
        one, other = first.figures.get(key), second.figures.get(key)
        if one is None or other is None or one.kind is not other.kind or not one.value:
            continue
        change = other.value / one.value - 1
        if change > limit:
            return [f"{key} {100 * change:+.1f} % ({one.kind.value}), more than {100 * limit:g} %"]
        return []
    raise CompareError(
        "how much slower it is cannot be told: name two bundles of `profile`, of boards that count "
        "alike"
    )
