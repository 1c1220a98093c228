"""A profile as JSON (profile.schema.json describes it) and as tables."""

from __future__ import annotations

from itertools import compress
from typing import TYPE_CHECKING, Any

from rich.table import Table

from edge_autoglm.device.wiredefs import Counted

from .tables import percent, size, table

if TYPE_CHECKING:
    from edge_autoglm.measure.figures import Figure
    from edge_autoglm.measure.profile import LayerProfile, Memory, Profile, StepProfile

SCHEMA = 1


def figure_json(figure: Figure | None) -> dict[str, Any] | None:
    """`{"value", "kind"}`, and the extremes where there were several runs."""
    if figure is None:
        return None
    value: dict[str, Any] = {"value": figure.value, "kind": figure.kind.value}
    if figure.low is not None and figure.high is not None:
        value |= {"low": figure.low, "high": figure.high}
    return value


def profile_json(profile: Profile) -> dict[str, Any]:
    """The object of profile.json."""
    verdict = profile.verdict
    return {
        "schema": SCHEMA,
        "board": profile.board,
        "virtual": profile.virtual,
        "model": {"name": profile.model, "sha256": profile.model_sha256},
        "build_id": profile.build_id,
        "toolchain": profile.toolchain,
        "runtime": profile.runtime,
        "clock_hz": profile.clock_hz,
        "counter": profile.counter.word,
        "runs": profile.runs,
        "warmup": profile.warmup,
        "totals": {
            "macs": {"value": profile.macs, "kind": "exact"},
            "instructions": figure_json(profile.instructions),
            "cycles": figure_json(profile.cycles),
            "latency_ms": figure_json(profile.latency_ms),
            "energy_mj": figure_json(profile.energy_mj),
        },
        "memory": {
            "arena": profile.memory.arena,
            "static_ram": profile.memory.static_ram,
            "stack": profile.memory.stack,
            "code": profile.memory.code,
            "weights": profile.memory.weights,
            **_interpreters(profile.memory),
        },
        "layers": [
            {
                "index": layer.index,
                "name": layer.name,
                "op": layer.op,
                "kernels": list(layer.kernels),
                "macs": {"value": layer.macs, "kind": "exact"},
                "instructions": figure_json(layer.instructions),
                "cycles": figure_json(layer.cycles),
                "latency_ms": figure_json(layer.latency_ms),
                "share": layer.share,
                "steps": [
                    {
                        "kernel": step.kernel,
                        "macs": {"value": step.macs, "kind": "exact"},
                        "instructions": figure_json(step.instructions),
                        "cycles": figure_json(step.cycles),
                        "latency_ms": figure_json(step.latency_ms),
                        "share": step.share,
                    }
                    for step in layer.steps
                ],
            }
            for layer in profile.layers
        ],
        "verdict": (
            {
                "reference": verdict.reference,
                "bit_exact": verdict.bit_exact,
                "max_abs_diff": verdict.max_abs_diff,
                "inputs": verdict.inputs,
            }
            if verdict
            else None
        ),
    }


def count(figure: Figure | None) -> str | None:
    """A count as a table's cell."""
    return None if figure is None else f"{figure.value:,.0f}"


def _interpreters(memory: Memory) -> dict[str, int | None]:
    """What is known of an interpreter's arena alone."""
    if memory.arena_used is None:
        return {}
    return {"arena_used": memory.arena_used, "arena_stated": memory.arena_stated}


def _short(kernel: str) -> str:
    """A kernel's name without what all of a runtime's have in common."""
    return kernel.removeprefix("eag_").removeprefix("tflm_")


def kinds(**figures: Figure | None) -> str:
    """What the figures are, those of one kind together: "instructions exact, cycles and ms
    modelled"."""
    named: dict[str, list[str]] = {}
    for name, figure in figures.items():
        if figure is not None:
            named.setdefault(figure.kind.value, []).append(name)
    return ", ".join(f"{' and '.join(names)} {kind}" for kind, names in named.items())


def _title(profile: Profile) -> str:
    """Model, board, clock, and what the figures below are."""
    where = "virtual " if profile.virtual else ""
    # Where microseconds are counted, nobody asked the core for its clock.
    clock = f" at {profile.clock_hz / 1e6:g} MHz" if profile.cycles else ""
    what = kinds(instructions=profile.instructions, cycles=profile.cycles, ms=profile.latency_ms)
    return f"{profile.model} on {where}{profile.board}{clock}\n{what}"


_FIGURES = (">instr.", ">cycles", ">ms", ">%", ">c/MAC")


