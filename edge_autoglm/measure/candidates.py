"""A model file as comparisons need it: which runtimes run it, and what it is compared with."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edge_export.tflm.ops import tflm_problems
from edge_quantize.check import check_supported, require_supported
from edge_quantize.graph import DType, Graph
from edge_quantize.ingest.source import read_model_file
from edge_quantize.ingest.tflite import read_tflite
from edge_quantize.reference import Reference, best_reference


@dataclass(frozen=True, eq=False)
class Candidate:
    """`why_no_c` is the first reason why the ahead-of-time compiler does not take the model; empty
    where it does."""

    graph: Graph
    content: bytes
    why_no_c: str

    @property
    def floating(self) -> bool:
        """Whether it computes in floating point: in integers every right result is the same."""
        return any(
            operand is not None and operand.dtype is DType.FLOAT32
            for operator in self.graph.operators
            for operand in self.graph.operands(operator)[:1]
            if self.graph.results(operator)[0].dtype is DType.FLOAT32
        )

    @property
    def has_c(self) -> bool:
        return not self.why_no_c

    def reference(self, preserve: bool = False) -> Reference:
        """The host's best reference for it. Raises ReferenceRuntimeError."""
        if self.has_c:
            return best_reference(self.graph, preserve)
        # As the file has it: what is not compiled is not read whole, and cannot be written anew.
        return best_reference(self.content, preserve, checked=True)


def candidate(model: Path) -> Candidate:
    """Reads a model that at least one runtime runs.

    Raises ModelFileError, or UnsupportedModelError with the compiler's reasons.
    """
    graph = read_tflite(model)
    problems = check_supported(graph)
    if problems and tflm_problems(graph):
        require_supported(graph)
    why = str(problems[0]) if problems else ""
    return Candidate(graph, read_model_file(model), why)
