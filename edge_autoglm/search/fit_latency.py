"""Fits the latency model: a sweep of layers on virtual boards, and least squares.

    python -m edge_autoglm.search.fit_latency                # measures, fits, writes the table
    python -m edge_autoglm.search.fit_latency --check MODEL.tflite ...   # its error on these

The models that the error is stated on take no part in the fit. Instructions are exact; cycles are
the virtual board's, modelled there.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edge_autoglm import pipeline
from edge_autoglm.flash import flash_image
from edge_autoglm.measure.profile import Profile
from edge_autoglm.measure.run import run_profile
from edge_boards import Board, load_board
from edge_export import compile_model, export_model
from edge_quantize.graph import Graph
from edge_quantize.ingest.tflite import read_tflite

from .latency import ANY_KERNEL, TABLE, Features, cost_model, features, read_table
from .sweep import Trial, sweep

BOARDS = ("stm32f746", "nucleo-l4r5zi")
"""One virtual board a core, of those whose cycles are modelled."""


@dataclass(frozen=True)
class Sample:
    """A measured step."""

    kernel: str
    features: Features
    cycles: float
    instructions: float


def measure(trial: Trial, board: Board, folder: Path) -> list[Sample]:
    """Builds a graph of the sweep, runs it on the virtual board, and reads every step's counts."""
    plan = None
    if trial.kernels:
        names = [layer.name for layer in compile_model(trial.graph, board).program.layers]
        plan = folder / "plan.json"
        rows = [{"layer": names[i], "kernel": k} for i, k in trial.kernels.items()]
        plan.write_text(json.dumps({"schema": 1, "kernels": rows}), encoding="utf-8")
    program = compile_model(trial.graph, board, plan=plan).program
    exported = export_model(trial.graph, board, folder / "model", plan=plan)
    profile = on_virtual_board(exported, board)
    by_layer = {step.layer: step for step in program.steps}
    return [
        Sample(
            by_layer[layer.index].kernel,
            features(by_layer[layer.index], program),
            layer.cycles.value,
            layer.instructions.value,
        )
        for layer in profile.layers
        if layer.index in by_layer and layer.cycles and layer.instructions
    ]


def on_virtual_board(exported: Any, board: Board) -> Profile:
    """Builds, flashes and profiles; one inference after one to warm up."""
    image = pipeline.build(exported, board).image
    flashed = flash_image(board, image, "virtual")
    profile, _ = run_profile(board, flashed.port, runs=1, warmup=1)
    return profile


# The fit


def fit(samples: Sequence[Sample]) -> dict[str, dict[str, tuple[float, float]]]:
    """{kernel: {feature: (cycles, instructions)}}, relative errors made small."""
    kernels = sorted({sample.kernel for sample in samples})
    fitted = {}
    for kernel in kernels:
        fitted[kernel] = _fit_one([s for s in samples if s.kernel == kernel])
    general = [
        Sample(s.kernel, {k: v for k, v in s.features.items() if k in _GENERAL}, s.cycles,
               s.instructions)
        for s in samples
    ]  # fmt: skip
    fitted[ANY_KERNEL] = _fit_one(general)
    return fitted


_GENERAL = ("call", "in", "out", "taps", "macs")


def _fit_one(samples: Sequence[Sample]) -> dict[str, tuple[float, float]]:
    names = sorted({name for sample in samples for name in sample.features})
    matrix = np.array([[s.features.get(name, 0.0) for name in names] for s in samples])
    cycles = _non_negative(matrix, np.array([s.cycles for s in samples]))
    counted = _non_negative(matrix, np.array([s.instructions for s in samples]))
    return {
        name: (_rounded(c), _rounded(i))
        for name, c, i in zip(names, cycles, counted, strict=True)
        if c or i
    }


def _rounded(value: float) -> float:
    return float(f"{value:.5g}")


