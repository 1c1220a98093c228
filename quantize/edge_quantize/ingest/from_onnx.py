"""ONNX files, through onnx2tf in an environment of its own; ONNX Runtime there is the reference."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edge_quantize.errors import ConversionError, UnsoundResultError, UnsupportedModelError
from edge_quantize.graph.model import Graph, Tensor

from . import onnx_worker
from .conversion import (
    SAMPLES,
    TOLERANCE,
    Arrays,
    Comparison,
    Conversion,
    Request,
    compared_pairs,
)
from .float_graph import float_graph, renamed
from .onnx_environment import OnnxEnvironment, prepare_environment
from .onnx_file import check_onnx_file
from .open_shapes import OpenInput, fixed_shapes
from .signature import in_order
from .tflite import read_tflite
from .transposes import fold_transposes

Orders = tuple[tuple[int, ...], ...]
"""For each input or output the order of its dimensions in the graph."""


def read_onnx_file(path: Path, request: Request) -> Conversion:
    """An `.onnx` file. Makes the environment where it is missing, and says so.

    Raises ConversionError, UnsupportedModelError, UnsoundResultError.
    """
    check_onnx_file(path)
    environment = prepare_environment(request.say)
    with tempfile.TemporaryDirectory(prefix="edge-autoglm-onnx-") as name:
        folder = Path(name)
        request.say("reading the model")
        known = _ask(environment, folder, path, {"model": str(path.resolve())})
        declared = [OpenInput(n, tuple(shape)) for n, shape in known["inputs"]]
        shapes, fixed = fixed_shapes(declared, request.example_input)
        by_name = {i.name: list(s) for i, s in zip(declared, shapes, strict=True)}
        request.say("converting with onnx2tf")
        asked = {"model": str(path.resolve()), "shapes": by_name, "samples": SAMPLES}
        _ask(environment, folder, path, asked)
        content = (folder / "model.tflite").read_bytes()
        graph = replace(read_tflite(content), name=path.stem)
        names = [i.name for i in declared]
        # onnx2tf keeps the names, but for characters that TensorFlow does not take.
        graph = in_order(graph, content, names, known["outputs"], _bare)
        graph = renamed(graph, names, known["outputs"])
        graph, settled = float_graph(fold_transposes(graph))
        request.say("comparing")
        version = f"ONNX Runtime {environment.versions['onnxruntime']}"
        with np.load(folder / "reference.npz", allow_pickle=False) as stored:
            recorded = {key: stored[key] for key in stored.files}
        orders, comparison = _compared(graph, recorded, version)
    onnx = f"opset {known['opset']}" + (f", by {known['made_by']}" if known["made_by"] else "")
    versions = environment.versions
    return Conversion(
        graph=graph,
        kind=f"ONNX file ({onnx})",
        framework=f"onnx2tf {versions['onnx2tf']}, TensorFlow {versions['tensorflow']}",
        notes=(*fixed, *_moved(graph, orders, recorded), *settled),
        comparison=comparison,
    )


def _ask(
    environment: OnnxEnvironment, folder: Path, path: Path, request: dict[str, Any]
) -> dict[str, Any]:
    (folder / "request.json").write_text(json.dumps(request), encoding="utf-8")
    (folder / "answer.json").unlink(missing_ok=True)
    clean = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
    ran = subprocess.run(
        [str(environment.python), "-I", onnx_worker.__file__, str(folder)],
        capture_output=True, text=True, errors="replace", cwd=folder, env=clean, check=False,
    )  # fmt: skip
    log = f"{ran.stdout}\n{ran.stderr}"
    try:
        answer: dict[str, Any] = json.loads((folder / "answer.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise ConversionError(f"{path}: onnx2tf ended without an answer", log) from None
    if "problems" in answer:
        problems = tuple(answer["problems"])
        raise UnsupportedModelError(f"{path}: {problems[0]}", problems)
    if "failed" in answer:
        told = [line.strip() for line in log.splitlines() if "ERROR:" in line]
        reason = told[-1].split("ERROR:")[-1].strip()[:200] if told else answer["failed"]
        raise ConversionError(f"{path}: onnx2tf cannot convert it: {reason}", log)
    return answer


def _bare(name: str) -> str:
    return "".join(c if c.isalnum() else "_" for c in name).strip("_")


def _orders(shape: Sequence[int], wanted: Sequence[int]) -> list[tuple[int, ...]]:
    """The orders of dimensions that make `wanted` of `shape`: channels last, or as it was."""
    rank = len(shape)
    plain = tuple(range(rank))
    last = (0, *range(2, rank), 1) if rank >= 3 else plain
    candidates = [last, plain] if last != plain else [plain]
    return [order for order in candidates if [shape[i] for i in order] == list(wanted)]


def _compared(
    graph: Graph, recorded: dict[str, npt.NDArray[Any]], version: str
) -> tuple[tuple[Orders, Orders], Comparison]:
    """The layouts that onnx2tf chose, and how far the model is apart in them.

    It moves channels last and does not say where. Shapes tell, except where two dimensions are
    alike: then the layout in which the outputs agree is the one.
    """
    choices = [
        [_orders(recorded[f"{kind}0_{i}"].shape, graph.tensors[index].shape) for i, index in places]
        for kind, places in (
            ("x", list(enumerate(graph.inputs))),
            ("y", list(enumerate(graph.outputs))),
        )
    ]
    failure = UnsoundResultError(
        f"{graph.name}: the converted model's inputs or outputs have other shapes than {version}'s"
    )
    for inputs in itertools.product(*choices[0]):
        for outputs in itertools.product(*choices[1]):
            try:
                pairs = _pairs(graph, recorded, inputs, outputs)
                return (inputs, outputs), compared_pairs(graph, pairs, version)
            except UnsoundResultError as error:
                failure = error
    raise failure


def _pairs(
    graph: Graph, recorded: dict[str, npt.NDArray[Any]], inputs: Orders, outputs: Orders
) -> Iterator[tuple[Arrays, Arrays]]:
    def row(kind: str, n: int, orders: Orders, tensors: Sequence[Tensor]) -> Arrays:
        return tuple(
            np.ascontiguousarray(recorded[f"{kind}{n}_{i}"].transpose(order)).astype(
                tensor.dtype.numpy
            )
            for i, (order, tensor) in enumerate(zip(orders, tensors, strict=True))
        )

    ins = [graph.tensors[i] for i in graph.inputs]
    outs = [graph.tensors[i] for i in graph.outputs]
    for n in range(SAMPLES):
        yield row("x", n, inputs, ins), row("y", n, outputs, outs)


def _moved(
    graph: Graph, orders: tuple[Orders, Orders], recorded: dict[str, npt.NDArray[Any]]
) -> list[str]:
    notes = []
    for kind, letter, indices, chosen in (
        ("input", "x", graph.inputs, orders[0]),
        ("output", "y", graph.outputs, orders[1]),
    ):
        for i, (index, order) in enumerate(zip(indices, chosen, strict=True)):
            shape = list(recorded[f"{letter}0_{i}"].shape)
            if list(order) != sorted(order):
                moved = list(graph.tensors[index].shape)
                name = graph.tensors[index].name
                notes.append(f"{kind} '{name}': channels last, {shape} became {moved}")
    return notes


__all__ = ["TOLERANCE", "read_onnx_file"]
