"""One finished model: its graph, what it takes, what it is worth, and the files it leaves."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from edge_autoglm.files import write_whole
from edge_autoglm.measure.figures import Figure, Kind
from edge_autoglm.report.summary import Value, graph_figures
from edge_export.aot.names import identifier
from edge_quantize.graph import Graph
from edge_quantize.graph.writer import write_tflite
from edge_quantize.ingest.tflite import read_tflite
from edge_quantize.layer_quality import LayerQuality

from .budget import Budget, Excess
from .finalists import Measured
from .judge import Measure, Worth, excesses
from .space import Choice
from .target import Costs

NUMBERS = "numbers.json"


@dataclass(frozen=True, eq=False)
class Entry:
    """`costs` are modelled, `measured` what was built; `worth` None where no data judged it."""

    name: str
    graph: Graph
    choice: Choice | None
    costs: Costs
    worth: Worth | None
    measured: Measured | None = None
    layers: tuple[LayerQuality, ...] = ()  # of the one chosen, against the float model

    @property
    def kernels(self) -> Mapping[str, str]:
        return dict(self.choice.kernels) if self.choice is not None else {}

    def broken(self, budget: Budget) -> tuple[Excess, ...]:
        """What is beyond the budget: of what was measured where it was, else as modelled."""
        modelled = excesses(self.costs, budget, self.worth)
        if self.measured is None:
            return modelled
        found = self.measured.excesses(budget, self.costs.footprint.stack)
        timed = self.measured.latency is not None
        kept = {"accuracy"} | (set() if timed else {"latency"})
        return (*found, *(each for each in modelled if each.resource in kept))

    def figures(self) -> dict[str, Value]:
        """For reports, by the keys of `report.summary.QUANTITIES`."""
        foot = self.costs.footprint
        found = dict(graph_figures(self.graph, len(write_tflite(self.graph))))
        found |= cost_figures(self.costs)
        if self.measured is not None:
            measured = self.measured
            found["flash"] = Figure(measured.flash, Kind.EXACT)
            kind = Kind.MEASURED if measured.stack is not None else Kind.MODELLED
            found["ram"] = Figure(measured.ram(foot.stack), kind)
            if measured.latency is not None:
                found["latency_ms"] = measured.latency
            if measured.instructions is not None:
                found["instructions"] = measured.instructions
        return found | worth_figures(self.worth)

    def numbers(self) -> dict[str, Any]:
        """All of it as JSON."""
        foot, latency = self.costs.footprint, self.costs.latency
        return {
            "schema": 1,
            "point": self.name,
            "model_sha256": self.graph.sha256,
            "choice": None if self.choice is None else self.choice.json(),
            "modelled": {
                "flash": foot.flash,
                "code": foot.code,
                "constants": foot.constants,
                "ram": foot.ram,
                "static_ram": foot.static_ram,
                "arena": foot.arena,
                "stack_estimate": foot.stack,
                "latency_ms": None if latency is None else round(latency.ms, 4),
                "instructions": None if latency is None else round(latency.instructions),
            },
            "measured": None if self.measured is None else self.measured.json(),
            "worth": None if self.worth is None else self.worth.json(),
        }

    def file(self, folder: Path) -> Path:
        """Where the model lies in a folder of its own."""
        return folder / f"{identifier(self.graph.name)}.tflite"

    def write(self, folder: Path) -> Entry:
        """Writes the model, its numbers and its recipe into `folder`; the entry as it was written.

        Raises OSError."""
        folder.mkdir(parents=True, exist_ok=True)
        path = self.file(folder)
        write_whole(path, write_tflite(self.graph))
        entry = replace(self, graph=replace(read_tflite(path), name=self.graph.name))
        write_whole(folder / NUMBERS, (json.dumps(entry.numbers(), indent=2) + "\n").encode())
        if self.choice is not None:
            write_whole(folder / "recipe.toml", recipe_text(self.choice).encode())
        return entry


def cost_figures(costs: Costs) -> dict[str, Value]:
    """What is modelled before anything is built."""
    foot, latency = costs.footprint, costs.latency
    found: dict[str, Value] = {
        "arena": Figure(foot.arena, Kind.EXACT),
        "flash": Figure(foot.flash, Kind.MODELLED),
        "ram": Figure(foot.ram, Kind.MODELLED),
    }
    if latency is not None:
        found["latency_ms"] = Figure(round(latency.ms, 4), Kind.MODELLED)
    return found


def worth_figures(worth: Worth | None) -> dict[str, Value]:
    """What the data held back says."""
    if worth is None:
        return {}
    found: dict[str, Value] = {"sqnr_db": Figure(worth.sqnr_db, Kind.MEASURED)}
    if worth.accuracy is not None:
        found["accuracy"] = worth.accuracy
    if worth.agreement is not None:
        found["agreement"] = worth.agreement
    if worth.measure is Measure.ACCURACY:
        found["drop"] = worth.error
    return found


def recipe_text(choice: Choice) -> str:
    """The quantization of a point as a recipe file, with its pruning in words."""
    lines = [f"# {choice}"]
    if choice.sparsity:
        lines.append(
            f"# prune first: edge-autoglm prune --sparsity {choice.sparsity:g} "
            f"--align {choice.align}"
        )
    lines += ["[default]", 'precision = "int8"']
    for name, precision in choice.precisions:
        lines += ["", "[[rule]]", f"layer = {json.dumps(_literal(name), ensure_ascii=False)}"]
        lines.append(f'precision = "{precision.value}"')
    return "\n".join(lines) + "\n"


def _literal(name: str) -> str:
    """A shell pattern that matches `name` alone."""
    return "".join(f"[{c}]" if c in "*?[" else c for c in name)
