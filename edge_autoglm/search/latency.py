"""How long an inference takes, predicted from the lowered program.

A step costs the sum of its features times its kernel's coefficients. Features are what the kernels'
loops count: windows, taps inside the image, blocks of channels by pixels, bytes. Coefficients are
not negative; they were fitted to what a virtual board counted over a sweep of layers
(`fit_latency`), apart for each core: of instructions, which it counts exactly, and of cycles, which
it models. Every figure from here is therefore modelled.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from edge_autoglm.errors import UsageError
from edge_boards import Board
from edge_export.aot.program import ConstantRef, Program, Step

TABLE = Path(__file__).with_name("latency_costs.json")
ANY_KERNEL = "*"
"""The row for a kernel that the sweep did not measure: fitted over all that it did."""

Features = Mapping[str, float]


@dataclass(frozen=True)
class StepCost:
    """One step. `known`: its kernel was measured in the sweep."""

    layer: int
    kernel: str
    cycles: float
    instructions: float
    known: bool


@dataclass(frozen=True)
class Latency:
    """One inference, modelled. `steps` are in order."""

    steps: tuple[StepCost, ...]
    clock_hz: int

    @property
    def cycles(self) -> float:
        return sum(step.cycles for step in self.steps)

    @property
    def instructions(self) -> float:
        return sum(step.instructions for step in self.steps)

    @property
    def ms(self) -> float:
        return 1e3 * self.cycles / self.clock_hz

    def slowest(self, program: Program) -> str:
        """The layers that take longest, in words."""
        names = {layer.index: f"{layer.name} ({layer.op})" for layer in program.layers}
        ranked = sorted(self.steps, key=lambda s: (-s.cycles, s.layer))[:2]
        return "slowest: " + ", ".join(
            f"layer {names[s.layer]} {1e3 * s.cycles / self.clock_hz:.2f} ms" for s in ranked
        )


@dataclass(frozen=True)
class CostModel:
    """Coefficients of one core: {kernel: {feature: (cycles, instructions)}}."""

    core: str
    clock_hz: int
    kernels: Mapping[str, Mapping[str, tuple[float, float]]]
    source: str

    def predict(self, program: Program) -> Latency:
        """Modelled cycles and instructions of every step."""
        return Latency(tuple(self._step(step, program) for step in program.steps), self.clock_hz)

    def _step(self, step: Step, program: Program) -> StepCost:
        known = step.kernel in self.kernels
        costs = self.kernels[step.kernel if known else ANY_KERNEL]
        cycles = instructions = 0.0
        found = features(step, program)
        for name, (of_cycles, of_instructions) in costs.items():
            cycles += of_cycles * found.get(name, 0.0)
            instructions += of_instructions * found.get(name, 0.0)
        return StepCost(step.layer, step.kernel, cycles, instructions, known)


def cost_model(board: Board) -> CostModel:
    """The model of the board's core at the board's clock.

    Raises UsageError where that core was never measured.
    """
    table = read_table()
    costs = table.get(board.core.name)
    if costs is None:
        raise UsageError(
            f"no latency model for {board.core.name} ({board.title}); there are models for "
            f"{', '.join(sorted(table)) or 'none'}: leave --max-latency out, and measure the "
            "result with `edge-autoglm flash --profile`"
        )
    return CostModel(
        core=board.core.name,
        clock_hz=board.clock.hz,
        kernels={
            kernel: {name: (pair[0], pair[1]) for name, pair in row.items()}
            for kernel, row in costs["kernels"].items()
        },
        source=f"fitted to virtual {costs['board']}",
    )


@cache
def read_table() -> dict[str, Any]:
    """The committed coefficients by core; empty where there are none."""
    if not TABLE.is_file():
        return {}
    document: dict[str, Any] = json.loads(TABLE.read_text(encoding="utf-8"))
    return document


# Features


def features(step: Step, program: Program) -> Features:
    """What the loops of the step's kernel count, by name."""
    sizes = {buffer.name: buffer.size for buffer in program.buffers}
    constants = {constant.name: constant.nbytes for constant in program.constants}
    fields = dict(step.params.fields)
    found: dict[str, float] = {
        "call": 1.0,
        "in": float(sum(sizes[name] for name in step.operands)),
        "out": float(sum(sizes[name] for name in step.results)),
        "constants": float(
            sum(
                constants[value.constant]
                for value in fields.values()
                if isinstance(value, ConstantRef) and value.constant in constants
            )
        ),
    }
    numbers = {k: v for k, v in fields.items() if isinstance(v, int)}
    if "out_h" in numbers and "pad_h" in numbers:
        found |= _window_features(numbers)
    elif step.macs:
        found |= _matrix_features(numbers, step.macs)
    if "exp_table" in fields:
        found["rows"] = float(numbers.get("rows", 1))
    if "outer" in numbers:  # CONCATENATION copies row by row
        found["copies"] = float(numbers["outer"] * len(step.operands))
    dims = fields.get("dims")
    if isinstance(dims, tuple):  # PAD does, too
        found["copies"] = float(math.prod(dims[:-1]))
    return found


