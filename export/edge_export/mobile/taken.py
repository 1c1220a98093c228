"""Whether the GPU took all of a model, by what LiteRT and its backend's log say."""

from __future__ import annotations

from edge_quantize.gpu import BackendLog, GpuSession
from edge_quantize.graph import Graph

from .apart import computing
from .rules import float16_constants


def not_on_gpu(graph: Graph, session: GpuSession) -> str:
    """Why the GPU cannot have computed all of it, whatever is claimed; else empty."""
    if not computing(graph):
        return "the model computes nothing: no operator depends on its inputs"
    if session.log.refused:
        return compile_problem("", session.log, graph)
    return "; ".join(session.doubts)


def taken(graph: Graph, log: BackendLog) -> tuple[int, int] | None:
    """How many operators that compute the GPU took, and of how many; None where the log counts
    none. The log counts those that unpack weights too: with float16 ones, which the GPU reads as
    they are, as the CPU's."""
    if log.on_gpu is None or log.on_cpu is None:
        return None
    float16, kinds = float16_constants(graph), {each.op for each in log.refused}
    computes = {operator.index for operator in computing(graph)}
    others = [o for o in graph.operators if o.index not in computes]
    left = sum(o.outputs[0] in float16 for o in others)
    ready = sum(o.outputs[0] not in float16 and o.op not in kinds for o in others)
    total = len(graph.operators) - left - ready
    return min(max(total - max(log.on_cpu - left, 0), 0), total), total


def the_cpus(count: int, total: int) -> str:
    """How much of a model would be the CPU's, as a clause."""
    return f"{count} of {total} operator{'s' * (total != 1)} would be the CPU's"


def compile_problem(message: str, log: BackendLog, graph: Graph) -> str:
    """Why `graph` was not compiled; `message` is LiteRT's own word, for want of a better one."""
    if log.refused:
        kinds = ", ".join(dict.fromkeys(each.op for each in log.refused))
        counts, share = taken(graph, log), ""
        if counts is not None:
            share = f" ({the_cpus(counts[1] - counts[0], counts[1])})"
        return f"the GPU does not take {kinds}{share}"
    if log.dynamic:
        return "the GPU takes no tensors whose size is known only while it runs"
    return f"the backend refuses the model: {message}"
