"""Where the backend itself put each operator, from the log of a GPU-only compilation.

The log names kinds of operators and counts, never operators. A kind that it took in part is settled
by compiling each operator of that kind alone; what comes out must give the log's counts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from importlib.metadata import version

from edge_export.errors import DelegationError
from edge_quantize.errors import GpuCompileError, GpuRunError, UnsupportedModelError
from edge_quantize.gpu import BackendLog, Driver, GpuSession, read_log
from edge_quantize.graph.model import Graph
from edge_quantize.graph.writer import write_tflite

from .model import Delegation, Disagreement, Place, Target
from .placing import Refusals, all_on_cpu, placed
from .refusing import refused_operators, refused_whole
from .rules import Refused, float16_constants, refused, rules_for
from .rules.findings import findings

# Compiles a model with the GPU alone, and gives the backend's log.
Ask = Callable[[bytes], BackendLog]


def backend_log(content: bytes, driver: Driver | None = None) -> BackendLog:
    """The log of one GPU-only compilation, of the model whether taken or not.

    Raises GpuUnavailableError without a driver, GpuRunError when the backend crashes.
    """
    try:
        with GpuSession(content, driver=driver) as session:
            return session.log
    except GpuCompileError as error:
        return read_log(error.log)


def observed(graph: Graph, log: BackendLog, ask: Ask | None = None) -> Delegation:
    """What the backend did with `graph`; where it took a kind in part, `ask` settles which.

    Raises DelegationError where no placement gives the log's counts.
    """
    rules = rules_for(Target.ANDROID_GPU)
    source = f"the log of LiteRT {version('ai-edge-litert')}'s GPU accelerator"
    source += f" on {log.adapter}" if log.adapter else ""
    predicted = _predicted(graph)
    whole = refused_whole(graph)
    if log.dynamic or (not log.graphs_built and log.on_cpu is None and graph.operators):
        reasons = whole or _unloaded(graph, log)
        made = all_on_cpu(graph, reasons, source, observed=True)
    else:
        ours = refused_operators(graph, rules)
        found = _refusals(graph, log, ours, ask)
        made = placed(graph, found, source, observed=True, notes=_failed(log))
        _agree(made, log)
    return replace(made, disagreements=_disagreements(made, predicted))


def probe_operators(
    graph: Graph, positions: Iterable[int], ask: Ask = backend_log
) -> dict[int, str | None]:
    """Each of these operators compiled alone, GPU only: None where it is taken, else the backend's
    words for why not."""
    found: dict[int, str | None] = {}
    for position in positions:
        try:
            log = ask(write_tflite(_alone(graph, position)))
        except UnsupportedModelError as error:
            found[position] = str(error)
            continue
        except GpuRunError:
            found[position] = "the backend crashes"
            continue
        words = "; ".join(each.reason for each in log.refused)
        if log.dynamic:
            words = "its result's size is known only while running"
        elif not log.graphs_built and not words:
            words = next(iter(log.failures), "not taken")
        found[position] = words or None
    return found


def _failed(log: BackendLog) -> tuple[str, ...]:
    """What is to be known of a model that was taken by its operators, and yet cannot run."""
    if log.refused or not log.failures:
        return ()
    return (f"the backend took these operators, then failed at its program: {log.failures[0]}",)


def _predicted(graph: Graph) -> Delegation:
    rules = rules_for(Target.ANDROID_GPU)
    whole = refused_whole(graph)
    if whole:
        return all_on_cpu(graph, whole, rules.source)
    return placed(graph, Refusals(refused_operators(graph, rules), {}), rules.source)


def _refusals(
    graph: Graph, log: BackendLog, ours: Mapping[int, Refused], ask: Ask | None
) -> Refusals:
    """Which operators the backend refused, by its list of kinds."""
    said: dict[str, list[str]] = {}
    for refusal in log.refused:
        said.setdefault(refusal.op, []).append(refusal.reason)
    reasons: dict[int, Refused] = {}
    words: dict[int, str] = {}
    for kind, texts in said.items():
        positions = [p for p, o in enumerate(graph.operators) if _kind(o.op) == kind]
        mixed = len(positions) > 1 and any((p in ours) != (positions[0] in ours) for p in positions)
        surprising = len(positions) > 1 and not any(p in ours for p in positions)
        alone = probe_operators(graph, positions, ask) if ask and (mixed or surprising) else {}
        for position in positions:
            mine = ours.get(position)
            if alone and alone[position] is None:
                continue
            if not alone and mine is None and len(positions) > 1 and not surprising:
                continue
            text = _matching(mine, texts) if not alone else str(alone[position])
            words[position] = text
            known = mine is not None and findings().same(mine.code, text)
            reasons[position] = mine if known and mine else refused("said", words=text)
    return Refusals(reasons, words)


def _matching(mine: Refused | None, texts: list[str]) -> str:
    """The backend's words that our reason stands for; its first where none does."""
    if mine is not None:
        for text in texts:
            named = mine.fields.get("tensor")
            if findings().same(mine.code, text) and (named is None or str(named) in text):
                return text
        for text in texts:
            if findings().same(mine.code, text):
                return text
    return texts[0]


