"""What a row of the rules is, and how it is asked."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from edge_quantize.graph.model import DType

from .node import Node
from .reasons import Refused, refused

Check = Callable[[Node], Refused | None]
_MOST_RANK = 4


@dataclass(frozen=True)
class Rule:
    """One operator. `inputs` and `outputs` are the element types of what is computed while running
    (constants are the checks' matter); `version` is the newest that is taken, 0 for any; `checks`
    go in order, and the first that refuses is the answer."""

    op: str
    inputs: frozenset[DType]
    outputs: frozenset[DType]
    version: int = 0
    checks: tuple[Check, ...] = ()


@dataclass(frozen=True)
class RuleSet:
    """The rules of one backend. `source` says where they come from, with versions; `checked`:
    whether they were compared with the backend itself."""

    backend: str
    source: str
    checked: bool
    rules: Mapping[str, Rule] = field(repr=False)
    custom: frozenset[str] = frozenset()

    def refusal(self, node: Node) -> Refused | None:
        """Why this backend refuses `node`, None where it takes it."""
        op = node.operator.op
        if op.startswith("CUSTOM:"):
            name = op.removeprefix("CUSTOM:")
            return None if name in self.custom else refused("custom-op", op=name or "it")
        rule = self.rules.get(op)
        if rule is None:
            return refused("unknown-op", op=op)
        if rule.version and node.operator.version > rule.version:
            return refused("version", op=op, version=node.operator.version, most=rule.version)
        for check in rule.checks:
            found = check(node)
            if found is not None:
                return found
        return _types(node, rule)


def table(rules: Iterable[Rule]) -> dict[str, Rule]:
    """By operator. Raises ValueError for one that is there twice."""
    made: dict[str, Rule] = {}
    for rule in rules:
        if rule.op in made:
            raise ValueError(f"two rules for {rule.op}")
        made[rule.op] = rule
    return made


def _types(node: Node, rule: Rule) -> Refused | None:
    sides = ((node.operands, rule.inputs), (node.results, rule.outputs))
    for tensors, allowed in sides:
        for tensor in tensors:
            if tensor is None:
                continue
            if len(tensor.shape) > _MOST_RANK:
                return refused("rank", tensor=tensor.name, rank=len(tensor.shape), most=_MOST_RANK)
            held = tensor.is_constant or tensor.is_variable
            if not held and tensor.dtype not in allowed:
                return refused("element-type", tensor=tensor.name, dtype=tensor.dtype.value)
    return None
