"""A profile as JSON (profile.schema.json describes it) and as tables."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.table import Table

from .tables import percent, size, table

if TYPE_CHECKING:
    from edge_autoglm.measure.figures import Figure
    from edge_autoglm.measure.profile import LayerProfile, Profile

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
        "clock_hz": profile.clock_hz,
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


def _count(figure: Figure | None) -> str | None:
    return None if figure is None else f"{figure.value:,.0f}"


def profile_table(profile: Profile) -> Table:
    """One row a layer; fits 80 columns."""
    where = "virtual " if profile.virtual else ""
    title = f"{profile.model} on {where}{profile.board}"
    columns = [">#", "~layer", "~kernel", ">MACs"]
    if profile.cycles:
        title += f" at {profile.clock_hz / 1e6:g} MHz"
        kinds = f"cycles and ms {profile.cycles.kind.value}"
        if profile.instructions:
            kinds = f"instructions {profile.instructions.kind.value}, {kinds}"
        columns += [">instr.", ">cycles", ">ms", ">%", ">c/MAC"]
    else:
        kinds = "instructions exact; this board has no cycle counter"
        columns += [">instr.", ">%", ">i/MAC"]
    return table(
        f"{title}\n{kinds}",
        columns,
        [
            (
                layer.index,
                layer.name,
                " ".join(kernel.removeprefix("eag_") for kernel in layer.kernels)
                or f"({layer.op.lower()})",
                layer.macs or None,
                *_costs(layer, percent(layer.share, 1)),
            )
            for layer in profile.layers
        ],
        total=("", "total", "", profile.macs, *_costs(profile, "100")),
    )


def _costs(what: Profile | LayerProfile, share: str) -> tuple[str | None, ...]:
    """The cells from instructions on."""
    per_mac = None if what.per_mac is None else f"{what.per_mac:.2f}"
    if what.cycles is None or what.latency_ms is None:
        return _count(what.instructions), share, per_mac
    ms = f"{what.latency_ms.value:.2f}"
    return _count(what.instructions), _count(what.cycles), ms, share, per_mac


def _spread(profile: Profile) -> str:
    """Where several runs on a virtual board differ, and why."""
    counted = profile.instructions
    same = "instruction counts repeat exactly"
    if counted and counted.spread:
        extremes = f"{counted.low:,.0f} to {counted.high:,.0f}"
        same = f"instruction counts go with the inputs, {extremes}"
    if not profile.cycles:
        return same
    return f"{same}; the spread is of modelled cycles: caches and branch history carry over"


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
    lines = [f"{runs} after {profile.warmup} warm-up{extremes}{repeats}"]
    memory = profile.memory
    parts = [
        f"arena {memory.arena:,} B",
        f"stack {memory.stack:,} B used",
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
