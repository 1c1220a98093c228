"""Where each operator of a model will run on a phone: by the rules, or as the backend said."""

from __future__ import annotations

from edge_quantize.graph.model import Graph
from edge_quantize.ingest.tflite import read_tflite

from .delegates_file import delegates_json
from .model import Delegation, Target
from .observation import Ask, backend_log, observed, probe_operators
from .placing import Refusals, all_on_cpu, placed
from .refusing import refused_operators, refused_whole
from .rules import rules_for

__all__ = [
    "Ask",
    "backend_log",
    "delegates_json",
    "observed",
    "predict",
    "probe_operators",
    "refusals",
]


def predict(model: bytes | Graph, target: Target) -> Delegation:
    """What the rules of `target` say of a `.tflite` file's content or of a graph.

    Raises ModelFileError for content that is no model.
    """
    graph = model if isinstance(model, Graph) else read_tflite(model)
    rules = rules_for(target)
    whole = refused_whole(graph)
    if whole:
        return all_on_cpu(graph, whole, rules.source)
    return placed(graph, Refusals(refused_operators(graph, rules), {}), rules.source)


def refusals(delegation: Delegation) -> list[str]:
    """Every operator that the GPU does not take, a line each: which, why, and what would help.

    Not those that it would take if it took these. Where one thing keeps the whole model away (a
    size that is known only while running), it is one line.
    """
    found = []
    for each in delegation.refused:
        if not each.alone:
            continue
        which = "" if each.code == "dynamic" else f"operator {each.index} {each.op} '{each.name}': "
        mend = f"; {each.mend}" if each.mend else ""
        found.append(f"{which}{each.reason or each.words}{mend}")
    return list(dict.fromkeys(found))
