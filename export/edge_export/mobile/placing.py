"""From which operators the GPU would take to where each one runs, and why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from edge_quantize.graph.model import Graph

from .apart import computing
from .model import NOT_ITS_OWN, Delegation, Place, Placement
from .partitions import largest, partitions, transfers
from .rules import Refused, float16_constants, refused

_MOST_NAMED = 3


@dataclass(frozen=True)
class Refusals:
    """Positions in `graph.operators` that the GPU does not take, and why; `words` are the
    backend's own, where it said any."""

    reasons: Mapping[int, Refused]
    words: Mapping[int, str]


def placed(
    graph: Graph,
    refusals: Refusals,
    source: str,
    *,
    observed: bool = False,
    notes: tuple[str, ...] = (),
) -> Delegation:
    """The delegation where the GPU refuses these operators and takes the others: one partition
    goes to it, the largest. `notes` stand beside those on the model itself."""
    unpacking = _unpacking(graph)
    able = set(range(len(graph.operators))) - set(refusals.reasons) - unpacking
    if len(able) + len(unpacking) == len(graph.operators):
        # All are taken, and what unpacks float16 weights goes with them.
        able |= unpacking
        unpacking = set()
    chosen = largest(graph, able)
    reasons = dict(refusals.reasons)
    reasons |= {position: refused("float16-unpacked") for position in unpacking}
    cut = _cut(graph, refusals.reasons)
    count = "1 operator" if len(chosen) == 1 else f"{len(chosen)} operators"
    for position in able - set(chosen):
        reasons[position] = refused("other-partition", largest=count, cut=cut)
    found = Refusals(reasons, refusals.words)
    return _delegation(graph, set(chosen), found, source, observed, notes)


def all_on_cpu(
    graph: Graph, reasons: Mapping[int, Refused], source: str, *, observed: bool = False
) -> Delegation:
    """The delegation of a model that the GPU refuses whole."""
    found = Refusals(reasons, {})
    return _delegation(graph, set(), found, source, observed, whole=True)


def _delegation(
    graph: Graph,
    chosen: set[int],
    refusals: Refusals,
    source: str,
    observed: bool,
    notes: tuple[str, ...] = (),
    whole: bool = False,
) -> Delegation:
    parts = partitions(graph, chosen)
    places = [Place.GPU if part[0] in chosen else Place.CPU for part in parts]
    part_of = {position: number for number, part in enumerate(parts) for position in part}
    for position, refusal in refusals.reasons.items():
        if refusal.code == "float16-unpacked":
            part_of[position] = _with_readers(graph, position, part_of, places)
    numbers = {old: new for new, old in enumerate(sorted(set(part_of.values())))}
    operators = []
    computes = {operator.index for operator in computing(graph)}
    for position, operator in enumerate(graph.operators):
        reason = refusals.reasons.get(position)
        operators.append(
            Placement(
                index=operator.index,
                name=graph.layer_name(operator),
                op=operator.op,
                place=places[part_of[position]],
                partition=numbers[part_of[position]],
                reason=reason.why if reason else "",
                mend=reason.mend if reason else "",
                code=reason.code if reason else "",
                words=refusals.words.get(position, ""),
                unpacks=operator.index not in computes and not _itself(reason, whole),
            )
        )
    moves = tuple(
        replace(move, source=numbers[move.source], to=numbers[move.to])
        for move in transfers(graph, parts, places, float16_constants(graph))
    )
    return Delegation(
        operators=tuple(operators),
        transfers=tuple(dict.fromkeys(move.tensor for move in moves)),
        source=source,
        moves=moves,
        observed=observed,
        notes=(*_notes(graph), *notes),
    )


def _itself(reason: Refused | None, whole: bool) -> bool:
    """Whether an operator is refused for what it is; not where the model is refused as a whole."""
    if reason is None or reason.code in NOT_ITS_OWN:
        return False
    return not whole or reason.code == "no-kernel"


def _with_readers(
    graph: Graph, position: int, part_of: Mapping[int, int], places: Sequence[Place]
) -> int:
    """The partition that what unpacks weights goes with: the first of the CPU's that reads them,
    since only there it runs, else the first of the GPU's."""
    made = set(graph.operators[position].outputs)
    found = [part_of[p] for p, o in enumerate(graph.operators) if made & set(o.inputs)]
    return min(found, key=lambda part: (places[part] is Place.GPU, part), default=part_of[position])


def _unpacking(graph: Graph) -> set[int]:
    made = float16_constants(graph)
    return {
        position
        for position, operator in enumerate(graph.operators)
        if operator.op == "DEQUANTIZE" and operator.outputs and operator.outputs[0] in made
    }


def _cut(graph: Graph, reasons: Mapping[int, Refused]) -> str:
    """The refused operators by name, for a sentence."""
    named = [
        f"{graph.operators[position].op} '{graph.layer_name(graph.operators[position])}'"
        for position in sorted(reasons)
    ]
    if len(named) > _MOST_NAMED:
        named = [*named[:_MOST_NAMED], f"{len(named) - _MOST_NAMED} more"]
    return " and ".join(filter(None, [", ".join(named[:-1]), *named[-1:]]))


def _notes(graph: Graph) -> tuple[str, ...]:
    found = []
    if not graph.operators:
        found.append("the model has no operator: nothing runs, and its output is not written")
    if graph.other_subgraphs:
        names = ", ".join(f"'{name}'" for name in graph.other_subgraphs)
        found.append(f"only the first subgraph is listed, not {names}")
    opened = [t for t in map(graph.tensor, graph.inputs) if -1 in t.shape_signature]
    found += [
        f"input '{t.name}' has an open shape {list(t.shape_signature)}: it runs as "
        f"{list(t.shape)} unless the app resizes it"
        for t in opened
    ]
    return tuple(found)
