"""Which operators a phone's GPU takes, one row an operator, for each kind of phone."""

from __future__ import annotations

from edge_export.mobile.model import Target

from .litert import litert_rules
from .metal import metal_rules
from .node import Node, float16_constants, node_of
from .reasons import Refused, refused
from .table import Rule, RuleSet

__all__ = [
    "Node",
    "Refused",
    "Rule",
    "RuleSet",
    "float16_constants",
    "node_of",
    "refused",
    "rules_for",
]


def rules_for(target: Target) -> RuleSet:
    return litert_rules() if target is Target.ANDROID_GPU else metal_rules()