def _kind(op: str) -> str:
    """As the log names it."""
    return f"CUSTOM {op.removeprefix('CUSTOM:')}" if op.startswith("CUSTOM:") else op


def _agree(made: Delegation, log: BackendLog) -> None:
    # What unpacks float16 weights for a part of the model is left out of the GPU's count.
    on_cpu = sum(o.place is Place.CPU or o.code == "float16-unpacked" for o in made.operators)
    on_gpu = len(made.operators) - on_cpu
    said = (log.on_gpu, log.on_cpu) if log.on_cpu is not None else (len(made.operators), 0)
    if (on_gpu, on_cpu) != said:
        raise DelegationError(
            f"the GPU backend counts {said[0]} operators on the GPU and {said[1]} on the CPU, "
            f"which no placement of its refusals gives (nearest: {on_gpu} and {on_cpu})"
        )


def _unloaded(graph: Graph, log: BackendLog) -> dict[int, Refused]:
    words = next(iter(log.failures), "the backend refuses the model and does not say why")
    return dict.fromkeys(range(len(graph.operators)), refused("said", words=words))


def _disagreements(made: Delegation, predicted: Delegation) -> tuple[Disagreement, ...]:
    return tuple(
        Disagreement(mine.index, mine.op, theirs.place, mine.place)
        for mine, theirs in zip(made.operators, predicted.operators, strict=True)
        if mine.place is not theirs.place
    )


def _alone(graph: Graph, position: int) -> Graph:
    """The graph of one operator, with what unpacks its float16 weights."""
    operator = graph.operators[position]
    float16 = float16_constants(graph)
    wanted = [
        other
        for other in graph.operators
        if other.outputs and other.outputs[0] in float16 and other.outputs[0] in operator.inputs
    ]
    kept = [*wanted, operator]
    indices = list(
        dict.fromkeys(i for o in kept for i in (*o.inputs, *o.outputs, *o.intermediates) if i >= 0)
    )
    place = {old: new for new, old in enumerate(indices)} | {-1: -1}
    tensors = tuple(
        replace(graph.tensors[old], index=new) for old, new in place.items() if new >= 0
    )
    made = {i for o in kept for i in o.outputs}
    inputs = [
        i for i in dict.fromkeys(operator.inputs)
        if i >= 0 and i not in made
        and not graph.tensors[i].is_constant and not graph.tensors[i].is_variable
    ]  # fmt: skip
    operators = tuple(
        replace(
            o, index=number, inputs=tuple(place[i] for i in o.inputs),
            outputs=tuple(place[i] for i in o.outputs),
            intermediates=tuple(place[i] for i in o.intermediates),
        )
        for number, o in enumerate(kept)
    )  # fmt: skip
    return Graph(
        "alone", tensors, operators, tuple(place[i] for i in inputs),
        tuple(place[i] for i in operator.outputs),
    )  # fmt: skip