def _window_features(p: Mapping[str, int]) -> dict[str, float]:
    """Of kernels that slide windows: convolutions and pooling."""
    size_h = p.get("kernel_h", p.get("filter_h", 3))
    size_w = p.get("kernel_w", p.get("filter_w", 3))
    inside_h = _inside(p["in_h"], p["out_h"], size_h, p["stride_h"], p["pad_h"],
                       p.get("dilation_h", 1))  # fmt: skip
    inside_w = _inside(p["in_w"], p["out_w"], size_w, p["stride_w"], p["pad_w"],
                       p.get("dilation_w", 1))  # fmt: skip
    pixels = p["out_h"] * p["out_w"]
    if "out_c" in p:  # every output channel sums over all of in_c
        channels, depth = p["out_c"], p["in_c"]
    else:  # channel by channel
        channels = p.get("channels", p.get("in_c", 1)) * p.get("multiplicity", 1)
        depth = 1
    found = {
        "outputs": pixels * channels,
        "pixels": pixels,
        "window_rows": pixels * size_h * (channels if depth > 1 else 1),
        "taps": inside_h * inside_w * (channels * depth),
        "windows": inside_h * inside_w * (channels if depth > 1 else 1),
        "all_windows": pixels * size_h * size_w * (channels if depth > 1 else 1),
        "all_taps": pixels * size_h * size_w * channels * depth,
        "quad_taps": inside_h * inside_w * (channels // 4),
        "odd_taps": inside_h * inside_w * (channels % 4),
        "quad_outputs": pixels * (channels // 4),
        "odd_outputs": pixels * (channels % 4),
        "gather": inside_h * inside_w * depth,
        "line_groups": p["out_h"] * -(-channels // 4),
        "lines": p["out_h"] * p["in_w"] * channels,
    }
    if "row_bytes" in p and "tile_pixels" in p:
        tiles = -(-pixels // p["tile_pixels"])
        pairs = -(-pixels // 2) * -(-channels // 2)
        found |= {
            "tiles": tiles,
            "pairs": pairs,
            "blocks": pairs * (p["row_bytes"] // 4),
            "tile_weights": tiles * p["row_bytes"] * channels,
            "widened": pixels * p["row_bytes"],
            "gathered_rows": pixels * size_h,
        }
    return {name: float(value) for name, value in found.items()}


def _matrix_features(p: Mapping[str, int], macs: int) -> dict[str, float]:
    rows, depth, channels = p.get("rows", 1), p.get("depth", 1), p.get("out_c", 1)
    found = {
        "macs": macs,
        "outputs": rows * channels,
        "quads": rows * -(-channels // 4) * -(-depth // 4),
        "rows": rows,
    }
    return {name: float(value) for name, value in found.items()}


def _inside(size: int, outputs: int, window: int, stride: int, pad: int, dilation: int) -> int:
    """Taps of all windows along one axis that lie inside the image."""
    total = 0
    for place in range(outputs):
        first = place * stride - pad
        skipped = math.ceil(-first / dilation) if first < 0 else 0
        last = min(window, math.ceil((size - first) / dilation))
        total += max(0, last - skipped)
    return total