def _figures(row: LayerProfile | StepProfile | Profile, share: str) -> tuple[str | None, ...]:
    """The cells below `_FIGURES`; None what the board's counter does not tell."""
    # A timer's microsecond is the third decimal; cycles say more than it would.
    decimals = 2 if row.cycles else 3
    return (
        count(row.instructions),
        count(row.cycles),
        f"{row.latency_ms.value:.{decimals}f}" if row.latency_ms else None,
        share,
        f"{row.cycles.value / row.macs:.2f}" if row.cycles and row.macs else None,
    )


def profile_table(profile: Profile) -> Table:
    """One row a layer, and one for each step of a layer that has several; fits 80 columns. Figures
    that the board does not tell have no column."""
    total = _figures(profile, "100")
    told = [cell is not None for cell in total]
    rows: list[tuple[object, ...]] = []
    for layer in profile.layers:
        kernels = " ".join(_short(kernel) for kernel in layer.kernels) or f"({layer.op.lower()})"
        several = len(layer.steps) > 1
        if several:
            kernels = f"{len(layer.steps)} steps:"
        figures = compress(_figures(layer, percent(layer.share, 1)), told)
        rows.append((layer.index, layer.name, kernels, layer.macs or None, *figures))
        for step in layer.steps if several else ():
            figures = compress(_figures(step, percent(step.share, 1)), told)
            rows.append(("", "", f"- {_short(step.kernel)}", step.macs or None, *figures))
    return table(
        _title(profile),
        [">#", "~layer", "~kernel", ">MACs", *compress(_FIGURES, told)],
        rows,
        total=("", "total", "", profile.macs, *compress(total, told)),
    )


def _spread(profile: Profile) -> str:
    """Where several runs on a virtual board differ, and why."""
    counted = profile.instructions
    same = "instruction counts repeat exactly"
    if counted and counted.spread:
        extremes = f"{counted.low:,.0f} to {counted.high:,.0f}"
        same = f"instruction counts go with the inputs, {extremes}"
    return f"{same}; the spread is of modelled cycles: caches and branch history carry over"


def _arena(memory: Memory) -> str:
    if memory.arena_used is None:
        return f"arena {memory.arena:,} B"
    stated = "" if memory.arena_stated is None else f" ({memory.arena_stated:,} B were stated)"
    return f"arena {memory.arena:,} B, of which TFLM uses {memory.arena_used:,} B{stated}"


def profile_lines(profile: Profile) -> list[str]:
    """What stands under the table."""
    runs = "1 run" if profile.runs == 1 else f"median of {profile.runs} runs"
    spread = profile.latency_ms
    extremes = (
        f", {spread.low:.3f} to {spread.high:.3f} ms"
        if spread and spread.low is not None and spread.high is not None
        else ""
    )
    repeats = " (a virtual board repeats itself exactly)" if profile.virtual else ""
    if profile.virtual and profile.runs > 1:
        repeats = f"; {_spread(profile)}"
    elif profile.counter is not Counted.CYCLES:
        repeats += f"; the board counts {profile.counter.word}, no cycles"
    lines = [f"{runs} after {profile.warmup} warm-up{extremes}{repeats}"]
    if profile.runtime == "tflm":
        whole = [layer.kernels for layer in profile.layers] == [("tflm",)]
        what = (
            "one row for all ops, its library was built without the words that tell them apart"
            if whole
            else "a row is an op and the interpreter's way to it"
        )
        lines.append(f"interpreted by TFLM: {what}")
    memory = profile.memory
    parts = [
        _arena(memory),
        "stack not known" if memory.stack is None else f"stack {memory.stack:,} B used",
        f"weights {size(memory.weights)}",
    ]
    if memory.code is not None and memory.static_ram is not None:
        parts += [f"code {size(memory.code)}", f"other static RAM {memory.static_ram:,} B"]
    lines.append("memory: " + ", ".join(parts))
    if profile.energy_mj:
        energy = profile.energy_mj
        lines.append(f"energy: {energy.value:.4g} mJ an inference ({energy.kind.value} current)")
    if profile.verdict:
        lines.append(f"outputs: {profile.verdict}")
    else:
        why = profile.not_compared or "the model's file is not at hand"
        lines.append(
            f"outputs: not compared, {why}; `edge-autoglm verify MODEL --board {profile.board}"
            f"{' --port virtual' if profile.virtual else ' --port auto'}` does"
        )
    if profile.toolchain:
        lines.append(f"build {profile.build_id}, {profile.toolchain}")
    return lines
