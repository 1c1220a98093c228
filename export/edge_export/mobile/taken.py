"""Whether the GPU took all of a model, by what LiteRT and its backend's log say."""

from __future__ import annotations

from edge_quantize.gpu import BackendLog, GpuSession
from edge_quantize.graph import Graph

from .apart import computing


def not_on_gpu(graph: Graph, session: GpuSession) -> str:
    """Why the GPU cannot have computed all of it, whatever is claimed; else empty."""
    if not computing(graph):
        return "the model computes nothing: no operator depends on its inputs"
    if session.log.refused:
        return compile_problem("", session.log)
    return "; ".join(session.doubts)


def compile_problem(message: str, log: BackendLog) -> str:
    """Why a model was not compiled; `message` is LiteRT's own word, for want of a better one."""
    if log.refused:
        kinds = ", ".join(dict.fromkeys(each.op for each in log.refused))
        share = ""
        if log.on_gpu is not None and log.on_cpu is not None:
            share = f" ({log.on_cpu} of {log.on_gpu + log.on_cpu} operators would be the CPU's)"
        return f"the GPU does not take {kinds}{share}"
    if log.dynamic:
        return "the GPU takes no tensors whose size is known only while it runs"
    return f"the backend refuses the model: {message}"