def _non_negative(
    matrix: npt.NDArray[np.float64], wanted: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """Non-negative least squares on relative errors: Lawson and Hanson, Solving Least Squares
    Problems (1974), chapter 23."""
    a = matrix / wanted[:, None]
    scale = np.linalg.norm(a, axis=0)
    scale[scale == 0] = 1.0
    a = a / scale
    b = np.ones(len(wanted))
    count = a.shape[1]
    x = np.zeros(count)
    passive = np.zeros(count, bool)
    for _ in range(10 * count):
        gradient = a.T @ (b - a @ x)
        gradient[passive] = -np.inf
        best = int(np.argmax(gradient))
        if passive.all() or gradient[best] <= 1e-9:
            break
        passive[best] = True
        while True:
            trial = np.zeros(count)
            trial[passive] = np.linalg.lstsq(a[:, passive], b, rcond=None)[0]
            if (trial[passive] > 0).all():
                x = trial
                break
            low = passive & (trial <= 0)
            step = float(np.min(x[low] / (x[low] - trial[low])))
            x = x + step * (trial - x)
            passive &= x > 1e-12
            if not passive.any():
                break
    found: npt.NDArray[np.float64] = x / scale
    return found


def errors(samples: Iterable[Sample], costs: Mapping[str, Mapping[str, tuple[float, float]]]) -> \
        dict[str, tuple[int, float, float]]:  # fmt: skip
    """{kernel: (samples, mean and largest relative error of the cycles)}."""
    found: dict[str, list[float]] = {}
    for s in samples:
        said = sum(pair[0] * s.features.get(name, 0.0) for name, pair in costs[s.kernel].items())
        found.setdefault(s.kernel, []).append(abs(said / s.cycles - 1))
    return {k: (len(v), float(np.mean(v)), max(v)) for k, v in sorted(found.items())}


def make(boards: Sequence[str]) -> dict[str, Any]:
    """The table, by core."""
    from edge_boards import virtual

    document: dict[str, Any] = {}
    for name in boards:
        board = load_board(name)
        samples: list[Sample] = []
        try:
            for trial in sweep(board.core.features):
                with tempfile.TemporaryDirectory(prefix="edge-sweep-") as scratch:
                    samples += measure(trial, board, Path(scratch))
        finally:
            virtual.stop(board.name)
        costs = fit(samples)
        document[board.core.name] = {"board": board.name, "kernels": costs}
        print(f"{board.name}: {len(samples)} layers")
        for kernel, (count, mean, most) in errors(samples, costs).items():
            print(f"  {kernel:32} {count:4} mean {mean:6.1%}  largest {most:6.1%}")
    return document


def table_text(document: Mapping[str, Any]) -> str:
    """JSON with one kernel a line."""
    cores = []
    for core, entry in sorted(document.items()):
        rows = ",\n".join(f"      {json.dumps(k)}: {json.dumps(v)}"
                          for k, v in entry["kernels"].items())  # fmt: skip
        cores.append(
            f'  {json.dumps(core)}: {{\n    "board": {json.dumps(entry["board"])},\n'
            f'    "kernels": {{\n{rows}\n    }}\n  }}'
        )
    return "{\n" + ",\n".join(cores) + "\n}\n"


# What the model is worth


def check(models: Sequence[Path], board: Board) -> list[tuple[str, float, float]]:
    """(model, predicted, counted) cycles on the virtual board."""
    from edge_boards import virtual

    found = []
    try:
        for path in models:
            graph: Graph = read_tflite(path)
            said = cost_model(board).predict(compile_model(graph, board).program)
            with tempfile.TemporaryDirectory(prefix="edge-check-") as scratch:
                exported = export_model(graph, board, Path(scratch) / "model")
                profile = on_virtual_board(exported, board)
            assert profile.cycles is not None
            found.append((path.stem, said.cycles, profile.cycles.value))
    finally:
        virtual.stop(board.name)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--check", nargs="+", type=Path, metavar="MODEL")
    parser.add_argument("--board", action="append", help="default: one a core")
    options = parser.parse_args()
    boards = options.board or list(BOARDS)
    if options.check:
        for name in boards:
            for model, said, counted in check(options.check, load_board(name)):
                print(f"{name}: {model}: {said:,.0f} cycles predicted, {counted:,.0f} modelled by "
                      f"the virtual board ({said / counted - 1:+.1%})")  # fmt: skip
        return
    TABLE.write_text(table_text({**read_table(), **make(boards)}), encoding="utf-8")
    print(f"{TABLE.name} written")


if __name__ == "__main__":
    main()
