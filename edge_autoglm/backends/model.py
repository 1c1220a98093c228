"""A model file as backends take it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edge_quantize.data import Samples
from edge_quantize.data.load import samples_from
from edge_quantize.errors import InputDataError, ModelFileError
from edge_quantize.graph import Graph
from edge_quantize.graph.writer import write_tflite
from edge_quantize.ingest.onnx_file import check_onnx_file
from edge_quantize.ingest.source import read_model_file
from edge_quantize.ingest.tflite import read_tflite
from edge_quantize.inputs import LCG_SEED, lcg_inputs
from edge_quantize.run import quantized

Array = npt.NDArray[np.generic]
TFLITE, ONNX = "tflite", "onnx"


@dataclass(frozen=True, eq=False)
class RunModel:
    """`content` is the file; `graph` is what a `.tflite` says, None for ONNX, which only ONNX
    Runtime reads. `path` is where it lies, None for a model of a program."""

    name: str
    format: str
    content: bytes
    graph: Graph | None
    path: Path | None = None

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.content).hexdigest()


def read_run_model(source: RunModel | Graph | str | Path) -> RunModel:
    """A `.tflite` or `.onnx` file, or a Graph.

    Raises ModelFileError, for a file of another kind too, UnsupportedModelError, OSError.
    """
    if isinstance(source, RunModel):
        return source
    if isinstance(source, Graph):
        # Read again: boards are asked for the model by the hash of its file.
        content = write_tflite(source)
        name = source.name or "model"
        return RunModel(name, TFLITE, content, replace(read_tflite(content), name=name))
    path = Path(source)
    if path.suffix == ".onnx":
        check_onnx_file(path)
        return RunModel(path.stem, ONNX, path.read_bytes(), None, path)
    if path.suffix not in (".tflite", ".lite") and path.exists():
        raise ModelFileError(
            f"{path}: backends run .tflite and .onnx files; `edge-autoglm convert` makes a .tflite "
            "of another model"
        )
    content = read_model_file(path)
    try:
        graph = replace(read_tflite(content), name=path.stem)
    except ModelFileError as error:  # it was given bytes, which have no name
        raise ModelFileError(f"{path}: {error}", error.problems) from error
    return RunModel(path.stem, TFLITE, content, graph, path)


def generated(ports: Graph, count: int) -> tuple[tuple[Array, ...], ...]:
    """Pseudo-random inputs, `count` inferences of them. Raises InputDataError for an input of a
    kind that none can be made for."""
    found: list[tuple[Any, ...]] = []
    state = LCG_SEED
    for _ in range(count):
        arrays, state = lcg_inputs(ports, state)
        found.append(arrays)
    return tuple(found)


def check_inputs(ports: Graph, inputs: Sequence[Array]) -> None:
    """Raises InputDataError where the arrays are not what the model takes."""
    wanted = [ports.tensors[index] for index in ports.inputs]
    if len(inputs) != len(wanted):
        raise InputDataError(
            f"{ports.name}: inputs: {len(inputs)} given, the model has {len(wanted)}"
        )
    for tensor, array in zip(wanted, inputs, strict=True):
        if array.shape != tensor.shape or array.dtype != tensor.dtype.numpy:
            raise InputDataError(
                f"input '{tensor.name}': {array.dtype}{list(array.shape)} given, the model takes "
                f"{tensor.dtype.value}{list(tensor.shape)}"
            )


def inputs_of(ports: Graph, samples: Any, count: int) -> tuple[tuple[Array, ...], ...]:
    """At most `count` inferences' inputs, in the model's element types: of Samples, or of what
    `samples_from` takes; pseudo-random ones for None. Raises InputDataError."""
    if samples is None:
        return generated(ports, count)
    found = samples if isinstance(samples, Samples) else samples_from(samples, ports, least=1)
    tensors = [ports.tensors[index] for index in ports.inputs]
    rows = found.take(slice(0, count)).rows()
    return tuple(
        tuple(
            np.ascontiguousarray(quantized(array, tensor).reshape(tensor.shape))
            for array, tensor in zip(row, tensors, strict=True)
        )
        for row in rows
    )
